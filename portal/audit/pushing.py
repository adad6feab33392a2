"""Sent elsewhere, so that whoever cuts off the end of the audit trail does not go unseen: checkpoints as files in a
folder, checkpoints and, where asked for, all events to a syslog server.

Nothing is sent unless the settings name a place. What waits is the audit trail itself, and how far a place has got
stands in the database (`Delivery`): restarts lose nothing, and what is not known to have arrived is sent again.
"""

import hashlib
import json
import logging
import os
import secrets
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from django.conf import settings
from django.db import transaction
from django.db.models import Q
from django.utils import timezone

from portal import vault
from portal.audit import _rows, _syslog, keys
from portal.audit._canonical import moment, values_of
from portal.audit.models import Checkpoint, Delivery, Event, Head
from portal.audit.services import TAIL_MISSING, record

logger = logging.getLogger(__name__)

_AT_ONCE = 500
_HOLD = timedelta(seconds=90)  # longer than one batch may take; then another worker takes over
_FIRST_PAUSE_SECONDS, _LONGEST_PAUSE_SECONDS = 5, 300

EVENTS, CHECKPOINTS = "events", "checkpoints"


class NotArrived(Exception):
    """A place did not take what was sent. The sentence says why."""


@dataclass(frozen=True, slots=True)
class Place:
    """Somewhere that things are sent to. `what` is events or checkpoints, `send` takes some, in order; it raises
    NotArrived."""

    what: str
    address: str
    send: Callable[[Sequence[Any]], None]

    @property
    def name(self) -> str:
        """As it stands in the database: another address begins from the beginning."""
        return f"{self.what} to {self.address}"[:300]


@dataclass(frozen=True, slots=True)
class Lag:
    """How far a place is behind: how many wait, since when nothing has arrived, and what was said at the last try.
    `is_ahead`: what arrived there last is not in the audit trail any more."""

    place: str
    waiting: int
    arrived_at: datetime | None
    error: str
    is_ahead: bool = False


@dataclass(frozen=True, slots=True)
class Gone:
    """What was sent to a place and is not in the audit trail any more: events or checkpoints (`what`) after number
    `newest`, up to `last`."""

    place: str
    what: str
    newest: int
    last: int


def push(until: Callable[[], bool] = lambda: False) -> None:
    """Send what waits to every place, until all has arrived, a place refuses, or `until` says so."""
    for place in places():
        while not until() and _push_some(place):
            pass


def places() -> list[Place]:
    """Where the settings want things sent. Raises ValueError for an address that is none."""
    found = []
    if folder := settings.HAVRE_AUDIT_PUSH_FOLDER:
        found.append(Place(CHECKPOINTS, str(folder), _into(Path(folder))))
    if address := settings.HAVRE_AUDIT_SYSLOG:
        server = _syslog.Server.at(address, settings.HAVRE_AUDIT_SYSLOG_CA)
        found.append(Place(CHECKPOINTS, address, _to(server, _checkpoint_message)))
        if settings.HAVRE_AUDIT_SYSLOG_EVENTS:
            found.append(Place(EVENTS, address, _to(server, _event_message)))
    return found


def lags() -> list[Lag]:
    """How far every place is behind. Raises ValueError for an address that is none."""
    found = []
    for place in places():
        delivery = Delivery.objects.filter(pk=place.name).first() or Delivery(what=place.name)
        newest, is_ahead = _newest(place.what), _gone(delivery) is not None
        lag = Lag(place.name, max(0, newest - delivery.last), delivery.arrived_at, delivery.error, is_ahead)
        found.append(lag)
    return found


def gone() -> list[Gone]:
    """What was sent to any place, also one that the settings do not name any more, and is not here any more."""
    return [one for one in map(_gone, Delivery.objects.order_by("what")) if one]


def _gone(delivery: Delivery) -> Gone | None:
    """What the place had, read before: of what is here now, nothing can be newer without having been sent from here."""
    what = delivery.what.partition(" to ")[0]
    if what not in (EVENTS, CHECKPOINTS) or not delivery.last:
        return None
    here = _proof(what, delivery.last)
    if here is not None and (delivery.proof is None or here == bytes(delivery.proof)):
        return None
    return Gone(delivery.what, what, min(_newest(what), delivery.last - 1), delivery.last)


def _proof(what: str, number: int) -> bytes | None:
    """The hash of what has a number; None: there is none."""
    if what == EVENTS:
        leaf = Event.objects.filter(seq=number).values_list("leaf", flat=True).first()
        return None if leaf is None else _rows.as_bytes(leaf)
    body = Checkpoint.objects.filter(number=number).values_list("body", flat=True).first()
    return None if body is None else _proof_of(Checkpoint(body=body))


def _proof_of(sent: Event | Checkpoint) -> bytes:
    if isinstance(sent, Event):
        return _rows.as_bytes(sent.leaf)
    return hashlib.sha256(sent.body.encode("utf-8", errors="replace")).digest()


def as_text(checkpoint: Checkpoint) -> str:
    """A checkpoint as it is sent: one line of JSON, with what was signed and its signature. ASCII."""
    return json.dumps({"body": checkpoint.body, "signature": bytes(checkpoint.signature).hex()})


def _newest(what: str) -> int:
    if what == EVENTS:
        return Head.objects.filter(pk=1).values_list("last_seq", flat=True).first() or 0
    return Checkpoint.objects.values_list("number", flat=True).first() or 0


