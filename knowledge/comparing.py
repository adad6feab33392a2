"""What is different between two versions of a guideline, section by section and word by word.

A section is what stands below a heading up to the next one. A section of the old version is paired with the one of the
new version that has the same headings above it (numbers before them do not count), else the same words, else the most
words in common. Inside a pair, sentences are compared first and then the words of sentences that changed; where very
much was rewritten, whole sentences are shown as deleted and inserted.

The work is bounded, because a page waits for it: which sections changed is always told, however long the document is;
of a long one, words that did not change are only counted, and after some seconds or some megabytes of words the
remaining sections are named and not compared. Versions do not change, so what came out is kept.
"""

import gzip
import hashlib
import json
import re
import threading
import zlib
from collections import Counter, defaultdict
from collections.abc import Hashable, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal
from uuid import UUID

from knowledge import _kept
from knowledge._differences import Left, Run, out_of_order, runs_between, shortened
from knowledge.models import GuidelineVersion, Page

LIKE = 0.4  # share of runs of words in common, from which sections with other headings are the same section
_SAME_HEADING = 0.25  # what the same last heading adds to it
_SHINGLE = 3  # words
_COMMON = 30  # sections that have a run of words; more say nothing
_MOST_ALIKE = 1_000_000  # characters of sections without a partner that are looked through for like ones
_LONG = 2_000_000  # characters of both versions, from which words that did not change are counted and not shown
_KEPT_BYTES = 64 * 1024 * 1024
_FORM = 1  # counts up when what is kept would come out differently
_NUMBER = re.compile(r"^(?:(?:\d+|[a-z]|[ivx]+)(?:\.\d+)*[.)]?\s+)", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class SectionChange:
    """One section in both versions, or in one of them. `runs` is its text, without the heading, as it was and is; it
    ends early or is empty where that would have been too much (`is_compared` False): of an unchanged section of a long
    document, and of those that are left when the bound on work is reached.

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
    is_compared: bool = True


@dataclass(slots=True)
class _Section:
    heading: tuple[str, ...]
    page: int | None
    parts: list[str] = field(default_factory=list)
    size: int = 0  # characters
    digest: Any = field(default_factory=hashlib.blake2b)

    @property
    def text(self) -> str:
        return "\n".join(self.parts)

    @property
    def key(self) -> tuple[str, ...]:
        return tuple(_plain(one) for one in self.heading)

    @property
    def words(self) -> bytes | None:
        """Something that is the same for the same words, however they are spaced; None where there are none."""
        return self.digest.digest() if self.parts else None

    def add(self, text: str) -> None:
        """More of its text."""
        if text := text.strip():
            self.parts.append(text)
            self.size += len(text)
            self.digest.update(f"{' '.join(text.split())} ".encode(errors="surrogatepass"))


_working = threading.Lock()


def compare(old_version: GuidelineVersion | UUID, new_version: GuidelineVersion | UUID) -> tuple[SectionChange, ...]:
    """The sections of two versions in the order of the new one; those that it no longer has stand where they stood in
    the old one. Empty for versions that have not been read.

    Takes up to some seconds the first time, one comparison after the other in a process; later some milliseconds.
    """
    old, new = _number(old_version), _number(new_version)
    name = _name(old, new)
    if name is None:
        return _compared(old, new)
    path = _kept.folder("comparisons") / name
    if (known := _read(path)) is not None:
        return known
    with _working:
        if (known := _read(path)) is not None:  # worked out while this one waited
            return known
        changes = _compared(old, new)
        _kept.keep(path, gzip.compress(json.dumps([asdict(one) for one in changes]).encode(), 5), _KEPT_BYTES)
    return changes


def _name(*versions: UUID) -> str | None:
    """The name of the file that keeps a comparison of versions as they were read; None where one is not read yet."""
    said: list[object] = [_FORM]
    for version in versions:
        found = GuidelineVersion.objects.filter(pk=version, ingestion=GuidelineVersion.Ingestion.INDEXED)
        row = found.exclude(indexed_at=None).values_list("pk", "sha256", "reader", "indexed_at").first()
        if row is None:
            return None
        said += row
    return f"{hashlib.sha256(json.dumps(said, default=str).encode()).hexdigest()}.json.gz"


def _read(path: Path) -> tuple[SectionChange, ...] | None:
    """What was kept; None where nothing was, or something that is damaged."""
    data = _kept.known(path)
    if data is None:
        return None
    try:
        rows = json.loads(gzip.decompress(data))
    except (OSError, EOFError, ValueError, zlib.error):
        return None
    for row in rows:
        row["runs"] = tuple(Run(**one) for one in row["runs"])
        row["heading"], row["old_heading"] = tuple(row["heading"]), tuple(row["old_heading"])
    return tuple(SectionChange(**row) for row in rows)


def _compared(old_version: UUID, new_version: UUID) -> tuple[SectionChange, ...]:
    old, new = _sections(old_version), _sections(new_version)
    pairs = _paired(old, new)
    moved = out_of_order(pairs)
    left = Left(is_long=sum(one.size for one in (*old, *new)) > _LONG)
    changes: list[SectionChange] = []
    behind: dict[int, int] = {}  # removed sections: the one that stays before them
    for number in sorted(set(range(len(old))) - set(pairs.values())):
        behind[number] = behind.get(number - 1, number - 1)
    after: dict[int, list[int]] = defaultdict(list)
    for number, place in behind.items():
        after[place].append(number)
    changes += [_alone("removed", old[number], left) for number in after[-1]]
    for number, section in enumerate(new):
        if number not in pairs:
            changes.append(_alone("added", section, left))
            continue
        changes.append(_changed(old[pairs[number]], section, number in moved, left))
        changes += [_alone("removed", old[gone], left) for gone in after[pairs[number]]]
    return tuple(changes)


def _number(version: GuidelineVersion | UUID) -> UUID:
    return version.pk if isinstance(version, GuidelineVersion) else version


def _alone(kind: Literal["added", "removed"], section: _Section, left: Left) -> SectionChange:
    """A section of one version alone."""
    is_new = kind == "added"
    fits = left.show(section.size)
    runs = (Run("inserted" if is_new else "deleted", section.text),) if section.parts and fits else ()
    old_page, new_page = (None, section.page) if is_new else (section.page, None)
    return SectionChange(kind, section.heading, runs, old_page=old_page, new_page=new_page, is_compared=fits)


def _changed(old: _Section, new: _Section, moved: bool, left: Left) -> SectionChange:
    renamed = old.key[-1:] != new.key[-1:]
    is_same, is_compared = old.words == new.words, True
    runs: tuple[Run, ...] = ()
    if is_same and left.is_long:
        is_compared = not new.parts
    elif is_same:
        runs = (Run("same", new.text),) if new.parts else ()
    elif is_compared := left.has_room() and left.has_time():
        runs = tuple(runs_between(old.text, new.text, left))
        if left.is_long:
            runs = tuple(shortened(runs))
        if not left.show(sum(len(run.text) for run in runs)):
            is_compared, runs = False, tuple(left.first(runs))
    return SectionChange(
        "unchanged" if is_same and not renamed else "changed",
        new.heading,
        runs,
        moved,
        old.heading if renamed else (),
        old.page,
        new.page,
        is_compared,
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
            found[-1].add(text[place:start])
            title = " ".join(text[start:end].split())
            above = [one for one in above if one[0] < level] + [(level, title)]
            found.append(_Section(tuple(one for _, one in above), page))
            place = end
        found[-1].add(text[place:])
    return found if found[0].parts else found[1:]


def _plain(heading: str) -> str:
    return _NUMBER.sub("", heading).casefold().strip(" .:")


# --- which section is which


def _paired(old: Sequence[_Section], new: Sequence[_Section]) -> dict[int, int]:
    """The old section of each new one that has one."""
    pairs: dict[int, int] = {}
    _pair_equal(pairs, [(one.key, one.words) for one in old], [(one.key, one.words) for one in new])
    _pair_equal(pairs, [one.key for one in old], [one.key for one in new])
    _pair_equal(pairs, [one.words for one in old], [one.words for one in new])
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
    alone = [one for number, one in enumerate(old) if number not in taken]
    alone += [one for number, one in enumerate(new) if number not in pairs]
    if sum(one.size for one in alone) > _MOST_ALIKE:
        return
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
    words = [word.casefold().strip(".,;:()") for word in section.text.split()]
    return {tuple(words[start : start + _SHINGLE]) for start in range(len(words) - _SHINGLE + 1)}
