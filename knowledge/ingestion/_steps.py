"""From a file to passages that can be found: read, cut, embed, index, switch over. Every step can be interrupted and
taken up again."""

import errno
import fcntl
import logging
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from django.conf import settings
from django.db import transaction
from django.utils import timezone

from knowledge import lifecycle
from knowledge._analysis import guess_language, terms
from knowledge._errors import DocumentUnreadable, IndexLocked, IngestionRunning, KnowledgeError
from knowledge._types import OnProgress, Progress
from knowledge.indexing import _sync
from knowledge.indexing._embedder import BATCH, get_embedder, token_counter
from knowledge.ingestion._chunking import Sizes, cut
from knowledge.ingestion._likeness import compare_with_library
from knowledge.models import Chunk, Embedding, GuidelineVersion, Page
from knowledge.parsing import ParsedDocument, parse
from knowledge.signals import ingestion_ended

logger = logging.getLogger(__name__)
State = GuidelineVersion.State
Ingestion = GuidelineVersion.Ingestion


def stored_file(version: GuidelineVersion) -> Path:
    """Where the bytes of a version lie."""
    return Path(settings.HAVRE_DATA_DIR) / "guidelines" / (version.sha256 + Path(version.filename).suffix.lower())


def ingest(version: GuidelineVersion, on_progress: OnProgress | None) -> None:
    """Take a version through all steps that it has not done. Raises KnowledgeError after marking it failed."""
    report = _Reporter(version, on_progress)
    with _claimed(version):
        version.refresh_from_db()
        if version.ingestion == Ingestion.INDEXED:
            return
        try:
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

    def step(self, ingestion: Ingestion, name: str, done: int, total: int, error: KnowledgeError | None = None) -> None:
        """Store and tell one step."""
        version = self._version
        version.ingestion, version.progress_done, version.progress_total = ingestion, done, total
        version.error_code, version.error_parameters = (error.code, error.parameters) if error else ("", {})
        version.save(update_fields=["ingestion", "progress_done", "progress_total", "error_code", "error_parameters"])
        self.tell(name, done, total, version.error)

    def tell(self, name: str, done: int, total: int, error: str = "") -> None:
        """Tell the caller only."""
        if self._on_progress:
            self._on_progress(Progress(self._version.pk, self._version.guideline.title, name, done, total, error))  # type: ignore[arg-type]


