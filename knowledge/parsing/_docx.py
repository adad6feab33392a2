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
_LIST_STYLE = re.compile(r"list|liste|puce|bullet|number", re.IGNORECASE)


def parse_docx(data: bytes, name: str, limits: Limits) -> ParsedDocument:
    """The text of a Word document. `name` is for error messages. Raises ParseFailed."""
    _check_archive(data, name, limits)
    import docx
    from docx.opc.exceptions import OpcError
    from lxml.etree import LxmlError  # type: ignore[import-untyped]

    try:
        document = docx.Document(io.BytesIO(data))
        title = document.core_properties.title or ""
        writer = PageWriter()
        for block in document.iter_inner_content():
            _write_block(block, writer)
    except LxmlError as error:
        if "unknown error" in str(error):  # what libxml2 says when it gets no more memory
            raise MemoryError from error
        raise _damaged(name) from error
    except (OpcError, KeyError, ValueError, AttributeError, zipfile.BadZipFile) as error:
        raise _damaged(name) from error
    page = writer.page()
    if not title and page.headings:
        title = page.text[page.headings[0].start : page.headings[0].end]
    return ParsedDocument(" ".join(clean(title).split()), (page,))


def _damaged(name: str) -> ParseFailed:
    return ParseFailed("damaged", f"“{name}” is damaged: it cannot be read as a Word file.")


def _check_archive(data: bytes, name: str, limits: Limits) -> None:
    """Refuse archives that unpack to far more than a document is, before anything unpacks them.

    The sizes in an archive's directory may lie, so the parts are also unpacked once, counting, without being kept.
    """
    too_large = ParseFailed("bomb", f"“{name}” unpacks to far more data than a document has. It was not opened.")
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            entries = archive.infolist()
            if len(entries) > limits.archive_entries or sum(e.file_size for e in entries) > limits.unpacked_bytes:
                raise too_large
            total = 0
            for entry in entries:
                if entry.flag_bits & 1:
                    raise ParseFailed(
                        "encrypted", f"“{name}” is protected by a password. Please upload it without one."
                    )
                size, bound = (
                    0,
                    limits.xml_bytes if entry.filename.endswith((".xml", ".rels")) else limits.unpacked_bytes,
                )
                with archive.open(entry) as part:
                    while block := part.read(1 << 20):
                        size += len(block)
                        total += len(block)
                        if size > bound or total > limits.unpacked_bytes:
                            raise too_large
    except (
        zipfile.BadZipFile,
        OSError,
        EOFError,
        NotImplementedError,
        ValueError,
        zlib.error,
    ) as error:
        raise ParseFailed("damaged", f"“{name}” is damaged: it cannot be opened as a Word file.") from error


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


def _heading_level(paragraph: Any) -> int:
    style = paragraph.style.name or "" if paragraph.style is not None else ""
    if style.lower() in {"title", "titre"}:
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
