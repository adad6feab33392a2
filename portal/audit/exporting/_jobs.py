"""Exports asked for on the page: written by a worker, kept for a day, for whoever asked alone."""

import logging
import uuid
from collections.abc import Callable
from dataclasses import fields
from datetime import date, datetime, timedelta
from pathlib import Path
from typing import Any

from django.conf import settings
from django.db import transaction
from django.db.models import QuerySet
from django.utils import timezone
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy
from kombu.exceptions import OperationalError

from portal.audit.exporting._formats import FORMATS, Unavailable
from portal.audit.exporting._run import (
    Asker,
    ExportFailed,
    Order,
    Outcome,
    Settle,
    Stopped,
    begin,
    record_end,
    write_file,
)
from portal.audit.exporting._selection import Selection
from portal.audit.models import Actor, Export
from portal.audit.services import record

logger = logging.getLogger(__name__)

KEPT = timedelta(days=1)
_LOST_AFTER = timedelta(minutes=5)  # reading the tree of a large audit trail gives no sign for a while
_SENT_AGAIN_AFTER = timedelta(minutes=1)
_SIGN = timedelta(seconds=1)
_MOST_OPEN = 3
_MOST_ATTEMPTS = 3
_OPEN = (Export.State.WAITING, Export.State.RUNNING)

PROBLEMS = {
    "disk_full": gettext_lazy("The disk is full: the export was not written. Free some space, then ask again."),
    "not_written": gettext_lazy("The file could not be written. Tell your IT department, then ask again."),
    "lost": gettext_lazy("It was begun several times, and each time the worker stopped. Tell your IT department."),
    "no_key": gettext_lazy("The audit key is missing, and nothing is exported without its record. Tell your IT."),
    "unavailable": gettext_lazy("This format is not installed here."),
    "error": gettext_lazy("Something went wrong that is not known here: see the worker's log."),
}
_OF_ERRORS = {"NoAuditKey": "no_key", "WrongAuditKey": "no_key", "Unavailable": "unavailable"}


class ExportRefused(Exception):
    """The export is not begun; the text says why."""


def ask(form: str, selection: Selection, asker: Asker) -> Export:
    """Record an export and have a worker write it. Raises ExportRefused; keys.NoAuditKey."""
    if exports_of(asker.name).filter(state__in=_OPEN).count() >= _MOST_OPEN:
        raise ExportRefused(_("Several of your exports are still being written. Wait for one of them, or stop one."))
    try:
        with transaction.atomic():
            order = begin(form, selection, asker)
            export = Export.objects.create(
                number=order.number,
                form=form,
                filters=order.selection.filters(),
                asked_by=Actor.objects.get(name=asker.name),
                role=asker.role,
                language=asker.language,
            )
    except Unavailable as error:
        raise ExportRefused(str(PROBLEMS["unavailable"])) from error
    _send(export)
    return export


def exports_of(name: str) -> QuerySet[Export]:
    """The exports that somebody asked for, the newest first."""
    return Export.objects.filter(asked_by__name=name).select_related("asked_by")


def file_of(export: Export) -> Path:
    """Where an export's file lies: outside of everything that is served. Each attempt has its own, so that a worker
    that was lost and wakes up again writes over nothing."""
    return folder() / f"{export.pk}-{export.attempt}.{FORMATS[export.form].suffix}"


def folder() -> Path:
    """The folder of exports, which this user alone may open."""
    found = Path(settings.HAVRE_DATA_DIR) / "exports"
    found.mkdir(mode=0o700, parents=True, exist_ok=True)
    return found


@transaction.atomic
def stop(export: Export) -> None:
    """Stop an export that waits or is written, and record it; its worker notices within seconds."""
    if Export.objects.filter(pk=export.pk, state__in=_OPEN).update(state=Export.State.STOPPED, seen_at=timezone.now()):
        record_end("audit.export_failed", _order(export), {"code": "stopped"})


@transaction.atomic
def record_download(export: Export) -> None:
    """Record that somebody takes a file away, before he gets it."""
    payload = {"export": export.number, "sha256": export.sha256}
    record("audit.export_downloaded", actor=export.asked_by_id, actor_role=export.role, payload=payload)


