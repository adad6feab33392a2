"""Changes to the guideline library on behalf of a person, each with its record in the audit trail."""

import logging
import uuid
from pathlib import Path
from typing import BinaryIO

from django.db import transaction
from kombu.exceptions import OperationalError

import knowledge
from knowledge.models import Guideline, GuidelineVersion
from portal.audit.services import record
from portal.celery import app

logger = logging.getLogger(__name__)


def take_in(
    source: Path | BinaryIO,
    *,
    filename: str,
    actor: str,
    actor_role: str = "",
    title: str | None = None,
    language: str | None = None,
    publisher: str = "",
    approve: bool = True,
) -> GuidelineVersion:
    """Take a file into the library; it answers once it is ingested (`queue_ingestion`).

    Raises knowledge.DocumentRejected and its kin with a sentence for the person.
    """
    # Copying a file and finding its title take seconds, in which no transaction may keep others from writing.
    file = knowledge.receive(source, filename=filename, title=title)
    with transaction.atomic():
        version = knowledge.add_version(
            file, language=language, publisher=publisher, uploaded_by=actor, approve=approve
        )
        record(
            "guideline.uploaded",
            actor=actor,
            actor_role=actor_role,
            subject=str(version.guideline_id),
            payload={
                "version": version.label,
                "title": version.guideline.title,
                "sha256": version.sha256,
                "approved": approve,
            },
        )
    return version


@transaction.atomic
def switch(guideline_id: uuid.UUID, enabled: bool, *, actor: str, actor_role: str) -> Guideline:
    """Let a guideline answer, or not, from this moment on; nothing is deleted."""
    guideline = knowledge.set_enabled(guideline_id, enabled)
    kind = "guideline.enabled" if enabled else "guideline.disabled"
    record(
        kind,
        actor=actor,
        actor_role=actor_role,
        subject=str(guideline.pk),
        payload={"title": guideline.title},
    )
    return guideline


@transaction.atomic
def retry(version_id: uuid.UUID, *, actor: str, actor_role: str) -> GuidelineVersion:
    """Try a failed ingestion again."""
    version = knowledge.retry(version_id)
    record(
        "guideline.retried",
        actor=actor,
        actor_role=actor_role,
        subject=str(version.guideline_id),
        payload={"version": version.label},
    )
    return version


def queue_ingestion() -> bool:
    """Tell the knowledge worker that versions are waiting. False when the broker cannot be reached: the worker finds
    them by itself within a minute of coming back."""
    try:
        app.send_task("portal.guidelines.tasks.ingest_pending", retry=False)
    except (OperationalError, OSError):
        return False
    return True


def ingest_pending(on_progress: knowledge.OnProgress | None = None) -> None:
    """Ingest every version that waits, one after the other, in the process that owns the index. A second call while one
    runs returns at once, because the first picks up what comes meanwhile."""
    from knowledge import selectors

    while version := selectors.pending_versions().first():
        try:
            knowledge.ingest(version.pk, on_progress)
        except knowledge.IngestionRunning:
            return
        except knowledge.KnowledgeError as error:
            logger.warning("version %s not ingested: %s", version.pk, error)
            if selectors.pending_versions().filter(pk=version.pk).exists():
                return  # not the document's fault: it stays pending for the next round
