"""The pages of the report: fonts, styles, and a PDF that readers of the screen can follow (tags, language, bookmarks).

ReportLab draws; it knows no tags. So every text and every cell of a table is drawn between marks here, and at the end
the tree of what they are is written into the file (PDF 1.7, 14.7 and 14.8). Lines, backgrounds, headers and footers are
marked as decoration.
"""

import functools
import unicodedata
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any
from xml.sax.saxutils import escape

from reportlab.graphics.shapes import Drawing
from reportlab.lib.colors import HexColor
from reportlab.lib.pagesizes import A4
from reportlab.lib.styles import ParagraphStyle
from reportlab.lib.units import mm
from reportlab.pdfbase import pdfmetrics
from reportlab.pdfbase.pdfdoc import PDFArray, PDFDictionary, PDFName, PDFString
from reportlab.pdfbase.ttfonts import TTFont
from reportlab.pdfgen.canvas import Canvas
from reportlab.platypus import (
    BaseDocTemplate,
    CondPageBreak,
    Flowable,
    Frame,
    PageTemplate,
    Paragraph,
    Table,
    TableStyle,
)

BODY, BOLD, MONO = "DejaVuSansCondensed", "DejaVuSansCondensed-Bold", "DejaVuSansMono"
MARGIN = 20 * mm
WIDTH = A4[0] - 2 * MARGIN
INK, QUIET, LINE, SHADE = HexColor("#1c2733"), HexColor("#51606f"), HexColor("#c9d1d9"), HexColor("#eef2f5")
BAR, ALERT = HexColor("#2f6f8f"), HexColor("#b4442c")
_TOTAL = "pages"
_ROOM = 36 * mm  # under a heading: a sentence, or the top of a table and some rows
_LINES = 40  # of a cell: a row must fit on a page
_FONTS = Path(__file__).parent / "fonts"


def _style(name: str, size: float, leading: float, **more: Any) -> ParagraphStyle:
    return ParagraphStyle(name, fontName=more.pop("font", BODY), fontSize=size, leading=leading, **more)


# the name of a style begins with the tag of what is written in it
STYLES = {
    "title": _style("H1 title", 24, 29, font=BOLD, textColor=INK, spaceAfter=3 * mm),
    "heading": _style("H2", 14, 18, font=BOLD, textColor=INK, spaceBefore=7 * mm, spaceAfter=2.5 * mm),
    "smaller": _style(
        *("H3", 10.5, 14),
        font=BOLD, textColor=INK, spaceBefore=4 * mm, spaceAfter=1.5 * mm,
    ),
    "lead": _style("P lead", 12, 16, textColor=QUIET, spaceAfter=6 * mm),
    "text": _style("P", 9.5, 14, textColor=INK, spaceAfter=2 * mm),
    "alert": _style(
        *("P alert", 10, 14),
        font=BOLD, textColor=ALERT, borderColor=ALERT, borderWidth=1, borderPadding=6,
        spaceBefore=3 * mm, spaceAfter=4 * mm,
    ),
    "note": _style("P note", 8.5, 12, textColor=QUIET, spaceBefore=1.5 * mm, spaceAfter=2 * mm),
    "cell": _style("P cell", 8.5, 11.5, textColor=INK),
    "small": _style("P small cell", 6.9, 9, textColor=INK),
    "number": _style("P number", 8.5, 11.5, textColor=INK, alignment=2),
    "mono": _style("P mono", 7.6, 10.5, font=MONO, textColor=INK, splitLongWords=1),
    "top": _style("P top", 8, 11, font=BOLD, textColor=INK),
    "top number": _style("P top number", 8, 11, font=BOLD, textColor=INK, alignment=2),
    "big": _style("P big", 19, 23, font=BOLD, textColor=INK),
    "under": _style("P under", 8, 10.5, textColor=QUIET),
}  # fmt: skip


