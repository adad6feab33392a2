"""Exports that are written behind the scenes, on the queue `housekeeping`."""

import time
import uuid

from celery import shared_task

from portal.audit import traits
from portal.audit.exporting import _jobs

_FILL_SECONDS = 40.0


@shared_task
def write_export(export: str) -> None:
    """Write an export that somebody asked for on the page."""
    _jobs.work(uuid.UUID(export))


@shared_task
def look_after_exports() -> None:
    """Exports whose message or worker was lost, and those that are a day old."""
    _jobs.look_after()


@shared_task
def fill_index() -> None:
    """Go on with the index that turns are searched by, for a while."""
    ends = time.monotonic() + _FILL_SECONDS
    traits.fill(lambda: time.monotonic() > ends)


@shared_task
def compare_index() -> None:
    """Compare that index with the events, and mend it."""
    traits.compare()
