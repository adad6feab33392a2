"""Whether the audit trail is sound, at a glance: what is known of its key, its checkpoints, its last verification and
the places it is sent to, each in a sentence and with what to do; and verifications that somebody asks for."""

import json
import logging
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from django.db import connection, transaction
from django.db.models import QuerySet
from django.utils import timezone
from django.utils.formats import date_format
from django.utils.translation import gettext as _
from kombu.exceptions import OperationalError

from portal import valkey
from portal.audit import _readable, _triggers, keys, pushing, services, stored, traits, verifying
from portal.audit._readable import MOST_SEQ, NO_VALUES, is_of_a_row
from portal.audit.models import Checkpoint, Event, Head

logger = logging.getLogger(__name__)

GOOD, NOTE, ATTENTION, WRONG = "good", "note", "attention", "wrong"
_ASKED = "audit.verification_asked"
_SEALED_WITHIN = timedelta(minutes=5)
_VERIFIED_WITHIN = timedelta(days=8)
_ARRIVED_WITHIN = timedelta(minutes=10)
_REMEMBERED_FOR = timedelta(days=90)  # what was found once asks for attention; later it is a note
_BEGUN_WITHIN = timedelta(minutes=2)  # a worker takes it in seconds, where there is one
_PROGRESS = "havre:verifying"
_PROGRESS_SECONDS = 30  # what is not told again for so long has died
_TELL_SECONDS = 0.5


@dataclass(frozen=True, slots=True)
class Sign:
    """One part of the audit trail: how it stands (`GOOD`, `ATTENTION`, `WRONG`; `NOTE`: worth knowing, and nothing
    is wrong), in a sentence; what to do where it is not good."""

    part: str
    level: str
    said: str
    to_do: str = ""


@dataclass(frozen=True, slots=True)
class Running:
    """A verification that is under way: how many events were seen, of how many; `done` None: no worker has begun."""

    done: int | None
    total: int


@dataclass(frozen=True, slots=True)
class Integrity:
    """Everything at a glance. `unsealed` is how many events no checkpoint covers yet; `findings` the first that the
    last verification found."""

    signs: tuple[Sign, ...]
    events: int
    unsealed: int
    checkpoint: Checkpoint | None
    key_id: str
    ledger: str
    last: verifying.Last | None
    findings: tuple[str, ...]
    lags: tuple[pushing.Lag, ...]
    running: Running | None

    @property
    def level(self) -> str:
        """How it stands as a whole: as its worst part does."""
        there = {one.level for one in self.signs}
        return next((one for one in (WRONG, ATTENTION) if one in there), GOOD)

    @property
    def headline(self) -> str:
        """The same in a sentence: what is wrong first."""
        if self.level == GOOD:
            return _("The audit trail is whole.")
        return next(one.said for one in self.signs if one.level == self.level)


def look() -> Integrity:
    """How the audit trail stands at this moment. Reads a few rows, and verifies nothing."""
    head = _readable.head() or Head(last_seq=0)
    number, newest = _readable.newest_checkpoint()
    last = verifying.last()
    lags, problem = _lags()
    try:
        key_id, lost = services.key_of(head).key_id, ""
    except keys.NoAuditKey as error:
        key_id, lost = "", str(error)
    signs = [
        _recording(lost),
        *_lost_keys(),
        *_end(),
        *_unguarded(),
        _sealing(head, number, newest),
        _verification(last),
    ]
    signs += [*_before(last, newest), *_sent(lags, problem)]
    return Integrity(
        signs=tuple(signs),
        events=head.last_seq,
        unsealed=head.last_seq - (newest.tree_size if newest else 0),
        checkpoint=newest,
        key_id=key_id,
        ledger=str(head.ledger),
        last=last,
        findings=last.first_findings if last else (),
        lags=tuple(lags),
        running=running(),
    )


