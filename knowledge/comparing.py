"""What is different between two versions of a guideline, section by section and word by word.

A section is what stands below a heading up to the next one. A section of the old version is paired with the one of the
new version that has the same headings above it (numbers before them do not count), else the same words, else the most
words in common. Inside a pair, sentences are compared first and then the words of sentences that changed, so that long
documents take seconds; where very much was rewritten, whole sentences are shown as deleted and inserted.
"""

import re
from bisect import bisect_left
from collections import Counter, defaultdict
from collections.abc import Hashable, Iterable, Sequence
from dataclasses import dataclass, field
from difflib import SequenceMatcher
from typing import Literal
from uuid import UUID

from knowledge.models import GuidelineVersion, Page

LIKE = 0.4  # share of runs of words in common, from which sections with other headings are the same section
_SAME_HEADING = 0.25  # what the same last heading adds to it
_SHINGLE = 3  # words
_COMMON = 30  # sections that have a run of words; more say nothing
_MOST_PAIRS = 2_000_000  # words by words of one place that are compared word by word
_BUDGET = 60_000_000  # and of the whole document
_AUTOJUNK = 1000  # sentences, from which those that are everywhere are passed over
_ISLAND = 3  # words; fewer left alone between two changes belong to them
_NUMBER = re.compile(r"^(?:(?:\d+|[a-z]|[ivx]+)(?:\.\d+)*[.)]?\s+)", re.IGNORECASE)
_SENTENCE = re.compile(r"\S.*?(?:[.!?:;](?=\s)|(?=\n)|\Z)\s*", re.DOTALL)
_WORD = re.compile(r"\w+(?:[.,'’/-]\w+)*\s*|[^\w\s]\s*")  # a number is a word: 2.5 never half stays


@dataclass(frozen=True, slots=True)
class Run:
    """Words that stand in both versions, or in one of them."""

    kind: Literal["same", "inserted", "deleted"]
    text: str


@dataclass(frozen=True, slots=True)
class SectionChange:
    """One section in both versions, or in one of them. `runs` is its text, without the heading, as it was and is.

    `moved` is for a section that stands at another place among its neighbours; `old_heading` for one that was called
    something else. Pages are numbers in the file, None where the version has no such section or the format no pages.
    """

    kind: Literal["unchanged", "changed", "added", "removed"]
    heading: tuple[str, ...]  # the headings above it and its own; empty for what stands before the first
    runs: tuple[Run, ...]
    moved: bool = False
    old_heading: tuple[str, ...] = ()
    old_page: int | None = None
    new_page: int | None = None


@dataclass(slots=True)
class _Section:
    heading: tuple[str, ...]
    page: int | None
    parts: list[str] = field(default_factory=list)

    @property
    def text(self) -> str:
        return "\n".join(self.parts)

    @property
    def key(self) -> tuple[str, ...]:
        return tuple(_plain(one) for one in self.heading)

    @property
    def words(self) -> tuple[str, ...]:
        return tuple(" ".join(self.parts).split())


def compare(old_version: GuidelineVersion | UUID, new_version: GuidelineVersion | UUID) -> tuple[SectionChange, ...]:
    """The sections of two versions in the order of the new one; those that it no longer has stand where they stood in
    the old one. Empty for versions that have not been read."""
    old, new = _sections(_number(old_version)), _sections(_number(new_version))
    pairs = _paired(old, new)
    moved = _moved(pairs)
    left = _Left(_BUDGET)
    changes: list[SectionChange] = []
    behind: dict[int, int] = {}  # removed sections: the one that stays before them
    for number in sorted(set(range(len(old))) - set(pairs.values())):
        behind[number] = behind.get(number - 1, number - 1)
    after: dict[int, list[int]] = defaultdict(list)
    for number, place in behind.items():
        after[place].append(number)
    changes += [_removed(old[number]) for number in after[-1]]
    for number, section in enumerate(new):
        if number not in pairs:
            changes.append(SectionChange("added", section.heading, _whole("inserted", section), new_page=section.page))
            continue
        changes.append(_changed(old[pairs[number]], section, number in moved, left))
        changes += [_removed(old[gone]) for gone in after[pairs[number]]]
    return tuple(changes)


def _number(version: GuidelineVersion | UUID) -> UUID:
    return version.pk if isinstance(version, GuidelineVersion) else version


def _removed(section: _Section) -> SectionChange:
    return SectionChange("removed", section.heading, _whole("deleted", section), old_page=section.page)


def _whole(kind: Literal["inserted", "deleted"], section: _Section) -> tuple[Run, ...]:
    return (Run(kind, section.text),) if section.text else ()


def _changed(old: _Section, new: _Section, moved: bool, left: "_Left") -> SectionChange:
    runs = (Run("same", new.text),) if old.words == new.words and new.text else tuple(_runs(old.text, new.text, left))
    renamed = old.key[-1:] != new.key[-1:]
    is_same = not renamed and all(run.kind == "same" for run in runs)
    return SectionChange(
        "unchanged" if is_same else "changed",
        new.heading,
        runs,
        moved,
        old.heading if renamed else (),
        old.page,
        new.page,
    )


# --- sections


