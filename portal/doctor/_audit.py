"""The audit trail: its key, its checkpoints, the last verification, what is sent elsewhere."""

from collections.abc import Iterator
from datetime import timedelta

from django.utils import timezone

from portal.audit import keys, pushing, services, verifying
from portal.audit.models import Checkpoint, Event, Head
from portal.doctor._findings import ERROR, OK, WARNING, Finding

_PART = "audit trail"
_SEALED_WITHIN = timedelta(minutes=5)
_VERIFIED_WITHIN = timedelta(days=8)
_ARRIVED_WITHIN = timedelta(minutes=10)


def look_at_audit_trail(thorough: bool) -> Iterator[Finding]:
    """The right key, a checkpoint each minute, a verification that found nothing, nothing that waits to be sent."""
    head = Head.objects.filter(pk=1).first()
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
    yield from _checkpoints()
    yield from _verification()
    yield from _places()


def _keys() -> Iterator[Finding]:
    for one in verifying.breaks():
        which = f"nobody vouches for events {one.first} to {one.last}" if one.first <= one.last else "all was sealed"
        message = f"The audit key was lost and replaced on {one.at:%Y-%m-%d} (event {one.seq}): {which}."
        yield Finding(_PART, WARNING, message, "Compare it with the copies that lie elsewhere.")


def _end() -> Iterator[Finding]:
    for one in Event.objects.filter(kind=services.TAIL_MISSING).order_by("seq")[:5]:
        message = f"The end was found cut off or changed on {one.at:%Y-%m-%d %H:%M} UTC (event {one.seq})."
        remedy = "Compare it with the copies that lie elsewhere: manage.py verify_audit --checkpoints."
        yield Finding(_PART, ERROR, message, remedy)


def _checkpoints() -> Iterator[Finding]:
    newest = Checkpoint.objects.first()
    refused = Event.objects.filter(kind="audit.sealing_refused", seq__gt=newest.tree_size if newest else 0).last()
    if refused:
        message = f"No checkpoint can be made: {refused.payload['why']}."
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
    elif last.findings:
        message = f"The verification of {last.at:%Y-%m-%d %H:%M} UTC found {last.findings}: {last.first_finding}."
        yield Finding(_PART, ERROR, message, "Keep this database as it is, look at all of it: manage.py verify_audit")
    elif timezone.now() - last.at > _VERIFIED_WITHIN:
        message = f"It was last verified on {last.at:%Y-%m-%d}."
        yield Finding(_PART, WARNING, message, "It happens each night where the clock of periodic tasks runs.")
    else:
        yield Finding(_PART, OK, f"Verified on {last.at:%Y-%m-%d %H:%M} UTC: {last.events} events.")
    found = verifying.last_found()
    if found and last and not last.findings:
        message = f"The verification of {found.at:%Y-%m-%d %H:%M} UTC found {found.findings}: {found.first_finding}."
        yield Finding(_PART, WARNING, f"{message} Later ones found nothing.", "Ask who put it right, and how.")


def _places() -> Iterator[Finding]:
    try:
        lags = pushing.lags()
    except ValueError:
        return  # a finding of the settings
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
