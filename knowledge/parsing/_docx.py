"""Word documents: paragraphs, headings, list items, tables, notes and boxes in the order in which they stand, as they
read once all tracked changes are accepted. Headers, footers, comments, hidden text and tables of contents are left out.

The XML is read as it is: python-docx takes seconds and gigabytes on large tables, and knows neither notes nor boxes.
"""

import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from knowledge.parsing._archive import Archive, xml_root
from knowledge.parsing._document import PageWriter, ParsedDocument
from knowledge.parsing._limits import Limits, ParseFailed
from knowledge.parsing._rows import Cell, row_lines
from knowledge.parsing._text import readable
from knowledge.parsing._word_styles import Numbering, Style, Styles, W, is_on, number, value

_MC = "{http://schemas.openxmlformats.org/markup-compatibility/2006}"
_MATH_TEXT = "{http://schemas.openxmlformats.org/officeDocument/2006/math}t"
_OFFICE = "http://schemas.openxmlformats.org/officeDocument/2006/relationships"
_STRICT = (  # what the strict form of the format calls its names
    (b"http://purl.oclc.org/ooxml/wordprocessingml/main", W.strip("{}").encode()),
    (b"http://purl.oclc.org/ooxml/officeDocument/relationships", _OFFICE.encode()),
)
_GONE = {f"{W}{name}" for name in ("del", "moveFrom", "rPr", "pPr", "sdtPr", "instrText", "delText", "rt")} | {
    f"{_MC}Fallback"
}
_INSIDE = {f"{W}{name}" for name in ("sdt", "sdtContent", "customXml", "smartTag", "ins", "moveTo")} | {
    f"{_MC}AlternateContent", f"{_MC}Choice",
}  # fmt: skip
_SYMBOLS = {"F0A8": "☐", "F06F": "☐", "F0FE": "☒", "F0FD": "☒", "F0FC": "✓", "F052": "☑", "F0E0": "→", "F0DF": "←"}
_LAYOUT = 1500  # characters in one cell: no table, but a page laid out by one
_LONGEST_BOX = 3000  # characters
_HEADING_LIKE = 100  # characters, at most, of a bold paragraph that is taken for a heading


def parse_docx(data: bytes, limits: Limits) -> ParsedDocument:
    """The text of a Word document. Raises ParseFailed."""
    archive = Archive(data, "docx", limits)
    name = _main_part(archive)
    root = _xml(archive, name)
    body = None if root is None else root.find(f"{W}body")
    if body is None:
        raise ParseFailed("damaged", kind="docx")
    folder = name.rpartition("/")[0]
    reader = _Reader(
        Styles(_xml(archive, f"{folder}/styles.xml")),
        Numbering(_xml(archive, f"{folder}/numbering.xml")),
        {kind: _notes(_xml(archive, f"{folder}/{kind}s.xml"), kind) for kind in ("footnote", "endnote")},
    )
    reader.blocks(body)
    title = reader.title or _core_title(archive)
    return ParsedDocument(" ".join(readable(title).split()), (reader.writer.page(),))


def _xml(archive: Archive, name: str) -> Any:
    data = archive.bytes_of(name)
    for strict, usual in _STRICT:
        data = data.replace(strict, usual)
    return xml_root(data, "docx") if data else None


def _main_part(archive: Archive) -> str:
    """The name of the part with the text; some programs call it word/document2.xml."""
    relations = _xml(archive, "_rels/.rels")
    for relation in relations if relations is not None else ():
        if relation.get("Type") == f"{_OFFICE}/officeDocument":
            target = str(relation.get("Target", "")).lstrip("/")
            if target in archive.names:
                return target
    return "word/document.xml"


def _core_title(archive: Archive) -> str:
    core = archive.xml("docProps/core.xml")
    return (core.findtext("{http://purl.org/dc/elements/1.1/}title") or "") if core is not None else ""


def _notes(root: Any, kind: str) -> dict[str, Any]:
    """Footnotes or endnotes by id; without the lines that separate them from the text."""
    if root is None:
        return {}
    return {
        note.get(f"{W}id", ""): note
        for note in root.iterchildren(f"{W}{kind}")
        if note.get(f"{W}type") in {None, "normal"}
    }


@dataclass(slots=True)
class _Text:
    """What a paragraph says, and what hangs on it."""

    parts: list[str] = field(default_factory=list)
    notes: list[tuple[str, Any]] = field(default_factory=list)
    boxes: list[Any] = field(default_factory=list)
    plain: int = 0  # letters that are not bold

    @property
    def text(self) -> str:
        return readable("".join(self.parts))


