"""Changes to the guideline library: taking files in, ingesting them, switching guidelines, mending the index."""

from pathlib import Path
from typing import BinaryIO
from uuid import UUID

from django.db import IntegrityError, transaction
from django.db.models import Max
from django.utils import timezone

from knowledge import lifecycle, selectors
from knowledge._errors import DuplicateDocument, KnowledgeError
from knowledge._types import IndexReport, OnProgress
from knowledge.indexing import _sync
from knowledge.ingestion import _intake, _steps
from knowledge.ingestion._intake import ReceivedFile, title_of
from knowledge.models import Guideline, GuidelineVersion

State = GuidelineVersion.State
Ingestion = GuidelineVersion.Ingestion


def receive(source: Path | str | BinaryIO, *, filename: str = "", title: str | None = None) -> ReceivedFile:
    """Copy a file into the data folder, see what it is, and find its title in it unless `title` says it.

    Takes up to some seconds, so call it before a transaction begins and give the result to `add_version`. Raises
    DocumentRejected for empty, too large, unknown or mislabelled files.
    """
    return _intake.receive(source, filename, title)


def add_version(
    source: Path | str | BinaryIO | ReceivedFile,
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

    The title is the given one, else the document's own, else its file name made readable. The version is pending until
    `ingest` has gone through it; with `approve` it then becomes effective by itself. `language` (ISO 639-1) is found
    out when it is not given. Raises DocumentRejected for empty, too large, unknown or mislabelled files, and
    DuplicateDocument when the library has this very file already.
    """
    file = source if isinstance(source, ReceivedFile) else receive(source, filename=filename, title=title)
    publisher = _intake.tidy(publisher)[:200]
    _refuse_duplicate(file)
    try:
        with transaction.atomic():
            guideline, _ = Guideline.objects.get_or_create(
                title=_title(file, publisher),
                publisher=publisher,
                defaults={"language": language or "", "licence": licence[:200], "source_url": source_url[:500]},
            )
            guideline = Guideline.objects.select_for_update().get(pk=guideline.pk)
            now = timezone.now()
            last = guideline.versions.aggregate(last=Max("number"))["last"] or 0
            return GuidelineVersion.objects.create(
                guideline=guideline,
                number=last + 1,
                filename=file.filename,
                media_type=file.media_type,
                sha256=file.sha256,
                size=file.size,
                language=language or "",
                state=State.APPROVED if approve else State.DRAFT,
                approved_by=uploaded_by[:150] if approve else "",
                approved_at=now if approve else None,
                effective_from=now if approve else None,
                uploaded_by=uploaded_by[:150],
            )
    except IntegrityError:
        _refuse_duplicate(file)  # two uploads of one file at the same moment
        raise


def _title(file: ReceivedFile, publisher: str) -> str:
    """The title that a file goes by. A new version takes the place of the one before it in answers, so a title that was
    no more than guessed does not join a file to another one of a different name: it then goes by its file name."""
    if file.certain:
        return file.title
    last = GuidelineVersion.objects.filter(guideline__title=file.title, guideline__publisher=publisher)
    known = last.order_by("-number").values_list("filename", flat=True).first()
    return file.title if known is None or _intake.same_document(file.filename, known) else title_of(file.filename)


def _refuse_duplicate(file: ReceivedFile) -> None:
    known = GuidelineVersion.objects.select_related("guideline").filter(sha256=file.sha256).first()
    if known:
        title, number = known.guideline.title, known.number
        raise DuplicateDocument(known.pk, name=file.filename, title=title, number=number)


def ingest(version_id: UUID | str, on_progress: OnProgress | None = None) -> GuidelineVersion:
    """Read, cut, embed and index a version, and let it answer in place of the one before it when it is approved.

    Can be interrupted at any moment and called again: it goes on where it was, and nothing is there twice. When it
    fails the version is marked failed with the reason, the error is raised, and the version before goes on answering.
    Raises KnowledgeError (DocumentUnreadable, EmbedderUnavailable, IndexUnavailable, IngestionRunning when somebody
    else is at it).
    """
    version = selectors.get_version(version_id)
    _steps.ingest(version, on_progress)
    version.refresh_from_db()
    return version


def retry(version_id: UUID | str) -> GuidelineVersion:
    """Put a failed version back among the pending ones; any other is left as it is."""
    GuidelineVersion.objects.filter(pk=version_id, ingestion=Ingestion.FAILED).update(
        ingestion=Ingestion.PENDING, error_code="", error_parameters={}, progress_done=0, progress_total=0
    )
    return selectors.get_version(version_id)


def approve(version_id: UUID | str) -> GuidelineVersion:
    """Let a draft answer: at once when it is indexed, else as soon as it is."""
    with transaction.atomic():
        version = (
            GuidelineVersion.objects.select_for_update(of=("self",)).select_related("guideline").get(pk=version_id)
        )
        if version.state in {State.DRAFT, State.IN_REVIEW}:
            version.state, version.approved_at = State.APPROVED, timezone.now()
            version.effective_from = version.effective_from or version.approved_at
            version.save(update_fields=["state", "approved_at", "effective_from"])
            lifecycle.bring_up_to_date(version.guideline_id)
            version.refresh_from_db()
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
    _sync.discard_index()
    return verify_index()


def verify_index() -> IndexReport:
    """Compare the vector index with SQL, chunk by chunk and by searching for a sample; mend it or make it again when
    they differ.

    Raises IndexLocked when another process has it open.
    """
    index = _sync.open_index()
    report = _sync.reconcile(index)
    lost = _sync.unfindable(index)
    if lost:
        _sync.discard_index()
        _sync.open_index()
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
    from knowledge.indexing._embedder import get_embedder

    get_embedder().load()
    _sync.open_index()


def close() -> None:
    """Close the vector index if this process has it open, so that another may have it."""
    _sync.close_index()


__all__ = [
    "KnowledgeError", "ReceivedFile", "add_version", "approve", "close", "ingest", "ingest_samples", "rebuild_index",
    "receive", "retry", "set_enabled", "verify_index", "warm",
]  # fmt: skip
