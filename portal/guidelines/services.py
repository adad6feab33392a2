"""Taking files into the library and having them read. What the library does is recorded where it announces it
(`portal.guidelines.signals`)."""

import logging
import threading
from collections.abc import Collection
from pathlib import Path
from typing import BinaryIO
from uuid import UUID

from kombu.exceptions import OperationalError

import knowledge
from knowledge.models import Department, GuidelineVersion
from portal.celery import app

logger = logging.getLogger(__name__)
_ingesting = threading.Lock()  # one document at a time a process


def take_in(
    source: Path | BinaryIO,
    *,
    filename: str,
    actor: str,
    title: str | None = None,
    language: str | None = None,
    publisher: str = "",
    departments: Collection[Department] = (),
    origin: GuidelineVersion.Origin = GuidelineVersion.Origin.UPLOAD,
    approve: bool = False,
) -> GuidelineVersion:
    """Take a file into the library, as a draft that two people have yet to decide on; `approve` is for whoever runs the
    installation. It is read after `queue_ingestion`.

    Raises knowledge.DocumentRejected and its kin with a sentence for the person.
    """
    # Copying a file and finding its title take seconds, in which no transaction may keep others from writing.
    file = knowledge.receive(source, filename=filename, title=title)
    return knowledge.add_version(
        file,
        language=language,
        publisher=publisher,
        uploaded_by=actor,
        origin=origin,
        departments=departments,
        approve=approve,
    )


def queue_ingestion() -> bool:
    """Tell the knowledge worker that versions are waiting. False when the broker cannot be reached: the worker finds
    them by itself within a minute of coming back."""
    try:
        app.send_task("portal.guidelines.tasks.ingest_pending", retry=False)
    except (OperationalError, OSError):
        return False
    return True


def ingest_pending(on_progress: knowledge.OnProgress | None = None) -> None:
    """Ingest every version that waits, one after the other. A second call while one runs in this process returns at
    once, because the first picks up what comes meanwhile; what another process has taken is left to it."""
    if not _ingesting.acquire(blocking=False):
        return
    try:
        _ingest_pending(on_progress)
    finally:
        _ingesting.release()


def _ingest_pending(on_progress: knowledge.OnProgress | None) -> None:
    from knowledge import selectors

    elsewhere: set[UUID] = set()
    while version := selectors.pending_versions().exclude(pk__in=elsewhere).first():
        try:
            knowledge.ingest(version.pk, on_progress)
        except knowledge.IngestionRunning:
            elsewhere.add(version.pk)
        except knowledge.KnowledgeError as error:
            logger.warning("version %s not ingested: %s", version.pk, error)
            if selectors.pending_versions().filter(pk=version.pk).exists():
                return  # not the document's fault: it stays pending for the next round
