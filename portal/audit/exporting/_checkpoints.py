"""Which checkpoints a bundle takes along. A year has half a million, a signature each, which pure Python needs minutes
to check; and nearly all of them say the same again.

A checkpoint that is over as many events as the one before proves that nothing happened in between. So of a silence its
first and its last one are kept: their numbers say how many there were between them, one a minute while Havre ran.
"""

from array import array
from collections.abc import Iterator, Sequence
from datetime import timedelta
from heapq import nlargest

from django.db import connection
from django.db.models import Max, Min, QuerySet

from portal.audit.exporting._formats import About
from portal.audit.exporting._selection import midnight
from portal.audit.models import Checkpoint

MOST = 4000  # beyond the last one of each hour or day: two seconds of pure Python
_A_DAY = 1440  # checkpoints
_HOURS = 31  # days up to which each hour has its last one
_AT_ONCE = 500
_ROWS_AT_ONCE = 50_000


def kept_checkpoints(about: About) -> "array[int]":
    """The numbers of the checkpoints for a bundle, in order: the newest; of the period (with those beside it) the first
    and the last one, the last of each hour, or of each day (UTC) where it is long; and both ends of every silence, or
    of the longest ones where there are too many. A stretch that is one checkpoint long counts as a silence, too, so
    that in a quiet period the events between two kept ones are those of a minute."""
    known = Checkpoint.objects.filter(number__lte=about.checkpoint.number) if about.checkpoint else Checkpoint.objects
    ends = known.aggregate(first=Min("number"), last=Max("number"))
    if ends["last"] is None:
        return array("q")
    first, last = _period(known.all(), about, ends["first"], ends["last"])
    slots: set[int] = {ends["last"]}
    silences = nlargest(MOST // 2, _silences(_rows(first, last), slots))
    return array("q", sorted(slots.union(*((begin, end) for _count, begin, end in silences))))


def pages(numbers: "array[int]") -> Iterator[Sequence[int]]:
    """The same, some at a time."""
    for start in range(0, len(numbers), _AT_ONCE):
        yield numbers[start : start + _AT_ONCE]


def _period(known: QuerySet[Checkpoint], about: About, first: int, last: int) -> tuple[int, int]:
    """The first and the last number: those of the period, and one more on either side."""
    if day := about.selection.first_day:
        before = known.filter(at__lt=midnight(day)).aggregate(number=Max("number"))["number"]
        first = before or first
    if day := about.selection.last_day:
        within = known.filter(at__lt=midnight(day + timedelta(days=1))).aggregate(number=Max("number"))["number"]
        last = min(last, (within or first - 1) + 1)
    return first, last


def _silences(rows: Iterator[tuple[int, int, str]], slots: set[int]) -> Iterator[tuple[int, int, int]]:
    """For each stretch of checkpoints of one size how many they are, the first and the last. Adds to `slots` the first
    and the last one of all, and the last one of each slot."""
    begins = number = size = count = 0
    slot = ""
    for now, size_now, slot_now in rows:
        if slot_now != slot:
            slots.add(number or now)
        if count and size_now != size:
            yield count, begins, number
            count = 0
        begins = begins if count else now
        number, size, slot, count = now, size_now, slot_now, count + 1
    if count:
        slots.add(number)
        yield count, begins, number


def _rows(first: int, last: int) -> Iterator[tuple[int, int, str]]:
    """Number, size and slot of these checkpoints, whatever else stands in their rows."""
    on_postgresql = connection.vendor == "postgresql"
    at = "to_char(at AT TIME ZONE 'UTC', 'YYYY-MM-DD HH24')" if on_postgresql else "CAST(substr(at, 1, 13) AS BLOB)"
    span = (last - first + 1) / _A_DAY  # one a minute, and some for exports
    length = 13 if span <= _HOURS else 10
    statement = f"SELECT number, tree_size, {at} FROM audit_checkpoint WHERE number BETWEEN %s AND %s ORDER BY number"  # noqa: S608
    for start in range(first, last + 1, _ROWS_AT_ONCE):
        with connection.cursor() as cursor:
            cursor.execute(statement, [start, min(start + _ROWS_AT_ONCE - 1, last)])
            page = cursor.fetchall()
        for number, size, slot in page:
            text = slot if isinstance(slot, str) else bytes(slot or b"").decode(errors="replace")
            yield int(number), size if type(size) is int else 0, text[:length]