def _push_some(place: Place) -> bool:
    """Send the next ones; whether there may be more and the place takes them."""
    delivery = _take(place)
    if delivery is None:
        return False
    if (gone := _gone(delivery)) and not _go_back(delivery, gone):
        return False
    some = _waiting(place, delivery.last)
    try:
        if some:
            place.send(some)
    except NotArrived as error:
        _give_back(delivery, failures=delivery.failures + 1, error=str(error)[:300])
        return False
    except BaseException:
        _give_back(delivery)
        raise
    if not some:
        _give_back(delivery)
        return False
    last, proof = some[-1].pk, _proof_of(some[-1])
    _give_back(delivery, last=last, proof=proof, arrived_at=timezone.now(), failures=0, error="")
    return len(some) == _AT_ONCE


def _go_back(delivery: Delivery, gone: Gone) -> bool:
    """The end of the audit trail was cut off after it was sent. That is recorded, and what came in its place is sent as
    well, so that whoever keeps the copies sees two with one number. False: it cannot be recorded now."""
    after = gone.newest
    if gone.what == EVENTS:  # what was recorded since the cut has numbers that were sent before
        told = Event.objects.filter(kind=TAIL_MISSING, seq__lte=gone.last).order_by("seq").last()
        after = min(after, told.seq - 1) if told else after
    said = {"place": gone.what, "sent": gone.last, "newest": gone.newest}
    try:
        with transaction.atomic():
            held = Delivery.objects.filter(pk=delivery.pk, held_until=delivery.held_until)
            if not held.update(last=after, proof=None):
                return False  # another worker has taken over
            record(TAIL_MISSING, actor="system", payload=said)
    except keys.NoAuditKey as error:
        logger.error("%s: the end of the audit trail was cut off, and that cannot be recorded: %s", gone.place, error)
        _give_back(delivery)
        return False
    delivery.last = after
    return True


def _take(place: Place) -> Delivery | None:
    """Hold a place's row for a while, so that one worker at a time sends; None: another one does, there was a failure a
    moment ago, or nothing waits."""
    now = timezone.now()
    delivery, _ = Delivery.objects.get_or_create(pk=place.name)
    if delivery.last >= _newest(place.what) and not _gone(delivery):
        return None
    free = Q(held_until=None) | Q(held_until__lt=now)
    due = Q(next_try_at=None) | Q(next_try_at__lte=now)
    held_until = now + _HOLD
    if not Delivery.objects.filter(free, due, pk=place.name).update(held_until=held_until):
        return None
    return Delivery.objects.get(pk=place.name)


def _give_back(delivery: Delivery, **said: Any) -> None:
    """Keep what became of it. A worker that took too long, and whose place another one has taken, keeps nothing: the
    other one sends the same again."""
    if failures := said.get("failures"):
        pause = min(_LONGEST_PAUSE_SECONDS, _FIRST_PAUSE_SECONDS * 2 ** min(failures - 1, 10))
        said["next_try_at"] = timezone.now() + timedelta(seconds=pause)
    elif "failures" in said:
        said["next_try_at"] = None
    with transaction.atomic():
        held = Delivery.objects.filter(pk=delivery.pk, held_until=delivery.held_until)
        held.update(held_until=None, **said)


def _waiting(place: Place, after: int) -> list[Any]:
    if place.what == EVENTS:
        found = Event.objects.select_related("actor").filter(seq__gt=after).order_by("seq")
        return list(found[:_AT_ONCE])
    return list(Checkpoint.objects.filter(number__gt=after).order_by("number")[:_AT_ONCE])


# --- a folder ---


def _into(folder: Path) -> Callable[[Sequence[Checkpoint]], None]:
    def send(checkpoints: Sequence[Checkpoint]) -> None:
        try:
            for one in checkpoints:
                _drop(folder, one)
            vault.keep(folder)
        except OSError as error:
            raise NotArrived(f"{folder} cannot be written ({error.strerror}).") from error

    return send


def _drop(folder: Path, checkpoint: Checkpoint) -> None:
    """Write one file, whole or not at all, and never over another. Raises NotArrived when another checkpoint has its
    name already; OSError."""
    ledger = json.loads(checkpoint.body)["ledger"]
    path = folder / f"havre-{ledger}-{checkpoint.number:010}.json"
    text = f"{as_text(checkpoint)}\n".encode("ascii")
    draft = folder / f".{path.name}.{secrets.token_hex(8)}"
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o640)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        os.link(draft, path)
    except FileExistsError:
        if path.read_bytes() != text:
            raise NotArrived(f"{path} is another checkpoint with the same number: verify the audit trail.") from None
    finally:
        draft.unlink()


# --- a syslog server ---


def _to(server: _syslog.Server, message: Callable[[Any], _syslog.Message]) -> Callable[[Sequence[Any]], None]:
    def send(some: Sequence[Any]) -> None:
        try:
            _syslog.send(server, [message(one) for one in some])
        except OSError as error:  # of TLS too
            raise NotArrived(f"{server.address} did not take it ({error.strerror or error}).") from error

    return send


def _checkpoint_message(checkpoint: Checkpoint) -> _syslog.Message:
    return _syslog.Message(moment(checkpoint.at), "audit.checkpoint", checkpoint.number, as_text(checkpoint))


def _event_message(event: Event) -> _syslog.Message:
    """An event with its hash: what was hashed is the canonical JSON of `event`."""
    whole: dict[str, Any] = {"event": values_of(event), "leaf": bytes(event.leaf).hex()}
    if settings.HAVRE_AUDIT_SYSLOG_NAMES:
        whole["actor_name"] = event.actor.name
    return _syslog.Message(moment(event.at), event.kind, event.seq, json.dumps(whole))
