"""Tables: the cells that rules enclose, found by pdfplumber's geometry, filled with the words that pdfium has read.

pdfplumber's own reading of a page takes a tenth of a second and up to six; its geometry over the rules that pdfium
already knows takes milliseconds, so no page has to be read twice.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from knowledge.parsing._boxes import Rect
from knowledge.parsing._sheet import SOFT_HYPHEN, Line, Sheet, Word

_MOST_CROSSINGS = 6000  # level times upright rules of a page: a table of 100 rows has about 1000
_TOLERANCE = 3.0  # points between rules that are meant to be one
_FILLED = 0.4  # least share of cells with words
_STRADDLING = 0.1  # most words that a table's upright rules may run through
_PROSE = 400  # characters: the average cell of a page's layout, not of a table


@dataclass(slots=True)
class Cell:
    """A cell of a table with its words in reading order."""

    place: Rect
    words: list[Word] = field(default_factory=list)

    @property
    def bold(self) -> bool:
        """Whether all of its words are set in bold."""
        return bool(self.words) and all(word.bold for word in self.words)


@dataclass(frozen=True, slots=True)
class Table:
    """Rows of cells that have words, from the top; `header` is whether the first row names the columns."""

    place: Rect
    rows: tuple[tuple[Cell, ...], ...]
    header: bool


def find_tables(sheet: Sheet, rules: Sequence[Rect]) -> list[Table]:
    """The tables of a page, from the top."""
    grids = _grids(rules, sheet)
    words = [word for line in sheet.lines for word in sheet.words(line)] if grids else []
    tables = []
    for cells in grids:
        table = _filled(cells, words)
        if table:
            tables.append(table)
    return tables


def row_lines(table: Table, sheet: Sheet, block: int) -> list[Line]:
    """A line a row, its words placed in the sheet: "header: cell; header: cell" where the table has a header, else
    "cell | cell"."""
    columns = {cell.place[0]: cell for cell in table.rows[0]} if table.header else {}
    lines = []
    for row in table.rows[1:] if table.header else table.rows:
        tokens: list[tuple[str, Rect | None]] = []
        for number, cell in enumerate(row):
            head = columns.get(cell.place[0]) if len(row) > 1 else None
            last = number == len(row) - 1
            if head:
                tokens += _tokens(head.words, ":")
            tokens += _tokens(cell.words, "" if last or not columns else ";")
            if not last and not columns:
                tokens.append(("|", None))
        place = row[0].words[0]
        line = Line(
            text=" ".join(text for text, _ in tokens),
            height=place.bottom - place.top,
            bold=False,
            top=place.top,
            left=place.left,
            right=max(cell.place[2] for cell in row),
            word=sheet.placed([where for _, where in tokens]),
            block=block,
            row=True,
        )
        lines.append(line)
    return lines


def _tokens(words: Sequence[Word], end: str) -> list[tuple[str, Rect | None]]:
    """Words with their places, one that was broken at a line's end made whole; `end` stands after the last, unless a
    mark of its own stands there."""
    tokens: list[tuple[str, Rect | None]] = []
    joined = ""
    for word in words:
        text = joined + word.text
        joined = ""
        if text.endswith(SOFT_HYPHEN) and len(text) > 1 and word is not words[-1]:
            joined = text[:-1]
        elif text.strip(SOFT_HYPHEN):
            tokens.append((text, word.place))
    if end and tokens:
        text, place = tokens[-1]
        tokens[-1] = ((text if text.endswith((":", ";", "?", "!")) else text.rstrip(".,") + end), place)
    return tokens


def _grids(rules: Sequence[Rect], sheet: Sheet) -> list[list[Rect]]:
    """The groups of adjoining cells that rules enclose."""
    edges = [edge for rule in rules if (edge := _edge(rule, sheet))]
    upright = {round(edge["x0"] / _TOLERANCE) for edge in edges if edge["orientation"] == "v"}
    level = {round(edge["top"] / _TOLERANCE) for edge in edges if edge["orientation"] == "h"}
    if len(upright) < 3 or len(level) < 3:
        return []
    from pdfplumber import table

    edges = table.merge_edges(edges, _TOLERANCE, _TOLERANCE, _TOLERANCE, _TOLERANCE)
    orientations = Counter(edge["orientation"] for edge in edges)
    if orientations["h"] * orientations["v"] > _MOST_CROSSINGS:
        return []
    crossings = table.edges_to_intersections(edges, _TOLERANCE, _TOLERANCE)
    found = table.cells_to_tables(table.intersections_to_cells(crossings))
    return [[(float(x0), float(y0), float(x1), float(y1)) for x0, y0, x1, y1 in cells] for cells in found]


def _edge(rule: Rect, sheet: Sheet) -> dict[str, Any] | None:
    """A rule as pdfplumber has it; None where it does not stand on the page."""
    left, top, right, bottom = rule
    if right < 0 or bottom < 0 or left > sheet.width or top > sheet.height:
        return None
    level = right - left >= bottom - top
    if level:
        top = bottom = (top + bottom) / 2
    else:
        left = right = (left + right) / 2
    return {
        "x0": left,
        "x1": right,
        "top": top,
        "bottom": bottom,
        "width": right - left,
        "height": bottom - top,
        "orientation": "h" if level else "v",
    }


def _filled(places: Sequence[Rect], words: Sequence[Word]) -> Table | None:
    """The table of these cells with its words; None where they are no table but a frame, a form or a page's layout."""
    frame = (
        min(p[0] for p in places),
        min(p[1] for p in places),
        max(p[2] for p in places),
        max(p[3] for p in places),
    )
    if len({p[0] for p in places}) < 2 or len({p[1] for p in places}) < 2:
        return None
    cells = [Cell(place) for place in places]
    straddling = inside = 0
    for word in words:
        x, y = word.centre
        if not (frame[0] <= x <= frame[2] and frame[1] <= y <= frame[3]):
            continue
        inside += 1
        home = next((c for c in cells if c.place[0] <= x <= c.place[2] and c.place[1] <= y <= c.place[3]), None)
        if home is None:
            straddling += 1
            continue
        home.words.append(word)
        straddling += word.left < home.place[0] - _TOLERANCE or word.right > home.place[2] + _TOLERANCE
    filled = [cell for cell in cells if cell.words]
    columns = Counter(cell.place[0] for cell in filled)
    if (
        len(filled) < max(4, _FILLED * len(cells))
        or sum(1 for count in columns.values() if count > 1) < 2
        or straddling > _STRADDLING * inside
        or sum(len(word.text) for cell in filled for word in cell.words) > _PROSE * len(filled)
    ):
        return None
    rows: dict[float, list[Cell]] = {}
    for cell in filled:
        rows.setdefault(cell.place[1], []).append(cell)
    ordered = tuple(tuple(sorted(rows[top], key=lambda cell: cell.place[0])) for top in sorted(rows))
    return Table(frame, ordered, _has_header(ordered))


def _has_header(rows: Sequence[Sequence[Cell]]) -> bool:
    """Whether the first row names the columns: each of its cells is bold, and those below are not all so."""
    first, rest = rows[0], [cell for row in rows[1:] for cell in row]
    return len(first) > 1 and all(cell.bold for cell in first) and sum(cell.bold for cell in rest) <= 0.5 * len(rest)