@functools.cache
def register_fonts() -> None:
    """Make the fonts known; they are embedded, as far as they are used."""
    for name in (BODY, BOLD, MONO):
        pdfmetrics.registerFont(TTFont(name, _FONTS / f"{name}.ttf"))
    pdfmetrics.registerFontFamily(BODY, normal=BODY, bold=BOLD, italic=BODY, boldItalic=BOLD)


class Text(Paragraph):
    """A paragraph, with a tag. In a sentence (style "text") what stands between **two stars** is bold."""

    def __init__(self, text: str, style: str | ParagraphStyle = "text", **more: Any) -> None:
        chosen = STYLES[style] if isinstance(style, str) else style
        if isinstance(style, str):  # else it is the rest of one that began on the page before
            text = _marked_up(text, bold=style == "text")
        super().__init__(text, chosen, **more)

    def draw(self) -> None:
        """Draw it between marks; headings become bookmarks."""
        tag = self.style.name.split()[0]
        if tag in {"H1", "H2"}:
            self.canv.outline(self.getPlainText())
        with self.canv.marked(tag):
            super().draw()


def _tell_rows(table: Table, what: str, *where: Any) -> None:
    """Called by a table while it draws itself: its rows and cells are told as such."""
    canvas = table.canv
    match what:
        case "startTable":
            canvas.open("Table")
        case "startRow":
            canvas.open("TR")
        case "startCell":
            canvas.open("TH" if where[0] == 0 else "TD")
        case "endTable" | "endRow" | "endCell":
            canvas.close()
        case _:
            _tell_texts(table, what)


def _tell_texts(table: Table, what: str, *_where: Any) -> None:
    """The same for a table that only sets texts beside each other: they are told one after another."""
    if what in {"startBG", "startLines"}:
        table.canv.decorate()
    elif what in {"endBG", "endLines"}:
        table.canv.end_mark()


def grid(
    rows: Sequence[Sequence[str]], widths: Sequence[float], *, right: Sequence[int] = (), cell: str = "cell"
) -> Table:
    """A table over the whole width, in shares of it (`widths`). The first row is repeated on each page; `right` are
    columns of numbers, `cell` the style of the others."""
    unit = WIDTH / sum(widths)
    top, *others = ([_short(one, unit * width) for one, width in zip(row, widths, strict=True)] for row in rows)
    made = [[Text(one, "top number" if place in right else "top") for place, one in enumerate(top)]]
    made += [[Text(one, "number" if place in right else cell) for place, one in enumerate(row)] for row in others]
    style = [
        ("FONTNAME", (0, 0), (-1, -1), BODY),
        ("VALIGN", (0, 0), (-1, -1), "TOP"),
        ("LINEBELOW", (0, 0), (-1, 0), 0.9, INK),
        ("LINEBELOW", (0, 1), (-1, -1), 0.35, LINE),
        ("TOPPADDING", (0, 0), (-1, -1), 2.6),
        ("BOTTOMPADDING", (0, 0), (-1, -1), 2.8),
        ("LEFTPADDING", (0, 0), (-1, -1), 3),
        ("RIGHTPADDING", (0, 0), (-1, -1), 4),
    ]
    shares = [unit * one for one in widths]
    return Table(made, shares, repeatRows=1, style=TableStyle(style), hAlign="LEFT", renderCB=_tell_rows)


def _short(text: str, width: float) -> str:
    """As much of a text as a cell of this width takes."""
    most = int(_LINES * width / 5.5)
    return text.replace("\n", " ") if len(text) <= most else f"{text[:most]}…".replace("\n", " ")


def layout(rows: Sequence[Sequence[Any]], widths: Sequence[float], style: Sequence[Any] = ()) -> Table:
    """Flowables beside each other over the whole width, in shares of it."""
    plain = [
        ("FONTNAME", (0, 0), (-1, -1), BODY),
        ("VALIGN", (0, 0), (-1, -1), "TOP"),
        ("LEFTPADDING", (0, 0), (-1, -1), 0),
    ]
    unit = WIDTH / sum(widths)
    whole = TableStyle([*plain, ("TOPPADDING", (0, 0), (-1, -1), 2), ("BOTTOMPADDING", (0, 0), (-1, -1), 2), *style])
    shares = [unit * one for one in widths]
    return Table([list(row) for row in rows], shares, style=whole, hAlign="LEFT", renderCB=_tell_texts)


