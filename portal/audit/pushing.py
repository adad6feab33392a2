"""Sent elsewhere, so that whoever cuts off the end of the audit trail does not go unseen: checkpoints as files in a
folder, checkpoints and, where asked for, all events to a syslog server.

Nothing is sent unless the settings name a place. What waits is the audit trail itself, and how far a place has got
stands in the database (`Delivery`): restarts lose nothing, and what is not known to have arrived is sent again.
"""

import hashlib
import logging
import os
import secrets
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any

from django.conf import settings
from django.db import transaction
from django.db.models import Q
from django.utils import timezone

from portal import vault
from portal.audit import _readable, _rows, _sending, _syslog, keys, stored
from portal.audit._readable import MOST_SEQ, NO_VALUES, is_of_a_row
from portal.audit._sending import Item
from portal.audit.models import Delivery, Event
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
    NotArrived, and returns the numbers of those of which the place has another one already. `reaches` says up to which
    number, from one of them on, something lies there without a gap."""

    what: str
    address: str
    send: Callable[[Sequence[Item]], Sequence[int] | None]
    reaches: Callable[[Item], int] = lambda item: item.number

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
    """Send what waits to every place, until all has arrived, a place refuses, or `until` says so. What ails one place,
    or its row, keeps the others from nothing."""
    for place in places():
        try:
            while not until() and _push_some(place):
                pass
        except NO_VALUES as error:
            if not is_of_a_row(error):
                raise
            logger.critical("%s: what is known of this place cannot be read (%s)", place.name, type(error).__name__)


def places() -> list[Place]:
    """Where the settings want things sent. Raises ValueError for an address that is none."""
    found = []
    if folder := settings.HAVRE_AUDIT_PUSH_FOLDER:
        found.append(Place(CHECKPOINTS, str(folder), _into(Path(folder)), partial(_reach, Path(folder))))
    if address := settings.HAVRE_AUDIT_SYSLOG:
        server = _syslog.Server.at(address, settings.HAVRE_AUDIT_SYSLOG_CA)
        found.append(Place(CHECKPOINTS, address, _to(server)))
        if settings.HAVRE_AUDIT_SYSLOG_EVENTS:
            found.append(Place(EVENTS, address, _to(server)))
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
    here, there = _proof(what, delivery.last), _proof_there(delivery)
    if here is not None and (there is None or here == there):
        return None
    return Gone(delivery.what, what, min(_newest(what), delivery.last - 1), delivery.last)


def _proof(what: str, number: int) -> bytes | None:
    """The hash of what has a number; None: there is none."""
    if what == EVENTS:
        leaf = Event.objects.filter(seq=number).values_list("leaf", flat=True).first()
        return None if leaf is None else _sending.proof_of_leaf(leaf)
    return next((_sending.proof_of_body(body) for body, _signature in stored.checkpoints([number])), None)


def _proof_there(delivery: Delivery) -> bytes | None:
    """The hash of what arrived last; None: it is not known. Behind a worker of a version that knew of no landmarks, and
    moved the number alone, the hash is an earlier one's."""
    newest = max((number for number, _ in _landmarks(delivery)), default=delivery.last)
    return None if delivery.proof is None or newest != delivery.last else _rows.as_bytes(delivery.proof)


def _newest(what: str) -> int:
    if what == EVENTS:
        head = _readable.head()
        return head.last_seq if head else 0
    return _readable.newest_checkpoint()[0]


def _push_some(place: Place) -> bool:
    """Send the next ones; whether there may be more and the place takes them."""
    delivery = _take(place)
    if delivery is None:
        return False
    if (gone := _gone(delivery)) and not _go_back(delivery, gone):
        return False
    try:
        some = _waiting(place, delivery.last)
        if some and (others := place.send(some)):
            _tell_of_others(place, others, some[-1])
    except (NotArrived, keys.NoAuditKey) as error:
        _give_back(delivery, failures=delivery.failures + 1, error=str(error)[:300])
        return False
    except Exception as error:  # also one that nobody thought of keeps the others from nothing
        logger.exception("%s: nothing could be sent", place.name)
        _give_back(delivery, failures=delivery.failures + 1, error=f"It could not be sent ({type(error).__name__}).")
        return False
    except BaseException:
        _give_back(delivery)
        raise
    if not some:
        _give_back(delivery)
        return False
    known = [*_landmarks(delivery), *((one.number, one.proof.hex()) for one in some)]
    arrived: dict[str, Any] = {"last": some[-1].number, "proof": some[-1].proof, "landmarks": _sending.thinned(known)}
    _give_back(delivery, **arrived, arrived_at=timezone.now(), failures=0, error="")
    return len(some) == _AT_ONCE


