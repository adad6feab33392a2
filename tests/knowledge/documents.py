"""Documents made on the fly, good ones and bad ones."""

import io
import zipfile
from collections.abc import Sequence

import docx


def make_pdf(
    pages: Sequence[Sequence[str | tuple[str, float]]],
    *,
    labels: str = "",
    trailer: str = "",
    outline: str = "",
    title: str = "",
) -> bytes:
    """A PDF with the given lines a page, in Helvetica; a line may be (text, size). `labels` is a /PageLabels value,
    `title` what the metadata say."""
    objects: list[bytes] = [
        b"",
        b"",
        b"<< /Type /Font /Subtype /Type1 /BaseFont /Helvetica /Encoding /WinAnsiEncoding >>",
    ]
    kids = []
    for lines in pages:
        stream, top = [], 780.0
        for line in lines:
            text, size = line if isinstance(line, tuple) else (line, 11.0)
            escaped = text.replace("\\", r"\\").replace("(", r"\(").replace(")", r"\)")
            stream.append(f"BT /F1 {size} Tf 60 {top:.1f} Td ({escaped}) Tj ET")
            top -= size * 1.3 if text else 20
        content = "\n".join(stream).encode("cp1252")
        objects.append(b"<< /Length %d >>\nstream\n%s\nendstream" % (len(content), content))
        kids.append(len(objects) + 1)
        objects.append(
            b"<< /Type /Page /Parent 2 0 R /MediaBox [0 0 595 842] /Contents %d 0 R "
            b"/Resources << /Font << /F1 3 0 R >> >> >>" % len(objects)
        )
    objects[0] = f"<< /Type /Catalog /Pages 2 0 R {f'/PageLabels {labels}' if labels else ''} {outline} >>".encode()
    objects[1] = f"<< /Type /Pages /Kids [{' '.join(f'{kid} 0 R' for kid in kids)}] /Count {len(kids)} >>".encode()
    if title:
        objects.append(b"<< /Title <feff%s> >>" % title.encode("utf-16-be").hex().encode())
        trailer += f" /Info {len(objects)} 0 R"
    data, offsets = b"%PDF-1.5\n", []
    for number, body in enumerate(objects, start=1):
        offsets.append(len(data))
        data += b"%d 0 obj\n%s\nendobj\n" % (number, body)
    start = len(data)
    data += b"xref\n0 %d\n0000000000 65535 f \n" % (len(objects) + 1)
    data += b"".join(b"%010d 00000 n \n" % offset for offset in offsets)
    return data + f"trailer << /Size {len(objects) + 1} /Root 1 0 R {trailer} >>\nstartxref\n{start}\n%%EOF\n".encode()


def encrypted_pdf() -> bytes:
    """A PDF whose user password is not the empty one."""
    key = "/Filter /Standard /V 1 /R 2 /P -4 /O <" + "ab" * 32 + "> /U <" + "cd" * 32 + ">"
    return make_pdf([["secret"]], trailer=f"/Encrypt << {key} >> /ID [<{'00' * 16}> <{'00' * 16}>]")


def make_docx(fill: int = 0) -> bytes:
    """A Word file with headings, a list and a table; with `fill`, so many paragraphs more."""
    document = docx.Document()
    document.core_properties.title = "Seclusion protocol"
    document.add_heading("Seclusion protocol", 0)
    document.add_heading("When seclusion is allowed", 1)
    document.add_paragraph("Seclusion is a last resort. A physician decides on it in writing.")
    document.add_paragraph("The room has been checked.", style="List Bullet")
    document.add_paragraph("The door can be seen at all times.", style="List Bullet")
    document.add_heading("Checks", 1)
    table = document.add_table(rows=2, cols=2)
    for cell, text in zip(
        [c for row in table.rows for c in row.cells], ["Check", "Every", "Breathing", "15 minutes"], strict=True
    ):
        cell.text = text
    for number in range(fill):
        document.add_paragraph(f"Paragraph {number} says that observation is written down.")
    target = io.BytesIO()
    document.save(target)
    return target.getvalue()


def bomb_docx(megabytes: int = 60) -> bytes:
    """A small Word file whose text unpacks to very much."""
    target = io.BytesIO()
    with zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("[Content_Types].xml", "<Types/>")
        archive.writestr("word/document.xml", b" " * (megabytes * 1024 * 1024))
    return target.getvalue()


HTML = """<!doctype html><html lang="en"><head><title>Observation levels</title><style>p{color:red}</style></head><body>
<nav><a href="/">Home</a> <a href="/menu">Menu of the hospital</a></nav><header>Banner of the site</header>
<main><h1>Observation levels</h1><p>There are <b>three</b> levels of observation, which the team reviews every day
on the ward together with the patient and, where the patient agrees, with the family.</p>
<h2>Level one</h2><ul><li>The nurse sees the patient every hour.</li><li><p>The checks are written down.</p></li></ul>
<table><tr><th>Level</th><th>Interval</th></tr><tr><td>Two</td><td>15 minutes</td></tr></table>
<script>alert("never")</script></main><footer>Imprint</footer></body></html>"""