class Figure(Flowable):
    """A drawing, with the words that stand for it where it cannot be seen."""

    def __init__(self, drawing: Drawing, words: str) -> None:
        super().__init__()
        self._drawing, self._words = drawing, words
        self.width, self.height = drawing.width, drawing.height

    def wrap(self, *_available: float) -> tuple[float, float]:
        """Its size."""
        return self.width, self.height

    def draw(self) -> None:
        """Draw it as one thing."""
        from reportlab.graphics import renderPDF

        with self.canv.marked("Figure", self._words):
            renderPDF.draw(self._drawing, self.canv, 0, 0)


class TaggedCanvas(Canvas):
    """A canvas that remembers what was drawn as what."""

    def __init__(self, *given: Any, **named: Any) -> None:
        super().__init__(*given, **named)
        self._root: list[Any] = ["Document", None, []]  # tag, words, children: nodes or (page, mark)
        self._stack = [self._root]
        self._marks: list[list[Any]] = [[]]  # for each page the node that each mark belongs to

    @contextmanager
    def marked(self, tag: str, words: str = "") -> Iterator[None]:
        """What is drawn within is one such thing."""
        is_cell = self._stack[-1][0] in {"TH", "TD"}  # its text is the cell itself
        if not is_cell:
            self.open(tag, words)
        node, page = self._stack[-1], self._marks[-1]
        node[2].append((len(self._marks) - 1, len(page)))
        self._code.append(f"/{node[0]} <</MCID {len(page)}>> BDC")
        page.append(node)
        yield
        self.end_mark()
        if not is_cell:
            self.close()

    def open(self, tag: str, words: str = "") -> None:
        """Begin a thing that others are part of."""
        node: list[Any] = [tag, words, []]
        self._stack[-1][2].append(node)
        self._stack.append(node)

    def close(self) -> None:
        """End it."""
        self._stack.pop()

    def decorate(self) -> None:
        """Begin what means nothing to whoever hears the page; ends with `end_mark`."""
        self._code.append("/Artifact BMC")

    def end_mark(self) -> None:
        """End what was begun."""
        self._code.append("EMC")

    def outline(self, words: str) -> None:
        """A bookmark that leads here."""
        key = f"b{len(self._marks)}-{len(self._marks[-1])}"
        self.bookmarkPage(key)
        self.addOutlineEntry(words, key, 0)

    def showPage(self) -> None:  # noqa: N802
        """End the page."""
        super().showPage()
        page = self._doc.Pages.pages[-1]
        page.__NoDefault__ = [*page.__NoDefault__, "StructParents", "Tabs"]
        page.StructParents, page.Tabs = len(self._marks) - 1, PDFName("S")
        self._marks.append([])

    def save(self) -> None:
        """Write the file, with how many pages there are and what stands on them."""
        self.beginForm(_TOTAL, 0, 0, 30, 12)
        self.setFillColor(QUIET)
        self.setFont(BODY, 8)
        self.drawString(0, 2, str(len(self._marks) - 1))
        self.endForm()
        self._write_tree()
        super().save()

    def _write_tree(self) -> None:
        document = self._doc
        pages = [document.Reference(one) for one in document.Pages.pages]
        nodes: dict[int, Any] = {}

        def element(node: list[Any], parent: Any) -> Any:
            tag, words, children = node
            entry = PDFDictionary({"S": PDFName(tag), "P": parent})
            reference = nodes[id(node)] = document.Reference(entry)
            if words:
                entry["Alt"] = PDFString(words)
            if tag == "TH":
                entry["A"] = PDFDictionary({"O": PDFName("Table"), "Scope": PDFName("Column")})
            marks = [one for one in children if isinstance(one, tuple)]
            if marks:  # all of them on one page: a text that goes on on the next is drawn there as another one
                entry["Pg"] = pages[marks[0][0]]
            kids = [one[1] if isinstance(one, tuple) else element(one, reference) for one in children]
            entry["K"] = PDFArray(kids)
            return reference

        tree = PDFDictionary({"Type": PDFName("StructTreeRoot")})
        root = document.Reference(tree)
        tree["K"] = PDFArray([element(self._root, root)])
        numbers: list[Any] = []
        for place, marks in enumerate(self._marks[: len(pages)]):
            numbers += [place, document.Reference(PDFArray([nodes[id(one)] for one in marks]))]
        tree["ParentTree"] = document.Reference(PDFDictionary({"Nums": PDFArray(numbers)}))
        tree["ParentTreeNextKey"] = len(pages)
        self.setCatalogEntry("StructTreeRoot", root)
        self.setCatalogEntry("MarkInfo", {"Marked": "true"})
        self.setViewerPreference("DisplayDocTitle", "true")


