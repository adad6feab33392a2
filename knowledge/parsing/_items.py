"""Items of lists whose marks are drawn as shapes, so that no character says where an item begins."""

from collections.abc import Sequence

from knowledge.parsing._boxes import Rect
from knowledge.parsing._sheet import Line

_FAR = 40.0  # points from a mark to its words at most
_ALIGNED = 2.0  # points that the marks of one list, and its words, may be out of line
_LEAST = 2  # items of a list


def mark_items(lines: Sequence[Line], dots: Sequence[Rect]) -> None:
    """Mark the lines that stand behind a dot, where two or more do so at the same distance from the left: that is a
    list, and a dot alone is anything."""
    found = [(dot[0], line) for dot in dots if (line := _behind(lines, dot))]
    # Several dots before one line are a drawing, a leader or a row of stars.
    single = [(left, line) for left, line in found if sum(other is line for _, other in found) == 1]
    for left, line in single:
        alike = [
            other for at, other in single if abs(at - left) <= _ALIGNED and abs(other.left - line.left) <= _ALIGNED
        ]
        line.item = len(alike) >= _LEAST


def _behind(lines: Sequence[Line], dot: Rect) -> Line | None:
    """The line whose first words stand right of a dot and at its height; None where something else stands between."""
    middle = (dot[1] + dot[3]) / 2
    beside = [line for line in lines if line.top <= middle <= line.top + line.height and line.right > dot[0]]
    first = min(beside, key=lambda line: line.left, default=None)
    return first if first and dot[2] - 1.0 <= first.left <= dot[2] + _FAR else None
