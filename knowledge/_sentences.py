"""Where sentences end, in French and English and the languages that are written like them."""

import re
from collections.abc import Iterator

_ABBREVIATIONS = frozenset(
    [
        "dr",
        "drs",
        "mr",
        "mrs",
        "ms",
        "prof",
        "pr",
        "st",
        "ste",
        "mme",
        "mmes",
        "mlle",
        "mm",
        "m",
        "me",
        "cf",
        "ex",
        "vs",
        "etc",
        "al",
        "fig",
        "figs",
        "tab",
        "no",
        "nos",
        "nr",
        "art",
        "arts",
        "chap",
        "vol",
        "ed",
        "eds",
        "éd",
        "env",
        "approx",
        "resp",
        "max",
        "min",
        "dept",
        "tel",
        "tél",
        "réf",
        "ref",
        "p",
        "pp",
        "sect",
        "sec",
        "e.g",
        "i.e",
        "p.ex",
        "c.-à-d",
        "a.m",
        "p.m",
        "n.b",
        "u.s",
        "u.k",
        "ph.d",
        "m.d",
        "inc",
        "ltd",
        "co",
        "bd",
        "av",
        "janv",
        "févr",
        "avr",
        "juil",
        "sept",
        "oct",
        "nov",
        "déc",
        "jan",
        "feb",
        "mar",
        "apr",
        "jun",
        "jul",
        "aug",
        "dec",
    ]
)
_END = re.compile(r"[.!?…]+(?:[\"'”’)\]]|\s?»)*(?=\s)|[。！？؟۔]")
_WORD_BEFORE = re.compile(r"[^\s(\[«“\"]+$")


def sentences(text: str) -> Iterator[tuple[int, int]]:
    """Start and end of each sentence in `text`; white space between them belongs to none. A line's end always ends
    one."""
    place = 0
    for line in text.split("\n"):
        begin = 0
        for found in _END.finditer(line):
            if found.start() >= begin and _ends_sentence(line, begin, found):
                yield from _trimmed(line, begin, found.end(), place)
                begin = found.end()
        yield from _trimmed(line, begin, len(line), place)
        place += len(line) + 1


def _trimmed(line: str, begin: int, end: int, place: int) -> Iterator[tuple[int, int]]:
    piece = line[begin:end]
    if piece.strip():
        yield place + begin + len(piece) - len(piece.lstrip()), place + begin + len(piece.rstrip())


def _ends_sentence(line: str, begin: int, found: re.Match[str]) -> bool:
    after = line[found.end() :].lstrip()
    if not after or found.group()[0] != ".":
        # "!" and "?" inside a quotation or a name go on in lower case
        return not (after and after[0].islower() and found.group()[0] in "!?…")
    if found.group().startswith("..") and after[0].islower():
        return False
    before = _WORD_BEFORE.search(line, 0, found.start())
    word = before.group().lower() if before else ""
    if word.rstrip(".") in _ABBREVIATIONS or (len(word) == 1 and word.isalpha()):
        return False
    if (
        re.fullmatch(r"\(?\d{1,3}|[a-z]|[ivx]+", word)
        and before is not None
        and not line[begin : before.start()].strip()
    ):
        return False  # the number of a list item, "2. Ask …"
    return not after[0].islower()