def _sections(version: UUID) -> list[_Section]:
    """The sections of a version. What stands before the first heading is one without a heading."""
    pages = Page.objects.filter(version__pk=version).order_by("number")
    paged = GuidelineVersion.objects.filter(pk=version, page_count__isnull=False).exists()
    found = [_Section((), None)]
    above: list[tuple[int, str]] = []
    for number, text, headings in pages.values_list("number", "text", "headings").iterator():
        page, place = number if paged else None, 0
        found[0].page = found[0].page or page
        for start, end, level in headings:
            _add(found[-1], text[place:start])
            title = " ".join(text[start:end].split())
            above = [one for one in above if one[0] < level] + [(level, title)]
            found.append(_Section(tuple(one for _, one in above), page))
            place = end
        _add(found[-1], text[place:])
    return found if found[0].parts else found[1:]


def _add(section: _Section, text: str) -> None:
    if text := text.strip():
        section.parts.append(text)


def _plain(heading: str) -> str:
    return _NUMBER.sub("", heading).casefold().strip(" .:")


# --- which section is which


def _paired(old: Sequence[_Section], new: Sequence[_Section]) -> dict[int, int]:
    """The old section of each new one that has one."""
    pairs: dict[int, int] = {}
    _pair_equal(pairs, [(one.key, one.words) for one in old], [(one.key, one.words) for one in new])
    _pair_equal(pairs, [one.key for one in old], [one.key for one in new])
    _pair_equal(pairs, [one.words or None for one in old], [one.words or None for one in new])
    _pair_like(pairs, old, new)
    return pairs


def _pair_equal(pairs: dict[int, int], old: Sequence[Hashable], new: Sequence[Hashable]) -> None:
    """Pair what is equal and not paired yet, in its order; None is equal to nothing."""
    taken = set(pairs.values())
    waiting: dict[Hashable, list[int]] = defaultdict(list)
    for number, key in enumerate(old):
        if key is not None and number not in taken:
            waiting[key].append(number)
    for number, key in enumerate(new):
        if number not in pairs and waiting.get(key):
            pairs[number] = waiting[key].pop(0)


def _pair_like(pairs: dict[int, int], old: Sequence[_Section], new: Sequence[_Section]) -> None:
    taken = set(pairs.values())
    runs = {number: _shingles(old[number]) for number in range(len(old)) if number not in taken}
    having: dict[tuple[str, ...], list[int]] = defaultdict(list)
    for number, shingles in runs.items():
        for one in shingles:
            having[one].append(number)
    likenesses: list[tuple[float, int, int]] = []
    for number, section in enumerate(new):
        if number in pairs:
            continue
        own = _shingles(section)
        shared = Counter(one for run in own if len(having.get(run, ())) <= _COMMON for one in having.get(run, ()))
        for other, count in shared.items():
            likeness = count / (len(own) + len(runs[other]) - count)
            likeness += _SAME_HEADING * (section.key[-1:] == old[other].key[-1:])
            if likeness >= LIKE:
                likenesses.append((-likeness, number, other))
    for _, number, other in sorted(likenesses):
        if number not in pairs and other not in taken:
            pairs[number] = other
            taken.add(other)


def _shingles(section: _Section) -> set[tuple[str, ...]]:
    words = [word.casefold().strip(".,;:()") for word in section.words]
    return {tuple(words[start : start + _SHINGLE]) for start in range(len(words) - _SHINGLE + 1)}


def _moved(pairs: dict[int, int]) -> set[int]:
    """New sections that stand at another place: all but the longest series that kept its order."""
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


# --- words

_Step = tuple[str, int, int, int, int]
"""What happened, and from where to where in the old and in the new words."""


@dataclass(slots=True)
class _Left:
    """How many comparisons of words the document still has."""

    pairs: int

    def take(self, pairs: int) -> bool:
        if pairs > min(_MOST_PAIRS, self.pairs):
            return False
        self.pairs -= pairs
        return True


def _runs(old: str, new: str, left: _Left) -> list[Run]:
    before, after = _SENTENCE.findall(old), _SENTENCE.findall(new)
    runs: list[Run] = []
    steps = _differences(before, after)
    for place, (kind, i, j, k, m) in enumerate(steps):
        gone, come = _split(before[i:j]), _split(after[k:m])
        if kind != "equal" and gone and come and left.take(len(gone) * len(come)):
            runs += _of_words(gone, come)
        elif kind == "equal":
            runs.append(_same(gone, come, steps[place + 1 : place + 2]))
        else:
            runs += [Run("deleted", "".join(gone)), Run("inserted", "".join(come))]
    return _joined(runs)


def _same(old: list[str], new: list[str], behind: list[_Step]) -> Run:
    """Words of both, as the new version has them; but the last does not run into what was deleted behind it."""
    is_cut = behind and behind[0][1] < behind[0][2] and not new[-1][-1:].isspace()
    return Run("same", "".join(new[:-1]) + (old[-1] if is_cut else new[-1]))


def _split(sentences: Iterable[str]) -> list[str]:
    return [word for sentence in sentences for word in _WORD.findall(sentence)]


def _differences(old: Sequence[str], new: Sequence[str]) -> list[_Step]:
    before, after = ([" ".join(one.split()) for one in side] for side in (old, new))
    matcher = SequenceMatcher(None, before, after, autojunk=len(new) >= _AUTOJUNK)
    return [(kind, i, j, k, m) for kind, i, j, k, m in matcher.get_opcodes()]


def _of_words(old: list[str], new: list[str]) -> list[Run]:
    """Runs of one place; a word or two that stayed in the middle of a change belong to it."""
    runs: list[Run] = []
    steps = _differences(old, new)
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
