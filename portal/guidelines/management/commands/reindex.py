"""`manage.py reindex`: make the vector index again, or have the documents read anew."""

import json
import time
from datetime import datetime
from typing import Any
from uuid import UUID

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.utils import timezone

import knowledge
from knowledge.models import Index
from portal import demonstration, parts
from portal.celery import app
from portal.database import ensure_tables

_PATIENCE = 90  # seconds until the worker must have begun
_ENDED = {Index.State.ACTIVE, Index.State.FAILED}


class Command(BaseCommand):
    help = (
        "Make the vector index again from the database, with the embedder that HAVRE_EMBEDDER names. The index that is "
        "there answers until the new one is complete and has passed its check. While the knowledge worker runs, it "
        "does the work and this command shows how far it is; otherwise this command does it."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--reread", action="store_true", help="also read and cut all documents anew")
        parser.add_argument("--json", action="store_true", help="print the result as JSON")

    def handle(self, *args: Any, **options: Any) -> None:
        ensure_tables()
        present = parts.look()
        worker = present.knowledge
        if worker:
            _check_embedder(present.details["knowledge"].get("wants"))
        if options["reread"]:
            knowledge.reread_all()
        try:
            with demonstration.Bar("index", unit="passage") as bar:
                row, anew, worker = _make(bar, worker)
        except knowledge.KnowledgeError as error:
            raise CommandError(str(error)) from error
        said = {
            "state": row.state,
            "embedder": row.embedder,
            "embedded": row.done,
            "seconds": round(((row.finished_at or timezone.now()) - row.started_at).total_seconds(), 1),
            "by": "worker" if worker else "command",
            "reread": anew,
        }
        if options["json"]:
            self.stdout.write(json.dumps(said | {"error": row.error}, ensure_ascii=False))
        elif row.state == Index.State.ACTIVE:
            self.stdout.write(f"The index with {row.embedder} answers.")
            if anew and worker:
                self.stdout.write(f"The knowledge worker reads {anew} documents anew, a few a minute.")
        if row.state != Index.State.ACTIVE:
            raise CommandError(row.error or "The index was not made.")


class _WorkerCame(BaseException):
    """A knowledge worker was started meanwhile: questions wait for the index that this process has. Not an Exception,
    so that the building counts as interrupted, not as failed."""


def _make(bar: demonstration.Bar, worker: bool) -> tuple[Index, int, bool]:
    """The index, how many documents were or are read anew, and whether it is the worker's work."""
    if not worker:
        try:
            return *_here(bar), False
        except _WorkerCame:
            pass
        finally:
            knowledge.close()
    row = _by_worker(bar)
    return row, knowledge.waiting_to_be_read_anew(), True


def _here(bar: demonstration.Bar) -> tuple[Index, int]:
    def show(done: int, total: int, label: str = "embedding") -> None:
        bar.show(done, total, label)
        if "knowledge" in parts.look().details:
            raise _WorkerCame

    knowledge.rebuild_index(show)
    anew = left = knowledge.waiting_to_be_read_anew()
    before = left + 1
    while 0 < left < before:
        show(anew - left, anew, "reading anew")
        before, left = left, knowledge.reread_outdated(1)
    return Index.objects.get(state=Index.State.ACTIVE), anew


def _by_worker(bar: demonstration.Bar) -> Index:
    begun = timezone.now()
    app.send_task("portal.guidelines.tasks.rebuild_index", retry=False)
    asked = seen = time.monotonic()
    followed: UUID | None = None
    while True:
        row = _row(begun, followed)
        now = time.monotonic()
        if row and row.state in _ENDED:
            return row
        if row:
            followed = row.pk
            bar.show(row.done, row.total, "embedding")
        elif now - asked > _PATIENCE:
            raise CommandError("The knowledge worker has not begun. Its log says what it is doing.")
        if parts.look().knowledge:
            seen = now
        elif now - seen > _PATIENCE:
            raise CommandError(
                "The knowledge worker has stopped. The index that was there answers when it is back, and the new "
                "one goes on where it was."
            )
        time.sleep(0.5)


def _check_embedder(wanted: str | None) -> None:
    """The worker builds what its own settings want, whatever this command was called with."""
    if wanted is not None and wanted != str(settings.HAVRE_EMBEDDER):
        raise CommandError(
            f"HAVRE_EMBEDDER is {settings.HAVRE_EMBEDDER} here and {wanted} in the knowledge worker that runs. "
            "Restart it with the setting that you want: it then builds that index by itself."
        )


def _row(begun: datetime, followed: UUID | None) -> Index | None:
    """The index that is being made: the one that was seen, the one that was begun since, or one that was under way."""
    if followed:
        row = Index.objects.filter(pk=followed).first()
        if row:
            return row
    row = Index.objects.filter(started_at__gte=begun).order_by("started_at").last()
    return row or Index.objects.filter(state=Index.State.BUILDING).first()
