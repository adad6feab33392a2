"""PDFs made on the fly from what is drawn on their pages: good ones, strange ones and hostile ones."""

import zlib
from collections.abc import Sequence
from dataclasses import dataclass

FONT = b"<< /Type /Font /Subtype /Type1 /BaseFont /Helvetica /Encoding /WinAnsiEncoding >>"
BOLD = b"<< /Type /Font /Subtype /Type1 /BaseFont /Helvetica-Bold /Encoding /WinAnsiEncoding >>"


@dataclass(frozen=True)
class Sheet:
    """A page: its content stream, its size and whatever else stands in its dictionary. Fonts are /F1 and, bold, /F2."""

    content: str | bytes
    box: str = "[0 0 595 842]"
    extra: str = ""
    resources: str = ""
    packed: bool = False


def words(text: str, x: float, y: float, size: float = 11, font: str = "F1") -> str:
    """A line of text with its baseline at (x, y), from below."""
    escaped = text.replace("\\", r"\\").replace("(", r"\(").replace(")", r"\)")
    return f"BT /{font} {size} Tf {x} {y} Td ({escaped}) Tj ET\n"


def file_of(objects: Sequence[bytes], trailer: str = "") -> bytes:
    """A file of numbered objects, the first of which is the catalogue."""
    data, offsets = b"%PDF-1.7\n", []
    for number, body in enumerate(objects, start=1):
        offsets.append(len(data))
        data += b"%d 0 obj\n%s\nendobj\n" % (number, body)
    start = len(data)
    data += b"xref\n0 %d\n0000000000 65535 f \n" % (len(objects) + 1)
    data += b"".join(b"%010d 00000 n \n" % offset for offset in offsets)
    return data + f"trailer << /Size {len(objects) + 1} /Root 1 0 R {trailer} >>\nstartxref\n{start}\n%%EOF\n".encode()


def stream(content: bytes, *, packed: bool = False, entries: str = "") -> bytes:
    """A stream object."""
    body = zlib.compress(content, 9) if packed else content
    wrapped = "/Filter /FlateDecode" if packed else ""
    return f"<< /Length {len(body)} {wrapped} {entries} >>\nstream\n".encode() + body + b"\nendstream"


def draw(
    sheets: Sequence[Sheet], *, catalogue: str = "", fonts: Sequence[bytes] = (FONT, BOLD), more: Sequence[bytes] = ()
) -> bytes:
    """A PDF of these pages. `more` are further objects, whose numbers begin behind those of the fonts."""
    first = 3 + len(fonts) + len(more)
    kids, pages = [], []
    named = " ".join(f"/F{index + 1} {3 + index} 0 R" for index in range(len(fonts)))
    for index, sheet in enumerate(sheets):
        number = first + 2 * index
        kids.append(f"{number} 0 R")
        page = f"<< /Type /Page /Parent 2 0 R /MediaBox {sheet.box} {sheet.extra} /Contents {number + 1} 0 R "
        pages.append(f"{page} /Resources << /Font << {named} >> {sheet.resources} >> >>".encode())
        content = sheet.content.encode("cp1252") if isinstance(sheet.content, str) else sheet.content
        pages.append(stream(content, packed=sheet.packed))
    tree = f"<< /Type /Pages /Kids [{' '.join(kids)}] /Count {len(kids)} >>".encode()
    return file_of([f"<< /Type /Catalog /Pages 2 0 R {catalogue} >>".encode(), tree, *fonts, *more, *pages])


def grid(left: float, top: float, columns: Sequence[float], rows: Sequence[float]) -> str:
    """The rules of a table, its upper left corner at (left, top), from below, with these widths and heights."""
    right, bottom = left + sum(columns), top - sum(rows)
    lines, x, y = ["1 w"], left, top
    for width in (0.0, *columns):
        x += width
        lines.append(f"{x} {top} m {x} {bottom} l S")
    for height in (0.0, *rows):
        y -= height
        lines.append(f"{left} {y} m {right} {y} l S")
    return "\n".join(lines) + "\n"
