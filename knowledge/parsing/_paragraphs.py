"""From the kept lines of a page to its text: paragraphs, list items, headings, and the rows of tables and boxes."""

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

from knowledge.parsing._document import BlockKind, PageWriter, ParsedPage
from knowledge.parsing._sheet import SOFT_HYPHEN, Line, Sheet
from knowledge.parsing._text import clean

ITEM = re.compile(r"^(?:[•●▪■◦○‣⁃·*–—-]|[\uf0a7\uf0b7\uf06e]|\(?\d{1,3}[.)]|\(?[a-zA-Z][.)])\s+\S")
_BROKEN_WORD = re.compile(r"([^\W\d_]+(?:-[^\W\d_]+)*)-$")
_WORD = re.compile(r"[^\W\d_]+(?:-[^\W\d_]+)*")
_ENDS = (".", "!", "?", ":", "…", ".”", ".»", ".)")
_NEAR = 8  # lines before and after, of which the edge of a column is told
_LONGEST_HEADING = 140  # characters


@dataclass(frozen=True, slots=True)
class Wording:
    """How a document writes: how often each of its words occurs, and whether lines are set with hyphenation, where a
    hyphen at a line's end is rarely the word's own."""

    words: Counter[str]
    hyphenated: bool

    @classmethod
    def of(cls, pages: list[list[Line]]) -> "Wording":
        """The wording of a document."""
        words: Counter[str] = Counter()
        for page in pages:
            words.update(_WORD.findall("\n".join([line.text for line in page]).lower()))
        ends = sum(1 for page in pages for line in page if line.text.rstrip().endswith("-"))
        return cls(words, ends > max(1, len(pages)))

    def keeps_hyphen(self, head: str, tail: str) -> bool:
        """Whether the hyphen between two parts at a line's end is the word's own: the document writes the word so
        elsewhere, or knows both parts as words (each is seen here once), or is not set with hyphenation at all."""
        head, tail = head.lower(), tail.lower()
        whole, compound = self.words[head + tail], self.words[f"{head}-{tail}"]
        if whole != compound:
            return compound > whole
        return not self.hyphenated or (self.words[head] > 1 and self.words[tail] > 1)


def compose(sheet: Sheet, levels: Mapping[int, int], wording: Wording, number: int, label: str) -> ParsedPage:
    """The text of a page; `levels` are the levels of the lines that are headings."""
    return _Composer(sheet, levels, wording).page(number, label)


