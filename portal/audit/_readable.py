"""Rows as whoever edits a database may leave them: one that cannot be read keeps nobody from reading the others."""

import math
import uuid
from collections.abc import Iterator
from datetime import datetime
from typing import Any, TypeVar

from django.db import DatabaseError, DataError
from django.db.models import Model, QuerySet

from portal.audit._succession import REPLACED
from portal.audit.models import Checkpoint, Event, Head

NO_VALUES = (ValueError, TypeError, AttributeError, OverflowError, RecursionError, DatabaseError)
"""What reading a row may raise whose values are none of their kind."""
_NOBODYS = uuid.UUID(int=0)
MOST_SEQ = 2**53 - 1
"""The highest number that an event can have."""

_Row = TypeVar("_Row", bound=Model)


def is_of_a_row(error: Exception) -> bool:
    """Whether one of `NO_VALUES` says that a row cannot be read, and not that the database is away."""
    return not isinstance(error, DatabaseError) or isinstance(error, DataError) or "decode" in str(error)


def each(page: "QuerySet[_Row]", count: int, start: int = 0) -> Iterator[_Row | None]:
    """So many rows of an ordered query, from `start` on; None for one that cannot be read. Raises DatabaseError where
    nothing can be."""
    try:
        rows = list(page[start : start + count])
    except NO_VALUES as error:
        if not is_of_a_row(error):
            raise
        if count == 1:
            yield None
            return
        yield from each(page, count // 2, start)
        yield from each(page, count - count // 2, start + count // 2)
        return
    yield from rows


def value_of(page: "QuerySet[Any]", name: str) -> Any:
    """This column of the first row of a query; None where it cannot be read, or there is no row."""
    try:
        return page.values_list(name, flat=True).first()
    except NO_VALUES as error:
        if not is_of_a_row(error):
            raise
        return None


def head() -> Head | None:
    """The head, with nothing (0, None, a ledger that is nobody's) in the place of what is none of its kind, and a
    public key that may be any text."""
    row = Head.objects.filter(pk=1)
    names = ("last_seq", "last_at", "ledger", "public_key", "mark")
    try:
        values = row.values_list(*names).first()
    except NO_VALUES as error:
        if not is_of_a_row(error):
            raise
        values = tuple(value_of(row, name) for name in names)
    if values is None:
        return None
    seq, at, ledger, public, mark = values
    return Head(
        pk=1,
        last_seq=seq if type(seq) is int and 0 <= seq <= MOST_SEQ else 0,
        last_at=at if isinstance(at, datetime) else None,
        ledger=ledger if isinstance(ledger, uuid.UUID) else _NOBODYS,
        public_key=public if isinstance(public, str) else repr(public),
        mark=mark if isinstance(mark, bytes | memoryview) else None,
    )


def public_key_of(found: Head) -> bytes:
    """Whose signatures the ledger goes on with; nothing where no key, or none that there could be, stands there."""
    try:
        return bytes.fromhex(found.public_key)
    except ValueError:
        return b""


def replacements(last_seq: int = MOST_SEQ) -> list[tuple[int, Any]]:
    """Number and payload of each `audit.key_replaced`; None for a payload that cannot be read."""
    events = Event.objects.filter(kind=REPLACED, seq__lte=last_seq).order_by("seq")
    numbers = list(events.values_list("seq", flat=True))
    if not numbers:
        return []
    payloads = (row.payload if row else None for row in each(events, max(1, len(numbers))))
    return [(seq, said) for seq, said in zip(numbers, payloads, strict=False) if type(seq) is int]


def newest_checkpoint() -> tuple[int, Checkpoint | None]:
    """The number of the newest checkpoint (0: there is none), and its row; None where that cannot be read."""
    page = Checkpoint.objects.filter(number__lte=MOST_SEQ).order_by("-number")
    number = page.values_list("number", flat=True).first()
    return (math.ceil(number), checkpoint(next(each(page, 1), None))) if number is not None else (0, None)


def checkpoint(row: Checkpoint | None) -> Checkpoint | None:
    """The row, where each value is one of its kind."""
    if row is None or not isinstance(row.body, str) or not isinstance(row.at, datetime):
        return None
    packed = (row.root, row.frontier, row.signature)
    numbers = (row.number, row.tree_size)
    are_bytes = all(isinstance(one, bytes | memoryview) for one in packed)
    return row if are_bytes and all(type(one) is int for one in numbers) else None


def events(page: "QuerySet[Event]", count: int) -> list[tuple[int, Event | None, Any]]:
    """Number, row and hash of so many events of an ordered query; None for a row with values that are none of their
    kind. Of such a one the hash may be anything as well."""
    try:
        return [(row.seq, event(row), row.leaf) for row in page[:count]]
    except NO_VALUES as error:
        if not is_of_a_row(error):
            raise
    numbers = list(page.values_list("seq", flat=True)[:count])
    rows = map(event, each(page, len(numbers)))
    leaves = (value_of(page.filter(seq=seq), "leaf") for seq in numbers)
    return list(zip(numbers, rows, leaves, strict=True))


def event(row: Event | None) -> Event | None:
    """The row, where each value but the payload is one of its kind."""
    if row is None or not isinstance(row.at, datetime):
        return None
    texts = (row.kind, row.actor_id, row.actor_role, row.subject)
    hashes = (row.leaf, row.mac)
    is_whole = all(isinstance(one, str) for one in texts) and all(isinstance(one, bytes | memoryview) for one in hashes)
    return row if is_whole else None
