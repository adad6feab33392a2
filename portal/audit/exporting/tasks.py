"""Exports that are written behind the scenes, on the queue `housekeeping`."""

import uuid

from celery import shared_task

from portal.audit.exporting import _jobs


@shared_task
def write_export(export: str) -> None:
    """Write an export that somebody asked for on the page."""
    _jobs.work(uuid.UUID(export))


@shared_task
def look_after_exports() -> None:
    """Exports whose message or worker was lost, and those that are a day old."""
    _jobs.look_after()
