"""What went on, day by day or week by week, counted from the events alone: questions, redirections, refusals, how well
answers stand on the guidelines, and how many were checked."""

from bisect import bisect_right
from collections import Counter, defaultdict
from dataclasses import dataclass
from datetime import date, timedelta

from django.db.models import Q
from django.db.models.fields.json import KT
from django.utils import timezone

from portal.audit.exporting._selection import midnight
from portal.audit.models import Event
from portal.audit.traits import readable

PERIODS = (7, 30, 365)
_WEEKS_FROM = 100  # days: longer periods are told by weeks
_KINDS = {
    "turn.started": "turns",
    "crisis.shown": "turns",  # hotlines that were shown when nothing could be recorded: a question in one event
    "turn.redirected": "redirected",
    "turn.refused": "refused",
    "turn.completed": "completed",
    "turn.verified": "verified",
    "turn.verification_withdrawn": "withdrawn",
}


@dataclass(frozen=True, slots=True)
class Span:
    """A day, or a week that begins with it. `groundedness` is the mean over the `grounded` answers that have one,
    `checked` the share of completed answers that somebody says to have checked; None where there is nothing to
    divide."""

    first: date
    turns: int = 0
    redirected: int = 0
    refused: int = 0
    completed: int = 0
    groundedness: float | None = None
    grounded: int = 0
    checked: float | None = None


def activity(days: int, today: date | None = None) -> list[Span]:
    """The spans of the last so many days, today included, the oldest first; whole weeks where they are told by weeks.
    Days are of the installation's time zone; an event belongs to the day on which it was recorded."""
    last = today or timezone.localdate()
    step = 7 if days > _WEEKS_FROM else 1
    firsts = [last - timedelta(days=step * back - 1) for back in range(-(-days // step), 0, -1)]
    ends = _numbers_at(firsts)
    counts: dict[int, Counter[str]] = defaultdict(Counter)
    chosen = Event.objects.filter(seq__gte=ends[0], at__lt=midnight(last + timedelta(days=1)))
    numbers = chosen.filter(kind__in=_KINDS).order_by().values_list("kind", "seq")
    for kind, seq in numbers.iterator(chunk_size=10_000):
        counts[bisect_right(ends, seq) - 1][_KINDS[kind]] += 1
    shares: dict[int, list[float]] = defaultdict(list)
    answers = chosen.filter(readable(Q(payload__groundedness__isnull=False)), kind="turn.completed")
    grounded = answers.order_by().annotate(share=KT("payload__groundedness")).values_list("seq", "share")
    for seq, text in grounded.iterator(chunk_size=10_000):
        if (share := _share(text)) is not None:
            shares[bisect_right(ends, seq) - 1].append(share)
    late = chosen.filter(kind="crisis.shown").order_by()
    answered = set(late.filter(readable(Q(payload__verdict__action="alarm"))).values_list("seq", flat=True))
    for seq in late.values_list("seq", flat=True):
        counts[bisect_right(ends, seq) - 1]["redirected"] += seq not in answered
    return [_span(first, counts[place], shares[place]) for place, first in enumerate(firsts)]


def _share(text: object) -> float | None:
    """A share between 0 and 1; None for what is none, as somebody may have left it in a row."""
    try:
        share = float(str(text))
    except ValueError:
        return None
    return share if 0 <= share <= 1 else None


def _numbers_at(days: list[date]) -> list[int]:
    """The number of the first event of each day, or the one that is to come: found by the index of times, so that
    events are told apart by their numbers alone."""
    head = Event.objects.order_by("-seq").values_list("seq", flat=True).first() or 0
    found: list[int] = []
    for day in days:
        first = Event.objects.filter(at__gte=midnight(day)).order_by("at", "seq").values_list("seq", flat=True).first()
        found.append(max(head + 1 if first is None else first, found[-1] if found else 1))
    return found


def _span(first: date, counts: Counter[str], shares: list[float]) -> Span:
    completed = counts["completed"]
    checked = max(0, counts["verified"] - counts["withdrawn"])
    return Span(
        first=first,
        turns=counts["turns"],
        redirected=counts["redirected"],
        refused=counts["refused"],
        completed=completed,
        groundedness=sum(shares) / len(shares) if shares else None,
        grounded=len(shares),
        checked=min(1.0, checked / completed) if completed else None,
    )
