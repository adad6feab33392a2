"""Activating a model, from the terminal and from the page, and what the audit trail keeps of it."""

import json
import logging
import os
import threading
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import Any

from django.conf import settings
from django.db import DatabaseError, IntegrityError, connection, transaction
from django.utils import timezone
from django.utils.translation import gettext as _
from django.utils.translation import gettext_noop
from kombu.exceptions import OperationalError

import inference
from inference import InferenceError, ModelInfo, ModelStore, Sentence, Smoke
from portal.accounts.models import User
from portal.accounts.selectors import role_of
from portal.audit.services import code_of, record
from portal.celery import app
from portal.modelcards.models import Trial
from portal.workers import engine_settings

logger = logging.getLogger(__name__)

_SIGN_SECONDS = 10.0
_LOST_AFTER = {Trial.State.RUNNING: timedelta(seconds=90), Trial.State.WAITING: timedelta(minutes=15)}
_MOST_LINES = 50

Say = Callable[[Sentence], None]


class TrialRefused(Exception):
    """No trial can begin; the text says why."""


def store() -> ModelStore:
    """The models folder of this installation."""
    return ModelStore(settings.HAVRE_MODELS_DIR, offline=settings.HAVRE_OFFLINE)


def can_write() -> bool:
    """Whether this process may change the models folder; in a facility it is often mounted for reading alone."""
    return os.access(settings.HAVRE_MODELS_DIR, os.W_OK)


@transaction.atomic
def record_change(kind: str, one: ModelInfo, *, actor: str, actor_role: str = "", **more: Any) -> None:
    """Write into the audit trail what happened to a model. Raises DatabaseError where there is no trail yet."""
    payload = {"sha256": one.sha256, "size": one.size, "architecture": one.architecture, **more}
    record(kind, actor=actor, actor_role=actor_role, subject=one.name, payload=payload)


def activate(
    models: ModelStore,
    name: str,
    *,
    actor: str,
    actor_role: str = "",
    say: Say = lambda _: None,
    on_unrecorded: Callable[[DatabaseError], None] | None = None,
    check: Callable[[], None] = lambda: None,
) -> ModelInfo:
    """Try a model with the smoke prompt and make it the active one, with its record. The one before stays until then.

    Takes as long as the model takes to load. `check` is called in the transaction of the record, and raises where the
    model is not to be activated any more. Raises InferenceError; DatabaseError when it cannot be recorded, unless
    `on_unrecorded` takes it.
    """

    def tried(smoke: Smoke) -> None:
        kind = "model.activated" if smoke.passed else "model.trial_failed"
        more = {"load_seconds": smoke.load_seconds, "tokens_per_second": smoke.tokens_per_second}
        try:
            with transaction.atomic():
                check()
                record_change(kind, models.get(name), actor=actor, actor_role=actor_role, **more)
        except DatabaseError as error:
            if on_unrecorded is None:
                raise
            on_unrecorded(error)

    def trial(one: ModelInfo) -> Smoke:
        return inference.smoke(one, engine_settings(one.path), say)

    return models.activate(name, trial, on_tried=tried)


def ask_for_trial(user: User, sha256: str) -> Trial:
    """Have an inference worker try this model and activate it. Raises TrialRefused."""
    one = next((one for one in store().list() if one.sha256 == sha256), None)
    if one is None:
        raise TrialRefused(_("This model is not installed any more."))
    if not can_write():
        raise TrialRefused(_("The models folder cannot be changed from here. Activate the model at the terminal."))
    give_up_lost()
    try:
        with transaction.atomic():
            trial = Trial.objects.create(name=one.name, sha256=one.sha256, asked_by=user.get_username())
            record_change("model.trial_asked", one, actor=user.get_username(), actor_role=user.role)
    except IntegrityError as error:
        raise TrialRefused(_("A model is being tried already. Wait until it is done.")) from error
    try:
        app.send_task("portal.modelcards.tasks.try_model", args=[str(trial.id)], retry=False)
    except (OperationalError, OSError):
        _end(trial.id, Sentence(gettext_noop("The message service of this installation is not running.")))
    return trial


def run_trial(trial_id: uuid.UUID) -> None:
    """Do a trial that was asked for, in an inference worker. Does nothing when it is done or another worker has it."""
    waiting = Trial.objects.filter(pk=trial_id, state=Trial.State.WAITING)
    if not waiting.update(state=Trial.State.RUNNING, seen_at=timezone.now()):
        return
    trial = Trial.objects.get(pk=trial_id)

    def say(step: Sentence) -> None:
        trial.lines = [*trial.lines, step.row()][-_MOST_LINES:]
        Trial.objects.filter(pk=trial_id).update(lines=trial.lines, seen_at=timezone.now())

    try:
        with transaction.atomic():
            code = code_of(trial.asked_by)  # who asked may be erased while the model loads
        role = role_of(trial.asked_by)
        with _signs_of_life(trial_id):
            models = store()
            if models.get(trial.name).sha256 != trial.sha256:
                raise inference.ModelRejected(gettext_noop("%(name)s is another file by now."), name=trial.name)
            activate(models, trial.name, actor=code, actor_role=role, say=say, check=lambda: _go_on_with(trial_id))
    except InferenceError as error:
        _end(trial_id, error.said)
    except Exception as error:
        logger.error("trial of %s failed: %s", trial.name, type(error).__name__, exc_info=error)
        text = gettext_noop("Something went wrong (%(error)s): see the worker's log.")
        _end(trial_id, Sentence(text, {"error": type(error).__name__}))
    else:
        _end(trial_id, Sentence())


def _go_on_with(trial_id: uuid.UUID) -> None:
    """The trial, held until the caller's transaction ends, is still the one that is open: one that was given up, as its
    worker gave no sign, changes nothing any more, whoever finds out that it lives. Raises inference.ModelRejected."""
    mine = Trial.objects.filter(pk=trial_id, open_slot=1, state=Trial.State.RUNNING)
    if mine.select_for_update().first() is None:
        raise inference.ModelRejected(
            gettext_noop("This trial was given up meanwhile: its worker gave no sign of life.")
        )
    mine.update(seen_at=timezone.now())


def give_up_lost() -> None:
    """End the trial whose worker has given no sign for long, so that another can begin."""
    for state, patience in _LOST_AFTER.items():
        for lost in Trial.objects.filter(open_slot=1, state=state, seen_at__lt=timezone.now() - patience):
            _end(lost.pk, Sentence(gettext_noop("No answering service took it, or the one that did has stopped.")))


def _end(trial_id: uuid.UUID, problem: Sentence) -> None:
    state = Trial.State.FAILED if problem else Trial.State.PASSED
    kept = json.dumps(problem.row()) if problem else ""
    ended = {"state": state, "problem": kept, "open_slot": None, "finished_at": timezone.now()}
    Trial.objects.filter(pk=trial_id, open_slot=1).update(**ended)


@contextmanager
def _signs_of_life(trial_id: uuid.UUID) -> Iterator[None]:
    """While a model is hashed and loaded, which may take minutes, somebody says that the worker lives."""
    over = threading.Event()

    def run() -> None:
        while not over.wait(_SIGN_SECONDS):
            try:
                Trial.objects.filter(pk=trial_id).update(seen_at=timezone.now())
            except DatabaseError:
                pass  # the next sign may come through
        connection.close()

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()
