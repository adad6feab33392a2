"""Plain text: finding its encoding, its paragraphs and its underlined or numbered headings."""

import re
import unicodedata
from collections import Counter

from knowledge.parsing._document import PageWriter, ParsedDocument
from knowledge.parsing._limits import ParseFailed

_BOMS = (
    (b"\xef\xbb\xbf", "utf-8-sig"),
    (b"\xff\xfe\x00\x00", "utf-32"),
    (b"\xff\xfe", "utf-16"),
    (b"\xfe\xff", "utf-16"),
)
_UNSEEN = re.compile("[\x00-\x08\x0e-\x1f\x7f-\x9f\ud800-\udfff\u200b\u200e\u200f\u202a-\u202e\u2066-\u2069\ufeff\xad]")
_LETTERS = frozenset("éèêëàâäùûüîïôöçœæñßáíóúãõÉÈÊÀÂÇŒÎÔ’‘“”«»–—…€°²³·•")
_HIGH_BYTES = {0, 3, 4, 5, 6}  # of the first letters of Unicode: Latin, Greek, Cyrillic, Hebrew, Arabic
_STRAY = re.compile("[\udc80-\udcff]")
_MULTIBYTE = re.compile(rb"[\xc3-\xf4][\x80-\xbf]{1,3}")
_UNDERLINE = re.compile(r"^(=+|-+|~+)\s*$")
_LIST_ITEM = re.compile(r"^\s*(?:[-*•●▪◦–]|\(?\d{1,3}[.)]|[a-z][.)])\s+")


def decode(data: bytes) -> str | None:
    """Text from bytes: by byte order mark, else UTF-16 without a mark, UTF-8 (also with a few bytes of Windows-1252 in
    it), else the old code page that gives the most letters; None when it is no text."""
    for mark, encoding in _BOMS:
        if data.startswith(mark):
            try:
                return data.decode(encoding)
            except UnicodeDecodeError:
                return None
    text = _utf16(data)
    if text is None:
        text = _utf8(data)
    if text is None:
        text = _code_page(data)
    return text if _looks_like_text(text) else None


def _utf16(data: bytes) -> str | None:
    """UTF-16 without a mark: every other byte is one of a few."""
    sample = data[:4096]
    for order, high in (("utf-16-le", sample[1::2]), ("utf-16-be", sample[0::2])):
        common = Counter(high).most_common(1)
        if len(sample) >= 4 and common and common[0][0] in _HIGH_BYTES and common[0][1] > 0.5 * len(high):
            text = data[: len(data) // 2 * 2].decode(order, errors="replace")
            letters = sum(char.isalpha() or char.isspace() for char in text[:2048])
            if letters > 0.6 * len(text[:2048]) and "\x00" not in text:
                return text
    return None


def _utf8(data: bytes) -> str | None:
    """UTF-8; where a few bytes in it are not, these are taken for Windows-1252, as texts put together from several
    files have them."""
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError:
        wrong = len(_STRAY.findall(data.decode("utf-8", errors="surrogateescape")))
    right = len(_MULTIBYTE.findall(data))
    if right <= 0.3 * wrong:
        return None
    text = data.decode("utf-8", errors="surrogateescape")
    return _STRAY.sub(lambda found: bytes([ord(found.group()) - 0xDC00]).decode("cp1252", errors="replace"), text)


def _code_page(data: bytes) -> str:
    """A text of one byte a letter: Windows-1252 unless Mac Roman or the DOS code page give clearly more letters."""
    usual = data.decode("cp1252", errors="replace")
    if "\ufffd" in usual:  # bytes that Windows-1252 does not have
        usual = data.decode("latin-1")
    best, most = usual, 1.2 * _letters(usual)
    for encoding in ("mac_roman", "cp850"):
        text = data.decode(encoding)
        if _letters(text) > most:
            best, most = text, _letters(text)
    return best


def _letters(text: str) -> int:
    """How many of the characters beyond ASCII are those that people write most, inside of words or beside them."""
    return sum(char in _LETTERS for char in text[:200_000])


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

    for line in readable(text).split("\n"):
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
    """The same text with one kind of line end and without characters that databases refuse or readers cannot see; text
    from right to left stays in the order in which it is read."""
    text = text.replace("\r\n", "\n").replace("\r", "\n").replace("\f", "\n").replace("\x85", "\n").replace("\v", "\n")
    return _UNSEEN.sub("", text.replace("\u2028", "\n").replace("\u2029", "\n"))


def readable(text: str) -> str:
    """Clean text with each accent in one character with its letter, as keyboards write it."""
    return unicodedata.normalize("NFC", clean(text))
