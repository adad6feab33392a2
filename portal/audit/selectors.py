"""Reads of the audit trail."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta

from django.db.models import OuterRef, Q, QuerySet, Subquery
from django.utils import timezone

from portal.audit import exporting
from portal.audit.exporting import Selection
from portal.audit.models import Actor, Event, Head

EVENTS_A_PAGE = 50
_MOST_COUNTED = 10_000


@dataclass(frozen=True, slots=True)
class Found:
    """A page of events, newest first, as it was asked for. `newer` and `older` are the numbers from which the pages
    beside it go on, None where there is none. `count` is how many there are in all; with `is_more` there are more than
    that, which nobody waits for."""

    events: tuple[Event, ...]
    newer: int | None
    older: int | None
    count: int
    is_more: bool


def search(
    selection: Selection, *, number: int | None = None, before: int | None = None, after: int | None = None
) -> Found:
    """The chosen events with numbers below `before`, or the next ones above `after`; with `number` that event alone."""
    last_seq = Head.objects.filter(pk=1).values_list("last_seq", flat=True).first() or 0
    chosen = exporting.events(selection, last_seq)
    if number is not None:
        chosen = chosen.filter(seq=number)
    is_everything = selection.is_everything and number is None
    counted = last_seq if is_everything else chosen.order_by()[: _MOST_COUNTED + 1].count()
    if after is not None:
        page = list(chosen.filter(seq__gt=after).order_by("seq")[:EVENTS_A_PAGE])[::-1]
    else:
        page = list((chosen if before is None else chosen.filter(seq__lt=before)).order_by("-seq")[:EVENTS_A_PAGE])
    newer, older = _beside(chosen, page)
    return Found(
        events=tuple(page),
        newer=newer,
        older=older,
        count=counted if is_everything else min(counted, _MOST_COUNTED),
        is_more=not is_everything and counted > _MOST_COUNTED,
    )


def _beside(chosen: QuerySet[Event], page: Sequence[Event]) -> tuple[int | None, int | None]:
    """The numbers at the edges of a page behind which there is more."""
    if not page:
        return None, None
    first, last = page[0].seq, page[-1].seq
    newer = chosen.filter(seq__gt=first).order_by("seq").values_list("seq", flat=True)[:1]
    older = chosen.filter(seq__lt=last).order_by("-seq").values_list("seq", flat=True)[:1]
    return (first if newer else None), (last if older else None)


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
    return sorted(Event.objects.order_by().values_list("kind", flat=True).distinct())


def _midnight(day: date) -> datetime:
    return timezone.make_aware(datetime.combine(day, time.min))
