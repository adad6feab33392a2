"""The words of two texts: what stays, what goes and what comes, in an amount of work that is bounded."""

import re
import time
from bisect import bisect_left
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from difflib import SequenceMatcher
from itertools import pairwise
from typing import Literal

_MOST_PAIRS = 2_000_000  # words by words of one place that are compared word by word
_SMALL = 40_000  # sentences by sentences, or words by words, that are compared without an anchor between them
_SECONDS = 4.0  # of processor time for the sentences and words of the whole document
_MOST_SHOWN = 1_500_000  # characters of words in all sections of a long document
_BESIDE = 250  # characters of unchanged words that are shown beside a change of a long document
_ISLAND = 3  # words; fewer left alone between two changes belong to them
_SENTENCE = re.compile(r"\S.*?(?:[.!?:;](?=\s)|(?=\n)|\Z)\s*", re.DOTALL)
_WORD = re.compile(r"\w+(?:[.,'’/-]\w+)*\s*|[^\w\s]\s*")  # a number is a word: 2.5 never half stays


@dataclass(frozen=True, slots=True)
class Run:
    """Words that stand in both versions, or in one of them; "skipped" are unchanged ones of a long document, of which
    only the number is told (`words`)."""

    kind: Literal["same", "inserted", "deleted", "skipped"]
    text: str
    words: int = 0


@dataclass(slots=True)
class Left:
    """What the document still has of processor time, and a long one of characters that are shown."""

    is_long: bool
    characters: int = field(default_factory=lambda: _MOST_SHOWN)
    until: float = field(default_factory=lambda: time.thread_time() + _SECONDS)

    def has_time(self) -> bool:
        return time.thread_time() < self.until

    def has_room(self) -> bool:
        """Whether anything more may be shown."""
        return not self.is_long or self.characters > 0

    def show(self, characters: int) -> bool:
        """Whether so much more is shown."""
        if self.is_long and characters > self.characters:
            return False
        self.characters -= characters
        return True

    def first(self, runs: Iterable[Run]) -> Iterable[Run]:
        """The first of some runs, as far as they may be shown; nothing is shown after that."""
        for run in runs:
            if not self.show(len(run.text)):
                self.characters = 0
                return
            yield run


_Step = tuple[str, int, int, int, int]
"""What happened, and from where to where in the old and in the new words."""


def runs_between(old: str, new: str, left: Left) -> list[Run]:
    """The words of both texts in order, sentences compared first and then the words of those that changed."""
    before, after = _SENTENCE.findall(old), _SENTENCE.findall(new)
    runs: list[Run] = []
    steps = _differences(before, after, left)
    for place, (kind, i, j, k, m) in enumerate(steps):
        if kind == "equal":
            runs.append(_same(before[i:j], after[k:m], steps[place + 1 : place + 2]))
            continue
        gone, come = _split(before[i:j]), _split(after[k:m])
        if 0 < len(gone) * len(come) <= _MOST_PAIRS and left.has_time():
            runs += _of_words(gone, come, left)
        else:
            runs += [Run("deleted", "".join(gone)), Run("inserted", "".join(come))]
    return _joined(runs)


def _same(old: list[str], new: list[str], behind: list[_Step]) -> Run:
    """Words of both, as the new version has them; but the last does not run into what was deleted behind it."""
    is_cut = behind and behind[0][1] < behind[0][2] and not new[-1][-1:].isspace()
    return Run("same", "".join(new[:-1]) + (old[-1] if is_cut else new[-1]))


def _split(sentences: Iterable[str]) -> list[str]:
    return [word for sentence in sentences for word in _WORD.findall(sentence)]


def _differences(old: Sequence[str], new: Sequence[str], left: Left) -> list[_Step]:
    """What stays and what changes, in order."""
    before, after = ([" ".join(one.split()) for one in side] for side in (old, new))
    steps: list[_Step] = []
    i = k = 0
    for j, m, size in (*_blocks(before, after, left), (len(before), len(after), 0)):
        if i < j or k < m:
            steps.append(("replace" if i < j and k < m else "delete" if i < j else "insert", i, j, k, m))
        if size:
            steps.append(("equal", j, j + size, m, m + size))
        i, k = j + size, m + size
    return steps


