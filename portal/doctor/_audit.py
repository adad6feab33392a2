"""The audit trail: its key, its checkpoints, the last verification, what is sent elsewhere."""

from collections.abc import Iterator
from datetime import datetime, timedelta

from django.db import connection
from django.utils import timezone

from portal.audit import _readable, _triggers, keys, pushing, services, stored, traits, verifying
from portal.audit.models import Event
from portal.doctor._findings import ERROR, OK, WARNING, Finding

_PART = "audit trail"
_SEALED_WITHIN = timedelta(minutes=5)
_VERIFIED_WITHIN = timedelta(days=8)
_ARRIVED_WITHIN = timedelta(minutes=10)
_REMEMBERED_FOR = timedelta(days=90)


def look_at_audit_trail(thorough: bool) -> Iterator[Finding]:
    """The right key, a checkpoint each minute, a verification that found nothing, nothing that waits to be sent."""
    head = _readable.head()
    if head is None:
        yield Finding(_PART, OK, "Nothing has been recorded yet.")
        return
    try:
        services.key_of(head)
    except keys.NoAuditKey as error:
        remedy = "Bring the key back from where the facility keeps its copy; docs/operations.md, The audit trail, says"
        said = f"{error} Nothing can be recorded, and so no question is answered."
        yield Finding(_PART, ERROR, said, f"{remedy} what to do when there is none.")
    yield from _keys()
    yield from _end()
    yield from _triggers_there()
    yield from _checkpoints()
    yield from _verification()
    yield from _index()
    yield from _places()


def _keys() -> Iterator[Finding]:
    for one in verifying.breaks():
        which = f"nobody vouches for events {one.first} to {one.last}" if one.first <= one.last else "all was sealed"
        message = f"The audit key was lost and replaced on {_day(one.at)} (event {one.seq}): {which}."
        yield Finding(_PART, WARNING, message, "Compare it with the copies that lie elsewhere.")


def _end() -> Iterator[Finding]:
    told = Event.objects.filter(kind=services.TAIL_MISSING, seq__lte=_readable.MOST_SEQ).order_by("seq")
    for one in stored.rows(list(told.values_list("seq", flat=True)[:5]), stored.Marks()):
        message = f"The end was found cut off or changed on {_day(one.at, '%Y-%m-%d %H:%M UTC')} (event {one.seq})."
        remedy = "Compare it with the copies that lie elsewhere: manage.py verify_audit --checkpoints."
        yield Finding(_PART, ERROR, message, remedy)


def _triggers_there() -> Iterator[Finding]:
    if gone := _triggers.missing(connection):
        message = f"The database does not refuse changes any more: triggers are missing ({', '.join(gone)})."
        remedy = "Somebody took them away: manage.py verify_audit says what was changed. The backup has them."
        yield Finding(_PART, ERROR, message, remedy)


def _checkpoints() -> Iterator[Finding]:
    number, newest = _readable.newest_checkpoint()
    sealed = newest.tree_size if newest else 0
    refused = Event.objects.filter(kind="audit.sealing_refused", seq__range=(sealed + 1, _readable.MOST_SEQ))
    if seq := refused.order_by("seq").values_list("seq", flat=True).first():
        why = next((one.payload.get("why") for one in stored.rows([seq], stored.Marks())), None)
        message = f"No checkpoint can be made: {why or f'event {seq} says why'}."
        yield Finding(_PART, ERROR, message, "Somebody changed the database: manage.py verify_audit says where.")
    elif number and newest is None:
        message = f"Checkpoint {number} cannot be read."
        yield Finding(_PART, ERROR, message, "Somebody changed the database: manage.py verify_audit says where.")
    elif newest is None:
        yield Finding(_PART, WARNING, "There is no checkpoint yet.", "Is the clock of periodic tasks running?")
    elif (silent := timezone.now() - newest.at) > _SEALED_WITHIN:
        message = f"The last checkpoint is {silent.total_seconds() / 60:.0f} minutes old."
        remedy = "Are the clock of periodic tasks and a worker running? Their log says why none was made."
        yield Finding(_PART, ERROR, message, remedy)
    else:
        yield Finding(_PART, OK, f"{newest.tree_size} events under checkpoint {newest.number}.")