def _landmarks(delivery: Delivery) -> list[tuple[int, str]]:
    """Numbers that arrived, with their hashes; those that are none are passed over."""
    found = delivery.landmarks if isinstance(delivery.landmarks, list) else []
    pairs = [one for one in found if isinstance(one, list) and [type(each) for each in one] == [int, str]]
    return [(number, proof) for number, proof in pairs if 0 < number <= MOST_SEQ]


def _tell_of_others(place: Place, numbers: Sequence[int], last: Item) -> None:
    """A place has something else under these numbers: that is recorded once for all that lies there, also behind the
    last item that was sent, unless it is what an end that was cut off has left. Raises keys.NoAuditKey."""
    told = Event.objects.filter(kind=TAIL_MISSING, seq__lte=MOST_SEQ).order_by("seq").values_list("seq", flat=True)
    rows = stored.rows([seq for seq in told if type(seq) is int], stored.Marks())
    known = [one.payload.get("sent", 0) for one in rows if not one.problem and one.payload.get("place") == place.what]
    new = [number for number in numbers if number > max(known, default=0)]
    if not new:
        return
    sent = place.reaches(last) if new[-1] == last.number else new[-1]
    with transaction.atomic():
        record(TAIL_MISSING, actor="system", payload={"place": place.what, "sent": sent, "newest": new[0] - 1})


def _go_back(delivery: Delivery, gone: Gone) -> bool:
    """The end of the audit trail was cut off after it was sent. That is recorded, and what came in its place is sent as
    well, from the newest landmark on that is here as it was sent, so that whoever keeps the copies sees two with one
    number. False: it cannot be recorded now."""
    known = sorted(_landmarks(delivery), reverse=True)
    kept = [one for one in known if one[0] < gone.last]
    after = next((number for number, proof in kept if (_proof(gone.what, number) or b"").hex() == proof), 0)
    landmarks = [one for one in known if one[0] <= after]
    said = {"place": gone.what, "sent": gone.last, "newest": gone.newest}
    try:
        with transaction.atomic():
            held = Delivery.objects.filter(pk=delivery.pk, held_until=delivery.held_until)
            if not held.update(last=after, proof=None, landmarks=landmarks):
                return False  # another worker has taken over
            record(TAIL_MISSING, actor="system", payload=said)
    except keys.NoAuditKey as error:
        logger.error("%s: the end of the audit trail was cut off, and that cannot be recorded: %s", gone.place, error)
        _give_back(delivery)
        return False
    delivery.last, delivery.landmarks = after, [list(one) for one in landmarks]
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


def _waiting(place: Place, after: int) -> list[Item]:
    if place.what == EVENTS:
        return _sending.events(after, _newest(EVENTS), _AT_ONCE)
    return _sending.checkpoints(after, _AT_ONCE)


# --- a folder ---


def _into(folder: Path) -> Callable[[Sequence[Item]], list[int]]:
    def send(some: Sequence[Item]) -> list[int]:
        try:
            others = [one.number for one in some if not _drop(folder, one)]
            vault.keep(folder)
        except OSError as error:
            raise NotArrived(f"{folder} cannot be written ({error.strerror}).") from error
        return others

    return send


def _reach(folder: Path, item: Item) -> int:
    """Up to which number files lie there behind this one's."""
    number = item.number
    while _path(folder, item.ledger, number + 1).exists():
        number += 1
    return number


def _path(folder: Path, ledger: str, number: int) -> Path:
    return folder / f"havre-{ledger or 'unreadable'}-{number:010}.json"


def _drop(folder: Path, item: Item) -> bool:
    """Write one file, whole or not at all, and never over another: where one of its name is something else it lies
    beside it, with its hash in the name. Whether the name was free, or the file there already. Raises OSError."""
    path = _path(folder, item.ledger, item.number)
    text = f"{item.text}\n".encode("ascii")
    if _is_there(path, text):
        return True
    beside = path.with_name(f"{path.stem}-{hashlib.sha256(text).hexdigest()[:16]}.json")
    _is_there(beside, text)
    return False


def _is_there(path: Path, text: bytes) -> bool:
    """Write a file where there is none; whether it holds this text then."""
    draft = path.with_name(f".{path.name}.{secrets.token_hex(8)}")
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o640)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        os.link(draft, path)
    except FileExistsError:
        return path.read_bytes() == text
    finally:
        draft.unlink()
    return True


# --- a syslog server ---


def _to(server: _syslog.Server) -> Callable[[Sequence[Item]], None]:
    def send(some: Sequence[Item]) -> None:
        try:
            _syslog.send(server, [_syslog.Message(one.at, one.kind, one.number, one.text) for one in some])
        except OSError as error:  # of TLS too
            raise NotArrived(f"{server.address} did not take it ({error.strerror or error}).") from error

    return send