@contextmanager
def _claimed(version: GuidelineVersion) -> Iterator[None]:
    """Nobody else ingests this version meanwhile; the claim of a process that dies ends with it."""
    folder = Path(settings.HAVRE_DATA_DIR) / "run"
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    path = folder / f"ingest-{version.pk}.lock"
    with path.open("w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            raise IngestionRunning("running", name=version.filename) from error
        yield


def _read(version: GuidelineVersion, report: _Reporter) -> None:
    """Parse and cut; pages and chunks are stored in one transaction, so there are either all or none."""
    report.step(Ingestion.PARSING, "parsing", 0, version.page_count or 1)
    path = stored_file(version)
    if not path.is_file():
        raise DocumentUnreadable("file_lost", name=version.filename)
    document = parse(
        path,
        version.media_type,
        version.filename,
        ocr=version.ocr_language,
        on_page=lambda done, total, _: report.step(Ingestion.PARSING, "parsing", done, total),
    )
    report.tell("parsing", len(document.pages), len(document.pages))
    language = version.language or version.guideline.language or _language(document)
    with transaction.atomic():
        version.pages.all().delete()
        version.chunks.all().delete()
        paged = any(page.number for page in document.pages)
        Page.objects.bulk_create(
            [
                Page(
                    version=version,
                    number=page.number or 1,
                    label=page.label[:40],
                    text=page.text,
                    headings=[[one.start, one.end, one.level] for one in page.headings],
                    blocks=[[one.start, one.end, one.kind] for one in page.blocks],
                    boxes=page.boxes or None,
                    width=page.width or None,
                    height=page.height or None,
                    ocr=page.ocr,
                )
                for page in document.pages
            ],
            batch_size=200,
        )
        Chunk.objects.bulk_create(_chunks(version, document, language), batch_size=200)
        version.page_count, version.language = len(document.pages) if paged else None, language
        version.save(update_fields=["page_count", "language"])
        compare_with_library(version, (page.text for page in document.pages))
        if not version.guideline.language:
            version.guideline.language = language
            version.guideline.save(update_fields=["language"])


def _language(document: ParsedDocument) -> str:
    return guess_language("\n".join(page.text for page in document.pages)[:50_000], default="en")


def _chunks(version: GuidelineVersion, document: ParsedDocument, language: str) -> Iterator[Chunk]:
    title = version.guideline.title
    for ordinal, piece in enumerate(cut(document.pages, token_counter(), Sizes.fitting(get_embedder().max_tokens))):
        # Title and headings are searched with the text that stands below them.
        words = terms(" ".join([title, piece.heading, piece.text]), language)
        yield Chunk(
            version=version,
            ordinal=ordinal,
            kind=piece.kind,
            page=piece.page.number,
            last_page=piece.last_page.number,
            page_label=piece.page.label[:40],
            heading=piece.heading,
            text=piece.text,
            start=piece.start,
            end=piece.end,
            language=language,
            terms=" ".join(words),
        )


def _embed(version: GuidelineVersion, report: _Reporter) -> None:
    """Compute the vectors that are missing; each batch is stored, so that an interrupted ingestion goes on where it
    was."""
    embedder = get_embedder()
    total = version.chunks.count()
    if total == 0:
        raise DocumentUnreadable("no_text", name=version.filename)
    have = Embedding.objects.filter(chunk__version=version, embedder=embedder.id).values("chunk")
    waiting = list(version.chunks.exclude(pk__in=have).order_by("ordinal").values_list("pk", flat=True))
    done = total - len(waiting)
    report.step(Ingestion.EMBEDDING, "embedding", done, total)
    for start in range(0, len(waiting), BATCH):
        batch = list(Chunk.objects.filter(pk__in=waiting[start : start + BATCH]).defer("terms").order_by("ordinal"))
        texts = [_sync.embedded_text(chunk, version.guideline.title) for chunk in batch]
        vectors = embedder.embed_passages(texts)
        made = [Embedding(chunk=chunk, embedder=embedder.id, vector=v) for chunk, v in zip(batch, vectors, strict=True)]
        Embedding.objects.bulk_create(made, ignore_conflicts=True)
        done += len(batch)
        report.step(Ingestion.EMBEDDING, "embedding", done, total)


def _index(version: GuidelineVersion, report: _Reporter) -> None:
    """Put the vectors in, then let the version answer in one transaction; until then the one before it answers."""
    embedder, total = get_embedder().id, version.chunks.count()
    index = None
    # Where another process has the index, that process takes the version over with its next question.
    with suppress(IndexLocked):
        index = _sync.open_index()
    if index and version.state in {State.APPROVED, State.EFFECTIVE}:
        done = 0
        vectors = Embedding.objects.filter(chunk__version=version, embedder=embedder).order_by("chunk__ordinal")
        for batch in _sync.batches(vectors.values_list("chunk", "vector").iterator(chunk_size=1000), 1000):
            index.add(version.pk, [(pk, bytes(vector)) for pk, vector in batch])
            done += len(batch)
            report.tell("indexing", done, total)
    with transaction.atomic():
        version.ingestion, version.indexed_at = Ingestion.INDEXED, timezone.now()
        version.progress_done = version.progress_total = total
        version.save(update_fields=["ingestion", "indexed_at", "progress_done", "progress_total"])
        lifecycle.bring_up_to_date(version.guideline_id)
        ingestion_ended.send(GuidelineVersion, version=version)
    report.tell("indexed", total, total)
    if index:
        _sync.sync(index)


def _failed(version: GuidelineVersion, error: Exception, report: _Reporter) -> KnowledgeError:
    """Mark a version failed and give the error to raise: the given one, or for a foreign one an error of our own."""
    if isinstance(error, KnowledgeError):
        known = error
    elif isinstance(error, OSError) and error.errno in {errno.ENOSPC, errno.EDQUOT}:
        known = KnowledgeError("disk_full", name=version.filename)
    else:
        logger.exception("Ingestion of version %s failed", version.pk)
        known = KnowledgeError("internal")
    # The database itself may be what failed; then the version stays among the pending ones.
    with suppress(Exception), transaction.atomic():
        report.step(Ingestion.FAILED, "failed", version.progress_done, version.progress_total, known)
        ingestion_ended.send(GuidelineVersion, version=version)
    return known
