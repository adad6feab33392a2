"""From a file to passages that can be found: read, cut, embed, index, switch over. Every step can be interrupted and
taken up again."""

import logging
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress

from django.conf import settings
from django.db import transaction
from django.utils import timezone

from knowledge import lifecycle
from knowledge._claims import claim
from knowledge._errors import DocumentUnreadable, IndexLocked, IngestionRunning, KnowledgeError
from knowledge._types import OnProgress, Progress
from knowledge.indexing import _sync
from knowledge.indexing._embedder import BATCH
from knowledge.ingestion._likeness import compare_with_library, sketch
from knowledge.ingestion._reading import cut_up, language_of, read, store
from knowledge.models import Chunk, Embedding, GuidelineVersion
from knowledge.signals import ingestion_ended

logger = logging.getLogger(__name__)
State = GuidelineVersion.State
Ingestion = GuidelineVersion.Ingestion
ROOM = 32 * 1024 * 1024  # bytes that stay free on the disk
_PROGRESS = [
    "ingestion", "progress_done", "progress_total", "step_started_at", "error_code", "error_parameters",
]  # fmt: skip


def ingest(version: GuidelineVersion, on_progress: OnProgress | None) -> None:
    """Take a version through all steps that it has not done. Raises KnowledgeError after marking it failed."""
    report = _Reporter(version, on_progress)
    with claimed(version):
        version.refresh_from_db()
        if version.ingestion == Ingestion.INDEXED:
            return
        try:
            check_room(version)
            if not version.chunks.exists():
                _read(version, report)
            _embed(version, report)
            _index(version, report)
        except Exception as error:
            known = _failed(version, error, report)
            if known is error:
                raise
            raise known from error


class _Reporter:
    """Tells the caller and the database how far an ingestion is."""

    def __init__(self, version: GuidelineVersion, on_progress: OnProgress | None) -> None:
        self._version, self._on_progress = version, on_progress
        self._step, self._stored = "", 0.0

    def step(self, ingestion: Ingestion, name: str, done: int, total: int, error: KnowledgeError | None = None) -> None:
        """Store and tell one step; of a step that goes on, not more often than twice a second."""
        version = self._version
        begun = name != self._step
        if begun or done == total or time.monotonic() - self._stored > 0.5:
            version.ingestion, version.progress_done, version.progress_total = ingestion, done, total
            version.error_code, version.error_parameters = (error.code, error.parameters) if error else ("", {})
            if begun:
                version.step_started_at = timezone.now()
            version.save(update_fields=_PROGRESS)
            self._step, self._stored = name, time.monotonic()
        self.tell(name, done, total, version.error)

    def tell(self, name: str, done: int, total: int, error: str = "") -> None:
        """Tell the caller only."""
        if self._on_progress:
            self._on_progress(Progress(self._version.pk, self._version.guideline.title, name, done, total, error))  # type: ignore[arg-type]


@contextmanager
def claimed(version: GuidelineVersion) -> Iterator[None]:
    """Nobody else ingests this version meanwhile; the claim of a process that dies ends with it."""
    with claim(f"ingest-{version.pk}") as mine:
        if not mine:
            raise IngestionRunning("running", name=version.filename)
        yield


def _read(version: GuidelineVersion, report: _Reporter) -> None:
    """Parse and cut; pages and chunks are stored in one transaction, so there are either all or none."""
    report.step(Ingestion.PARSING, "parsing", 0, version.page_count or 1)
    document = read(version, lambda done, total, _: report.step(Ingestion.PARSING, "parsing", done, total))
    report.tell("parsing", len(document.pages), len(document.pages))
    language = language_of(version, document)
    chunks = list(cut_up(version, document, language))
    sketched = sketch("\n".join(page.text for page in document.pages))
    with transaction.atomic():
        store(version, document, chunks, language)
        compare_with_library(version, sketched)


def _embed(version: GuidelineVersion, report: _Reporter) -> None:
    """Compute the vectors that are missing; each batch is stored, so that an interrupted ingestion goes on where it
    was."""
    embedder = _sync.embedder_for_passages()
    total = version.chunks.count()
    if total == 0:
        raise DocumentUnreadable("no_text", name=version.filename)
    have = Embedding.objects.filter(chunk__version=version, embedder=embedder.id).values("chunk")
    waiting = list(version.chunks.exclude(pk__in=have).order_by("ordinal").values_list("pk", flat=True))
    done = total - len(waiting)
    report.step(Ingestion.EMBEDDING, "embedding", done, total)
    for numbers in _sync.batches(iter(waiting), BATCH):
        check_room(version)
        chunks = Chunk.objects.filter(pk__in=numbers).select_related("version__guideline").defer("terms")
        _sync.embed(list(chunks), embedder)
        done += len(numbers)
        report.step(Ingestion.EMBEDDING, "embedding", done, total)


def _index(version: GuidelineVersion, report: _Reporter) -> None:
    """Put the vectors in, then let the version answer in one transaction; until then the one before it answers."""
    total = version.chunks.count()
    index = None
    # Where another process has the index, that process takes the version over with its next question.
    with suppress(IndexLocked):
        index = _sync.open_index()
    if index and version.state in {State.APPROVED, State.EFFECTIVE}:
        report.tell("indexing", 0, total)
        _sync.put_in(index, version.pk)
        report.tell("indexing", total, total)
    with transaction.atomic():
        version.ingestion, version.indexed_at = Ingestion.INDEXED, timezone.now()
        version.progress_done = version.progress_total = total
        version.save(update_fields=["ingestion", "indexed_at", "progress_done", "progress_total"])
        lifecycle.bring_up_to_date(version.guideline_id)
        ingestion_ended.send(GuidelineVersion, version=version)
    report.tell("indexed", total, total)
    if index:
        _sync.sync(index)


def check_room(version: GuidelineVersion) -> None:
    """Stop while there is still room on the disk to write down why. Raises KnowledgeError."""
    if shutil.disk_usage(settings.HAVRE_DATA_DIR).free < ROOM + 2 * version.size:
        raise KnowledgeError("disk_full", name=version.filename)


def _failed(version: GuidelineVersion, error: Exception, report: _Reporter) -> KnowledgeError:
    """Mark a version failed and give the error to raise: the given one, or for a foreign one an error of our own."""
    if isinstance(error, KnowledgeError):
        known = error
    elif _sync.out_of_room(error):
        known = KnowledgeError("disk_full", name=version.filename)
    else:
        logger.exception("Ingestion of version %s failed", version.pk)
        known = KnowledgeError("internal")
    # The database itself may be what failed; then the version stays among the pending ones.
    with suppress(Exception), transaction.atomic():
        report.step(Ingestion.FAILED, "failed", version.progress_done, version.progress_total, known)
        ingestion_ended.send(GuidelineVersion, version=version)
    return known
