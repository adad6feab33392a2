"""A page as printed, before it becomes paragraphs: its lines, and where each of their words stands."""

import math
from array import array
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace
from itertools import accumulate
from operator import lt

from knowledge.parsing._boxes import Rect, pack_columns
from knowledge.parsing._document import BlockKind
from knowledge.parsing._text import clean

SOFT_HYPHEN = "\xad"  # one that only a line's end makes visible


_NOWHERE: Rect = (0.0, 0.0, -1.0, -1.0)


@dataclass(slots=True)  # not frozen: making one would take four times as long
class Line:
    """A line as printed: `height` of its letters; `top`, `left` and `right` in points from the page's top left corner.

    The place of its first word in the sheet is `word`; the others follow. `block` is the number, from 1, of the table
    or box that it is part of; a `row` of a table stands for itself. An `item` begins an item of a list whose mark is
    drawn, not written.
    """

    text: str
    height: float
    bold: bool
    top: float
    left: float
    right: float
    word: int = 0
    block: int = 0
    row: bool = False
    item: bool = False

    def without_first(self, text: str, left: float) -> "Line":
        """The line without its first word; `text` is what is left of it, which begins at `left`."""
        return replace(self, text=text, left=left, word=self.word + 1)

    @property
    def place(self) -> Rect:
        """Where the line stands."""
        return self.left, self.top, self.right, self.top + self.height


@dataclass(frozen=True, slots=True)
class Word:
    """A word as printed, with its number in the sheet."""

    text: str
    left: float
    top: float
    right: float
    bottom: float
    number: int
    bold: bool = False

    @property
    def place(self) -> Rect:
        """Where it stands."""
        return self.left, self.top, self.right, self.bottom

    @property
    def centre(self) -> tuple[float, float]:
        """Its middle."""
        return (self.left + self.right) / 2, (self.top + self.bottom) / 2


@dataclass(slots=True)
class Sheet:
    """The lines of a page in reading order.

    `places` has left, top, right and bottom of each word (what `str.split` gives of a line's text), packed because a
    document may have millions; a word without a place has right < left. `blocks` are the kinds of the page's tables and
    boxes. The words of a `picture`, if it has any, are drawn or photographed; with `ocr` they have been read off it. On
    a page that was scanned askew, so that lines run downhill by `tilt` degrees, places are as if they ran level.
    """

    lines: list[Line] = field(default_factory=list)
    places: "array[float]" = field(default_factory=lambda: array("f"))
    width: float = 0.0
    height: float = 0.0
    blocks: list[BlockKind] = field(default_factory=list)
    picture: bool = False
    ocr: bool = False
    tilt: float = 0.0

    def words(self, line: Line) -> Iterator[Word]:
        """The words of a line with their places."""
        for number, text in enumerate(line.text.split(), line.word):
            left, top, right, bottom = self.places[4 * number : 4 * number + 4]
            yield Word(text, left, top, right, bottom, number, line.bold)

    def placed(self, places: Iterable[Rect | None]) -> int:
        """Add the places of the words of a new line; gives the number of the first."""
        first = len(self.places) // 4
        for place in places:
            self.places.extend(place or _NOWHERE)
        return first


@dataclass(slots=True)
class Located:
    """Where the words of a page's text stand, in columns, for a document has many: where each begins in the text, its
    length, and its place in points."""

    starts: list[int] = field(default_factory=list)
    lengths: list[int] = field(default_factory=list)
    lefts: list[float] = field(default_factory=list)
    tops: list[float] = field(default_factory=list)
    rights: list[float] = field(default_factory=list)
    bottoms: list[float] = field(default_factory=list)

    def packed(self) -> bytes:
        """As they are stored."""
        return pack_columns(self.starts, self.lengths, (self.lefts, self.tops, self.rights, self.bottoms))


def locate(text: str, sheet: Sheet) -> Located:
    """Where the words of the cleaned `text` stand, which was made of the sheet's lines in order.

    Cleaning takes characters away, changes white space and joins a word that was broken at a line's end; it neither
    reorders nor writes anything new but separators. So each printed word is found at the place that has been reached
    in the text, with or without the hyphen at its end.
    """
    tokens = text.split()
    lengths = list(map(len, tokens))
    starts = list(accumulate(map((1).__add__, lengths), initial=0))  # one separator between two words
    found, places = Located(), sheet.places
    plain = _on_page(sheet)
    token = inside = 0  # what has been reached: the token, and how far in it
    for line in sheet.lines:
        words, at = line.text.split(), 4 * line.word
        past = token + len(words)
        if plain and not inside and tokens[token:past] == words:
            end = at + 4 * len(words)  # nearly always
            found.starts += starts[token:past]
            found.lengths += lengths[token:past]
            found.lefts += places[at:end:4]
            found.tops += places[at + 1 : end : 4]
            found.rights += places[at + 2 : end : 4]
            found.bottoms += places[at + 3 : end : 4]
            token = past
            continue
        for number, word in enumerate(words, line.word):
            if token == len(tokens):
                return found
            length = _matched(tokens[token], inside, word)
            if not length:
                continue
            _add(found, starts[token] + inside, length, sheet, number)
            inside += length
            if inside == lengths[token]:
                token, inside = token + 1, 0
    return found


def _on_page(sheet: Sheet) -> bool:
    """Whether all words of a page stand on it and none has to be moved."""
    places = sheet.places
    return (
        not sheet.tilt
        and len(places) > 0
        and min(places[0::4]) >= 0
        and min(places[1::4]) >= 0
        and max(places[2::4]) <= sheet.width
        and max(places[3::4]) <= sheet.height
        and all(map(lt, places[0::4], places[2::4]))
        and all(map(lt, places[1::4], places[3::4]))
    )


def _add(found: Located, start: int, length: int, sheet: Sheet, number: int) -> None:
    """Add the place of one word, cut at the edges of the page, unless nothing of it is on the page."""
    left, top, right, bottom = sheet.places[4 * number : 4 * number + 4]
    if sheet.tilt:
        left, top, right, bottom = _tilted(left, top, right, bottom, sheet)
    left, top, right, bottom = max(left, 0.0), max(top, 0.0), min(right, sheet.width), min(bottom, sheet.height)
    if left < right and top < bottom:  # not so for what is no number either
        found.starts.append(start)
        found.lengths.append(length)
        found.lefts.append(left)
        found.tops.append(top)
        found.rights.append(right)
        found.bottoms.append(bottom)


def _matched(wanted: str, inside: int, printed: str) -> int:
    """How many characters of `wanted`, from `inside` on, a printed word is; 0 for a word that cleaning left out."""
    seen = clean(printed).strip()
    for candidate in (seen, seen.removesuffix("-")):
        if candidate and wanted.startswith(candidate, inside):
            return len(candidate)
    return 0


def _tilted(left: float, top: float, right: float, bottom: float, sheet: Sheet) -> Rect:
    """Where a word stands on a page that was scanned askew: its middle turned back about that of the page."""
    angle = math.radians(sheet.tilt)
    x, y = (left + right) / 2 - sheet.width / 2, (top + bottom) / 2 - sheet.height / 2
    across = x * math.cos(angle) - y * math.sin(angle) - x
    down = x * math.sin(angle) + y * math.cos(angle) - y
    return left + across, top + down, right + across, bottom + down
