"""A page as printed, before it becomes paragraphs: its lines, and where each of their words stands."""

import math
from array import array
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from itertools import accumulate

from knowledge.parsing._boxes import Box, Rect
from knowledge.parsing._document import BlockKind
from knowledge.parsing._text import clean

SOFT_HYPHEN = "\xad"  # one that only a line's end makes visible


_NOWHERE: Rect = (0.0, 0.0, -1.0, -1.0)


@dataclass(frozen=True, slots=True)
class Line:
    """A line as printed: `height` of its first letter, `top` and `left` in points from the page's top left corner.

    The place of its first word in the sheet is `word`; the others follow. `block` is the number, from 1, of the table
    or box that it is part of; a `row` of a table stands for itself.
    """

    text: str
    height: float
    bold: bool
    top: float
    left: float
    word: int = 0
    block: int = 0
    row: bool = False


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

    def extent(self, line: Line) -> Rect:
        """Left, top, right and bottom of all words of a line."""
        places = self.places[4 * line.word : 4 * (line.word + len(line.text.split()))]
        return min(places[0::4]), min(places[1::4]), max(places[2::4]), max(places[3::4])

    def placed(self, places: Iterable[Rect | None]) -> int:
        """Add the places of the words of a new line; gives the number of the first."""
        first = len(self.places) // 4
        for place in places:
            self.places.extend(place or _NOWHERE)
        return first


def locate(text: str, sheet: Sheet) -> Iterator[Box]:
    """Where the words of the cleaned `text` stand, which was made of the sheet's lines in order.

    Cleaning takes characters away, changes white space and joins a word that was broken at a line's end; it neither
    reorders nor writes anything new but separators. So each printed word is found at the place that has been reached
    in the text, with or without the hyphen at its end.
    """
    tokens = text.split()
    starts = list(accumulate((len(token) + 1 for token in tokens), initial=0))  # one separator between two words
    places, width, height = sheet.places, sheet.width, sheet.height
    token, inside, last = 0, 0, len(tokens)  # what has been reached: the token, and how far in it
    for line in sheet.lines:
        at = 4 * line.word - 4
        for printed in line.text.split():
            at += 4
            if token == last:
                return
            wanted = tokens[token]
            if printed == wanted and not inside:  # nearly always
                length = len(printed)
            elif not (length := _matched(wanted, inside, printed)):
                continue
            start = starts[token] + inside
            left, top, right, bottom = places[at : at + 4]
            if sheet.tilt:
                left, top, right, bottom = _tilted(left, top, right, bottom, sheet)
            if 0 <= left < right <= width and 0 <= top < bottom <= height:
                yield start, start + length, left, top, right, bottom
            elif box := _cut(left, top, right, bottom, sheet):
                yield start, start + length, *box
            inside += length
            if inside == len(wanted):
                token, inside = token + 1, 0


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


def _cut(left: float, top: float, right: float, bottom: float, sheet: Sheet) -> Rect | None:
    """A place cut at the edges of the page; None where nothing of it is on the page."""
    left, top, right, bottom = max(left, 0.0), max(top, 0.0), min(right, sheet.width), min(bottom, sheet.height)
    return (left, top, right, bottom) if left < right and top < bottom else None  # not for what is no number either