def running() -> Running | None:
    """The verification that is under way or was asked for; None where there is none."""
    if (told := _told()) is not None:
        return told
    asked = _first_told(Event.objects.filter(kind=_ASKED).order_by("-seq"))
    if asked is None or asked.at is None or Event.objects.filter(kind=verifying.KIND, seq__gt=asked.seq).exists():
        return None
    head = _readable.head() or Head(last_seq=0)
    return Running(None, head.last_seq) if timezone.now() - asked.at < _BEGUN_WITHIN else None


def ask(name: str, role: str) -> bool:
    """Have a worker verify the whole audit trail, and record that somebody asked; False where one is under way. Raises
    as `record` does."""
    with transaction.atomic():
        services.locked_head()
        if running():
            return False
        event = services.record(_ASKED, actor=name, actor_role=role)
        transaction.on_commit(lambda: _send(event.seq))
    return True


def verify_asked(seq: int) -> None:
    """Do what event `seq` asked for, in a worker: verify, tell how far it is, record what was found. Does nothing where
    it is done already. Raises keys.NoAuditKey."""
    asked = Event.objects.get(seq=seq, kind=_ASKED)
    if Event.objects.filter(kind=verifying.KIND, seq__gt=seq).exists():
        return
    try:
        outcome = verifying.verify(on_progress=_teller())
        verifying.keep(outcome, actor=asked.actor_id, actor_role=asked.actor_role)
    finally:
        _forget()
    for one in outcome.findings:
        logger.critical("the audit trail is not what was recorded: %s", one)


def _recording(lost: str) -> Sign:
    part = _("Recording")
    if not lost:
        return Sign(part, GOOD, _("The audit key is in its place: everything that happens is recorded."))
    to_do = _("Bring the key back from where the facility keeps its copy; docs/operations.md says what to do without.")
    said = _("The audit key is missing, or another one lies in its place: nothing can be recorded.")
    return Sign(part, WRONG, said, to_do)


def _lost_keys() -> Iterator[Sign]:
    """Keys that were lost: what is between them and the ones after them, nobody vouches for, and never will."""
    for one in verifying.breaks():
        day = {"day": _moment(one.at), "number": one.seq, "first": one.first, "last": one.last}
        said = _("The audit key was lost and replaced without its signature on %(day)s (event %(number)s).")
        to_do = _(
            "All that was recorded before rests on this database alone. "
            "Compare the checkpoints with those that lie elsewhere."
        )
        if one.first <= one.last:
            to_do = _(
                "All that was recorded before rests on this database alone, and nobody vouches for events %(first)s to "
                "%(last)s: compare the checkpoints, and these events, with what lies elsewhere."
            )
        yield Sign(_("Audit key"), ATTENTION, said % day, to_do % day)


def _before(last: verifying.Last | None, newest: Checkpoint | None) -> Iterator[Sign]:
    """What was wrong once and is not any more. Damage does not heal: somebody put it right, perhaps with a reason."""
    part, recently = _("Earlier"), timezone.now() - _REMEMBERED_FOR
    found = verifying.last_found()
    if found and found.at and last and found.seq != last.seq:
        day = {"day": _moment(found.at), "findings": found.findings, "first": found.first_finding}
        said = (
            _("The verification of %(day)s had findings (%(findings)s), later ones have not. The first: %(first)s")
            % day
        )
        to_do = _("Ask who put it right, and how. A wrong key or wrong files to compare with are findings, too.")
        yield Sign(part, ATTENTION if found.at > recently else NOTE, said, to_do)
    refused = Event.objects.filter(kind="audit.sealing_refused", seq__lte=newest.tree_size if newest else 0)
    if event := _first_told(refused.order_by("-seq")):
        said = _("On %(day)s no checkpoint could be made, because the audit trail was not what was recorded: %(why)s")
        values = {"day": _moment(event.at), "why": event.payload.get("why", "")}
        to_do = _("It could later. Ask who put it right, and how.")
        yield Sign(part, NOTE if event.at and event.at <= recently else ATTENTION, said % values, to_do)
    if event := _first_told(Event.objects.filter(kind=traits.MENDED).order_by("-seq")):
        said = _(
            "On %(day)s the index that turns are searched by was not what the events give "
            "(missing: %(missing)s, too many: %(extra)s). It was mended."
        )
        values = {"day": _moment(event.at), **{name: event.payload.get(name, "?") for name in ("missing", "extra")}}
        to_do = _(
            "Searches and exports by conversation, rule, verdict or model may have found too little before: repeat "
            "them. Somebody changed the database, or its disk fails."
        )
        yield Sign(part, NOTE if event.at and event.at <= recently else ATTENTION, said % values, to_do)


