"""Naming a file's type by what is in it, and noticing when its name says something else."""

import re
import zipfile
from dataclasses import dataclass
from pathlib import Path, PurePath

from knowledge._errors import DocumentRejected
from knowledge.parsing._text import decode


@dataclass(frozen=True, slots=True)
class MediaType:
    """A type of document that can be read. `kind` stands for it in messages."""

    media_type: str
    kind: str
    extensions: tuple[str, ...]


PDF = MediaType("application/pdf", "pdf", (".pdf",))
DOCX = MediaType("application/vnd.openxmlformats-officedocument.wordprocessingml.document", "docx", (".docx",))
HTML = MediaType("text/html", "html", (".html", ".htm", ".xhtml"))
MARKDOWN = MediaType("text/markdown", "markdown", (".md", ".markdown"))
TEXT = MediaType("text/plain", "text", (".txt", ".text"))
MEDIA_TYPES = (PDF, DOCX, HTML, MARKDOWN, TEXT)

_FOREIGN = (
    (b"\x89PNG", "png"),
    (b"\xff\xd8\xff", "jpeg"),
    (b"GIF8", "gif"),
    (b"II*\x00", "tiff"),
    (b"MM\x00*", "tiff"),
    (b"\x7fELF", "program"),
    (b"MZ", "program"),
    (b"{\\rtf", "rtf"),
    (b"\x1f\x8b", "archive"),
    (b"7z\xbc\xaf", "archive"),
    (b"Rar!", "archive"),
    (b"%!PS", "postscript"),
)
_HTML_START = re.compile(
    rb"\s*(?:<\?xml[^>]*>\s*)?(?:<!--.*?-->\s*)*<(?:!doctype\s+html|html|head|body)\b",
    re.IGNORECASE | re.DOTALL,
)
_HTML_TAG = re.compile(r"</(?:p|div|h[1-6]|li|table|article|section|main|span|body)\s*>", re.IGNORECASE)


def sniff(path: Path, filename: str) -> MediaType:
    """The type of the file at `path`, which its owner calls `filename`.

    Raises DocumentRejected when it is of a type that cannot be read or its name says another type.
    """
    extension = PurePath(filename).suffix.lower()
    named = next((kind for kind in MEDIA_TYPES if extension in kind.extensions), None)
    with path.open("rb") as file:
        head = file.read(65536)
    found = _binary_type(path, head, filename) or _text_type(path, filename, named)
    if named is None and extension and found in {TEXT, MARKDOWN}:
        raise DocumentRejected("unknown_type", name=filename)
    if named is not None and named is not found and not {named, found} <= {TEXT, MARKDOWN}:
        raise DocumentRejected("mislabelled", name=filename, named=named.kind, found=found.kind)
    return named if named is not None and named.media_type.startswith("text/") else found


def _binary_type(path: Path, head: bytes, filename: str) -> MediaType | None:
    if b"%PDF-" in head[:1024]:
        return PDF
    if head.startswith(b"PK"):
        return _zip_type(path, filename)
    if head.startswith(b"\xd0\xcf\x11\xe0"):
        raise DocumentRejected("old_office", name=filename)
    for magic, kind in _FOREIGN:
        if head.startswith(magic):
            raise DocumentRejected("foreign_type", name=filename, kind=kind)
    return None


def _zip_type(path: Path, filename: str) -> MediaType:
    try:
        with zipfile.ZipFile(path) as archive:
            names = set(archive.namelist())
    except (zipfile.BadZipFile, OSError, ValueError, NotImplementedError) as error:
        raise DocumentRejected("damaged", name=filename, kind="docx") from error
    if "word/document.xml" in names:
        return DOCX
    kind = "excel" if "xl/workbook.xml" in names else "powerpoint" if "ppt/presentation.xml" in names else "archive"
    raise DocumentRejected("foreign_type", name=filename, kind=kind)


def _text_type(path: Path, filename: str, named: MediaType | None) -> MediaType:
    data = path.read_bytes() if path.stat().st_size <= 64 * 1024 * 1024 else path.open("rb").read(1024 * 1024)
    text = decode(data)
    if text is None:
        if named:
            raise DocumentRejected("damaged", name=filename, kind=named.kind)
        raise DocumentRejected("unknown_type", name=filename)
    if _HTML_START.match(data[:65536].removeprefix(b"\xef\xbb\xbf")):
        return HTML
    if named is HTML and _HTML_TAG.search(text):
        return HTML
    return MARKDOWN if named is MARKDOWN else TEXT
