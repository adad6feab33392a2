"""Reads of the audit trail."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta

from django.db.models import OuterRef, Q, QuerySet, Subquery
from django.utils import timezone

from portal.audit import exporting
from portal.audit.exporting import Selection
from portal.audit.models import Actor, Event, Head
from portal.audit.stored import Marks, Row, rows

EVENTS_A_PAGE = 50
_MOST_COUNTED = 10_000


@dataclass(frozen=True, slots=True)
class Found:
    """A page of events, newest first, as it was asked for, also of those whose row was changed. `newer` and `older` are
    the numbers from which the pages beside it go on, None where there is none. `count` is how many there are in all;
    with `is_more` there are more than that, which nobody waits for."""

    events: tuple[Row, ...]
    newer: int | None
    older: int | None
    count: int
    is_more: bool


NOTHING = Found((), None, None, 0, False)
"""What is found where nothing was looked for."""


def search(
    selection: Selection, *, number: int | None = None, before: int | None = None, after: int | None = None
) -> Found:
    """The chosen events with numbers below `before`, or the next ones above `after`; with `number` that event alone."""
    last_seq = Head.objects.filter(pk=1).values_list("last_seq", flat=True).first() or 0
    chosen = exporting.events(selection, last_seq)
    if number is not None:
        chosen = chosen.filter(seq=number)
    if selection.is_everything and number is None:
        return _found(_beside(chosen, before, after), last_seq, is_more=False)
    newest = list(chosen.order_by("-seq").values_list("seq", flat=True)[: _MOST_COUNTED + 1])  # asked for once
    is_more = len(newest) > _MOST_COUNTED
    if is_more and not _reaches(newest, before, after):
        page = _beside(chosen, before, after)
    else:
        page = _slice(newest, before, after)
    return _found(page, min(len(newest), _MOST_COUNTED), is_more=is_more)


@dataclass(frozen=True, slots=True)
class _Page:
    """The numbers of a page, newest first, and whether there is more on either side."""

    numbers: Sequence[int]
    has_newer: bool
    has_older: bool


def _reaches(numbers: Sequence[int], before: int | None, after: int | None) -> bool:
    """Whether a page, and what says that there is more behind it, lies within these numbers alone."""
    if after is not None:
        return after >= numbers[-1]
    return sum(before is None or one < before for one in numbers) > EVENTS_A_PAGE


def _slice(numbers: Sequence[int], before: int | None, after: int | None) -> _Page:
    """A page of numbers that are known already."""
    if after is not None:
        newer = [one for one in numbers if one > after]
        page = newer[-EVENTS_A_PAGE:]
        return _Page(page, len(newer) > len(page), len(numbers) > len(newer))
    older = [one for one in numbers if before is None or one < before]
    page = older[:EVENTS_A_PAGE]
    return _Page(page, len(numbers) > len(older), len(older) > len(page))


def _beside(chosen: QuerySet[Event], before: int | None, after: int | None) -> _Page:
    """A page that the database looks up; who comes from a page beside it can go back there."""
    if after is not None:
        found = chosen.filter(seq__gt=after).order_by("seq").values_list("seq", flat=True)
        numbers = list(found[: EVENTS_A_PAGE + 1])
        return _Page(numbers[:EVENTS_A_PAGE][::-1], len(numbers) > EVENTS_A_PAGE, True)
    older = chosen if before is None else chosen.filter(seq__lt=before)
    numbers = list(older.order_by("-seq").values_list("seq", flat=True)[: EVENTS_A_PAGE + 1])
    return _Page(numbers[:EVENTS_A_PAGE], before is not None, len(numbers) > EVENTS_A_PAGE)


def _found(page: _Page, count: int, *, is_more: bool) -> Found:
    read = tuple(rows(sorted(page.numbers), Marks())[::-1])
    newer = page.numbers[0] if page.numbers and page.has_newer else None
    older = page.numbers[-1] if page.numbers and page.has_older else None
    return Found(read, newer, older, count, is_more)


def events(
    *,
    kind: str = "",
    actor: str = "",
    subject: str = "",
    first_day: date | None = None,
    last_day: date | None = None,
) -> QuerySet[Event]:
    """Events, newest first, with their actors. `kind` may be a prefix ("turn" finds "turn.completed"); `actor` is a
    name, or a code; so is `subject` where it is a person (whose name is then in `subject_name`); days are local and
    inclusive."""
    person = Actor.objects.filter(code=OuterRef("subject")).values("name")
    found = Event.objects.select_related("actor").annotate(subject_name=Subquery(person[:1]))
    if kind:
        found = found.filter(kind__startswith=kind)
    if actor:
        found = found.filter(Q(actor__name=actor) | Q(actor__code=actor))
    if subject:
        found = found.filter(subject__in=[subject, *Actor.objects.filter(name=subject).values_list("code", flat=True)])
    if first_day:
        found = found.filter(at__gte=_midnight(first_day))
    if last_day:
        found = found.filter(at__lt=_midnight(last_day + timedelta(days=1)))
    return found


def count_since(kind: str, *, subject: str, since: datetime) -> int:
    """How many events of exactly this kind concern `subject` (a person's code) since then."""
    return Event.objects.filter(kind=kind, subject=subject, at__gte=since).count()


def kinds() -> list[str]:
    """The kinds of event that occur, in alphabetical order."""
    return sorted(exporting.kinds())


def _midnight(day: date) -> datetime:
    return timezone.make_aware(datetime.combine(day, time.min))
