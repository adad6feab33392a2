"""PDF through pdfium: lines with their size and place, printed page labels, outline."""

import re
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import islice
from pathlib import Path
from typing import Any

from knowledge.parsing._blocks import mark_blocks
from knowledge.parsing._document import ParsedDocument
from knowledge.parsing._items import mark_items
from knowledge.parsing._layout import OutlineEntry, lay_out
from knowledge.parsing._limits import Limits, OnPage, ParseFailed, silent
from knowledge.parsing._lines import frame_of, read_sheet
from knowledge.parsing._order import put_in_order
from knowledge.parsing._shapes import outermost, read_shapes
from knowledge.parsing._sheet import Sheet

_EMPTY_TREE = re.compile(rb"/Count\s+0\b")  # pdfium refuses a file without pages and calls that success
_ENCRYPTED = 4  # FPDF_ERR_PASSWORD
_STAMP = 30  # letters that a page may have beside a scanned image and still be one


@contextmanager
def opened(path: Path) -> Iterator[Any]:
    """The document of pdfium at `path`, which has pages. Raises ParseFailed."""
    import pypdfium2 as pdfium

    try:
        document = pdfium.PdfDocument(path)
    except pdfium.PdfiumError as error:
        if getattr(error, "err_code", None) == _ENCRYPTED:
            raise ParseFailed("encrypted") from error
        if getattr(error, "err_code", None) == 0 and _EMPTY_TREE.search(path.read_bytes()):
            raise ParseFailed("no_pages") from error
        raise ParseFailed("damaged", kind="pdf") from error
    with document:
        if len(document) == 0:
            raise ParseFailed("no_pages")
        yield document


def parse_pdf(
    path: Path, limits: Limits, first: int | None = None, *, ocr: str = "", on_page: OnPage = silent
) -> ParsedDocument:
    """The text of a PDF, page by page; of its `first` pages alone where that is given.

    With `ocr`, pages that are pictures are read as well; without it a document of nothing else is a "scan". Raises
    ParseFailed.
    """
    with opened(path) as document:
        count = len(document)
        if count > limits.pages:
            raise ParseFailed("too_many_pages", pages=count, most=limits.pages)
        count = min(count, first or count)
        sheets, unreadable = _read_pages(document, count, limits, on_page)
        if unreadable == count:
            raise ParseFailed("damaged", kind="pdf")
        if ocr:
            _read_pictures(document, sheets, limits, on_page)
        elif all(sheet.picture or not _letters(sheet, 1) for sheet in sheets):
            raise ParseFailed("scan")
        labels = [document.get_page_label(index) or "" for index in range(count)]
        title = (document.get_metadata_value("Title") or "").strip()
        return ParsedDocument(title, lay_out(sheets, labels, _outline(document)))


def _read_pages(document: Any, count: int, limits: Limits, on_page: OnPage) -> tuple[list[Sheet], int]:
    import pypdfium2 as pdfium

    sheets: list[Sheet] = []
    unreadable = characters = 0
    for index in range(count):
        sheet = Sheet()
        try:
            page = document[index]
            try:
                sheet = _read_page(page)
            finally:
                page.close()
        except pdfium.PdfiumError:
            unreadable += 1
        characters += sum(len(line.text) for line in sheet.lines)
        if characters > limits.characters:
            raise ParseFailed("too_much_text")
        on_page(index + 1, count, "text")
        sheets.append(sheet)
    return sheets, unreadable


def _read_page(page: Any) -> Sheet:
    frame = frame_of(page)
    sheet = read_sheet(page, frame)
    shapes = read_shapes(page, frame)
    mark_items(sheet.lines, shapes.dots)
    panels = outermost(shapes.panels, sheet.width, sheet.height)
    put_in_order(sheet, panels)
    mark_blocks(sheet, shapes.rules, panels)
    letters = _letters(sheet, _STAMP + 1)
    covered = sum((right - left) * (bottom - top) for left, top, right, bottom in shapes.pictures)
    large = covered > 0.5 * sheet.width * sheet.height
    sheet.picture = letters <= _STAMP and (large or (letters == 0 and shapes.objects > 0))
    return sheet


def _letters(sheet: Sheet, most: int) -> int:
    """How many letters and digits a page has, counted up to `most`."""
    return sum(1 for _ in islice((char for line in sheet.lines for char in line.text if char.isalnum()), most))


def _read_pictures(document: Any, sheets: list[Sheet], limits: Limits, on_page: OnPage) -> None:
    """Read the pages that are pictures by OCR, in place of the stamp or page number that they may have as text."""
    import pypdfium2 as pdfium

    waiting = [index for index, sheet in enumerate(sheets) if sheet.picture]
    if len(waiting) > limits.ocr_pages:
        raise ParseFailed("too_many_pages", pages=len(waiting), most=limits.ocr_pages)
    if not waiting:
        return
    from knowledge.parsing._ocr import Reader

    reader = Reader()
    on_page(0, len(waiting), "ocr")
    for done, index in enumerate(waiting, start=1):
        try:
            page = document[index]
            try:
                sheet, rules = reader.read(page)
            finally:
                page.close()
        except (pdfium.PdfiumError, ValueError, OverflowError):
            continue  # a page that cannot be drawn keeps the text that it has
        mark_blocks(sheet, rules, [])
        sheets[index] = sheet
        on_page(done, len(waiting), "ocr")


def _outline(document: Any) -> list[OutlineEntry]:
    import pypdfium2 as pdfium

    entries = []
    try:
        for bookmark in document.get_toc(max_depth=6):
            destination = bookmark.get_dest()
            index = destination.get_index() if destination else None
            if index is not None:
                entries.append(OutlineEntry(bookmark.get_title(), index, bookmark.level + 1))
            if len(entries) > 20_000:
                break
    except pdfium.PdfiumError:
        return []
    # A bookmark a page ("page 1", "page 2" …) is an aid for turning pages, not an outline.
    common = Counter(entry.title.rstrip("0123456789 ") for entry in entries).most_common(1)
    return [] if common and len(entries) > 3 and common[0][1] > len(entries) * 0.8 else entries