def work(export_id: uuid.UUID) -> None:
    """Write an export, in a worker. Does nothing where it is done, stopped, or another worker has it."""
    waiting = Export.objects.filter(pk=export_id, state=Export.State.WAITING)
    attempt = (waiting.values_list("attempt", flat=True).first() or 0) + 1
    if not waiting.filter(attempt=attempt - 1).update(
        state=Export.State.RUNNING, attempt=attempt, done=0, seen_at=timezone.now()
    ):
        return
    export = Export.objects.select_related("asked_by").get(pk=export_id)
    if not export.asked_by.name:  # erased meanwhile
        stop(export)
        return
    try:
        write_file(_order(export), file_of(export), _progress(export), _settle(export))
    except Stopped:
        return
    except Exception as error:
        problem = _problem(error)
        logger.error("export %s: %s", export.number, problem, exc_info=error if problem == "error" else None)
        _end(export, Export.State.FAILED, problem=problem)  # where it could not be recorded either


def _problem(error: Exception) -> str:
    """One of `PROBLEMS`."""
    if isinstance(error, ExportFailed):
        return error.code
    if isinstance(error, OSError):
        return "not_written"
    return _OF_ERRORS.get(type(error).__name__, "error")


def _settle(export: Export) -> Settle:
    """The end of an attempt counts while it is the one that writes the export; who stopped it recorded that, and who
    follows a lost one records its own."""

    def settle(code: str, outcome: Outcome | None) -> bool:
        if outcome is None:
            problem = code if code in PROBLEMS else _OF_ERRORS.get(code, "error")
            return code != "stopped" and _end(export, Export.State.FAILED, problem=problem)
        counted = {"done": outcome.count, "total": outcome.count, "size": outcome.size, "sha256": outcome.sha256}
        return _end(export, Export.State.READY, **counted)

    return settle


def look_after() -> None:
    """Send again what nobody took, begin anew what a worker was lost with, and delete what is a day old."""
    now = timezone.now()
    lost = Export.objects.filter(state=Export.State.RUNNING, seen_at__lt=now - _LOST_AFTER)
    for export in lost.select_related("asked_by"):
        if export.attempt < _MOST_ATTEMPTS:
            if lost.filter(pk=export.pk, attempt=export.attempt).update(state=Export.State.WAITING, seen_at=now):
                _send(export)
            continue
        with transaction.atomic():
            if _end(export, Export.State.FAILED, problem="lost"):
                record_end("audit.export_failed", _order(export), {"code": "lost"})
    for export in Export.objects.filter(state=Export.State.WAITING, seen_at__lt=now - _SENT_AGAIN_AFTER):
        _send(export)
    _delete_old(now)


def _delete_old(now: datetime) -> None:
    Export.objects.filter(created_at__lt=now - KEPT).exclude(state__in=_OPEN).delete()
    known = {f"{key}-{attempt}" for key, attempt in Export.objects.values_list("pk", "attempt")}
    for file in folder().iterdir():
        is_left = file.name.split(".")[0] not in known and not file.name.startswith(".")
        is_draft = file.name.startswith(".") and datetime.fromtimestamp(file.stat().st_mtime, now.tzinfo) < now - KEPT
        if is_left or is_draft:
            file.unlink(missing_ok=True)


def _send(export: Export) -> None:
    """On commit; a message that gets lost is sent again by the clock."""
    from portal.celery import app

    def send() -> None:
        try:
            app.send_task("portal.audit.exporting.tasks.write_export", args=[str(export.pk)], retry=False)
        except (OperationalError, OSError) as error:
            logger.warning("export %s waits: %s", export.number, type(error).__name__)

    transaction.on_commit(send)


def _order(export: Export) -> Order:
    values: dict[str, Any] = {
        name: date.fromisoformat(value) if name.endswith("_day") else value for name, value in export.filters.items()
    }
    known = {one.name for one in fields(Selection)}
    selection = Selection(**{name: value for name, value in values.items() if name in known})
    asker = Asker(export.asked_by.name or "", export.role, export.language, export.asked_by_id)
    return Order(export.number, export.form, selection, asker)


def _progress(export: Export) -> Callable[[int, int], None]:
    """Says how far it is, at most once a second, and notices when it is to stop or another worker has it."""
    said = [timezone.now() - _SIGN]

    def say(done: int, total: int) -> None:
        now = timezone.now()
        if now - said[0] < _SIGN:
            return
        said[0] = now
        mine = Export.objects.filter(pk=export.pk, attempt=export.attempt, state=Export.State.RUNNING)
        if not mine.update(done=done, total=total, seen_at=now):
            raise Stopped

    return say


def _end(export: Export, state: Export.State, **values: Any) -> bool:
    mine = Export.objects.filter(pk=export.pk, attempt=export.attempt, state=Export.State.RUNNING)
    return bool(mine.update(state=state, seen_at=timezone.now(), **values))
