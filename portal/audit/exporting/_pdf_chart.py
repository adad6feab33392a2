"""Questions over time, as a drawing."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, timedelta

from django.utils.formats import date_format, number_format
from django.utils.translation import gettext as _
from reportlab.graphics.shapes import Drawing, Line, Rect, String
from reportlab.lib.units import mm

from portal.audit.exporting._pdf_counts import Counts
from portal.audit.exporting._pdf_page import ALERT, BAR, BODY, INK, LINE, QUIET, WIDTH, writable

_HEIGHT = 62 * mm
_LEFT, _BOTTOM, _TOP = 11 * mm, 9 * mm, 9 * mm
_MOST_BARS = 92  # a quarter by days, more by weeks, years by months
_MOST_WEEKS = 120
_MOST_NAMES = 8


@dataclass(frozen=True, slots=True)
class Bar:
    """The questions of a day, of a week (by its Monday) or of a month, and how many of them showed the hotlines."""

    begins: date
    turns: int
    hotlines: int


def bars(counts: Counts, first: date, last: date) -> tuple[str, list[Bar]]:
    """The bars of a period, also of days without questions, and what each stands for: "day", "week", "month"."""
    days = (last - first).days + 1
    unit = "day" if days <= _MOST_BARS else "week" if days <= 7 * _MOST_WEEKS else "month"
    turns: Counter[date] = Counter()
    hotlines: Counter[date] = Counter()
    for place in range(days):
        day = first + timedelta(days=place)
        begins = {"day": day, "week": day - timedelta(days=day.weekday()), "month": day.replace(day=1)}[unit]
        turns[begins] += counts.turns_on(day)
        hotlines[begins] += counts.hotline_days[day]
    return unit, [Bar(begins, turns[begins], hotlines[begins]) for begins in turns]


def draw(unit: str, found: Sequence[Bar]) -> Drawing:
    """Bars on a scale that begins at nought, with a legend."""
    drawing = Drawing(WIDTH, _HEIGHT, initialFontName=BODY)
    most = _round_up(max((one.turns for one in found), default=0))
    width, height = WIDTH - _LEFT, _HEIGHT - _BOTTOM - _TOP
    for step in range(5):
        value = most * step / 4
        if most >= 4 or value == int(value):
            y = _BOTTOM + height * step / 4
            drawing.add(Line(_LEFT, y, WIDTH, y, strokeColor=INK if step == 0 else LINE, strokeWidth=0.5))
            drawing.add(_said(_LEFT - 4, y - 2.5, number_format(int(value)), "end"))
    each = width / max(len(found), 1)
    thick = min(each * 0.72, 14 * mm)
    named = max(1, -(-len(found) // _MOST_NAMES))
    for place, one in enumerate(found):
        x = _LEFT + each * place + (each - thick) / 2
        for count, colour in ((one.turns, BAR), (one.hotlines, ALERT)):
            if count:
                tall = max(height * count / most, 0.8)
                drawing.add(Rect(x, _BOTTOM, thick, tall, fillColor=colour, strokeColor=None))
        if place % named == 0:
            middle = _LEFT + each * place + each / 2
            drawing.add(Line(middle, _BOTTOM, middle, _BOTTOM - 2.5, strokeColor=INK, strokeWidth=0.5))
            drawing.add(_said(middle, 2 * mm, _name(unit, one.begins), "middle"))
    _legend(drawing)
    return drawing


def words(unit: str, found: Sequence[Bar]) -> str:
    """What stands for the drawing where it cannot be seen."""
    top = max(found, key=lambda one: one.turns)
    kind = {"day": _("Bar chart: questions a day"), "week": _("Bar chart: questions a week")}
    return _("%(kind)s, from %(first)s to %(last)s. Most: %(most)s, beginning on %(day)s.") % {
        "kind": kind.get(unit, _("Bar chart: questions a month")),
        "first": date_format(found[0].begins),
        "last": date_format(found[-1].begins),
        "most": number_format(top.turns),
        "day": date_format(top.begins),
    }


def _legend(drawing: Drawing) -> None:
    x, y = _LEFT, _HEIGHT - 5 * mm
    for colour, text in ((BAR, _("Questions")), (ALERT, _("of these, with the hotlines shown"))):
        drawing.add(Rect(x, y, 7, 7, fillColor=colour, strokeColor=None))
        drawing.add(_said(x + 10, y, text, "start"))
        x += 26 + 4.2 * len(text)


def _said(x: float, y: float, text: str, anchor: str) -> String:
    return String(x, y, writable(text), fontName=BODY, fontSize=7.5, fillColor=QUIET, textAnchor=anchor)


def _name(unit: str, day: date) -> str:
    return date_format(day, "M Y" if unit == "month" else "j M")


def _round_up(number: int) -> int:
    """A top of the scale that can be divided by four."""
    for power in range(12):
        for lead in (4, 8, 12, 20, 40, 60, 80):
            if lead * 10**power >= number:
                return int(lead * 10**power)
    return number
