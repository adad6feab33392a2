"""OpenDocument texts: headings, paragraphs, lists, tables, notes and boxes in the order in which they stand, as they
read once all tracked changes are accepted. Comments, hidden text and tables of contents are left out."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from knowledge.parsing._archive import Archive
from knowledge.parsing._document import PageWriter, ParsedDocument
from knowledge.parsing._limits import Limits, ParseFailed
from knowledge.parsing._rows import Cell, row_lines
from knowledge.parsing._text import readable
from knowledge.parsing._word_styles import number, written

_SPACE = "{urn:oasis:names:tc:opendocument:xmlns:%s:1.0}"
OFFICE, TEXT, TABLE, STYLE, DRAW, SVG = (
    _SPACE % name for name in ("office", "text", "table", "style", "drawing", "svg-compatible")
)
_FORMS = {"1": "decimal", "a": "lowerLetter", "A": "upperLetter", "i": "lowerRoman", "I": "upperRoman"}
_GONE = {
    f"{TEXT}{name}"
    for name in (
        "tracked-changes", "table-of-content", "illustration-index", "table-index", "object-index", "user-index",
        "alphabetical-index", "bibliography", "hidden-text", "hidden-paragraph", "ruby-text", "sequence-decls",
        "variable-decls", "note-citation",
    )
} | {f"{OFFICE}annotation", f"{OFFICE}forms", f"{OFFICE}binary-data", f"{SVG}title", f"{SVG}desc"}  # fmt: skip
_LAYOUT = 1500  # characters in one cell: no table, but a page laid out by one
_LONGEST_BOX = 3000  # characters
_DEEPEST = 40  # styles that a style may be based on


def parse_odt(data: bytes, limits: Limits) -> ParsedDocument:
    """The text of an OpenDocument text. Raises ParseFailed."""
    archive = Archive(data, "odt", limits)
    if b"encryption-data" in archive.bytes_of("META-INF/manifest.xml"):
        raise ParseFailed("encrypted")
    content = archive.xml("content.xml")
    body = None if content is None else content.find(f"{OFFICE}body/{OFFICE}text")
    if body is None:
        raise ParseFailed("damaged", kind="odt")
    reader = _Reader(_Styles(content, archive.xml("styles.xml")))
    reader.blocks(body)
    meta = archive.xml("meta.xml")
    said = meta.findtext(".//{http://purl.org/dc/elements/1.1/}title") if meta is not None else ""
    return ParsedDocument(" ".join(readable(reader.title or said or "").split()), (reader.writer.page(),))


class _Styles:
    """What the styles of paragraphs, words and lists say, by name."""

    def __init__(self, *roots: Any) -> None:
        self._parents: dict[str, str] = {}
        self.hidden: set[str] = set()
        self._lists: dict[str, dict[int, tuple[str, str]]] = {}
        for root in (root for root in roots if root is not None):
            for style in root.iter(f"{STYLE}style"):
                name = style.get(f"{STYLE}name", "")
                self._parents[name] = style.get(f"{STYLE}parent-style-name", "")
                properties = style.find(f"{STYLE}text-properties")
                if properties is not None and properties.get(f"{TEXT}display") == "none":
                    self.hidden.add(name)
            for style in root.iter(f"{TEXT}list-style"):
                self._lists[style.get(f"{STYLE}name", "")] = {
                    number(level.get(f"{TEXT}level"), 1): (
                        _FORMS.get(level.get(f"{STYLE}num-format", ""), ""), level.get(f"{STYLE}num-suffix", ""),
                    )
                    for level in style
                    if level.tag == f"{TEXT}list-level-style-number"
                }  # fmt: skip

    def is_based_on(self, name: str, base: str) -> bool:
        """Whether a style is a given one or comes from it."""
        for _ in range(_DEEPEST):
            if name == base:
                return True
            name = self._parents.get(name, "")
        return False

    def item(self, list_style: str, level: int, count: int) -> str:
        """The number or bullet of an item of a list, `level` from 1."""
        form, suffix = self._lists.get(list_style, {}).get(level, ("", ""))
        return f"{written(count, form)}{suffix}" if form else ("•" if level == 1 else "–")


@dataclass(slots=True)
class _Text:
    """What a paragraph says, and what hangs on it."""

    parts: list[str] = field(default_factory=list)
    notes: list[tuple[str, Any]] = field(default_factory=list)
    boxes: list[Any] = field(default_factory=list)

    @property
    def text(self) -> str:
        return readable("".join(self.parts))


class _Reader:
    """Goes through a document once and writes it line by line."""

    def __init__(self, styles: _Styles) -> None:
        self.writer = PageWriter()
        self.title = ""
        self._styles = styles
        self._notes = 0

    def blocks(self, parent: Any) -> None:
        """Write the paragraphs, lists and tables inside an element."""
        for child in parent.iterchildren():
            if child.tag in _GONE:
                continue
            if child.tag in {f"{TEXT}p", f"{TEXT}h"}:
                self._paragraph(child, "")
            elif child.tag == f"{TEXT}list":
                self._list(child, 1, "")
            elif child.tag == f"{TABLE}table":
                self._table(child)
            elif child.tag == f"{DRAW}frame":
                self._after(self._read(child))
            else:
                self.blocks(child)

    def _paragraph(self, paragraph: Any, mark: str) -> None:
        found = self._read(paragraph)
        lines = [line for line in found.text.split("\n") if line.strip()]
        style = paragraph.get(f"{TEXT}style-name", "")
        titled = self._styles.is_based_on(style, "Title")
        if titled and not self.title:
            self.title = " ".join(lines)
        if lines and (titled or paragraph.tag == f"{TEXT}h"):
            level = 1 if titled else number(paragraph.get(f"{TEXT}outline-level"), 1)
            self.writer.heading(f"{mark} {' '.join(lines)}", max(1, min(level, 6)))
        else:
            for index, line in enumerate(lines):
                self.writer.line(f"{mark} {line}" if index == 0 else line)
        self._after(found)

    def _list(self, items: Any, level: int, style: str) -> None:
        style = items.get(f"{TEXT}style-name", style)
        count = 0
        for item in items.iterchildren(f"{TEXT}list-item", f"{TEXT}list-header"):
            count = number(item.get(f"{TEXT}start-value"), count + 1)
            mark = self._styles.item(style, level, count) if item.tag == f"{TEXT}list-item" else ""
            for child in item.iterchildren():
                if child.tag in {f"{TEXT}p", f"{TEXT}h"}:
                    # a heading in a list is one of the numbered headings of the document
                    self._paragraph(child, mark if child.tag == f"{TEXT}p" else "")
                    mark = ""
                elif child.tag == f"{TEXT}list":
                    self._list(child, level + 1, style)

    def _after(self, found: _Text) -> None:
        """What hangs on a paragraph or table: its boxes, then its notes, in brackets."""
        for box in found.boxes:
            place = self.writer.place
            self.blocks(box)
            if self.writer.place - place <= _LONGEST_BOX:
                self.writer.block(place, "box")
        for mark, note in found.notes:
            said = " ".join(" ".join(self._read(p).text for p in note.iter(f"{TEXT}p")).split())
            if said:
                self.writer.line(f"[{mark} {said}]")

    def _read(self, element: Any) -> _Text:
        found = _Text()
        if element.get(f"{TEXT}style-name") not in self._styles.hidden:
            self._collect(element, found)
        return found

    def _collect(self, parent: Any, found: _Text) -> None:
        """Add the text below an element, in the order of the file."""
        found.parts.append((parent.text or "").replace("\n", " "))
        for child in parent.iterchildren():
            tag = child.tag
            if tag == f"{TEXT}note":
                self._note(child, found)
            elif tag == f"{DRAW}text-box":
                found.boxes.append(child)
            elif tag == f"{TEXT}line-break":
                found.parts.append("\n")
            elif tag in {f"{TEXT}s", f"{TEXT}tab"}:
                found.parts.append(" ")
            elif tag not in _GONE and child.get(f"{TEXT}style-name") not in self._styles.hidden:
                self._collect(child, found)
            found.parts.append((child.tail or "").replace("\n", " "))

    def _note(self, note: Any, found: _Text) -> None:
        body = note.find(f"{TEXT}note-body")
        if body is None or any(above.tag == f"{TEXT}note" for above in note.iterancestors()):
            return
        self._notes += 1
        found.parts.append(f"[{self._notes}]")
        found.notes.append((str(self._notes), body))

    def _table(self, table: Any) -> None:
        place = self.writer.place
        rows = list(_rows(table))
        cells = [[cell for cell in row if cell.tag == f"{TABLE}table-cell"] for row in rows]
        if len(cells) == 1 and len(cells[0]) == 1:  # a frame around some paragraphs
            self.blocks(cells[0][0])
            if self.writer.place - place <= _LONGEST_BOX:
                self.writer.block(place, "box")
            return
        if _is_layout(cells):
            for cell in (cell for row in cells for cell in row):
                self.blocks(cell)
            return
        hanging = _Text()
        lines = row_lines(
            [[self._cell(cell, hanging) for cell in row] for row in cells], sum(map(self._is_head, rows)) or None
        )
        for line in lines:
            self.writer.line(line)
        if len(rows) > 1:
            self.writer.block(place, "table")
        self._after(hanging)

    def _is_head(self, row: Any) -> bool:
        """Whether a row names the columns."""
        return row.getparent() is not None and row.getparent().tag == f"{TABLE}table-header-rows"

    def _cell(self, cell: Any, hanging: _Text) -> Cell:
        found = [(p, self._read(p)) for p in cell.iter(f"{TEXT}p", f"{TEXT}h") if not _is_apart(p, cell)]
        for _, text in found:
            hanging.notes += text.notes
            hanging.boxes += text.boxes
        return Cell(
            " ".join(" ".join(text.text for _, text in found).split()),
            number(cell.get(f"{TABLE}number-columns-spanned"), 1),
            number(cell.get(f"{TABLE}number-rows-spanned"), 1),
            bool(found)
            and all(self._styles.is_based_on(p.get(f"{TEXT}style-name", ""), "Table_20_Heading") for p, _ in found),
        )


def _rows(table: Any) -> Iterator[Any]:
    """The rows of a table, also those inside of groups, but not those of tables in its cells."""
    for child in table.iterchildren():
        if child.tag == f"{TABLE}table-row":
            yield child
        elif child.tag in {f"{TABLE}table-header-rows", f"{TABLE}table-rows", f"{TABLE}table-row-group"}:
            yield from _rows(child)


def _is_apart(paragraph: Any, cell: Any) -> bool:
    """Whether a paragraph belongs to a note, a box or a comment in a cell, not to the cell's own text."""
    apart = _GONE | {f"{TEXT}note", f"{DRAW}text-box"}
    for above in paragraph.iterancestors():
        if above is cell:
            return False
        if above.tag in apart:
            return True
    return False


def _is_layout(cells: list[list[Any]]) -> bool:
    """Whether a table only puts paragraphs side by side or below one another."""
    if all(len(row) <= 1 for row in cells):
        return True
    return any(
        cell.find(f".//{TABLE}table") is not None
        or cell.find(f".//{TEXT}h") is not None
        or sum(map(len, cell.itertext())) > _LAYOUT
        for row in cells
        for cell in row
    )
