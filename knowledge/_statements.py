"""What may be quoted of a passage: its sentences, and what goes with each so that it says alone what it says there."""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Literal

from knowledge._sentences import sentences

Span = tuple[int, int]
"""Characters of a passage, from the first to behind the last."""

_ITEM = re.compile(r"(?:[•▪▫◦‣●○■□–—*\-➢➤✓►]|\(?\d{1,2}[.)]|\(?[a-z][.)]|\(?[ivx]{1,4}[.)])\s+\S")
_ENDED = re.compile(r"[.!?…;。！？؟۔][\"'”’)\]»\s]*(?:\d{1,3}|\[\d[\d,–\s-]*\])?$")
_LEANING = re.compile(
    r"(?:it|they|them|their|this|these|those|that|he|she|such|however|but|also|then|otherwise|instead|therefore|thus|"
    r"for example|in this case|in that case|if so|if not|"
    r"il|elle|ils|elles|ce|cela|ceci|cette|cet|ces|celui-ci|celle-ci|ceux-ci|celles-ci|son|sa|ses|leurs?|mais|"
    r"toutefois|cependant|néanmoins|sinon|ainsi|donc|alors|dans ce cas|en revanche|par exemple|par contre)\b",
    re.IGNORECASE,
)
_LIMITING = re.compile(
    r"(?:however|but|except|unless|although|only if|otherwise|in contrast|nevertheless|do not|never|"
    r"toutefois|cependant|mais|sauf|néanmoins|sinon|à moins|en revanche|par contre|attention|ne pas|jamais)\b",
    re.IGNORECASE,
)
_LONGEST_HEADING = 90  # characters, where nothing tells headings from sentences


@dataclass(frozen=True, slots=True)
class Block:
    """A table or a box in a passage."""

    start: int
    end: int
    kind: Literal["table", "box"]


@dataclass(frozen=True, slots=True)
class Layout:
    """What is known of a passage beside its words. `known` False: its headings have to be guessed."""

    headings: Sequence[Span] = ()
    blocks: Sequence[Block] = ()
    known: bool = False


@dataclass(slots=True)
class Statement:
    """A sentence, an item of a list, a row of a table, or a whole box: `text[start:end]` of its passage.

    `heading` is what stands above it. `introduction` is what it must not be quoted without: the sentence before a list,
    the first row of a table. `siblings` numbers the other statements of its list; `leans`: it speaks of what the one
    before it names; `limits`: it takes something back of what the one before it says.
    """

    start: int
    end: int
    heading: str = ""
    introduction: Span | None = None
    siblings: list[int] = field(default_factory=list)
    leans: bool = False
    limits: bool = False


@dataclass(slots=True)
class _Reading:
    """Where a passage is being read: under which heading, after which introduction, in which list."""

    heading: str = ""
    heading_at: Span | None = None
    introduction: Span | None = None
    introducer: int | None = None  # the introduction's number among the statements
    opened: bool = False  # it ends with a colon: what has no full stop belongs to it
    members: list[int] = field(default_factory=list)


def statements(text: str, layout: Layout, heading: str = "") -> list[Statement]:
    """The statements of a passage in order; headings are none. `heading` is what stands above the passage."""
    found: list[Statement] = []
    now = _Reading(heading)
    blocks = sorted(layout.blocks, key=lambda block: block.start)
    behind = 0  # the end of the last block that was taken whole
    for start, end in _lines(text):
        if start < behind:
            continue
        block = next((one for one in blocks if one.start <= start < one.end), None)
        if block and block.kind == "box":
            behind = block.end
            found.append(Statement(start, len(text[: block.end].rstrip()), now.heading))
            now = _Reading(now.heading)
        elif block:
            is_first = start == max(block.start, 0) and block.start >= 0
            _take_row(found, now, (start, end), is_first=is_first)
        elif _is_heading(text, (start, end), layout):
            now = _Reading(text[start:end], (start, end))
        else:
            _take_line(found, now, text, (start, end))
    return found


def _lines(text: str) -> Iterator[Span]:
    place = 0
    for line in text.split("\n"):
        if line.strip():
            yield place + len(line) - len(line.lstrip()), place + len(line.rstrip())
        place += len(line) + 1


def _is_heading(text: str, line: Span, layout: Layout) -> bool:
    if layout.known:
        return any(start <= line[0] < end for start, end in layout.headings)
    said = text[slice(*line)]
    follows = text[line[1] :].lstrip("\n").partition("\n")[0]
    return (
        len(said) <= _LONGEST_HEADING
        and not _ENDED.search(said)
        and not said.endswith((":", ","))
        and not _ITEM.match(said)
        and len(follows) > len(said)
    )


def _take_row(found: list[Statement], now: _Reading, row: Span, *, is_first: bool) -> None:
    """A row of a table; its first one says what the columns are."""
    if is_first:
        now.introduction, now.introducer, now.opened, now.members = row, None, False, []
    else:
        _add_member(found, now, Statement(*row, now.heading, now.introduction))


def _take_line(found: list[Statement], now: _Reading, text: str, line: Span) -> None:
    said = text[slice(*line)]
    is_marked = bool(_ITEM.match(said))
    if is_marked or (now.opened and (not _ENDED.search(said) or (now.members == [] and said[:1].islower()))):
        if now.introduction is None and not now.members and found and not text[found[-1].end : line[0]].strip():
            now.introduction, now.introducer = (found[-1].start, found[-1].end), len(found) - 1
        introduction = now.introduction or now.heading_at
        _add_member(found, now, Statement(*line, now.heading, introduction))
        if said.endswith(":") and not is_marked:
            now.introduction, now.introducer, now.members = line, len(found) - 1, []
        return
    now.introduction, now.introducer, now.opened, now.members = None, None, False, []
    for begin, stop in sentences(said):
        one = Statement(line[0] + begin, line[0] + stop, now.heading)
        one.leans = bool(found) and _LEANING.match(said[begin:stop]) is not None
        one.limits = bool(found) and _LIMITING.match(said[begin:stop]) is not None
        found.append(one)
    last = found[-1] if found else None
    if last and last.end == line[1] and said.rstrip().endswith(":"):
        now.introduction, now.introducer, now.opened = (last.start, last.end), len(found) - 1, True


def _add_member(found: list[Statement], now: _Reading, statement: Statement) -> None:
    number = len(found)
    for other in [*now.members, *([] if now.introducer is None else [now.introducer])]:
        found[other].siblings.append(number)
    statement.siblings = list(now.members)
    now.members.append(number)
    found.append(statement)
