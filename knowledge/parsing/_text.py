"""Plain text: finding its encoding, its paragraphs and its underlined or numbered headings."""

import re
import unicodedata

from knowledge.parsing._document import PageWriter, ParsedDocument
from knowledge.parsing._limits import ParseFailed

_BOMS = (
    (b"\xef\xbb\xbf", "utf-8-sig"),
    (b"\xff\xfe\x00\x00", "utf-32"),
    (b"\xff\xfe", "utf-16"),
    (b"\xfe\xff", "utf-16"),
)
_UNSEEN = re.compile("[\x00-\x08\x0e-\x1f\x7f-\x9f\ud800-\udfff]")
_UNDERLINE = re.compile(r"^(=+|-+|~+)\s*$")
_LIST_ITEM = re.compile(r"^\s*(?:[-*•●▪◦–]|\(?\d{1,3}[.)]|[a-z][.)])\s+")


def decode(data: bytes) -> str | None:
    """Text from bytes: by byte order mark, else UTF-8, else UTF-16 without a mark, else Windows-1252; None when it is
    no text."""
    for mark, encoding in _BOMS:
        if data.startswith(mark):
            try:
                return data.decode(encoding)
            except UnicodeDecodeError:
                return None
    for encoding in ("utf-8", *_utf16_guess(data), "cp1252", "latin-1"):
        try:
            text = data.decode(encoding)
        except UnicodeDecodeError:
            continue
        return text if _looks_like_text(text) else None
    return None


def _utf16_guess(data: bytes) -> tuple[str, ...]:
    sample = data[:4096]
    if len(sample) >= 4 and len(data) % 2 == 0:
        if sample[1::2].count(0) > len(sample) * 0.35:
            return ("utf-16-le",)
        if sample[0::2].count(0) > len(sample) * 0.35:
            return ("utf-16-be",)
    return ()


def _looks_like_text(text: str) -> bool:
    sample = text[:200_000]
    strange = sum(1 for char in sample if unicodedata.category(char) in {"Cc", "Cn"} and char not in "\t\n\r\f\v\x85")
    return strange <= len(sample) * 0.002


def parse_text(data: bytes) -> ParsedDocument:
    """Plain text: lines of a paragraph are joined, underlined lines are headings. Raises ParseFailed."""
    text = decode(data)
    if text is None:
        raise ParseFailed("damaged", kind="text")
    writer = PageWriter()
    paragraph: list[str] = []

    def flush() -> None:
        writer.line(" ".join(paragraph))
        paragraph.clear()

    for line in clean(text).split("\n"):
        if not line.strip():
            flush()
        elif _UNDERLINE.match(line) and len(paragraph) == 1 and len(line.strip()) >= 3:
            title = paragraph.pop()
            writer.heading(title, 1 if line.startswith("=") else 2)
        else:
            if _LIST_ITEM.match(line):
                flush()
            paragraph.append(line)
    flush()
    return ParsedDocument("", (writer.page(),))


def clean(text: str) -> str:
    """The same text with one kind of line end and without characters that databases refuse or readers cannot see."""
    text = text.replace("\r\n", "\n").replace("\r", "\n").replace("\f", "\n").replace("\x85", "\n").replace("\v", "\n")
    text = (
        text.replace("\u2028", "\n")
        .replace("\u2029", "\n")
        .replace("\ufeff", "")
        .replace("\u200b", "")
        .replace("\xad", "")
    )
    return _UNSEEN.sub("", text)
