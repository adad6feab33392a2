"""Changes to the guideline library: taking files in, ingesting them, switching guidelines, mending the index."""

import re
from pathlib import Path, PurePath
from typing import BinaryIO
from uuid import UUID

from django.db import IntegrityError, transaction
from django.db.models import Max

from knowledge import _indexing, _ingestion, _intake, selectors
from knowledge._errors import DuplicateDocument, KnowledgeError
from knowledge._types import IndexReport, OnProgress
from knowledge.models import Guideline, GuidelineVersion

State = GuidelineVersion.State
Ingestion = GuidelineVersion.Ingestion


def add_version(
    source: Path | str | BinaryIO,
    *,
    filename: str = "",
    title: str | None = None,
    language: str | None = None,
    uploaded_by: str = "",
    publisher: str = "",
    licence: str = "",
    source_url: str = "",
    approve: bool = True,
) -> GuidelineVersion:
    """Take a file into the library as a new guideline, or as the next version of the one with this title and publisher.

    The version is pending until `ingest` has gone through it; with `approve` it then becomes effective by itself.
    `language` (ISO 639-1) is found out when it is not given. Raises DocumentRejected, with a sentence, for empty, too
    large, unknown or mislabelled files, and DuplicateDocument when the library has this very file already.
    """
    filename = _intake.safe_name(filename or (str(source) if isinstance(source, Path | str) else "document"))
    title = " ".join((title or _title_of(filename)).split())[:300]
    publisher = " ".join(publisher.split())[:200]
    stored = _intake.store(source, filename)
    _refuse_duplicate(filename, stored.sha256)
    try:
        with transaction.atomic():
            guideline, _ = Guideline.objects.get_or_create(
                title=title,
                publisher=publisher,
                defaults={"language": language or "", "licence": licence[:200], "source_url": source_url[:500]},
            )
            guideline = Guideline.objects.select_for_update().get(pk=guideline.pk)
            last = guideline.versions.aggregate(last=Max("number"))["last"] or 0
            return GuidelineVersion.objects.create(
                guideline=guideline,
                number=last + 1,
                filename=filename,
                media_type=stored.media_type,
                sha256=stored.sha256,
                size=stored.size,
                language=language or "",
                approved=approve,
                uploaded_by=uploaded_by[:150],
            )
    except IntegrityError:
        _refuse_duplicate(filename, stored.sha256)  # two uploads of one file at the same moment
        raise


def _title_of(filename: str) -> str:
    return re.sub(r"[_\s]+", " ", PurePath(filename).stem).strip() or filename


def _refuse_duplicate(filename: str, sha256: str) -> None:
    known = GuidelineVersion.objects.select_related("guideline").filter(sha256=sha256).first()
    if known:
        message = f"“{filename}” is in the library already: it is “{known.guideline.title}”, version {known.number}."
        raise DuplicateDocument(message, known.pk)


def ingest(version_id: UUID | str, on_progress: OnProgress | None = None) -> GuidelineVersion:
    """Read, cut, embed and index a version, and let it answer in place of the one before it when it is approved.

    Can be interrupted at any moment and called again: it goes on where it was, and nothing is there twice. When it
    fails the version is marked failed with a sentence, the error is raised, and the version before goes on answering.
    Raises KnowledgeError (DocumentUnreadable, EmbedderUnavailable, IndexUnavailable, IngestionRunning when somebody
    else is at it).
    """
    version = selectors.get_version(version_id)
    _ingestion.ingest(version, on_progress)
    version.refresh_from_db()
    return version


def retry(version_id: UUID | str) -> GuidelineVersion:
    """Put a failed version back among the pending ones; any other is left as it is."""
    GuidelineVersion.objects.filter(pk=version_id, ingestion=Ingestion.FAILED).update(
        ingestion=Ingestion.PENDING, error="", error_code="", progress_done=0, progress_total=0
    )
    return selectors.get_version(version_id)


def approve(version_id: UUID | str) -> GuidelineVersion:
    """Let a draft answer: at once when it is indexed, else as soon as it is."""
    with transaction.atomic():
        version = (
            GuidelineVersion.objects.select_for_update(of=("self",)).select_related("guideline").get(pk=version_id)
        )
        version.approved = True
        version.save(update_fields=["approved"])
        if version.ingestion == Ingestion.INDEXED and version.state == State.DRAFT:
            _ingestion.make_effective(version)
    return version


def set_enabled(guideline_id: UUID | str, enabled: bool) -> Guideline:
    """Switch a guideline on or off. Off, none of its passages is found from the next question on; old citations still
    open."""
    guideline = Guideline.objects.get(pk=guideline_id)
    guideline.enabled = enabled
    guideline.save(update_fields=["enabled"])
    return guideline


def rebuild_index() -> IndexReport:
    """Delete the vector index and make it again from SQL. Raises IndexLocked when another process has it open."""
    _indexing.discard_index()
    return verify_index()


def verify_index() -> IndexReport:
    """Compare the vector index with SQL, chunk by chunk and by searching for a sample; mend it or make it again when
    they differ.

    Raises IndexLocked when another process has it open.
    """
    index = _indexing.open_index()
    report = _indexing.reconcile(index)
    lost = _indexing.unfindable(index)
    if lost:
        _indexing.discard_index()
        _indexing.open_index()
    return IndexReport(report.expected, report.missing, report.stray, lost, report.rebuilt or bool(lost))


def ingest_samples(on_progress: OnProgress | None = None, *, uploaded_by: str = "samples") -> list[GuidelineVersion]:
    """Take in and ingest the sample guidelines that come with the project; those that are there already are left
    alone."""
    from knowledge.samples import read_samples

    versions = []
    for sample in read_samples():
        try:
            version = add_version(
                sample.path,
                filename=sample.path.name,
                title=sample.title,
                language=sample.language,
                uploaded_by=uploaded_by,
                publisher=sample.publisher,
                licence=sample.licence,
                source_url=sample.source_url,
            )
        except DuplicateDocument as duplicate:
            version = selectors.get_version(duplicate.version_id)
        versions.append(version)
    return [
        version if version.ingestion == Ingestion.INDEXED else ingest(version.pk, on_progress) for version in versions
    ]


def warm() -> None:
    """Load the embedding model and open the vector index, so that the first question need not wait for them.

    Raises EmbedderUnavailable, IndexLocked, IndexUnavailable.
    """
    from knowledge._embedder import get_embedder

    get_embedder().load()
    _indexing.open_index()


def close() -> None:
    """Close the vector index if this process has it open, so that another may have it."""
    _indexing.close_index()


__all__ = [
    "KnowledgeError", "add_version", "approve", "close", "ingest", "ingest_samples", "rebuild_index", "retry",
    "set_enabled", "verify_index", "warm",
]  # fmt: skip
