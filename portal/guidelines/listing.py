"""What the page of the library shows: each guideline with the version that answers, the one that comes next, and what
wants attention; searched, filtered and sorted."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import Any

from django.conf import settings
from django.db.models import Prefetch, QuerySet
from django.utils import timezone

import knowledge
from knowledge import lifecycle, selectors
from knowledge.models import Chunk, Department, FolderFile, Guideline, GuidelineVersion, Index, Opening
from portal.guidelines import estimates

State = GuidelineVersion.State
Ingestion = GuidelineVersion.Ingestion

REVIEW_SOON = timedelta(days=30)
_COMING: dict[str, str] = {State.DRAFT: "draft", State.IN_REVIEW: "waiting", State.APPROVED: "scheduled"}


@dataclass(frozen=True, slots=True)
class Listed:
    """One guideline of the library. `current` answers at this moment; `coming` is the newest version that people still
    have to do something about, or that waits for its day; `reading` is being read, or could not be."""

    guideline: Guideline
    departments: tuple[Department, ...]
    current: GuidelineVersion | None
    coming: GuidelineVersion | None
    reading: GuidelineVersion | None
    latest: GuidelineVersion | None
    versions: int
    review: str  # "overdue", "soon" or nothing
    opening: Opening | None  # to more departments, asked of a second person
    actor: str

    @property
    def conditions(self) -> frozenset[str]:
        """All that holds of it: that it answers, is off or silent (switched on, with no version in force), what its
        version to come is (draft, waiting, scheduled), and that a version is being read or has failed."""
        found = {"answers"} if self.current is not None else {"silent"} if self.guideline.enabled else {"off"}
        if self.coming is not None:
            found.add(_COMING[self.coming.state])
        if self.reading is not None:
            found.add("failed" if self.reading.ingestion == Ingestion.FAILED else "reading")
        return frozenset(found)

    @property
    def for_me(self) -> bool:
        """Whether `coming` waits for this person's approval: what `steps` says, without asking the database for each of
        a thousand guidelines; or that it be opened to more departments does."""
        if self.opening is not None and self.opening.asked_by != self.actor:
            return True
        one = self.coming
        if one is None or one.state != State.IN_REVIEW or one.ingestion != Ingestion.INDEXED:
            return False
        return self.actor not in {one.uploaded_by, one.submitted_by}

    @property
    def steps(self) -> tuple[str, ...]:
        """What this person may do with `coming`."""
        return lifecycle.steps(self.coming, self.actor) if self.coming else ()

    @property
    def looks_like(self) -> GuidelineVersion | None:
        """The version of another guideline that the one to come resembles."""
        return resembled(self.coming)


def resembled(version: GuidelineVersion | None) -> GuidelineVersion | None:
    """The version of another guideline that an undecided version resembles, if any."""
    if version is None or version.state not in {State.DRAFT, State.IN_REVIEW}:
        return None
    like = version.similar_to
    return like if like is not None and like.guideline_id != version.guideline_id else None


@dataclass(frozen=True, slots=True)
class IndexState:
    """The index that answers, the one that is being built, and the last one that failed, if it was tried after the one
    that answers; `left` is how long the building will take, in words; `outdated` versions are still to be read anew."""

    active: Index | None
    building: Index | None
    failed: Index | None
    left: str
    outdated: int


def index_state() -> IndexState:
    """How the vector indexes stand."""
    newest = list(Index.objects.exclude(state=Index.State.RETIRED)[:20])
    active, building, failed = (
        next((one for one in newest if one.state == state), None)
        for state in (Index.State.ACTIVE, Index.State.BUILDING, Index.State.FAILED)
    )
    if failed and (building or (active and failed.started_at < active.started_at)):
        failed = None
    left = estimates.in_words(estimates.index_left(building)) if building else ""
    return IndexState(active, building, failed, left, knowledge.waiting_to_be_read_anew())


def answering_passages() -> int:
    """How many passages may answer at this moment."""
    return Chunk.objects.filter(version__in=selectors.answering_versions()).count()


@dataclass(frozen=True, slots=True)
class FolderState:
    """The watched folder: its files that were seen, and how many were left out."""

    path: str
    seen: int
    left: int


def folder_state() -> FolderState | None:
    """How the watched folder stands; None where none is watched and none was."""
    files = FolderFile.objects.all()
    seen = files.count()
    path = str(settings.HAVRE_WATCH_FOLDER)
    return FolderState(path, seen, files.exclude(error_code="").count()) if path or seen else None


def library(actor: str, at: datetime | None = None) -> list[Listed]:
    """Every guideline, as `actor` sees it."""
    now = at or timezone.now()
    answering = set(selectors.answering_versions(now).values_list("pk", flat=True))
    versions = GuidelineVersion.objects.order_by("-number").defer("sketch")
    found: QuerySet[Guideline] = Guideline.objects.select_related("opening").prefetch_related(
        Prefetch("versions", versions), "departments"
    )
    return [_listed(one, answering, actor, timezone.localdate(now)) for one in found]


def _listed(guideline: Guideline, answering: set[Any], actor: str, today: date) -> Listed:
    versions = list(guideline.versions.all())
    for one in versions:
        one.guideline = guideline  # known already: no query a version
    current = next((one for one in versions if one.pk in answering), None)
    newer = [one for one in versions if current is None or one.number > current.number]
    coming = next((one for one in newer if one.state in _COMING and one.pk not in answering), None)
    unread = [one for one in versions if one.ingestion != Ingestion.INDEXED and one.state != State.ARCHIVED]
    return Listed(
        guideline=guideline,
        departments=tuple(guideline.departments.all()),
        current=current,
        coming=coming,
        reading=unread[0] if unread else None,
        latest=versions[0] if versions else None,
        versions=len(versions),
        review=review_of(current, today),
        opening=getattr(guideline, "opening", None),
        actor=actor,
    )


def review_of(version: GuidelineVersion | None, today: date) -> str:
    """Whether the review of a version is "overdue", due "soon", or neither (empty)."""
    if version is None or version.review_due is None:
        return ""
    if version.review_due < today:
        return "overdue"
    return "soon" if version.review_due <= today + REVIEW_SOON else ""


def narrowed(found: Iterable[Listed], chosen: Mapping[str, Any]) -> list[Listed]:
    """Those that match every filter of `portal.guidelines.forms.LibraryFilter` that is set, in the order asked for."""
    tests = [_TESTS[name](value) for name, value in chosen.items() if name in _TESTS and value]
    kept = [one for one in found if all(test(one) for test in tests)]
    return sorted(kept, key=_ORDERS.get(str(chosen.get("order", "")), _by_title))


def _matches(words: str) -> Callable[[Listed], bool]:
    wanted = words.casefold().split()

    def test(one: Listed) -> bool:
        guideline = one.guideline
        file = one.latest.filename if one.latest else ""
        said = [guideline.title, guideline.publisher, guideline.population, guideline.setting, file]
        text = " ".join(said).casefold()
        return all(word in text for word in wanted)

    return test


_TESTS: dict[str, Callable[[Any], Callable[[Listed], bool]]] = {
    "q": _matches,
    "state": lambda state: lambda one: state in one.conditions,
    "department": lambda department: lambda one: department in one.departments,
    "language": lambda language: lambda one: one.guideline.language == language,
    "review": lambda review: lambda one: one.review == review or (review == "soon" and one.review == "overdue"),
    "mine": lambda _: lambda one: one.for_me,
}

_LAST = date.max.toordinal()


def _by_title(one: Listed) -> tuple[Any, ...]:
    return (one.guideline.title.casefold(), one.guideline.publisher.casefold())


def _by_review(one: Listed) -> tuple[Any, ...]:
    due = one.current.review_due if one.current else None
    return (due.toordinal() if due else _LAST, *_by_title(one))


def _by_change(one: Listed) -> tuple[Any, ...]:
    moments = [one.guideline.created_at]
    for version in (one.current, one.latest):
        if version:
            moments += [version.created_at, version.approved_at or version.created_at]
    return (-max(moments).timestamp(), *_by_title(one))


_ORDERS: dict[str, Callable[[Listed], tuple[Any, ...]]] = {"review": _by_review, "changed": _by_change}
