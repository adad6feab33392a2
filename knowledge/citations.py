"""Where a quotation stands, asked long after it was made: its pages, its place on each, its surroundings, and what has
become of the version that it was taken from.

A quotation is kept by its words and the place where they stood. The text of a version may have been read anew since, so
the words are looked for near that place; white space and hyphens may differ.
"""

import unicodedata
from array import array
from bisect import bisect_left
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Literal
from uuid import UUID

from django.db.models import Q
from django.utils import timezone

from knowledge import selectors
from knowledge._types import Passage
from knowledge.models import GuidelineVersion, Page

State = GuidelineVersion.State
Ingestion = GuidelineVersion.Ingestion
_SURROUNDING = 1500  # characters
_LONG = 200_000  # characters of a text, from which words are looked for near their place first
_NEAR = 50_000
_BEGUN = [State.APPROVED, State.EFFECTIVE, State.SUPERSEDED, State.EXPIRED, State.ARCHIVED]

Span = tuple[int, int]
"""Characters of a text, from the first to behind the last."""


@dataclass(frozen=True, slots=True)
class PageStart:
    """A page of a quotation: number in the file, printed label, and the character of the quotation where it begins."""

    number: int
    label: str
    start: int


@dataclass(frozen=True, slots=True)
class Place:
    """Words on one page: characters `start` to `end` of the page's text. Formats without pages have one, number 1."""

    page: int
    start: int
    end: int


@dataclass(frozen=True, slots=True)
class Quotation:
    """What is looked for: the words, and where they stood. `page` is None in formats without pages, `start` where it
    is not known."""

    version_id: UUID | str
    quote: str
    page: int | None
    last_page: int | None = None
    start: int | None = None


def page_starts(passages: Sequence[Passage]) -> list[tuple[PageStart, ...]]:
    """For each passage the pages that it runs over, and at which of its characters they begin; none in formats without
    pages."""
    stretches = [_stretch(one) for one in passages]
    held = Q(pk__in=[])
    for version, numbers in {(one.version_id, stretch) for one, stretch in zip(passages, stretches, strict=True)}:
        if numbers:
            held |= Q(version=version, number__range=(numbers[0], numbers[-1]))
    rows = Page.objects.filter(held).values_list("version", "number", "label", "text") if any(stretches) else ()
    pages = {(version, number): (label, len(text)) for version, number, label, text in rows}
    found = []
    for one, numbers in zip(passages, stretches, strict=True):
        starts, place = [], -one.start
        for number in numbers:
            if (page := pages.get((one.version_id, number))) is not None:
                starts.append(PageStart(number, page[0], max(place, 0)))
                place += page[1] + 1
        found.append(tuple(starts))
    return found


def _stretch(passage: Passage) -> range:
    return range(passage.page, (passage.last_page or passage.page) + 1) if passage.page is not None else range(0)


def places(wanted: Quotation, spans: Iterable[Span] | None = None) -> tuple[Place, ...]:
    """Where `spans` of a quotation (all of it, where None) stand on the pages of its version as they are now; none
    where its words are no longer found there, or the version is gone."""
    source = _Source.of(wanted)
    if source is None:
        return ()
    found: list[Place] = []
    for begin, end in [(0, len(wanted.quote))] if spans is None else spans:
        found.extend(source.on_pages(begin, end))
    return tuple(found)


def surroundings(wanted: Quotation) -> tuple[str, str]:
    """What stands before and after a quotation on its first and last page, a few paragraphs each, to show it in its
    place; two empty texts where it is not found."""
    found = places(wanted)
    if not found:
        return "", ""
    first, last = found[0], found[-1]
    texts = selectors.page_texts(wanted.version_id, first.page, last.page)
    before, after = texts[first.page][: first.start].rstrip(), texts[last.page][last.end :].lstrip()
    if len(before) > _SURROUNDING:
        before = "… " + before[-_SURROUNDING:].partition("\n")[2].lstrip()
    if len(after) > _SURROUNDING:
        after = after[:_SURROUNDING].rpartition("\n")[0].rstrip() + " …"
    return before, after


def closed_to(version_ids: Iterable[UUID | str], departments: Collection[UUID]) -> set[str]:
    """Those of some versions that belong to guidelines for other departments than these now. A version that is gone is
    none: nothing of it is left to be seen."""
    cited = GuidelineVersion.objects.filter(pk__in=set(version_ids))
    closed = cited.exclude(guideline__in=selectors.guidelines_open_to(departments))
    return set(map(str, closed.values_list("pk", flat=True)))


# --- what has become of a version ----------------------------------------------------------------------------------

StandingCode = Literal[
    "in_force", "not_yet", "superseded", "expired", "archived", "withdrawn", "switched_off", "removed"
]


@dataclass(frozen=True, slots=True)
class Standing:
    """Whether a version may answer now, and if not, why: `since` when, and where a later one took its place the
    `number` of that."""

    code: StandingCode
    number: int | None = None
    since: datetime | None = None