def _verification() -> Iterator[Finding]:
    last = verifying.last()
    if last is None:
        yield Finding(_PART, WARNING, "It has never been verified.", "manage.py verify_audit")
    elif last.problem or last.at is None:
        message = f"The record of the last verification (event {last.seq}) is not what was recorded: it says nothing."
        yield Finding(_PART, ERROR, message, "Somebody changed the database: manage.py verify_audit says where.")
    elif last.findings:
        message = f"The verification of {last.at:%Y-%m-%d %H:%M} UTC found {last.findings}: {last.first_finding}."
        yield Finding(_PART, ERROR, message, "Keep this database as it is, look at all of it: manage.py verify_audit")
    elif timezone.now() - last.at > _VERIFIED_WITHIN:
        message = f"It was last verified on {last.at:%Y-%m-%d}."
        yield Finding(_PART, WARNING, message, "It happens each night where the clock of periodic tasks runs.")
    else:
        yield Finding(_PART, OK, f"Verified on {last.at:%Y-%m-%d %H:%M} UTC: {last.events} events.")
    found = verifying.last_found()
    if found and found.at and last and not last.findings:
        message = f"The verification of {found.at:%Y-%m-%d %H:%M} UTC found {found.findings}: {found.first_finding}."
        yield Finding(_PART, WARNING, f"{message} Later ones found nothing.", "Ask who put it right, and how.")


def _index() -> Iterator[Finding]:
    mended = Event.objects.filter(kind=traits.MENDED, seq__lte=_readable.MOST_SEQ).order_by("-seq")
    for one in stored.rows(list(mended.values_list("seq", flat=True)[:1]), stored.Marks()):
        if one.at and one.at < timezone.now() - _REMEMBERED_FOR:
            continue
        count = ", ".join(
            f"{what}: {one.payload.get(name, '?')}" for name, what in (("missing", "missing"), ("extra", "too many"))
        )
        message = f"The index that turns are searched by was not what the events give on {_day(one.at)} ({count})."
        remedy = "It was mended; searches and selections before may have found too little. Who changed the database?"
        yield Finding(_PART, WARNING, message, remedy)


def _places() -> Iterator[Finding]:
    try:
        pushing.places()
    except ValueError:
        return  # a finding of the settings
    try:
        lags = pushing.lags()
    except _readable.NO_VALUES as error:
        if not _readable.is_of_a_row(error):
            raise
        yield Finding(_PART, ERROR, "What is known of the copies elsewhere cannot be read.", "manage.py verify_audit")
        return
    for lag in lags:
        if lag.is_ahead:
            message = f"{lag.place}: what arrived there last is not in the audit trail any more: its end was cut off."
            yield Finding(_PART, ERROR, message, "Keep this database as it is, and compare it with what lies there.")
            continue
        late = lag.arrived_at is None or timezone.now() - lag.arrived_at > _ARRIVED_WITHIN
        if lag.waiting and (lag.error or late):
            last = (
                f"the last ones arrived at {lag.arrived_at:%Y-%m-%d %H:%M} UTC"
                if lag.arrived_at
                else "none has arrived"
            )
            message = f"{lag.waiting} {lag.place} wait; {last}. {lag.error}".strip()
            yield Finding(_PART, ERROR, message, "Mend the way there; nothing is lost, it goes on by itself.")
        else:
            yield Finding(_PART, OK, f"{lag.place}: {lag.waiting} wait.")


def _day(at: datetime | None, form: str = "%Y-%m-%d") -> str:
    return at.strftime(form) if at else "a day that cannot be read"