def _end() -> Iterator[Sign]:
    """Where the end of it was once found cut off: that stays so."""
    told = Event.objects.filter(kind=services.TAIL_MISSING).order_by("seq")
    first, count = _first_told(told), told.count()
    if first is None:
        return
    said = _("The end of the audit trail was found cut off or changed on %(day)s (event %(number)s).")
    if count > 1:
        said = _(
            "The end of the audit trail was found cut off or changed again and again, since %(day)s (event %(number)s)."
        )
    to_do = _("Compare it with the copies that lie elsewhere: they may hold what is missing.")
    yield Sign(_("End"), WRONG, said % {"day": _moment(first.at), "number": first.seq}, to_do)


def _unguarded() -> Iterator[Sign]:
    """The database refuses changes by its triggers: who took them away did so for a change."""
    if gone := _triggers.missing(connection):
        said = _("The database does not refuse changes to the audit trail any more: triggers are missing (%(names)s).")
        to_do = _("Have it verified, and tell your IT department: somebody took them away.")
        yield Sign(_("Database"), WRONG, said % {"names": ", ".join(gone)}, to_do)


def _sealing(head: Head, number: int, newest: Checkpoint | None) -> Sign:
    part = _("Checkpoints")
    refused = Event.objects.filter(kind="audit.sealing_refused", seq__gt=newest.tree_size if newest else 0).exists()
    if refused:
        to_do = _("Somebody changed the database. Keep it as it is, verify it, and tell your IT department.")
        return Sign(part, WRONG, _("No checkpoint can be made: the audit trail is not what was recorded."), to_do)
    if number and newest is None:
        to_do = _("Somebody changed the database. Keep it as it is, verify it, and tell your IT department.")
        return Sign(part, WRONG, _("Checkpoint %(number)s cannot be read.") % {"number": number}, to_do)
    watch = _("Your IT department looks whether the clock of periodic tasks and a worker are running.")
    if newest is None:
        return Sign(part, ATTENTION, _("There is no checkpoint yet."), watch if head.last_seq else "")
    if timezone.now() - newest.at > _SEALED_WITHIN:
        said = _("The last checkpoint is old: it was made on %(day)s.") % {"day": _moment(newest.at)}
        return Sign(part, WRONG, said, watch)
    said = _("Checkpoint %(number)s was made at %(time)s.")
    at = date_format(timezone.localtime(newest.at), "H:i:s")
    return Sign(part, GOOD, said % {"number": newest.number, "time": at})


def _verification(last: verifying.Last | None) -> Sign:
    part = _("Verification")
    if last is None:
        return Sign(part, ATTENTION, _("The audit trail has never been verified as a whole."), _("Verify it now."))
    if last.problem or last.at is None:
        said = _("The record of the last verification (event %(number)s) is not what was recorded: it says nothing.")
        to_do = _("Somebody changed the database. Keep it as it is, verify it, and tell your IT department.")
        return Sign(part, WRONG, said % {"number": last.seq}, to_do)
    day = {"day": _moment(last.at), "findings": last.findings}
    if last.findings:
        said = _("The verification of %(day)s found that it is not what was recorded (findings: %(findings)s).") % day
        to_do = _("Keep the database as it is, export the bundle as evidence, and tell your IT department.")
        return Sign(part, WRONG, said, to_do)
    if timezone.now() - last.at > _VERIFIED_WITHIN:
        return Sign(part, ATTENTION, _("It was last verified on %(day)s.") % day, _("Verify it now."))
    return Sign(part, GOOD, _("It was verified as a whole on %(day)s: nothing was found.") % day)