def standing(version_id: UUID | str, at: datetime | None = None) -> Standing:
    """What has become of a version, asked of the clock as answers do."""
    now = at or timezone.now()
    version = GuidelineVersion.objects.select_related("guideline").filter(pk=version_id).first()
    if version is None:
        return Standing("removed")
    if selectors.answering_versions(now).filter(pk=version.pk).exists():
        return Standing("in_force")
    if version.state == State.ARCHIVED:
        return Standing("archived", since=version.archived_at)
    if version.state not in _BEGUN:
        return Standing("withdrawn")
    return _overtaken(version, now)


def _overtaken(version: GuidelineVersion, now: datetime) -> Standing:
    """Why a version that was approved does not answer."""
    later = version.guideline.versions.filter(
        number__gt=version.number, state__in=_BEGUN, effective_from__lte=now, ingestion=Ingestion.INDEXED
    )
    follower = later.order_by("effective_from", "number").first()
    if follower:
        return Standing("superseded", follower.number, follower.effective_from)
    if version.expires_at and version.expires_at <= now:
        return Standing("expired", since=version.expires_at)
    if not version.guideline.enabled:
        return Standing("switched_off")
    is_ahead = version.effective_from is not None and version.effective_from > now
    return Standing("not_yet", since=version.effective_from if is_ahead else None)


# --- finding words ---------------------------------------------------------------------------------------------------


class _Source:
    """The letters of a quotation found among the letters of its pages."""

    def __init__(self, quote: "_Letters", pages: Sequence[tuple[int, "_Letters"]], first: int) -> None:
        self._quote, self._pages, self._first = quote, pages, first

    @classmethod
    def of(cls, wanted: Quotation) -> "_Source | None":
        """The place that is nearest to the one where the words stood; None where they are not found."""
        quote = _Letters(wanted.quote)
        first, last = wanted.page or 1, wanted.last_page or wanted.page or 1
        texts = selectors.page_texts(wanted.version_id, first, last)
        if not quote.text or not texts:
            return None
        near = None
        if wanted.start is not None and set(texts) == {first} and len(texts[first]) > _LONG:
            begin = max(wanted.start - _NEAR, 0)  # a long text without pages: first where the words stood
            part = _Letters(texts[first][begin : wanted.start + len(wanted.quote) + _NEAR], begin)
            near = cls._nearest(quote, [(first, part)], wanted.start)
        whole = ((number, _Letters(text)) for number, text in sorted(texts.items()))
        return near or cls._nearest(quote, list(whole), wanted.start)

    @classmethod
    def _nearest(
        cls, quote: "_Letters", pages: Sequence[tuple[int, "_Letters"]], start: int | None
    ) -> "_Source | None":
        everything = "".join(letters.text for _, letters in pages)
        expected = pages[0][1].before(start) if start is not None else 0
        found = min(_occurrences(everything, quote.text), key=lambda at: abs(at - expected), default=None)
        return None if found is None else cls(quote, pages, found)

    def on_pages(self, begin: int, end: int) -> Iterator[Place]:
        """Where characters `begin` to `end` of the quotation stand, a place for each page."""
        first, last = self._first + self._quote.before(begin), self._first + self._quote.before(end)
        for number, letters in self._pages:
            here = max(first, 0), min(last, len(letters.text))
            if here[0] < here[1]:
                start, stop = letters.at[here[0]], letters.at[here[1] - 1] + 1
                if first >= 0:
                    start -= _alike(self._quote.raw[begin:end], letters.raw[:start], from_left=True)
                if last <= len(letters.text):
                    stop += _alike(self._quote.raw[begin:end], letters.raw[stop:], from_left=False)
                yield Place(number, letters.begin + start, letters.begin + stop)
            first, last = first - len(letters.text), last - len(letters.text)


def _alike(quote: str, beside: str, *, from_left: bool) -> int:
    """How many signs stand at the outer end of a quotation, and beside its letters on the page as well."""
    signs = _outer_signs(quote if from_left else quote[::-1])
    near = beside[::-1] if from_left else beside
    wanted = signs[::-1]
    length = 0
    while length < min(len(wanted), len(near)) and wanted[length] == near[length]:
        length += 1
    return length


def _outer_signs(text: str) -> str:
    for at, character in enumerate(text):
        if character.isalnum():
            return text[:at]
    return text


class _Letters:
    """A text (`raw`) reduced to its letters and digits; `at` is where each stands in it. It begins at character `begin`
    of its page."""

    def __init__(self, text: str, begin: int = 0) -> None:
        self.raw, self.begin = text, begin
        letters: list[str] = []
        self.at = array("I")
        for at, character in enumerate(text):
            if character.isalnum():
                plain = character if character.isascii() else unicodedata.normalize("NFKC", character)
                letters.append(plain)
                self.at.extend([at] * len(plain))
        self.text = "".join(letters)

    def before(self, place: int) -> int:
        """How many letters stand before a character of the page."""
        return bisect_left(self.at, place - self.begin)


def _occurrences(text: str, wanted: str) -> Iterator[int]:
    at = text.find(wanted)
    while at >= 0:
        yield at
        at = text.find(wanted, at + 1)
