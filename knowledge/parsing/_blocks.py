"""Tables and boxes of a page: what must stay in one piece is put together in the order of its lines and marked."""

from collections.abc import Sequence
from dataclasses import replace

from knowledge.parsing._boxes import Rect
from knowledge.parsing._sheet import Line, Sheet
from knowledge.parsing._tables import Table, find_tables, row_lines

_LEAST = 40  # characters in a box; less is a label or a button
_MOST = 0.75  # of the page's characters: more is the page itself on a background
_INSIDE = 0.9  # share of a line's words that stand in a box


def mark_blocks(sheet: Sheet, rules: Sequence[Rect], panels: Sequence[Rect]) -> None:
    """Find the tables among the rules of a page and the boxes among its panels and mark their lines. The words of a
    table become a line a row; the lines of a box stand together, where the first of them stood."""
    for table in find_tables(sheet, rules):
        _put_table(sheet, table)
    for panel in panels:
        _put_box(sheet, panel)


def _put_table(sheet: Sheet, table: Table) -> None:
    """Rows in the place of the lines whose words stand in the table; what stands beside it on the same line stays."""
    taken = {word.number for row in table.rows for cell in row for word in cell.words}
    lines: list[Line] = []
    at = None
    for line in sheet.lines:
        words = [] if line.row else list(sheet.words(line))
        rest = [word for word in words if word.number not in taken]
        if len(rest) == len(words):
            lines.append(line)
            continue
        at = len(lines) if at is None else at
        if rest:
            text = " ".join(word.text for word in rest)
            left, right = min(word.left for word in rest), max(word.right for word in rest)
            first = sheet.placed([word.place for word in rest])
            lines.append(replace(line, text=text, word=first, left=left, right=right))
    if at is not None:
        sheet.blocks.append("table")
        lines[at:at] = row_lines(table, sheet, len(sheet.blocks))
        sheet.lines = lines


def _put_box(sheet: Sheet, panel: Rect) -> None:
    inside: list[Line] = []
    outside: list[Line] = []
    at = crossing = 0
    for line in sheet.lines:
        share = 0.0 if line.block else _share_inside(sheet, line, panel)
        if share >= _INSIDE:
            at = at if inside else len(outside)
            inside.append(line)
        else:
            crossing += share > 0
            outside.append(line)
    size, rest = (sum(len(line.text) for line in lines) for lines in (inside, outside))
    # Text that runs over the edge of a panel does not belong to it: the panel is a background.
    if size < _LEAST or size > _MOST * (size + rest) or crossing > 0.2 * len(inside):
        return
    sheet.blocks.append("box")
    number = len(sheet.blocks)
    sheet.lines = [*outside[:at], *(replace(line, block=number) for line in inside), *outside[at:]]


def _share_inside(sheet: Sheet, line: Line, panel: Rect) -> float:
    """The share of a line's words that stand in a panel."""
    if line.right < panel[0] or line.left > panel[2] or line.top > panel[3] or line.top + line.height < panel[1]:
        return 0.0
    words = list(sheet.words(line))
    held = sum(1 for x, y in (w.centre for w in words) if panel[0] <= x <= panel[2] and panel[1] <= y <= panel[3])
    return held / len(words) if words else 0.0