def _sent(lags: list[pushing.Lag], problem: str) -> Iterator[Sign]:
    part = _("Copies elsewhere")
    to_do = _("Your IT department mends the way there. Nothing is lost: it goes on by itself.")
    if problem:
        yield Sign(part, WRONG, problem, to_do)
    elif not lags:
        said = _("Nothing is sent elsewhere. Who owns this machine could cut off the end of the audit trail unseen.")
        wanted = _("Your IT department can name a second place: HAVRE_AUDIT_PUSH_FOLDER or HAVRE_AUDIT_SYSLOG.")
        yield Sign(part, NOTE, said, wanted)
    for lag in lags:
        late = lag.arrived_at is None or timezone.now() - lag.arrived_at > _ARRIVED_WITHIN
        if lag.is_ahead:
            said = _("%(place)s: what arrived there last is not in the audit trail any more: its end was cut off.")
            keep = _("Keep the database as it is, and compare it with what lies there. Tell your IT department.")
            yield Sign(part, WRONG, said % {"place": lag.place}, keep)
        elif lag.waiting and (lag.error or late):
            said = _("%(place)s: %(waiting)s wait to be sent.") % {"place": lag.place, "waiting": lag.waiting}
            yield Sign(part, WRONG, said, to_do)
        else:
            yield Sign(part, GOOD, _("%(place)s: everything has arrived, or is on its way.") % {"place": lag.place})


def _lags() -> tuple[list[pushing.Lag], str]:
    try:
        pushing.places()
    except ValueError:
        return [], _("The address that copies are sent to is none.")
    try:
        return pushing.lags(), ""
    except NO_VALUES as error:
        if not is_of_a_row(error):
            raise
        return [], _("What is known of the copies cannot be read.")


def _first_told(events: QuerySet[Event]) -> stored.Row | None:
    """The first of these events, also where it is not what was recorded: then it says nothing but that it is there."""
    seq = events.filter(seq__lte=MOST_SEQ).values_list("seq", flat=True).first()
    return next(iter(stored.rows([seq], stored.Marks())), None) if type(seq) is int else None


def _moment(at: datetime | None) -> str:
    return date_format(timezone.localtime(at), "j N Y, H:i") if at else "?"


def _teller() -> Callable[[int, int], None]:
    """What tells the page how far a verification is, now and then. Best effort: the outcome is an event."""
    told = 0.0

    def tell(done: int, total: int) -> None:
        nonlocal told
        if time.monotonic() - told < _TELL_SECONDS or valkey.is_paused():
            return
        told = time.monotonic()
        try:
            valkey.client().set(_PROGRESS, json.dumps([done, total]), ex=_PROGRESS_SECONDS)
        except valkey.Unreachable:
            valkey.pause()

    return tell


def _told() -> Running | None:
    try:
        said: Any = None if valkey.is_paused() else valkey.client().get(_PROGRESS)
    except valkey.Unreachable:
        valkey.pause()
        return None
    return Running(*json.loads(said)) if said else None


def _forget() -> None:
    try:
        valkey.client().delete(_PROGRESS)
    except valkey.Unreachable:
        valkey.pause()


def _send(seq: int) -> None:
    from portal.celery import app

    try:
        app.send_task("portal.audit.tasks.verify_asked", args=[seq], retry=False)
    except (OperationalError, OSError) as error:
        logger.warning("the verification that was asked for waits: %s", type(error).__name__)
