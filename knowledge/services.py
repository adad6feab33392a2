"""Changes to the guideline library: taking files in, ingesting them, switching guidelines, mending the index."""

from collections.abc import Collection
from pathlib import Path
from typing import BinaryIO
from uuid import UUID

from django.conf import settings
from django.db import IntegrityError, transaction
from django.db.models import Max

from knowledge import lifecycle, opening, selectors
from knowledge._errors import DuplicateDocument, KnowledgeError, NotPossible
from knowledge._types import OnProgress
from knowledge.ingestion import _folder, _intake, _steps
from knowledge.ingestion._folder import FolderLook
from knowledge.ingestion._intake import ReceivedFile, title_of
from knowledge.models import Department, Guideline, GuidelineVersion
from knowledge.signals import guideline_changed, version_added

Ingestion = GuidelineVersion.Ingestion
OCR_LANGUAGES = ("fr", "en")


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
    origin: GuidelineVersion.Origin = GuidelineVersion.Origin.UPLOAD,
    departments: Collection[Department] = (),
    approve: bool = False,
) -> GuidelineVersion:
    """Take a file into the library as a new guideline, or as the next version of the one with this title and publisher.

    The title is the given one, else the document's own, else its file name made readable. The version is a draft, and
    pending until `ingest` has gone through it; `approve` is for whoever runs the installation: it then answers without
    a second person. `language` (ISO 639-1) is found out when it is not given. `departments` is whom a new guideline is
    for (none: everybody); a known one keeps its own. Raises DocumentRejected for empty, too large, unknown or
    mislabelled files, DuplicateDocument when the library has this very file already, and NotPossible where a known
    guideline is for more people than `departments`.
    """
    file = source if isinstance(source, ReceivedFile) else receive(source, filename=filename, title=title)
    publisher = _intake.tidy(publisher)[:200]
    _refuse_duplicate(file)
    try:
        with transaction.atomic():
            guideline, new = Guideline.objects.get_or_create(
                title=_title(file, publisher),
                publisher=publisher,
                defaults={"language": language or "", "licence": licence[:200], "source_url": source_url[:500]},
            )
            guideline = Guideline.objects.select_for_update().get(pk=guideline.pk)
            if new and departments:
                guideline.departments.set(departments)
            elif departments and opening.would_open(departments, guideline.departments.all()):
                raise NotPossible("would_open", title=guideline.title, other=guideline.title)
            last = guideline.versions.aggregate(last=Max("number"))["last"] or 0
            version = GuidelineVersion.objects.create(
                guideline=guideline,
                number=last + 1,
                filename=file.filename,
                media_type=file.media_type,
                sha256=file.sha256,
                size=file.size,
                language=language or "",
                origin=origin,
                uploaded_by=uploaded_by[:150],
            )
            version_added.send(GuidelineVersion, version=version, actor=uploaded_by)
            if approve:
                version = lifecycle.approve(version.pk, actor=uploaded_by, operator=True)
            return version
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


def look_into_folder() -> FolderLook:
    """Take in, as drafts, what is new or changed in the watched folder (HAVRE_WATCH_FOLDER; empty: none) and has
    settled since the last look. What is left keeps its reason (`models.FolderFile`)."""
    if not settings.HAVRE_WATCH_FOLDER:
        return FolderLook()
    return _folder.look(Path(settings.HAVRE_WATCH_FOLDER), _take_from_folder)


def _take_from_folder(file: BinaryIO, filename: str, before: GuidelineVersion | None) -> GuidelineVersion:
    """A file that was taken in before and has changed is the next version of the guideline that it is a version of."""
    known = before.guideline if before else None
    received = receive(file, filename=filename, title=known.title if known else None)
    publisher = known.publisher if known else ""
    return add_version(received, uploaded_by="folder", publisher=publisher, origin=GuidelineVersion.Origin.FOLDER)


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


@transaction.atomic
def retry(version_id: UUID | str, *, actor: str = "system") -> GuidelineVersion:
    """Put a failed version back among the pending ones; any other is left as it is."""
    return _read_once_more(version_id, "retried", actor)


@transaction.atomic
def read_by_ocr(version_id: UUID | str, language: str, *, actor: str) -> GuidelineVersion:
    """Put a PDF that failed because it has no text back among the pending ones, to be read off its images. `language`
    is "fr" or "en". Raises NotPossible for any other version or language."""
    if language not in OCR_LANGUAGES:
        raise NotPossible("ocr_language")
    version = GuidelineVersion.objects.select_for_update(of=("self",)).get(pk=version_id)
    if not selectors.wants_ocr(version):
        raise NotPossible("no_scan", name=version.filename)
    version.ocr_language = language
    version.save(update_fields=["ocr_language"])
    return _read_once_more(version_id, "ocr_asked", actor)


def _read_once_more(version_id: UUID | str, kind: str, actor: str) -> GuidelineVersion:
    failed = GuidelineVersion.objects.filter(pk=version_id, ingestion=Ingestion.FAILED)
    put_back = failed.update(
        ingestion=Ingestion.PENDING, error_code="", error_parameters={}, progress_done=0, progress_total=0
    )
    version = selectors.get_version(version_id)
    if put_back:
        changes = {"ocr_language": ["", version.ocr_language]} if kind == "ocr_asked" else {}
        guideline_changed.send(
            Guideline, guideline=version.guideline, kind=kind, actor=actor, version=version, changes=changes
        )
    return version


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
                origin=GuidelineVersion.Origin.SAMPLE,
                approve=True,
            )
        except DuplicateDocument as duplicate:
            version = selectors.get_version(duplicate.version_id)
        versions.append(version)
    return [
        version if version.ingestion == Ingestion.INDEXED else ingest(version.pk, on_progress) for version in versions
    ]


__all__ = [
    "FolderLook", "KnowledgeError", "ReceivedFile", "add_version", "ingest", "ingest_samples",
    "look_into_folder", "read_by_ocr", "receive", "retry",
]  # fmt: skip
