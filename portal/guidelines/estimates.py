"""How long the reading of documents will take, as far as it can be known, in words."""

from collections.abc import Sequence
from datetime import datetime, timedelta
from uuid import UUID

from django.db.models import F
from django.utils import timezone
from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from knowledge.models import GuidelineVersion, Index

Ingestion = GuidelineVersion.Ingestion

_LEAST_SECONDS = 3  # of a step, before its pace says anything
_PAGE_SECONDS = 0.4  # for the passages of a page, where nothing was read here yet
_RECENT = 5  # documents whose pace is taken for that of the next ones
_PAGE_BYTES = {"application/pdf": 50_000, "text/plain": 2_500, "text/markdown": 2_500}  # of one nobody has opened yet
_OTHER_BYTES = 20_000


def seconds_a_page() -> float | None:
    """How long the passages of a page took in the documents that were read here last; None where there are none."""
    read = GuidelineVersion.objects.filter(ingestion=Ingestion.INDEXED, indexed_at__gt=F("step_started_at"))
    last = read.only("indexed_at", "step_started_at", "page_count", "size", "media_type").order_by("-indexed_at")
    took, count = 0.0, 0.0
    for version in last[:_RECENT]:
        if version.indexed_at and version.step_started_at:
            took += (version.indexed_at - version.step_started_at).total_seconds()
            count += pages(version)
    return took / count if count else None


def time_left(version: GuidelineVersion, now: datetime | None = None, pace: float | None = None) -> timedelta | None:
    """How long until a version is read, by the pace of the step that it is in, and for what comes after it by `pace`
    (`seconds_a_page`); None where there is no telling yet."""
    now = now or timezone.now()
    done, total = version.progress_done, version.progress_total
    if version.ingestion == Ingestion.PENDING:
        return timedelta(seconds=(pace or _PAGE_SECONDS) * pages(version))
    if version.ingestion not in {Ingestion.PARSING, Ingestion.EMBEDDING}:
        return None
    left = _by_pace(version.step_started_at, done, total, now)
    if left is None or version.ingestion == Ingestion.EMBEDDING:
        return left
    return left + timedelta(seconds=(pace or _PAGE_SECONDS) * max(total, 1))  # and then its passages


def queue_left(queue: Sequence[GuidelineVersion], now: datetime | None = None) -> dict[UUID, str]:
    """In words, how long until each version of a queue is read: they are read one after the other, in this order."""
    words: dict[UUID, str] = {}
    passed: timedelta | None = timedelta()
    pace = seconds_a_page() if queue else None
    for version in queue:
        left = time_left(version, now, pace)
        passed = None if passed is None or left is None else passed + left
        words[version.pk] = in_words(passed)
    return words


def pages(version: GuidelineVersion) -> float:
    """The number of pages, guessed from the size where the file was not opened yet."""
    return version.page_count or max(1.0, version.size / _PAGE_BYTES.get(version.media_type, _OTHER_BYTES))


def index_left(index: Index, now: datetime | None = None) -> timedelta | None:
    """How long until an index is built; None where there is no telling yet."""
    return _by_pace(index.started_at, index.done, index.total, now or timezone.now())


def _by_pace(started: datetime | None, done: int, total: int, now: datetime) -> timedelta | None:
    if started is None or not 0 < done <= total:
        return None
    passed = (now - started).total_seconds()
    if passed < _LEAST_SECONDS:
        return None
    return timedelta(seconds=passed * (total - done) / done)


def in_words(left: timedelta | None) -> str:
    """ "about 3 minutes"; empty where there is no telling."""
    if left is None:
        return ""
    minutes = round(left.total_seconds() / 60)
    if minutes < 1:
        return _("less than a minute")
    if minutes < 60:
        return ngettext("about %(n)d minute", "about %(n)d minutes", minutes) % {"n": minutes}
    hours = round(minutes / 60)
    return ngettext("about %(n)d hour", "about %(n)d hours", hours) % {"n": hours}