class _Reader:
    """Goes through a document once and writes it line by line."""

    def __init__(self, styles: Styles, numbering: Numbering, notes: dict[str, dict[str, Any]]) -> None:
        self.writer = PageWriter()
        self.title = ""
        self._styles, self._numbering, self._notes = styles, numbering, notes
        self._note_numbers: Counter[str] = Counter()
        self._carried = ""  # text of paragraphs whose ends were deleted
        self._guess: bool | None = None  # whether bold paragraphs are headings, because nothing else is
        self._writing_notes = False

    def blocks(self, parent: Any) -> None:
        """Write the paragraphs and tables inside an element."""
        if self._guess is None:
            self._guess = not any(self._level(p) for p in parent.iter(f"{W}p"))
        for child in parent.iterchildren():
            if child.tag == f"{W}p":
                self._paragraph(child)
            elif child.tag == f"{W}tbl":
                self._table(child)
            elif child.tag in _INSIDE:
                self.blocks(child)

    def _style(self, paragraph: Any) -> Style:
        return self._styles.get(value(paragraph, "pPr/pStyle"))

    def _level(self, paragraph: Any) -> int:
        """The level of a heading, or 0: what the paragraph itself says goes before what its style says."""
        said = value(paragraph, "pPr/outlineLvl")
        if said is not None:
            return number(said, 9) + 1 if number(said, 9) < 9 else 0
        return self._style(paragraph).level

    def _paragraph(self, paragraph: Any) -> None:
        style = self._style(paragraph)
        if style.contents:
            return
        found = self._read(paragraph, style)
        text, self._carried = self._carried + found.text, ""
        if value(paragraph, "pPr/rPr/del") is not None:  # its end was deleted: it goes on in the next one
            self._carried, text = text, ""
        if text.strip():
            self._write(paragraph, style, text, found)
        self._after(found)

    def _write(self, paragraph: Any, style: Style, text: str, found: _Text) -> None:
        level, mark = self._level(paragraph), self._mark(paragraph, style)
        lines = [line for line in text.split("\n") if line.strip()]
        if style.title and not self.title:
            self.title = " ".join(lines)
        if level:
            self.writer.heading(f"{mark} {' '.join(lines)}", min(level, 6))
        elif self._guess and not mark and _like_heading(lines, found):
            self.writer.heading(lines[0], 2)
        else:
            for index, line in enumerate(lines):
                self.writer.line(f"{mark} {line}" if index == 0 else line)

    def _mark(self, paragraph: Any, style: Style) -> str:
        """The number or bullet before a paragraph."""
        list_id = value(paragraph, "pPr/numPr/numId")
        list_id = style.list_id if list_id is None else list_id
        if list_id is None:
            return "•" if style.listed else ""
        return self._numbering.mark(list_id, number(value(paragraph, "pPr/numPr/ilvl"), style.list_level))

    def _after(self, found: _Text) -> None:
        """What hangs on a paragraph or table: its boxes, then its notes, in brackets."""
        for box in found.boxes:
            place = self.writer.place
            self.blocks(box)
            self.writer.block(place, "box")
        if self._writing_notes:
            return
        for mark, note in found.notes:
            texts = [self._read(p, self._style(p)).text for p in note.iter(f"{W}p")]
            said = " ".join(" ".join(texts).split())
            if said:
                self.writer.line(f"[{mark} {said}]")

    def _read(self, paragraph: Any, style: Style) -> _Text:
        found = _Text()
        self._collect(paragraph, found, style.hidden, style.bold)
        return found

    def _collect(self, parent: Any, found: _Text, hidden: bool, bold: bool) -> None:
        """Add the text below an element."""
        for child in parent.iterchildren():
            tag = child.tag
            if tag in _GONE:
                continue
            if tag == f"{W}txbxContent":
                found.boxes.append(child)
            elif tag == f"{W}r":
                self._collect(child, found, self._hidden(child, hidden), self._bold(child, bold))
            elif tag in {f"{W}footnoteReference", f"{W}endnoteReference"}:
                self._note(child, found)
            elif hidden:
                continue
            elif tag in {f"{W}t", _MATH_TEXT}:
                text = (child.text or "").replace("\n", " ")
                found.parts.append(text)
                found.plain += 0 if bold else sum(char.isalpha() for char in text)
            elif tag in {f"{W}br", f"{W}cr"}:
                found.parts.append("\n")
            elif tag == f"{W}tab":
                found.parts.append(" ")
            elif tag == f"{W}noBreakHyphen":
                found.parts.append("-")
            elif tag == f"{W}sym":
                found.parts.append(_SYMBOLS.get(child.get(f"{W}char", "").upper(), ""))
            else:
                self._collect(child, found, hidden, bold)

    def _hidden(self, run: Any, inherited: bool) -> bool:
        if value(run, "rPr/vanish") is not None:
            return is_on(run, "rPr/vanish")
        style = value(run, "rPr/rStyle")
        return inherited or (style is not None and self._styles.get(style).hidden)

    def _bold(self, run: Any, inherited: bool) -> bool:
        if value(run, "rPr/b") is not None:
            return is_on(run, "rPr/b")
        style = value(run, "rPr/rStyle")
        return inherited or (style is not None and self._styles.get(style).bold)

    def _note(self, reference: Any, found: _Text) -> None:
        kind = "footnote" if reference.tag == f"{W}footnoteReference" else "endnote"
        note = self._notes[kind].get(reference.get(f"{W}id", ""))
        if note is None or self._writing_notes:
            return
        self._note_numbers[kind] += 1
        count = self._note_numbers[kind]
        mark = str(count) if kind == "footnote" else f"{count}e"
        found.parts.append(f"[{mark}]")
        found.notes.append((mark, note))

    def _table(self, table: Any) -> None:
        rows = [row for row in _children(table, "tr") if value(row, "trPr/del") is None]
        cells = [list(_children(row, "tc")) for row in rows]
        place = self.writer.place
        if len(cells) == 1 and len(cells[0]) == 1:  # a frame around some paragraphs
            self.blocks(cells[0][0])
            if self.writer.place - place <= _LONGEST_BOX:
                self.writer.block(place, "box")
            return
        if self._is_layout(cells):
            for row in cells:
                for cell in row:
                    self.blocks(cell)
            return
        hanging = _Text()
        read: list[list[Cell]] = []
        plain = 1  # letters of the first row that are not bold
        for row in cells:
            read.append([self._cell(cell, hanging) for cell in row])
            plain = hanging.plain if len(read) == 1 else plain
        lines = row_lines(_hang(read, cells), self._heads(table, rows, read, bold=plain == 0))
        for line in lines:
            self.writer.line(line)
        if len(rows) > 1:
            self.writer.block(place, "table")
        self._after(hanging)

    def _is_layout(self, cells: list[list[Any]]) -> bool:
        """Whether a table only puts paragraphs side by side or below one another."""
        if all(len(row) <= 1 for row in cells):
            return True
        for cell in (cell for row in cells for cell in row):
            if cell.find(f".//{W}tbl") is not None or sum(len(t.text or "") for t in cell.iter(f"{W}t")) > _LAYOUT:
                return True
            if any(self._level(paragraph) for paragraph in cell.iter(f"{W}p")):
                return True
        return False

    def _cell(self, cell: Any, hanging: _Text) -> Cell:
        texts = []
        for paragraph in cell.iter(f"{W}p"):
            if any(above.tag in {f"{W}txbxContent", *_GONE} for above in paragraph.iterancestors()):
                continue
            found = self._read(paragraph, self._style(paragraph))
            mark = self._mark(paragraph, self._style(paragraph)) if found.text.strip() else ""
            texts.append(f"{mark} {found.text}")
            hanging.notes += found.notes
            hanging.boxes += found.boxes
            hanging.plain += found.plain
        return Cell(" ".join(" ".join(texts).split()), number(value(cell, "tcPr/gridSpan"), 1))

    def _heads(self, table: Any, rows: list[Any], cells: list[list[Cell]], *, bold: bool) -> int:
        """How many rows at the top name the columns: those that repeat on each page, else a first row all in bold, or
        one that the table's style sets off."""
        heads = 0
        while heads < len(rows) and is_on(rows[heads], "trPr/tblHeader"):
            heads += 1
        if heads or len(rows) < 2 or not all(cell.text for cell in cells[0]):
            return heads
        look = table.find(f"{W}tblPr/{W}tblLook")
        style = self._styles.get(value(table, "tblPr/tblStyle") or "-").name.lower()
        special = style not in {"", "table grid", "normal table", "grille du tableau", "tableau normal"}
        marked = look is not None and (look.get(f"{W}firstRow") == "1" or _bit(look.get(f"{W}val", ""), 0x20))
        return 1 if bold or (special and marked) else 0