def build(out: IO[bytes], story: list[Any], *, title: str, author: str, language: str, footer: str) -> None:
    """Write the document. `footer` stands at the foot of every page, beside its number."""
    frame = Frame(MARGIN, 20 * mm, WIDTH, A4[1] - 38 * mm, leftPadding=0, rightPadding=0, topPadding=0, bottomPadding=0)
    document = BaseDocTemplate(
        *(out,),
        pagesize=A4,
        title=title,
        author=author,
        subject=title,
        creator="Havre",
        lang=language,
        initialFontName=BODY,
        pageTemplates=[PageTemplate("page", [frame], onPage=functools.partial(_foot, words=footer))],
    )
    canvas = functools.partial(TaggedCanvas, pdfVersion=(1, 7))
    document.build(list(_with_room(story)), canvasmaker=canvas)


def _with_room(story: list[Any]) -> Iterator[Any]:
    """No heading stands alone at the foot of a page."""
    for one in story:
        if isinstance(one, Text) and one.style.name.startswith("H"):
            yield CondPageBreak(_ROOM)
        yield one


def _foot(canvas: TaggedCanvas, document: BaseDocTemplate, words: str) -> None:
    canvas.decorate()
    canvas.saveState()
    canvas.setStrokeColor(LINE)
    canvas.setLineWidth(0.5)
    canvas.line(MARGIN, 15 * mm, A4[0] - MARGIN, 15 * mm)
    canvas.setFillColor(QUIET)
    canvas.setFont(BODY, 8)
    canvas.drawString(MARGIN, 10.5 * mm, writable(words))
    number = f"{document.page} / "
    begins = A4[0] - MARGIN - 18
    canvas.drawRightString(begins, 10.5 * mm, number)
    canvas.translate(begins, 10.5 * mm - 2)
    canvas.doForm(_TOTAL)
    canvas.restoreState()
    canvas.end_mark()


def _marked_up(text: str, *, bold: bool) -> str:
    """The text as ReportLab's markup: nothing in it is taken for a mark, but two stars where they mean bold."""
    whole = escape(writable(text))
    parts = whole.split("**") if bold else [whole]
    return "".join(f"<b>{one}</b>" if place % 2 else one for place, one in enumerate(parts)).replace("\n", "<br/>")


def writable(text: str) -> str:
    """The text in characters that the fonts have: an accent that they lack is left out, and any other sign that they
    lack shows as a box."""
    known = _known()
    text = text.replace("\u202f", "\u00a0").replace("\u2011", "-")
    if all(ord(one) in known or one == "\n" for one in text):
        return text
    return "".join(one if ord(one) in known or one == "\n" else _instead(one, known) for one in text)


def _instead(character: str, known: frozenset[int]) -> str:
    if unicodedata.category(character) in {"Cc", "Cf"}:
        return " " if character.isspace() else ""
    plain = unicodedata.normalize("NFKD", character)
    return "".join(one for one in plain if ord(one) in known) or "\ufffd"


@functools.cache
def _known() -> frozenset[int]:
    register_fonts()
    faces = (pdfmetrics.getFont(name).face.charToGlyph for name in (BODY, BOLD))
    return frozenset.intersection(*map(frozenset, faces))
