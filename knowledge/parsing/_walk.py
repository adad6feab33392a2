"""From a tree of HTML to lines: headings, paragraphs, items of lists with their marks, rows of tables, boxes."""

import re

from bs4 import Tag
from bs4.element import Comment, NavigableString, PreformattedString

from knowledge._sentences import goes_on
from knowledge.parsing._document import PageWriter
from knowledge.parsing._furniture import is_box, is_brief, is_furniture, nodes_of
from knowledge.parsing._limits import ParseFailed
from knowledge.parsing._rows import Cell, row_lines
from knowledge.parsing._word_styles import written

_BLOCKS = {
    "address", "article", "aside", "blockquote", "body", "caption", "center", "dd", "details", "div", "dl", "dt",
    "fieldset", "figcaption", "figure", "footer", "form", "header", "hgroup", "hr", "html", "legend", "li", "main",
    "ol", "p", "pre", "search", "section", "summary", "table", "tbody", "td", "tfoot", "th", "thead", "tr", "ul",
}  # fmt: skip
_HEADING = re.compile(r"^h([1-6])$")
_BREAK = "\x00"  # a <br>; no text has this character
_LAYOUT = 1500  # characters in one cell: no table, but a page laid out by one
_RAISED = str.maketrans("0123456789+-", "⁰¹²³⁴⁵⁶⁷⁸⁹⁺⁻")
_FORMS = {"a": "lowerLetter", "A": "upperLetter", "i": "lowerRoman", "I": "upperRoman"}
_DEEPEST = 3000  # elements in one another; a page beyond that was made to do harm

Node = Tag | NavigableString


class Walker:
    """Goes through a tree once and writes its blocks as lines; an explicit stack, because documents nest without
    bounds."""

    def __init__(self, writer: PageWriter, *, whole: bool = False) -> None:
        """`whole` keeps what looks like furniture."""
        self._writer, self._whole = writer, whole
        self._inline: list[str] = []
        self._mark = ""  # of the list item that begins
        self._term = ""  # that the next words define
        self._lists: list[tuple[str, int, int]] = []  # form, next number, step; form "" for bullets
        self._places: dict[int, int] = {}  # where boxes began
        self._level = 0  # of the last heading
        self._folded: dict[int, int] = {}  # levels of foldable parts, by what they stand in

    def walk(self, root: Tag) -> None:
        """Write everything below `root`. Raises ParseFailed."""
        stack: list[tuple[bool, Node]] = [(True, root)]
        depth = 0
        while stack:
            opens, node = stack.pop()
            if isinstance(node, NavigableString):
                if not isinstance(node, Comment | PreformattedString):
                    self._inline.append(str(node))
            elif not opens:
                depth -= 1
                if node.name in _BLOCKS:
                    self._close(node)
            elif depth > _DEEPEST:
                raise ParseFailed("too_deep")
            elif node is root or self._whole or not is_furniture(node):
                depth += 1
                stack.append((False, node))
                self._open(node, stack)
        self._flush()

    def _open(self, tag: Tag, stack: list[tuple[bool, Node]]) -> None:
        name = tag.name
        heading = _HEADING.match(name)
        if heading or (name == "summary" and _heads(tag)):
            self._flush(last=True)
            self._writer.heading(inline_text(tag), self._level_of(tag))
        elif name == "table" and not _is_layout(tag):
            self._flush(last=True)
            self._table(tag)
        elif name == "pre":
            self._flush()
            for line in tag.get_text().split("\n"):
                self._inline.append(line)
                self._flush()
        elif name == "br":
            self._inline.append(_BREAK)
        elif name in {"sup", "sub"}:
            before = "".join(self._inline[-3:])
            self._inline.append(_raised(tag, before) if name == "sup" else inline_text(tag))
        elif name == "q":
            self._inline.append(f"“{inline_text(tag)}”")
        else:
            if name in _BLOCKS:
                self._begin(tag)
            stack.extend((True, child) for child in reversed(tag.contents) if isinstance(child, Tag | NavigableString))

    def _level_of(self, tag: Tag) -> int:
        """The level of a heading; foldable parts beside one another have the same, below the heading before them."""
        if tag.name != "summary":
            self._level = int(tag.name[1])
            return self._level
        group = id(tag.parent.parent) if tag.parent is not None else 0
        return self._folded.setdefault(group, min(self._level + 1, 6))

    def _begin(self, tag: Tag) -> None:
        self._flush()
        if not self._places and is_box(tag):  # a box in a box is part of it
            self._flush(last=True)
            self._places[id(tag)] = self._writer.place
        if tag.name in {"ul", "ol"}:
            form = _FORMS.get(str(tag.get("type", "")), "decimal") if tag.name == "ol" else ""
            self._lists.append((form, _number(tag.get("start"), 1), -1 if tag.has_attr("reversed") else 1))
        elif tag.name == "li":
            self._mark = self._next_mark(tag)

    def _next_mark(self, item: Tag) -> str:
        form, count, step = self._lists[-1] if self._lists else ("", 0, 0)
        if not form:
            return "•" if len(self._lists) < 2 else "–"
        count = _number(item.get("value"), count)
        self._lists[-1] = (form, count + step, step)
        return f"{written(count, form)}."

    def _close(self, tag: Tag) -> None:
        if tag.name == "dt":
            term = " ".join("".join(self._inline).replace(_BREAK, " ").split()).rstrip(" :")
            self._term = ", ".join(part for part in (self._term, term) if part)
            self._inline.clear()
        self._flush(last=tag.name in {"dl", "dd"})
        if tag.name in {"ul", "ol"} and self._lists:
            self._lists.pop()
        elif tag.name == "li":
            self._mark = ""
        place = self._places.pop(id(tag), None)
        if place is not None:
            self._writer.block(place, "box")

    def _flush(self, *, last: bool = False) -> None:
        """Write the words that have come since the last block; with `last` also a term that nothing defines."""
        lines: list[str] = []
        for piece in "".join(self._inline).split(_BREAK):
            words = " ".join(piece.split())
            if lines and goes_on(lines[-1], words):  # a line broken for its looks
                lines[-1] += f" {words}"
            elif words:
                lines.append(words)
        self._inline.clear()
        if self._term and (lines or last):
            lines[:1] = [f"{self._term}: {lines[0]}" if lines else self._term]
            self._term = ""
        if lines and self._mark:
            lines[0] = f"{self._mark} {lines[0]}"
            self._mark = ""
        for line in lines:
            self._writer.line(line)

    def _table(self, table: Tag) -> None:
        place = self._writer.place
        caption = table.find("caption")
        if isinstance(caption, Tag):
            self._writer.line(inline_text(caption))
        rows = list(table.find_all("tr"))
        cells = [[_cell(cell) for cell in row.find_all(["td", "th"], recursive=False)] for row in rows]
        heads = 0
        while heads < len(rows) and rows[heads].find_parent("thead") is not None:
            heads += 1
        lines = row_lines([row for row in cells if row], heads or None)
        for line in lines:
            self._writer.line(line)
        if len(rows) > 1:
            self._writer.block(place, "table")


