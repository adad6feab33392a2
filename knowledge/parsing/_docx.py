"""Word documents: paragraphs, headings, list items and table rows in the order in which they stand."""

import io
import re
import zipfile
import zlib
from collections.abc import Iterator
from typing import Any

from knowledge.parsing._document import PageWriter, ParsedDocument
from knowledge.parsing._limits import Limits, ParseFailed
from knowledge.parsing._text import clean

_HEADING_STYLE = re.compile(r"^(?:heading|titre|überschrift|título|titolo|kop)\s*(\d)$", re.IGNORECASE)
_TITLE_STYLES = {"title", "titre"}
_LIST_STYLE = re.compile(r"list|liste|puce|bullet|number", re.IGNORECASE)


def parse_docx(data: bytes, limits: Limits) -> ParsedDocument:
    """The text of a Word document. Raises ParseFailed."""
    _check_archive(data, limits)
    import docx
    from docx.opc.exceptions import OpcError
    from lxml.etree import LxmlError  # type: ignore[import-untyped]

    try:
        document = docx.Document(io.BytesIO(data))
        writer, title = PageWriter(), ""
        for block in document.iter_inner_content():
            title = title or _title(block)
            _write_block(block, writer)
        title = title or document.core_properties.title or ""
    except LxmlError as error:
        if "unknown error" in str(error):  # what libxml2 says when it gets no more memory
            raise MemoryError from error
        raise ParseFailed("damaged", kind="docx") from error
    except (OpcError, KeyError, ValueError, AttributeError, zipfile.BadZipFile) as error:
        raise ParseFailed("damaged", kind="docx") from error
    return ParsedDocument(" ".join(clean(title).split()), (writer.page(),))


def _check_archive(data: bytes, limits: Limits) -> None:
    """Refuse archives that unpack to far more than a document is, before anything unpacks them.

    The sizes in an archive's directory may lie, so the parts are also unpacked once, counting, without being kept.
    """
    too_large = ParseFailed("bomb")
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            entries = archive.infolist()
            if len(entries) > limits.archive_entries or sum(e.file_size for e in entries) > limits.unpacked_bytes:
                raise too_large
            total = 0
            for entry in entries:
                if entry.flag_bits & 1:
                    raise ParseFailed("encrypted")
                size = 0
                bound = limits.xml_bytes if entry.filename.endswith((".xml", ".rels")) else limits.unpacked_bytes
                with archive.open(entry) as part:
                    while block := part.read(1 << 20):
                        size += len(block)
                        total += len(block)
                        if size > bound or total > limits.unpacked_bytes:
                            raise too_large
    except (zipfile.BadZipFile, OSError, EOFError, NotImplementedError, ValueError, zlib.error) as error:
        raise ParseFailed("damaged", kind="docx") from error


def _write_block(block: Any, writer: PageWriter) -> None:
    if hasattr(block, "rows"):
        for cells in _rows(block):
            writer.line(" | ".join(cells) if any(cells) else "")
        return
    text = clean(block.text)
    level = _heading_level(block)
    if level:
        writer.heading(text, level)
        return
    listed = _is_list_item(block)
    for index, line in enumerate(text.split("\n")):
        writer.line(f"• {line}" if listed and index == 0 and line.strip() else line)


def _title(block: Any) -> str:
    """The text of a paragraph in the style that Word has for titles, else an empty one."""
    return "" if hasattr(block, "rows") or _style(block).lower() not in _TITLE_STYLES else str(block.text)


def _style(paragraph: Any) -> str:
    return paragraph.style.name or "" if paragraph.style is not None else ""


def _heading_level(paragraph: Any) -> int:
    style = _style(paragraph)
    if style.lower() in _TITLE_STYLES:
        return 1
    found = _HEADING_STYLE.match(style)
    return min(int(found.group(1)), 6) if found and found.group(1) != "0" else 0


def _is_list_item(paragraph: Any) -> bool:
    properties = paragraph._p.pPr
    if properties is not None and properties.numPr is not None:
        return True
    return bool(paragraph.style is not None and _LIST_STYLE.search(paragraph.style.name or ""))


def _rows(table: Any) -> Iterator[list[str]]:
    """The cells of each row, read from the XML: python-docx's own grid takes seconds and gigabytes on large tables."""
    w = "{http://schemas.openxmlformats.org/wordprocessingml/2006/main}"
    for row in table._tbl.iterchildren(f"{w}tr"):
        cells = []
        for cell in row.iterchildren(f"{w}tc"):
            paragraphs = ("".join(t.text or "" for t in p.iter(f"{w}t")) for p in cell.iter(f"{w}p"))
            cells.append(" ".join(clean(" ".join(paragraphs)).split()))
        yield cells
