"""Tables as lines: a row a line, each cell behind the head of its column, so that a row says by itself what it means.

"Drug: lithium; Dose: 300 mg" where the table has a head, "lithium | 300 mg" where it has none.
"""

from collections.abc import Sequence
from dataclasses import dataclass

_WIDEST = 200  # columns
_LONGEST_NAME = 120  # characters of the head of a column, or of a cell that is said again in each of its rows
_MOST_ROWS = 100  # in which a cell is said again


@dataclass(frozen=True, slots=True)
class Cell:
    """A cell and how many columns and rows it takes; `head` where it names a column or a row."""

    text: str
    columns: int = 1
    rows: int = 1
    head: bool = False


def row_lines(table: Sequence[Sequence[Cell]], heads: int | None = None) -> list[str]:
    """The lines of a table; the first `heads` rows name the columns (None: those that hold nothing but heads)."""
    if heads is None:
        heads = 0
        while heads < len(table) and table[heads] and all(cell.head or not cell.text for cell in table[heads]):
            heads += 1
    grid = _grid(table)
    if heads >= len(grid) or (heads and not _names(grid[:heads])):
        return [" | ".join(text for text, first in row if text and first) for row in grid]
    names = _names(grid[:heads])
    lines = []
    for row in grid[heads:]:
        # A cell over several rows belongs to each of them; one over several columns is said once.
        cells = [(names.get(column, ""), text) for column, (text, first) in enumerate(row) if text and first]
        lines.append(_line(cells) if names and len(cells) > 1 else " | ".join(text for _, text in cells))
    return [line for line in lines if line]


def _grid(table: Sequence[Sequence[Cell]]) -> list[list[tuple[str, bool]]]:
    """Rows of texts, one a column, cells repeated over the columns and rows that they take; whether it is the first
    column of its cell."""
    grid: list[list[tuple[str, bool]]] = []
    hanging: dict[int, tuple[int, str, bool]] = {}  # by column: for how many rows more which cell hangs down
    for cells in table:
        row: list[tuple[str, bool]] = []
        waiting = iter(cells)
        while len(row) < _WIDEST:
            column = len(row)
            if column in hanging:
                rows, text, first = hanging.pop(column)
                row.append((text, first))
                if rows > 1:
                    hanging[column] = (rows - 1, text, first)
                continue
            cell = next(waiting, None)
            if cell is None:
                if not any(later > column for later in hanging):
                    break
                row.append(("", True))
                continue
            for step in range(max(1, min(cell.columns, _WIDEST))):
                if cell.rows > 1:
                    hung = cell.text if len(cell.text) <= _LONGEST_NAME else ""
                    hanging[len(row)] = (min(cell.rows, _MOST_ROWS) - 1, hung, step == 0)
                row.append((cell.text, step == 0))
        grid.append(row)
    return grid


def _names(rows: Sequence[Sequence[tuple[str, bool]]]) -> dict[int, str]:
    """What the columns are called, from the rows at the head of a table; nothing where these are too long for names."""
    names: dict[int, str] = {}
    for row in rows:
        for column, (text, _) in enumerate(row):
            name = text.rstrip(" :")
            if len(name) > _LONGEST_NAME:
                return {}
            if name and name not in names.get(column, "").split(" – "):
                names[column] = f"{names[column]} – {name}" if column in names else name
    return names


def _line(cells: Sequence[tuple[str, str]]) -> str:
    parts = [f"{name}: {text}" if name and name != text else text for name, text in cells]
    joined = [part + (" " if part.endswith((".", "!", "?", ";")) else "; ") for part in parts[:-1]]
    return "".join([*joined, parts[-1]])
