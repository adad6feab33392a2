"""Charts of what went on: pictures that the server draws, with the same numbers in a table."""

from collections.abc import Sequence
from dataclasses import dataclass

from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.utils.translation import gettext as _
from django.views.decorators.http import require_GET

from portal.access import for_role
from portal.audit.activity import PERIODS, Span, activity

_WIDTH, _HEIGHT = 560.0, 120.0


@dataclass(frozen=True, slots=True)
class Bar:
    """One column of a chart, in the units of its picture; `is_empty` where there was nothing to measure."""

    x: str
    y: str
    width: str
    height: str
    is_empty: bool


@dataclass(frozen=True, slots=True)
class Chart:
    """A chart: what it shows, the sum or the mean over all of it, the highest value, in words, and its columns."""

    title: str
    whole: str
    highest: str
    bars: tuple[Bar, ...]


@require_GET
@for_role("compliance")
def index(request: HttpRequest) -> HttpResponse:
    """What went on in the last 7, 30 or 365 days."""
    given = request.GET.get("days", "")
    days = int(given) if given in map(str, PERIODS) else 30
    spans = activity(days)
    context = {"days": days, "periods": PERIODS, "spans": spans[::-1], "charts": charts(spans), "by_week": days > 100}
    context |= {"first": spans[0].first, "last": spans[-1].first}
    return render(request, "audit/activity.html", context)


def charts(spans: Sequence[Span]) -> list[Chart]:
    """The charts over these spans."""
    turns = sum(one.turns for one in spans)
    return [
        _counted(_("Questions"), [one.turns for one in spans]),
        _counted(_("Redirected to hotlines"), [one.redirected for one in spans], turns),
        _counted(_("Refused"), [one.refused for one in spans], turns),
        _shared(_("Supported by the guidelines"), [one.groundedness for one in spans], [one.grounded for one in spans]),
        _shared(_("Answers that were checked"), [one.checked for one in spans], [one.completed for one in spans]),
    ]


def _counted(title: str, values: Sequence[int], among: int | None = None) -> Chart:
    whole, most = sum(values), max(values, default=0)
    said = str(whole) if not among else f"{whole} ({round(100 * whole / among)} %)"
    return Chart(title, said, str(most), _bars(values, most))


def _shared(title: str, values: Sequence[float | None], answers: Sequence[int]) -> Chart:
    """Over all of it the mean is that of the answers, not of the days."""
    whole = sum((value or 0.0) * number for value, number in zip(values, answers, strict=True))
    mean = f"{round(100 * whole / sum(answers))} %" if sum(answers) else "–"
    return Chart(title, mean, "100 %", _bars(values, 1.0))


def _bars(values: Sequence[float | None], most: float) -> tuple[Bar, ...]:
    step = _WIDTH / max(1, len(values))
    gap = min(6.0, step / 4)
    found = []
    for place, value in enumerate(values):
        height = _HEIGHT * value / most if value and most else 0.0
        height = max(height, 2.0) if value else 0.0  # what there was is seen
        at = (place * step + gap / 2, _HEIGHT - height, step - gap, height)
        x, y, width, tall = (f"{one:.2f}" for one in at)
        found.append(Bar(x, y, width, tall, value is None))
    return tuple(found)