def _blocks(old: Sequence[str], new: Sequence[str], left: Left) -> list[tuple[int, int, int]]:
    """Where runs of the same begin in both, and how long they are, in order.

    What is the same at both ends stays; between them, what stands once in each is an anchor, as far as anchors keep
    their order, and what lies between two anchors is looked at in the same way until it is small enough for difflib,
    whose work grows with the square of what it gets and more.
    """
    same: list[tuple[int, int]] = []
    waiting = [(0, len(old), 0, len(new))]
    while waiting:
        i, j, k, m = waiting.pop()
        while i < j and k < m and old[i] == new[k]:
            same.append((i, k))
            i, k = i + 1, k + 1
        while i < j and k < m and old[j - 1] == new[m - 1]:
            j, m = j - 1, m - 1
            same.append((j, m))
        if i == j or k == m or not left.has_time():
            continue
        if (j - i) * (m - k) <= _SMALL:
            matcher = SequenceMatcher(None, old[i:j], new[k:m], autojunk=False)
            for begin, other, size in matcher.get_matching_blocks():
                same += [(i + begin + step, k + other + step) for step in range(size)]
        elif anchors := _anchors(old[i:j], new[k:m]):
            same += [(i + one, k + other) for one, other in anchors]
            ends = [(-1, -1), *anchors, (j - i, m - k)]
            waiting += [(i + a + 1, i + b, k + c + 1, k + d) for (a, c), (b, d) in pairwise(ends)]
    return _runs_of(sorted(same))


def _anchors(old: Sequence[str], new: Sequence[str]) -> list[tuple[int, int]]:
    """The places of what stands once in each, in the longest series that keeps its order."""
    once = [{one for one, count in Counter(side).items() if count == 1} for side in (old, new)]
    there = {one: place for place, one in enumerate(new) if one in once[1]}
    found = {place: there[one] for place, one in enumerate(old) if one in once[0] and one in there}
    gone = out_of_order(found)
    return [(place, other) for place, other in found.items() if place not in gone]


def _runs_of(same: Iterable[tuple[int, int]]) -> list[tuple[int, int, int]]:
    found: list[tuple[int, int, int]] = []
    for i, k in same:
        if found and (i - found[-1][0], k - found[-1][1]) == (found[-1][2], found[-1][2]):
            found[-1] = (*found[-1][:2], found[-1][2] + 1)
        else:
            found.append((i, k, 1))
    return found


def _of_words(old: list[str], new: list[str], left: Left) -> list[Run]:
    """Runs of one place; a word or two that stayed in the middle of a change belong to it."""
    runs: list[Run] = []
    steps = _differences(old, new, left)
    for place, (kind, i, j, k, m) in enumerate(steps):
        is_between = m - k < _ISLAND and 0 < place < len(steps) - 1
        is_island = is_between and 2 * (j - i) <= max(_size(steps[place - 1]), _size(steps[place + 1]))
        if kind == "equal" and not is_island:
            runs.append(_same(old[i:j], new[k:m], steps[place + 1 : place + 2]))
        else:
            runs += [Run("deleted", "".join(old[i:j])), Run("inserted", "".join(new[k:m]))]
    return runs


def _size(step: _Step) -> int:
    return step[2] - step[1] + step[4] - step[3]


def _joined(runs: Iterable[Run]) -> list[Run]:
    """Neighbouring runs of one kind made one, and in a change what was deleted put before what was inserted."""
    found: list[Run] = []
    gone, come = "", ""
    for run in [*runs, Run("same", "")]:
        if run.kind == "deleted":
            gone += run.text
        elif run.kind == "inserted":
            come += run.text
        elif run.text or gone or come:
            found += [Run("deleted", gone)] * bool(gone) + [Run("inserted", come)] * bool(come)
            gone = come = ""
            if found and found[-1].kind == "same":
                found[-1] = Run("same", found[-1].text + run.text)
            elif run.text:
                found.append(run)
    return found


def shortened(runs: Iterable[Run]) -> Iterable[Run]:
    """Unchanged words without their middle."""
    for run in runs:
        text = run.text
        begin, end = text.rfind(" ", 0, _BESIDE) + 1, text.find(" ", max(0, len(text) - _BESIDE))
        if run.kind != "same" or len(text) <= 4 * _BESIDE or not 0 < begin < end:
            yield run
            continue
        yield Run("same", text[:begin])
        yield Run("skipped", "", len(text[begin:end].split()))
        yield Run("same", text[end:])


def out_of_order(pairs: Mapping[int, int]) -> set[int]:
    """The keys that stand at another place: all but the longest series whose values are in its order."""
    numbers = sorted(pairs)
    ends: list[int] = []  # the least last element of an ordered series of each length
    places: list[int] = []
    for number in numbers:
        place = bisect_left(ends, pairs[number])
        ends[place : place + 1] = [pairs[number]]
        places.append(place)
    kept, wanted = set[int](), len(ends) - 1
    for number, place in zip(reversed(numbers), reversed(places), strict=True):
        if place == wanted:
            kept.add(number)
            wanted -= 1
    return set(numbers) - kept