def inline_text(tag: Tag) -> str:
    """The text of an element on one line; what blocks inside it say is set apart by a space."""
    parts: list[str] = []
    stack: list[tuple[bool, Node]] = [(True, tag)]
    while stack:
        opens, node = stack.pop()
        if isinstance(node, NavigableString):
            if not isinstance(node, Comment | PreformattedString):
                parts.append(str(node))
        elif not opens:
            parts.append(" ")
        elif node is not tag and is_furniture(node):
            continue
        elif node.name == "sup" and node is not tag:
            parts.append(_raised(node, "".join(parts[-3:])))
        else:
            if node.name in _BLOCKS or node.name == "br":
                parts.append(" • " if node.name == "li" else " ")
                stack.append((False, node))
            stack.extend((True, child) for child in reversed(node.contents) if isinstance(child, Tag | NavigableString))
    return " ".join("".join(parts).split())


def _raised(tag: Tag, before: str) -> str:
    """A raised text: the number of a note in brackets, a power in raised digits."""
    text = inline_text(tag)
    number = re.fullmatch(r"\[?(\d{1,3}(?:\s*[,–-]\s*\d{1,3})*)\]?", text)
    power = re.fullmatch(r"[+-]?\d{1,2}[+-]?", text)
    if number and (tag.find("a") or not re.search(r"(?:\d|\b[a-zµ]{1,2})\s*$", before)):
        return f"[{number.group(1)}]"
    return text.translate(_RAISED) if power else text


def _cell(cell: Tag) -> Cell:
    return Cell(
        inline_text(cell), _number(cell.get("colspan"), 1), max(1, _number(cell.get("rowspan"), 1)), cell.name == "th"
    )


def _number(given: object, otherwise: int) -> int:
    text = str(given or "").strip()
    return int(text) if re.fullmatch(r"-?\d{1,6}", text, re.ASCII) else otherwise


def _is_layout(table: Tag) -> bool:
    """Whether a table only puts things side by side or below one another."""
    if table.get("role") in {"presentation", "none"}:
        return True
    widest = 0
    for node in nodes_of(table):
        if not isinstance(node, Tag):
            continue
        if node.name == "table" or _HEADING.match(node.name) or (node.name == "td" and not is_brief(node, _LAYOUT)):
            return True
        if node.name == "tr":
            widest = max(widest, len(node.find_all(["td", "th"], recursive=False, limit=2)))
    return widest < 2


def _heads(summary: Tag) -> bool:
    """Whether the summary of a foldable part is the heading of what follows: where the next heading or foldable part,
    or the end, comes right behind it, nothing else can be taken for its own."""
    details = summary.parent
    if details is None or details.name != "details" or _has_heading(summary):
        return False
    following = details.find_next_sibling()
    return following is None or following.name == "details" or _HEADING.match(following.name) is not None


def _has_heading(tag: Tag) -> bool:
    return any(isinstance(node, Tag) and _HEADING.match(node.name) for node in nodes_of(tag))