class _Composer:
    def __init__(self, sheet: Sheet, levels: Mapping[int, int], wording: Wording) -> None:
        self._sheet, self._lines, self._wording = sheet, sheet.lines, wording
        self._kinds = _kept_blocks(sheet, levels)
        self._levels = {i: level for i, level in levels.items() if sheet.lines[i].block not in self._kinds}
        self._writer = PageWriter()
        self._leading = leading(self._lines)
        self._paragraph = ""

    def page(self, number: int, label: str) -> ParsedPage:
        """Write all lines."""
        block = begun = index = 0
        while index < len(self._lines):
            line = self._lines[index]
            now = line.block if line.block in self._kinds else 0
            if now != block:
                self._flush()
                if block:
                    self._writer.block(begun, self._kinds[block])
                block, begun = now, self._writer.place
            if index in self._levels:
                index = self._heading(index)
                continue
            if self._paragraph and (line.row or self._starts_paragraph(index)):
                self._flush()
            if self._paragraph:
                self._paragraph = self._join(self._paragraph, line.text)
            else:
                self._paragraph = _visible(line.text, keep_end=not line.row)
            index += 1
        self._flush()
        if block:
            self._writer.block(begun, self._kinds[block])
        return self._writer.page(number, label)

    def _flush(self) -> None:
        self._writer.line(_visible(self._paragraph))
        self._paragraph = ""

    def _heading(self, index: int) -> int:
        """Write a heading, which may go over several lines; gives the index of the line after it."""
        self._flush()
        line, text, last = self._lines[index], self._lines[index].text, index
        while (
            self._levels.get(last + 1) == self._levels[index]
            and self._lines[last + 1].height == line.height
            and len(text) < _LONGEST_HEADING
            and not had_room(self._lines, self._sheet.places, last + 1)
        ):
            last += 1
            text = self._join(text, self._lines[last].text)
        self._writer.heading(_visible(text), self._levels[index])
        return last + 1

    def _starts_paragraph(self, index: int) -> bool:
        """Whether the line begins a paragraph or an item of a list, or goes on with that of the line before."""
        before, line = self._lines[index - 1], self._lines[index]
        if before.row or line.item or ITEM.match(line.text.strip()):
            return True
        text, after = before.text.rstrip(), line.text.lstrip()
        ended, capital = text.endswith(_ENDS), after[:1].isupper()
        if before.height and line.height:
            if abs(line.height - before.height) > 0.2 * before.height:
                return True
            gap = line.top - before.top
            if gap < -0.5 * before.height:  # the next column
                return ended or not after[:1].islower()
            if gap > 1.25 * max(self._leading, before.height):  # white space
                return True
        return (ended or capital) and had_room(self._lines, self._sheet.places, index)

    def _join(self, before: str, after: str) -> str:
        """Two lines of a paragraph as one, a word broken at the end of the first made whole."""
        before, after = before.rstrip(), _visible(after, keep_end=True).lstrip()
        if before.endswith(SOFT_HYPHEN):
            return before.rstrip(SOFT_HYPHEN) + after
        if not before.endswith("-"):
            return f"{before} {after}"
        head, tail = _BROKEN_WORD.search(before[-80:]), re.match(r"[^\W\d_]+", after)
        if not head:
            return f"{before} {after}"
        if not tail or not after[0].islower():
            return before + after
        return before + after if self._wording.keeps_hyphen(head.group(1), tail.group()) else before[:-1] + after


def _kept_blocks(sheet: Sheet, levels: Mapping[int, int]) -> dict[int, BlockKind]:
    """The blocks of a page by number, with their kinds. A box with a heading below its first lines is a panel of the
    page's layout, with sections of its own."""
    kinds = dict(enumerate(sheet.blocks, start=1))
    places: dict[int, int] = {}
    open_heading: set[int] = set()
    for index, line in enumerate(sheet.lines):
        if not line.block:
            continue
        place = places[line.block] = places.get(line.block, -1) + 1
        if index in levels and (place == 0 or line.block in open_heading):
            open_heading.add(line.block)
        elif index in levels:
            kinds.pop(line.block, None)
        else:
            open_heading.discard(line.block)
    return kinds


def had_room(lines: Sequence[Line], places: Sequence[float], index: int) -> bool:
    """Whether the first word of a line would have found room on the line before, which therefore ends a heading, a
    paragraph, or an item of a list whose marks are drawn, not written."""
    before, at = lines[index - 1], 4 * lines[index].word
    need = places[at + 2] - places[at]
    edge = right = before.right
    for other in lines[max(0, index - 1 - _NEAR) : index + _NEAR]:
        if (
            other.right > edge
            and other.left < right
            and other.block == before.block
            and abs(other.height - before.height) <= 0.2 * before.height
        ):
            edge = other.right  # of the same column
    return edge - right > 1.1 * need + 0.5 * before.height


def leading(lines: Sequence[Line]) -> float:
    """The distance of two lines of one paragraph, in points: the smallest that is common on the page."""
    gaps = Counter(
        round((b.top - a.top) * 2) / 2
        for a, b in pairwise(lines)
        if a.height and a.height == b.height and 0.7 * a.height < b.top - a.top < 4 * a.height
    )
    common = [gap for gap, count in gaps.items() if count >= 0.15 * gaps.total()]
    return min(common, default=0.0)


def _visible(text: str, keep_end: bool = False) -> str:
    """Without what readers cannot see, except (for joining) a soft hyphen at the very end."""
    text = text.rstrip() if keep_end else text
    if text.isprintable():  # nearly always
        return text
    end = SOFT_HYPHEN if keep_end and text.endswith(SOFT_HYPHEN) else ""
    return clean(text) + end
