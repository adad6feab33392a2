"""The test bench: questions that administrators try. Written down in the web process, worked out by the knowledge
worker, the only process that has the index, and kept for a month."""

import logging
import uuid
from collections.abc import Collection, Sequence
from dataclasses import asdict
from datetime import timedelta
from typing import Any

from django.conf import settings
from django.db import transaction
from django.utils import timezone
from kombu.exceptions import OperationalError

import knowledge
from knowledge.models import Department, Trial
from portal.accounts.models import User
from portal.audit.services import record
from portal.celery import app

logger = logging.getLogger(__name__)

KEPT = timedelta(days=30)
_LOST_AFTER = timedelta(seconds=30)
_EXCERPT = 700  # characters of a passage that is not shown to the model
_PLACES = 6  # decimal places of a score


def ask(
    actor: User, question: str, *, history: Sequence[str] = (), departments: Collection[Department] | None = None
) -> Trial:
    """Write down a question to be tried: as somebody of these departments, or, where that is None, without regard to
    departments. `history` holds earlier questions, oldest first."""
    with transaction.atomic():
        trial = Trial.objects.create(
            question=question, history=list(history), everything=departments is None, asked_by=actor.username
        )
        trial.departments.set(departments or ())
        payload = {"departments": None if departments is None else sorted(str(one.pk) for one in departments)}
        record("guideline.tried", actor=actor.username, actor_role=actor.role, subject=str(trial.pk), payload=payload)
    tell("try_question", str(trial.pk))
    return trial


def tell(task: str, *arguments: str) -> None:
    """Send a task to the knowledge worker. Where the broker is away, the clock brings the work back within a minute."""
    try:
        app.send_task(f"portal.guidelines.tasks.{task}", arguments, retry=False)
    except (OperationalError, OSError):
        logger.warning("%s could not be sent; it waits for the clock", task)


def work_out(trial_id: uuid.UUID | str) -> None:
    """Search for a trial that waits, as a turn would, and keep what came out. Never raises for what can be told to the
    person instead."""
    trial = Trial.objects.filter(pk=trial_id, state=Trial.State.WAITING).first()
    if trial is None:
        return
    departments = None if trial.everything else list(trial.departments.values_list("pk", flat=True))
    ended: dict[str, Any]
    try:
        found = knowledge.explain(
            trial.question, limit=settings.HAVRE_PASSAGES, history=trial.history, departments=departments
        )
    except knowledge.KnowledgeError as error:
        logger.warning("trial %s: %s", trial.pk, error.code)
        ended = {"state": Trial.State.FAILED, "error_code": error.code, "error_parameters": error.parameters}
    except Exception as error:
        logger.error("trial %s failed: %s", trial.pk, type(error).__name__, exc_info=error)
        ended = {"state": Trial.State.FAILED, "error_code": "search_failed"}
    else:
        ended = {"state": Trial.State.DONE, "result": as_json(found)}
    Trial.objects.filter(pk=trial.pk, state=Trial.State.WAITING).update(**ended)


def work_out_lost() -> None:
    """Work out the trials whose message got lost."""
    lost = Trial.objects.filter(state=Trial.State.WAITING, created_at__lt=timezone.now() - _LOST_AFTER)
    for trial_id in list(lost.order_by("created_at").values_list("pk", flat=True)):
        work_out(trial_id)


def forget_old() -> None:
    """Delete trials after a month: they hold what people asked."""
    Trial.objects.filter(created_at__lt=timezone.now() - KEPT).delete()


def as_json(found: knowledge.Explanation) -> dict[str, Any]:
    """What is kept of an explanation: passages in full, of the other candidates their beginning."""
    passages = [_plain(asdict(one)) for one in found.passages]
    candidates = [_plain(asdict(one)) for one in found.candidates]
    for one in candidates:
        if len(one["text"]) > _EXCERPT:
            one["text"] = one["text"][:_EXCERPT].rstrip() + " …"
    return {
        "query": found.query,
        "language": found.language,
        "embedder": found.embedder,
        "covered": found.covered,
        "confidence": round(found.confidence, _PLACES),
        "threshold": round(found.threshold, _PLACES),
        "passages": passages,
        "candidates": candidates,
        "removed": [_plain(asdict(one)) for one in found.removed],
    }


def _plain(values: dict[str, Any]) -> dict[str, Any]:
    """Values that JSON has."""
    return {name: str(value) if isinstance(value, uuid.UUID) else value for name, value in values.items()}
