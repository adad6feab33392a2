"""The order in which the lines of a page are read, where the file's own order tears columns apart."""

from collections.abc import Callable, Iterator, Sequence
from itertools import pairwise

from knowledge.parsing._boxes import Rect
from knowledge.parsing._sheet import Line, Sheet

_GUTTER = 8.0  # points: the least white space between two columns
_MOST = 400  # lines of a page
_DEPTH = 40
_INDENT = 12.0  # points between the left edges of lines of one column
_BANDS = 8  # white bands of a page that are tried as ends of columns


def put_in_order(sheet: Sheet, panels: Sequence[Rect]) -> None:
    """Order the lines of a page by its columns, where this lets more of them be followed by the line right below them
    than the file's order does, tears no two of them apart, and leaves none above one that is read before it. Else the
    file's order stays. The lines in a panel are read together.
    """
    lines = sheet.lines
    if not 3 < len(lines) <= _MOST:
        return
    places = [line.place for line in lines]
    given = range(len(lines))
    if not _torn(lines):
        return
    cut = list(_by_columns(places, panels))
    now, then = _continued(given, lines, places), _continued(cut, lines, places)
    if now < then and not _contradicts(cut, places):
        sheet.lines = [lines[index] for index in cut]


def by_columns(sheet: Sheet) -> list[Line]:
    """The lines of a page that has no order of its own, from the top, or by columns where they are clear."""
    lines = sorted(sheet.lines, key=lambda line: line.top)
    if not 1 < len(lines) <= _MOST:
        return lines
    places = [line.place for line in lines]
    cut = list(_by_columns(places, []))
    return lines if _contradicts(cut, places) else [lines[index] for index in cut]


def _by_columns(places: Sequence[Rect], panels: Sequence[Rect]) -> Iterator[int]:
    """All lines by columns, each panel in the place of one line, its own lines by columns."""
    within: dict[int, list[int]] = {}
    alone: list[int] = []
    for index, (left, top, right, bottom) in enumerate(places):
        x, y = (left + right) / 2, (top + bottom) / 2
        home = next((n for n, p in enumerate(panels) if p[0] <= x <= p[2] and p[1] <= y <= p[3]), None)
        if home is None:
            alone.append(index)
        else:
            within.setdefault(home, []).append(index)
    items = [*places, *panels]
    for item in _cut(sorted([*alone, *(len(places) + home for home in within)]), items, _DEPTH):
        if item < len(places):
            yield item
        else:
            yield from _cut(within[item - len(places)], places, _DEPTH)


def _torn(lines: Sequence[Line]) -> bool:
    """Whether some line goes back up in its column, or is not followed by the one that stands right below it with about
    the same left edge: what a wrong order shows, and most pages do not."""
    for before, after in pairwise(lines):
        if after.top < before.top - 2.0 and after.left < before.right:
            return True
    last: dict[int, int] = {}
    for index, line in sorted(enumerate(lines), key=lambda pair: pair[1].top):
        edge = round(line.left / _INDENT)
        above = max((last[near] for near in (edge - 1, edge, edge + 1) if near in last), key=_top(lines), default=None)
        if above is not None and index != above + 1 and line.top - lines[above].top < 1.5 * line.height:
            return True
        last[edge] = index
    return False


def _top(lines: Sequence[Line]) -> Callable[[int], float]:
    return lambda index: lines[index].top


def _continued(order: Sequence[int], lines: Sequence[Line], places: Sequence[Rect]) -> set[tuple[int, int]]:
    """The pairs of lines of which the second is read after the first and stands right below it or beside it."""
    pairs = set()
    for a, b in pairwise(order):
        before, after = places[a], places[b]
        height = max(lines[a].height, 4.0)
        beside = abs(after[1] - before[1]) < 0.4 * height and after[0] >= before[2]
        below = 0.5 * height < after[1] - before[1] < 2.0 * height and _overlap(before, after) > 0
        if beside or below:
            pairs.add((a, b))
    return pairs


def _contradicts(order: Sequence[int], places: Sequence[Rect]) -> bool:
    """Whether a line stands above one that is read before it, in the same column."""
    for place, a in enumerate(order):
        for b in order[place + 1 :]:
            if places[b][3] <= places[a][1] and _overlap(places[a], places[b]) > 0.5:
                return True
    return False


def _overlap(one: Rect, other: Rect) -> float:
    """How much of the narrower of two lines is over or under the other one."""
    width = min(one[2] - one[0], other[2] - other[0])
    return (min(one[2], other[2]) - max(one[0], other[0])) / width if width > 0 else 0.0


def _cut(indexes: list[int], places: Sequence[Rect], depth: int) -> Iterator[int]:
    """Lines by columns: cut between columns where white space runs from top to bottom; else across, where columns begin
    or end, or at the widest white band; and each part again."""
    if depth == 0 or max(places[i][0] for i in indexes) < min(places[i][2] for i in indexes):  # a single column
        yield from sorted(indexes, key=lambda i: (places[i][1], places[i][0]))
        return
    parts = _gutter(indexes, places) or _band(indexes, places)
    if not parts:
        yield from indexes  # lines that overlap: as the file has them
        return
    for part in parts:
        yield from _cut(part, places, depth - 1)


def _gutter(indexes: list[int], places: Sequence[Rect]) -> tuple[list[int], list[int]] | None:
    """The lines on the left and on the right of the widest white space between columns of two lines and more."""
    order, gaps = _gaps(indexes, places, 0)
    wide = [(gap, at) for gap, at in gaps if gap >= _GUTTER and 1 < at < len(order) - 1]
    return _parted(indexes, order, max(wide)[1]) if wide else None


def _band(indexes: list[int], places: Sequence[Rect]) -> tuple[list[int], list[int]] | None:
    """The lines above and below the white band under which columns begin, else over which they end, else the widest."""
    order, gaps = _gaps(indexes, places, 1)
    if not gaps:
        return None
    likely = sorted(at for _, at in sorted(gaps, reverse=True)[:_BANDS])
    for at in likely:
        if _gutter(order[at:], places):
            return _parted(indexes, order, at)
    for at in reversed(likely):
        if _gutter(order[:at], places):
            return _parted(indexes, order, at)
    return _parted(indexes, order, max(gaps)[1])


def _gaps(indexes: list[int], places: Sequence[Rect], axis: int) -> tuple[list[int], list[tuple[float, int]]]:
    """The lines in their order along an axis (0: left to right, 1: from the top), and each white space that runs across
    it: how wide it is, and how many lines stand before it."""
    order = sorted(indexes, key=lambda i: places[i][axis])
    gaps = []
    reached = places[order[0]][axis + 2]
    for at, index in enumerate(order[1:], start=1):
        gap = places[index][axis] - reached
        if gap >= 0:
            gaps.append((gap, at))
        reached = max(reached, places[index][axis + 2])
    return order, gaps


def _parted(indexes: list[int], order: list[int], at: int) -> tuple[list[int], list[int]]:
    first = set(order[:at])
    return [i for i in indexes if i in first], [i for i in indexes if i not in first]
