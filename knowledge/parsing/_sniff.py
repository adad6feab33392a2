"""Naming a file's type by what is in it, and noticing when its name says something else."""

import re
import zipfile
from dataclasses import dataclass
from pathlib import Path, PurePath

from knowledge.parsing._limits import ParseFailed
from knowledge.parsing._text import decode


@dataclass(frozen=True, slots=True)
class MediaType:
    """A type of document that can be read. `name` is how people call it."""

    media_type: str
    name: str
    extensions: tuple[str, ...]


PDF = MediaType("application/pdf", "PDF", (".pdf",))
DOCX = MediaType("application/vnd.openxmlformats-officedocument.wordprocessingml.document", "Word (.docx)", (".docx",))
HTML = MediaType("text/html", "HTML", (".html", ".htm", ".xhtml"))
MARKDOWN = MediaType("text/markdown", "Markdown", (".md", ".markdown"))
TEXT = MediaType("text/plain", "plain text", (".txt", ".text"))
MEDIA_TYPES = (PDF, DOCX, HTML, MARKDOWN, TEXT)
READABLE = "Havre reads PDF, Word (.docx), HTML, Markdown and plain text."

_FOREIGN = (
    (b"\x89PNG", "a PNG image"),
    (b"\xff\xd8\xff", "a JPEG image"),
    (b"GIF8", "a GIF image"),
    (b"II*\x00", "a TIFF image"),
    (b"MM\x00*", "a TIFF image"),
    (b"\x7fELF", "a program"),
    (b"MZ", "a program"),
    (b"{\\rtf", "an RTF file"),
    (b"\x1f\x8b", "a gzip archive"),
    (b"7z\xbc\xaf", "a 7z archive"),
    (b"Rar!", "a RAR archive"),
    (b"%!PS", "a PostScript file"),
)
_HTML_START = re.compile(
    rb"\s*(?:<\?xml[^>]*>\s*)?(?:<!--.*?-->\s*)*<(?:!doctype\s+html|html|head|body)\b",
    re.IGNORECASE | re.DOTALL,
)
_HTML_TAG = re.compile(r"</(?:p|div|h[1-6]|li|table|article|section|main|span|body)\s*>", re.IGNORECASE)


def sniff(path: Path, filename: str) -> MediaType:
    """The type of the file at `path`, which its owner calls `filename`.

    Raises ParseFailed with a sentence when it is of a type that cannot be read or its name says another type.
    """
    extension = PurePath(filename).suffix.lower()
    named = next((kind for kind in MEDIA_TYPES if extension in kind.extensions), None)
    with path.open("rb") as file:
        head = file.read(65536)
    found = _binary_type(path, head, filename) or _text_type(path, filename, named)
    if named is None and extension and found in {TEXT, MARKDOWN}:
        raise ParseFailed("unknown_type", f"“{filename}” is of a type that cannot be read. {READABLE}")
    if named is not None and named is not found and not {named, found} <= {TEXT, MARKDOWN}:
        raise ParseFailed(
            "mislabelled",
            f"“{filename}” is named like {named.name}, but its content is {found.name}. "
            "Please check the file and save it under the right name.",
        )
    return named if named is not None and named.media_type.startswith("text/") else found


def _binary_type(path: Path, head: bytes, filename: str) -> MediaType | None:
    if b"%PDF-" in head[:1024]:
        return PDF
    if head.startswith(b"PK"):
        return _zip_type(path, filename)
    if head.startswith(b"\xd0\xcf\x11\xe0"):
        raise ParseFailed(
            "old_office",
            f"“{filename}” is an Office file of the old kind (.doc) or protected by a password. "
            "Please save it as .docx without a password, or as PDF.",
        )
    for magic, name in _FOREIGN:
        if head.startswith(magic):
            raise ParseFailed("unknown_type", f"“{filename}” is {name}, not a document with text. {READABLE}")
    return None


def _zip_type(path: Path, filename: str) -> MediaType:
    try:
        with zipfile.ZipFile(path) as archive:
            names = set(archive.namelist())
    except (zipfile.BadZipFile, OSError, ValueError, NotImplementedError) as error:
        raise ParseFailed("damaged", f"“{filename}” is damaged: it cannot be opened as a Word file.") from error
    if "word/document.xml" in names:
        return DOCX
    for part, name in (
        ("xl/workbook.xml", "an Excel workbook"),
        ("ppt/presentation.xml", "a PowerPoint file"),
    ):
        if part in names:
            raise ParseFailed("unknown_type", f"“{filename}” is {name}, which cannot be read. {READABLE}")
    raise ParseFailed("unknown_type", f"“{filename}” is an archive, not a document. {READABLE}")


def _text_type(path: Path, filename: str, named: MediaType | None) -> MediaType:
    data = path.read_bytes() if path.stat().st_size <= 64 * 1024 * 1024 else path.open("rb").read(1024 * 1024)
    text = decode(data)
    if text is None:
        extension = f" named {named.name}" if named else ""
        raise ParseFailed(
            "damaged" if named else "unknown_type",
            f"“{filename}” is not a readable document{extension}: its content is neither text nor a known format. "
            + READABLE,
        )
    if _HTML_START.match(data[:65536].removeprefix(b"\xef\xbb\xbf")):
        return HTML
    if named is HTML and _HTML_TAG.search(text):
        return HTML
    return MARKDOWN if named is MARKDOWN else TEXT
