"""Cutting pages into chunks: whole sentences of one section of one page, small enough for the embedder."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from math import ceil

from knowledge._sentences import sentences
from knowledge.parsing import Heading, ParsedPage

SEPARATOR = " › "


@dataclass(frozen=True, slots=True)
class Sizes:
    """How large chunks are, in tokens of the embedder.

    MiniLM reads 256 word pieces and the heading is put before the text, so `most` stays well below. A section smaller
    than `small` is put together with the next. A sentence longer than `longest` (a table without ends, a text without
    punctuation) is cut after all.
    """

    most: int = 205
    small: int = 60
    longest: int = 600


@dataclass(frozen=True, slots=True)
class Piece:
    """A chunk before it is stored: `page.text[start:end]` under a path of headings."""

    page: ParsedPage
    start: int
    end: int
    heading: str

    @property
    def text(self) -> str:
        """The words of the chunk, exactly as they stand in the page."""
        return self.page.text[self.start : self.end]


@dataclass(slots=True)
class _Section:
    """What stands between two headings of a page: sentences with their sizes."""

    path: tuple[str, ...]
    head: Heading | None = None
    units: list[tuple[int, int, int]] = field(default_factory=list)  # start, end, tokens

    @property
    def tokens(self) -> int:
        return sum(tokens for _, _, tokens in self.units)


def cut(pages: Sequence[ParsedPage], count: Callable[[str], int], sizes: Sizes | None = None) -> Iterator[Piece]:
    """The chunks of a document in order. `count` gives the number of tokens of a text.

    No chunk crosses a page, because a citation names one. Headings stand in the path of what is below them; one with
    nothing below it is kept as text, so that no word of the document is lost.
    """
    sizes = sizes or Sizes()
    lonely = _lonely_headings(pages)
    path: list[tuple[int, str]] = []
    for index, page in enumerate(pages):
        alone = {heading for at, heading in lonely if at == index}
        for group in _merged(_sections(page, path, alone, count, sizes), sizes):
            yield from _pieces(page, group, count, sizes)


def _lonely_headings(pages: Sequence[ParsedPage]) -> set[tuple[int, Heading]]:
    """Headings that are followed, on their page or the next, neither by text nor by a deeper heading."""
    lonely = set()
    waiting: tuple[int, Heading] | None = None
    for index, page in enumerate(pages):
        place = 0
        for heading in (*page.headings, None):
            if page.text[place : heading.start if heading else len(page.text)].strip():
                waiting = None
            if heading:
                if waiting and heading.level <= waiting[1].level:
                    lonely.add(waiting)
                waiting, place = (index, heading), heading.end
    if waiting:
        lonely.add(waiting)
    return lonely


def _sections(
    page: ParsedPage,
    path: list[tuple[int, str]],
    alone: set[Heading],
    count: Callable[[str], int],
    sizes: Sizes,
) -> list[_Section]:
    """The sections of a page; `path` is the open headings and goes on to the next page."""
    found = []
    place, head = 0, None
    for heading in (*page.headings, None):
        end = heading.start if heading else len(page.text)
        section = _Section(tuple(title for _, title in path), head)
        for start, stop in sentences(page.text[place:end]):
            section.units.extend(_bounded(page.text, place + start, place + stop, count, sizes.longest))
        if section.units or head:
            found.append(section)
        if heading:
            while path and path[-1][0] >= heading.level:
                path.pop()
            title = page.text[heading.start : heading.end]
            if heading in alone:
                only = [(heading.start, heading.end, count(title))]
                found.append(_Section(tuple(title for _, title in path), None, only))
                head = None
            else:
                path.append((heading.level, title))
                head = heading
            place = heading.end
    return found


def _bounded(
    text: str, start: int, end: int, count: Callable[[str], int], longest: int
) -> Iterator[tuple[int, int, int]]:
    """A sentence, or where it is far too long its parts, cut at white space."""
    tokens = count(text[start:end])
    if tokens <= longest:
        yield start, end, tokens
        return
    step = max(1, (end - start) * longest // tokens)
    while start < end:
        stop = min(start + step, end)
        if stop < end:
            space = text.rfind(" ", start + 1, stop)
            stop = space if space > start else stop
        yield start, stop, count(text[start:stop])
        start = stop
        while start < end and text[start].isspace():
            start += 1


def _merged(sections: list[_Section], sizes: Sizes) -> Iterator[list[_Section]]:
    """Small neighbouring sections of the same parent together; a heading without text of its own goes with what
    follows."""
    group: list[_Section] = []
    for section in sections:
        if group and not _belongs(group, section, sizes):
            yield group
            group = []
        group.append(section)
    if group:
        yield group


def _belongs(group: list[_Section], section: _Section, sizes: Sizes) -> bool:
    tokens = sum(s.tokens for s in group)
    if tokens >= sizes.small or tokens + section.tokens > sizes.most:
        return False
    shared = len(_common_path([*group, section]))
    # What is not shared must be the section's own heading, which then stands in the text of the chunk.
    return all(len(s.path) == shared or (s.head and len(s.path) == shared + 1) for s in (*group, section))


def _pieces(page: ParsedPage, group: list[_Section], count: Callable[[str], int], sizes: Sizes) -> Iterator[Piece]:
    while group and not group[-1].units:
        group = group[:-1]  # a heading at the foot of a page: it is in the path of the next page's text
    if not group:
        return
    common = _common_path(group)
    units: list[tuple[int, int, int]] = []
    for section in group:
        if section.head and (units or section.path != common[: len(section.path)]):
            head = section.head
            units.append((head.start, head.end, count(page.text[head.start : head.end])))
        units.extend(section.units)
    heading = SEPARATOR.join(common)
    total = sum(tokens for _, _, tokens in units)
    aim = ceil(total / max(1, ceil(total / sizes.most)))
    begin, tokens = 0, 0
    for index, (_, _, size) in enumerate(units):
        if index > begin and (tokens + size > sizes.most or tokens >= aim):
            yield Piece(page, units[begin][0], units[index - 1][1], heading)
            begin, tokens = index, 0
        tokens += size
    yield Piece(page, units[begin][0], units[-1][1], heading)


def _common_path(sections: list[_Section]) -> tuple[str, ...]:
    """What the paths of sections share."""
    shared: list[str] = []
    for titles in zip(*(section.path for section in sections), strict=False):
        if len(set(titles)) > 1:
            break
        shared.append(titles[0])
    return tuple(shared)