MARKDOWN = """---
author: nobody
---
# Leave from the ward

Leave is granted by the physician. It lasts *four hours* at most.

## Before leave

1. The risk is assessed.
2. The telephone number of a relative is known.

| Day | Hours |
|---|---|
| Monday | 4 |

## After leave

The nurse talks with the patient on return. <script>alert(1)</script>
"""

TEXT = """Medication round
================

The round begins at eight. Two nurses take part
and check each name.

- Refusals are written down.
- The physician is told.
"""

_WORD = "http://schemas.openxmlformats.org/wordprocessingml/2006/main"
_OFFICE = "http://schemas.openxmlformats.org/officeDocument/2006/relationships"


def zipped(parts: dict[str, str | bytes], *, stored_first: bool = False) -> bytes:
    """An archive of the given parts; with `stored_first` the first one is not packed, as OpenDocument and EPUB have
    it."""
    target = io.BytesIO()
    with zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED) as archive:
        for index, (name, content) in enumerate(parts.items()):
            packed = zipfile.ZIP_STORED if stored_first and index == 0 else zipfile.ZIP_DEFLATED
            archive.writestr(name, content, packed)
    return target.getvalue()


def word_xml(body: str, *, prolog: str = "", main: str = "word/document.xml", **parts: str) -> bytes:
    """A Word file with the given XML in its body; further parts (styles, numbering, footnotes …) by their names."""
    space = (
        f'xmlns:w="{_WORD}" xmlns:mc="http://schemas.openxmlformats.org/markup-compatibility/2006" '
        'xmlns:wps="http://schemas.microsoft.com/office/word/2010/wordprocessingShape" '
        'xmlns:v="urn:schemas-microsoft-com:vml"'
    )
    relation = f'<Relationship Id="r1" Type="{_OFFICE}/officeDocument" Target="{main}"/>'
    return zipped(
        {
            "[Content_Types].xml": "<Types/>",
            "_rels/.rels": f"<Relationships>{relation}</Relationships>",
            main: f"{prolog}<w:document {space}><w:body>{body}</w:body></w:document>",
            **{f"word/{name}.xml": f"<w:{name} {space}>{content}</w:{name}>" for name, content in parts.items()},
        }
    )


def open_document(body: str, *, styles: str = "", prolog: str = "", **parts: str) -> bytes:
    """An OpenDocument text with the given XML in its body; `styles` are automatic ones."""
    space = " ".join(
        f'xmlns:{name}="urn:oasis:names:tc:opendocument:xmlns:{path}:1.0"'
        for name, path in [
            ("office", "office"), ("text", "text"), ("table", "table"), ("style", "style"), ("draw", "drawing"),
            ("fo", "xsl-fo-compatible"), ("manifest", "manifest"),
        ]
    )  # fmt: skip
    content = (
        f"{prolog}<office:document-content {space}><office:automatic-styles>{styles}</office:automatic-styles>"
        f"<office:body><office:text>{body}</office:text></office:body></office:document-content>"
    )
    return zipped(
        {
            "mimetype": "application/vnd.oasis.opendocument.text",
            "content.xml": content,
            "meta.xml": f"<office:document-meta {space} xmlns:dc='http://purl.org/dc/elements/1.1/'><office:meta>"
            "<dc:title>Leave from the ward</dc:title></office:meta></office:document-meta>",
            **parts,
        },
        stored_first=True,
    )


def epub(chapters: dict[str, str], *, package: str = "", **parts: str | bytes) -> bytes:
    """An EPUB with the given XHTML files, in the order of its spine."""
    items = "".join(
        f'<item id="i{index}" href="{name}" media-type="application/xhtml+xml"/>' for index, name in enumerate(chapters)
    )
    spine = "".join(f'<itemref idref="i{index}"/>' for index in range(len(chapters)))
    package = package or (
        '<package xmlns="http://www.idpf.org/2007/opf" xmlns:dc="http://purl.org/dc/elements/1.1/"><metadata>'
        f"<dc:title>Ward handbook</dc:title></metadata><manifest>{items}</manifest><spine>{spine}</spine></package>"
    )
    container = (
        '<container xmlns="urn:oasis:names:tc:opendocument:xmlns:container"><rootfiles>'
        '<rootfile full-path="OEBPS/content.opf"/></rootfiles></container>'
    )
    return zipped(
        {
            "mimetype": "application/epub+zip",
            "META-INF/container.xml": container,
            "OEBPS/content.opf": package,
            **{f"OEBPS/{name}": content for name, content in chapters.items()},
            **parts,
        },
        stored_first=True,
    )