def _bit(text: str, bit: int) -> bool:
    try:
        return bool(int(text, 16) & bit)
    except ValueError:
        return False


def _children(parent: Any, name: str) -> Iterator[Any]:
    """The rows of a table or cells of a row, also inside of content controls and insertions."""
    for child in parent.iterchildren():
        if child.tag == f"{W}{name}":
            yield child
        elif child.tag in _INSIDE:
            yield from _children(child, name)


def _hang(read: list[list[Cell]], cells: list[list[Any]]) -> list[list[Cell]]:
    """With the cells that go on over rows below counted in the first of them, as Word marks them row by row."""
    result: list[list[Cell]] = []
    open_cells: dict[int, tuple[int, int]] = {}  # by column: the row and place of the cell that goes on
    for index, row in enumerate(read):
        kept: list[Cell] = []
        column = 0
        for cell, element in zip(row, cells[index], strict=True):
            merge = value(element, "tcPr/vMerge")
            if merge is not None and merge != "restart" and column in open_cells:
                above, place = open_cells[column]
                first = result[above][place]
                result[above][place] = Cell(first.text, first.columns, index - above + 1)
            else:
                open_cells.pop(column, None)
                if merge == "restart":
                    open_cells[column] = (index, len(kept))
                kept.append(cell)
            column += max(cell.columns, 1)
        result.append(kept)
    return result


def _like_heading(lines: list[str], found: _Text) -> bool:
    """Whether a paragraph looks like a heading: short, all in bold, not a sentence."""
    if len(lines) != 1 or found.plain or found.notes:
        return False
    text = lines[0].strip()
    return 3 <= len(text) <= _HEADING_LIKE and text[-1] not in ".,;" and re.search(r"[^\W\d_]{3}", text) is not None
