"""`manage.py reindex`: make the vector index again, or have the documents read anew."""

import json
import time
from typing import Any

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
        worker = parts.look().knowledge
        anew = knowledge.reread_all() if options["reread"] else 0
        try:
            with demonstration.Bar("index", unit="passage") as bar:
                row = self._by_worker(bar) if worker else self._here(bar, anew)
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

    def _here(self, bar: demonstration.Bar, anew: int) -> Index:
        before = anew + 1
        while anew and (left := knowledge.reread_outdated(1)) and left < before:
            bar.show(anew - left, anew, "reading anew")
            before = left
        knowledge.rebuild_index(lambda done, total: bar.show(done, total, "embedding"))
        knowledge.close()
        return Index.objects.get(state=Index.State.ACTIVE)

    def _by_worker(self, bar: demonstration.Bar) -> Index:
        begun = timezone.now()
        app.send_task("portal.guidelines.tasks.rebuild_index", retry=False)
        until = time.monotonic() + _PATIENCE
        while True:
            row = Index.objects.filter(started_at__gte=begun).order_by("started_at").last()
            row = row or Index.objects.filter(state=Index.State.BUILDING).first()
            if row and row.state in _ENDED:
                return row
            if row:
                bar.show(row.done, row.total, "embedding")
            elif time.monotonic() > until:
                raise CommandError("The knowledge worker has not begun. Its log says what it is doing.")
            time.sleep(0.5)
