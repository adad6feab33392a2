"""Cutting pages into chunks: whole sentences, tables and boxes of one section, small enough for the embedder."""

import re
from bisect import bisect_right
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from itertools import accumulate
from math import ceil, inf
from typing import Literal

from knowledge._sentences import goes_on, sentences
from knowledge.parsing import ParsedPage

SEPARATOR = " › "
Count = Callable[[str], int]
Kind = Literal["text", "table", "box"]
_Unit = tuple[int, int, int]  # start, end, tokens
_FOOTNOTE = re.compile(r"^(?:\d{1,3}|[*†‡§]{1,3}|\[\d{1,3}\])\s*[^\W\d_]")
_COUNTED = 20_000  # characters; the tokens of a longer text are guessed, it is cut anyway
_MANY = 1000  # sentences of one section
_FOOTNOTES = 8  # lines at the foot of a page that a sentence may leap over
_PREFERENCE = 0.15  # how much better a cut between paragraphs is than one inside of one, in squared shares of the size


@dataclass(frozen=True, slots=True)
class Sizes:
    """How large chunks are, in tokens of the embedder.

    Title and headings are put before the text, so `most` stays well below what the embedder reads. A section smaller
    than `small` is put together with the next. A sentence or table row longer than `longest` (a text without
    punctuation) is cut after all.
    """

    most: int = 410
    small: int = 150
    longest: int = 600

    @classmethod
    def fitting(cls, positions: int) -> "Sizes":
        """The sizes for an embedder that reads so many tokens at once."""
        most = min(450, positions * 4 // 5)
        return cls(most, 150 if most >= 400 else most * 3 // 10)


@dataclass(frozen=True, slots=True)
class Piece:
    """A chunk before it is stored: from `start` of the text of `page` to `end` of that of `last_page`, under a path of
    headings. `text` is what stands between, pages joined by a line break."""

    page: ParsedPage
    start: int
    last_page: ParsedPage
    end: int
    heading: str
    kind: Kind
    text: str


@dataclass(frozen=True, slots=True)
class _Atom:
    """What is never cut but in need, at `start` to `end` of the whole text: a heading (`level` above 0), a sentence, a
    table or a box."""

    start: int
    end: int
    page: int
    kind: Kind = "text"
    level: int = 0


@dataclass(slots=True)
class _Run:
    """What stands in a row on one page under one path of headings and is of one kind: spans with their tokens."""

    path: tuple[str, ...]
    page: int
    kind: Kind = "text"
    head: _Atom | None = None  # the heading at its top, the last of `path`
    head_tokens: int = 0
    units: list[_Unit] = field(default_factory=list)

    @property
    def tokens(self) -> int:
        return sum(tokens for _, _, tokens in self.units) + self.head_tokens


def cut(pages: Sequence[ParsedPage], count: Count, sizes: Sizes | None = None) -> Iterator[Piece]:
    """The chunks of a document in order. `count` gives the number of tokens of a text.

    No chunk crosses a page, because a citation names one, except to bring the sentence to its end that goes on there.
    Headings stand in the path of what is below them; one with nothing below it is kept as text, so that no word of the
    document is lost.
    """
    sizes = sizes or Sizes()
    text = "\n".join(page.text for page in pages)
    starts = [0, *accumulate(len(page.text) + 1 for page in pages)]
    atoms = _with_lonely_headings(_whole_sentences(list(_atoms(pages, starts)), text))
    for group in _merged(_runs(atoms, text, count, sizes), sizes):
        heading, spans = _spans(group, text, sizes)
        for start, end in spans:
            first, last = bisect_right(starts, start) - 1, bisect_right(starts, end - 1) - 1
            yield Piece(
                pages[first], start - starts[first], pages[last], end - starts[last], heading, group[-1].kind,
                text[start:end],
            )  # fmt: skip


def _atoms(pages: Sequence[ParsedPage], starts: Sequence[int]) -> Iterator[_Atom]:
    """Headings, sentences and blocks in order. A heading inside a block is words of the block."""
    for index, (page, offset) in enumerate(zip(pages, starts, strict=False)):
        marks = [_Atom(block.start, block.end, index, block.kind) for block in page.blocks]
        marks += [_Atom(heading.start, heading.end, index, level=heading.level) for heading in page.headings]
        place = 0
        for mark in (*sorted(marks, key=lambda m: (m.start, -m.end)), _Atom(len(page.text), len(page.text), index)):
            if mark.start < place:
                continue
            for start, end in sentences(page.text[place : mark.start]):
                yield _Atom(offset + place + start, offset + place + end, index)
            words = page.text[mark.start : mark.end]
            if words.strip():
                start = offset + mark.start + len(words) - len(words.lstrip())
                yield replace(mark, start=start, end=start + len(words.strip()))
            place = mark.end


def _whole_sentences(atoms: list[_Atom], text: str) -> list[_Atom]:
    """With a sentence that goes on on the next page made one, footnotes between its halves included. It counts as
    standing where it begins."""
    whole: list[_Atom] = []
    for index, atom in enumerate(atoms):
        begun = None
        if index and atom.page > atoms[index - 1].page and _is_sentence(atom):
            begun = _open_end(whole, text, text[atom.start : atom.end])
        if begun is None:
            whole.append(atom)
        else:
            whole[begun:] = [replace(whole[begun], end=atom.end)]
    return whole


def _open_end(atoms: list[_Atom], text: str, after: str) -> int | None:
    """Which of the last sentences of a page, footnotes not counted, goes on in `after`."""
    for index in range(len(atoms) - 1, max(-1, len(atoms) - 1 - _FOOTNOTES), -1):
        atom = atoms[index]
        words = text[atom.start : atom.end]
        if atom.page != atoms[-1].page or not _is_sentence(atom):
            return None
        if goes_on(words, after):
            return index
        begins_line = atom.start == 0 or text[atom.start - 1] == "\n"
        if begins_line and not _FOOTNOTE.match(words):
            return None
    return None


def _is_sentence(atom: _Atom) -> bool:
    return atom.kind == "text" and not atom.level


def _with_lonely_headings(atoms: list[_Atom]) -> list[_Atom]:
    """With the headings marked, by a level below 0, that are followed neither by text nor by a deeper heading."""
    result = []
    for index, atom in enumerate(atoms):
        following = atoms[index + 1] if index + 1 < len(atoms) else None
        lonely = atom.level and (following is None or 0 < following.level <= atom.level)
        result.append(replace(atom, level=-atom.level) if lonely else atom)
    return result


def _runs(atoms: Sequence[_Atom], text: str, count: Count, sizes: Sizes) -> Iterator[_Run]:
    """The runs of a document in order; a new one begins with each heading, block and page."""
    path: list[tuple[int, str]] = []
    run: _Run | None = None
    for atom in atoms:
        while atom.level and path and path[-1][0] >= abs(atom.level):
            path.pop()
        if atom.level or run is None or not _takes(run, atom):
            if run:
                yield run
            if atom.level > 0:
                path.append((atom.level, text[atom.start : atom.end]))
            run = _Run(tuple(title for _, title in path), atom.page)
        if atom.level > 0:
            run.head, run.head_tokens = atom, count(path[-1][1])
        else:
            run.kind = atom.kind
            run.units.extend(_units(atom, text, count, sizes))
        if atom.level < 0:
            yield run
            run = None
    if run:
        yield run


def _takes(run: _Run, atom: _Atom) -> bool:
    """Whether an atom can stand in a run: more text with text, or the first words below a heading."""
    return run.page == atom.page and (run.kind == atom.kind == "text" or not run.units)


def _units(atom: _Atom, text: str, count: Count, sizes: Sizes) -> Iterator[_Unit]:
    """A sentence, table or box; where it is too large, the rows of a table, the sentences of a box, and in need the
    words of one of these."""
    words = text[atom.start : atom.end]
    tokens = _tokens(words, count)
    if tokens <= sizes.most or (atom.kind == "text" and tokens <= sizes.longest):
        yield atom.start, atom.end, tokens
        return
    if atom.kind == "table":
        parts = [(found.start(), found.end()) for found in re.finditer(r"\S[^\n]*", words)]
    else:
        parts = list(sentences(words)) if atom.kind == "box" else [(0, len(words))]
    for start, end in parts:
        yield from _bounded(text, atom.start + start, atom.start + end, count, sizes)


def _tokens(words: str, count: Count) -> int:
    """How many tokens a text has; of a very long one about how many, so that it costs nothing to find out."""
    return count(words) if len(words) <= _COUNTED else len(words) // 4


def _bounded(text: str, start: int, end: int, count: Count, sizes: Sizes) -> Iterator[_Unit]:
    """A sentence or row, or where it is far too long its parts, cut at white space."""
    tokens = _tokens(text[start:end], count)
    if tokens <= sizes.longest or end - start < 2:
        yield start, end, tokens
        return
    step = max(1, (end - start) * sizes.most // tokens)
    while start < end:
        stop = min(start + step, end)
        if stop < end:
            space = max(text.rfind(" ", start + 1, stop), text.rfind("\n", start + 1, stop))
            stop = space if space > start else stop
        yield from _bounded(text, start, stop, count, sizes)
        start = stop
        while start < end and text[start].isspace():
            start += 1


def _merged(runs: Iterator[_Run], sizes: Sizes) -> Iterator[list[_Run]]:
    """Small neighbouring runs of a page together, as long as the headings say of each where it belongs."""
    group: list[_Run] = []
    for run in runs:
        if group and not _belongs(group, run, sizes):
            yield group
            group = []
        if not any(one.units for one in group):
            group = []  # headings alone: they are in the path of what follows
        group.append(run)
    if group:
        yield group


def _belongs(group: list[_Run], run: _Run, sizes: Sizes) -> bool:
    """Whether a run may stand in one chunk with those before it: small text with the text or the table that follows."""
    tokens = sum(one.tokens for one in group)
    caption = run.kind == "table" and run.head is None and run.path == group[-1].path
    if run.page != group[-1].page or group[-1].kind != "text" or not (run.kind == "text" or caption):
        return False
    if tokens >= sizes.small or (tokens + run.tokens > sizes.most and not (caption and len(run.units) > 1)):
        return False
    # What is not shared must be headings that stand in the text of the chunk.
    shared = len(_common_path([*group, run]))
    heads = {one.path for one in (*group, run) if one.head}
    return all(one.path[:depth] in heads for one in (*group, run) for depth in range(shared + 1, len(one.path) + 1))


def _spans(group: list[_Run], text: str, sizes: Sizes) -> tuple[str, list[tuple[int, int]]]:
    """The path of headings of a group, and where its chunks begin and end."""
    while group and not group[-1].units:
        group = group[:-1]  # a heading at the foot of a page: it is in the path of the next page's text
    if not group:
        return "", []
    common = _common_path(group)
    units: list[_Unit] = []
    for run in group:
        if run.head and (units or run.path != common[: len(run.path)]):
            units.append((run.head.start, run.head.end, run.head_tokens))
        units.extend(run.units)
    return SEPARATOR.join(common), _parted(units, text, sizes.most)


def _parted(units: Sequence[_Unit], text: str, most: int) -> list[tuple[int, int]]:
    """Units put together to as few chunks as hold them, of about the same size, cut between paragraphs rather than
    inside of one, and not behind a colon."""
    if len(units) > _MANY:
        units = _coarser(units, most // 40)
    total = sum(tokens for _, _, tokens in units)
    aim = max(1, total / max(1, ceil(total / most)))
    best: list[tuple[float, int]] = [(0.0, 0)]  # cost of the units before a place, and where their last chunk begins
    for end in range(1, len(units) + 1):
        penalty = 0.0
        if end < len(units):
            last, following = units[end - 1][1], units[end][0]
            penalty += _PREFERENCE * ("\n" not in text[last:following]) + 2 * _PREFERENCE * (text[last - 1] == ":")
        size, found = 0, (inf, end - 1)
        for begin in range(end - 1, -1, -1):
            size += units[begin][2]
            if size > most and begin < end - 1:
                break
            cost = best[begin][0] + ((size - aim) / aim) ** 2 + penalty
            if cost < found[0]:
                found = (cost, begin)
        best.append(found)
    spans = []
    end = len(units)
    while end:
        begin = best[end][1]
        spans.append((units[begin][0], units[end - 1][1]))
        end = begin
    return spans[::-1]


def _coarser(units: Sequence[_Unit], least: int) -> list[_Unit]:
    """Very many units as fewer, tiny ones put together, so that choosing between all places to cut takes no longer."""
    result: list[_Unit] = []
    for start, end, tokens in units:
        if result and result[-1][2] < least and tokens < least:
            begin, _, before = result.pop()
            result.append((begin, end, before + tokens))
        else:
            result.append((start, end, tokens))
    return result


def _common_path(runs: Sequence[_Run]) -> tuple[str, ...]:
    """What the paths of runs share."""
    shared: list[str] = []
    for titles in zip(*(run.path for run in runs), strict=False):
        if len(set(titles)) > 1:
            break
        shared.append(titles[0])
    return tuple(shared)
