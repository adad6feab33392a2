"""Naming a file's type by what is in it, and noticing when its name says something else."""

import re
import zipfile
import zlib
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
ODT = MediaType("application/vnd.oasis.opendocument.text", "odt", (".odt",))
EPUB = MediaType("application/epub+zip", "epub", (".epub",))
HTML = MediaType("text/html", "html", (".html", ".htm", ".xhtml"))
MARKDOWN = MediaType("text/markdown", "markdown", (".md", ".markdown"))
TEXT = MediaType("text/plain", "text", (".txt", ".text"))
MEDIA_TYPES = (PDF, DOCX, ODT, EPUB, HTML, MARKDOWN, TEXT)

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
_WORD_PART = re.compile(r"^word/document\d*\.xml$")
_PACKAGE = "EncryptedPackage".encode("utf-16-le")
_MAIL = re.compile(rb"\A(?:[A-Za-z-]+:[^\n]*\n(?:[ \t][^\n]*\n)*){0,20}MIME-Version:", re.IGNORECASE)
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
        if _PACKAGE in path.read_bytes():  # the envelope that Office puts around a file with a password
            raise DocumentRejected("encrypted", name=filename)
        raise DocumentRejected("old_office", name=filename)
    if _MAIL.match(head[:8192].replace(b"\r\n", b"\n")):
        raise DocumentRejected("foreign_type", name=filename, kind="mail")
    for magic, kind in _FOREIGN:
        if head.startswith(magic):
            raise DocumentRejected("foreign_type", name=filename, kind=kind)
    return None


def _zip_type(path: Path, filename: str) -> MediaType:
    try:
        with zipfile.ZipFile(path) as archive:
            names = set(archive.namelist())
            declared = _declared(archive)
    except (zipfile.BadZipFile, OSError, EOFError, ValueError, NotImplementedError, RuntimeError, zlib.error) as error:
        named = next((kind for kind in (DOCX, ODT, EPUB) if filename.lower().endswith(kind.extensions)), DOCX)
        raise DocumentRejected("damaged", name=filename, kind=named.kind) from error
    if any(_WORD_PART.match(name) for name in names):
        return DOCX
    if declared in {ODT.media_type, f"{ODT.media_type}-template"}:
        return ODT
    if declared == EPUB.media_type or "META-INF/container.xml" in names:
        return EPUB
    kind = "excel" if "xl/workbook.xml" in names else "powerpoint" if "ppt/presentation.xml" in names else "archive"
    kind = "opendocument" if declared.startswith("application/vnd.oasis.opendocument.") else kind
    raise DocumentRejected("foreign_type", name=filename, kind=kind)


def _declared(archive: zipfile.ZipFile) -> str:
    """The media type that OpenDocument and EPUB archives begin with."""
    if "mimetype" not in archive.namelist():
        return ""
    with archive.open("mimetype") as part:
        return part.read(200).decode("ascii", errors="replace").strip()


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
