"""What a Celery worker process does before it takes work and while it lives."""

import logging
import os
import signal
import threading
import time
from dataclasses import asdict, fields
from pathlib import Path
from typing import Any

from django.conf import settings
from django.db import DatabaseError, connections
from django.utils.translation import gettext_noop

import guardrails
import inference
from portal.parts import Heartbeat

logger = logging.getLogger(__name__)

_heartbeats: list[Heartbeat] = []
_AGAIN = 10.0  # seconds until an index that could not be opened is tried again
_state: dict[str, dict[str, Any]] = {"inference": {"state": "loading"}, "knowledge": {"state": "loading"}}


def prepare(queues: set[str]) -> None:
    """Load what the queues of this worker need. A model that cannot be loaded does not end the worker: it stays, says
    why in its heartbeat, and fails turns with a sentence, which is more use than a restart loop."""
    for name, load in (("inference", _warm_inference), ("knowledge", _warm_knowledge)):
        if name in queues:
            heartbeat = Heartbeat(name, lambda name=name: _state[name])  # type: ignore[misc]
            _heartbeats.append(heartbeat)
            heartbeat.start()
            try:
                load()
            except Exception as error:
                logger.exception("%s worker not ready", name)
                _state[name] = {"state": "failed", "reason": f"{type(error).__name__}; see the worker's log."}
            heartbeat.beat()
    if "inference" in queues:
        threading.Thread(target=_follow_active_model, name="follow-active-model", daemon=True).start()


def leave() -> None:
    """Take this worker off the list of living parts."""
    _leaving.set()
    for heartbeat in _heartbeats:
        heartbeat.stop()
    _heartbeats.clear()


def _follow_active_model() -> None:
    """When another model becomes the active one, this worker ends: it takes no more work, finishes the answers that it
    writes, and whoever keeps it running (`serve`, the container's restart policy) starts it with the new model. A new
    process is the one sure way to give back all of a graphics card's memory.

    A worker that could not load its model ends a while later too: what was missing (memory that a dying process still
    held, a disk, the right file) may be there by now. And one whose model's file is written to gives the model back.
    """
    began = time.monotonic()
    while not _leaving.wait(_FOLLOW_SECONDS):
        if (now := _active_sha256(_chosen)) != _chosen:
            logger.info("another model is active by now (%s): this worker ends and is started again", now[:12])
        elif _chosen and _state["inference"]["state"] == "failed" and time.monotonic() - began > _TRY_AGAIN_SECONDS:
            logger.info("the model could not be loaded: this worker ends and is started again")
        elif not inference.untouched():
            logger.error("somebody writes to the model's file: it is unloaded, and this worker is started again")
            inference.unload()  # at once: what runs on other weights than the approved ones answers nobody
        else:
            continue
        os.kill(os.getpid(), signal.SIGTERM)  # Celery's warm shutdown
        return


def _active_sha256(unknown: str) -> str:
    """The hash of the model that is active; `unknown` when the register cannot be read at this moment."""
    try:
        active = inference.ModelStore(settings.HAVRE_MODELS_DIR).active()
    except inference.InferenceError:
        return unknown
    return active.sha256 if active else ""


_FOLLOW_SECONDS = 2.0
_TRY_AGAIN_SECONDS = 60.0
_leaving = threading.Event()
_chosen = ""  # the hash of the model that this worker has loaded or could not load
_loading = threading.Lock()
_card: inference.ModelInfo | None = None


def engine_settings(model: Path) -> inference.EngineSettings:
    """How this installation loads a model. Raises inference.SettingsRejected for the scripted engine in production."""
    if settings.HAVRE_ENGINE == "scripted" and not settings.DEBUG:
        raise inference.SettingsRejected(
            gettext_noop(
                "The scripted engine obeys whatever it reads and answers nobody in a facility: unset HAVRE_ENGINE. "
                "For a demonstration of the guardrails set HAVRE_DEBUG=1 as well."
            )
        )
    values = {one.name: getattr(settings, f"HAVRE_{one.name.upper()}") for one in fields(inference.EngineSettings)[1:]}
    return inference.EngineSettings(model, **values)


def slots() -> int:
    """How many answers this process writes at the same time: what was planned for the model that is loaded, otherwise
    what the settings say."""
    loaded = inference.loaded()
    return loaded.slots if loaded else settings.HAVRE_SLOTS or 2


def load_model() -> None:
    """Load the active model into this process, once. Leaves what happened in this worker's heartbeat."""
    global _card, _chosen  # noqa: PLW0603  (one model a process)
    with _loading:
        if inference.loaded():
            return
        installed = True
        try:
            active = inference.ModelStore(settings.HAVRE_MODELS_DIR).active()
            if active is None:
                installed = False
                raise inference.ModelNotFound(
                    "No model is active. `manage.py models import FILE`, then `manage.py models activate NAME`."
                )
            _chosen = active.sha256
            loaded = inference.load(engine_settings(active.path), approved_sha256=active.sha256)
            _prove()
        except inference.InferenceError as error:
            logger.error("model not loaded: %s", error)
            _state["inference"] = {"state": "failed", "reason": str(error), "installed": installed}
        else:
            _card = active
            logger.info("model loaded: %s", active.name)
            _state["inference"] = {"state": "ready", "model": active.name} | asdict(loaded.plan)


def _prove() -> None:
    """Nobody is told that a model is ready before it has written something. One that does not is given back."""
    try:
        seconds = inference.first_token()
    except inference.InferenceError:
        inference.unload()
        raise
    logger.info("smoke prompt: first token after %.2f s", seconds)


def _warm_inference() -> None:
    guardrails.prepare_answers()
    load_model()  # last: it says that the worker is ready
    # the machine that a model has to fit is this one, not the web process's: its page reads it from here
    _state["inference"]["machine"] = asdict(inference.hardware())


def model_card() -> inference.ModelInfo | None:
    """What is known of the model that this process loaded, whichever is active by now."""
    return _card


def model_snapshot() -> dict[str, Any]:
    """Which model answers in this process: kept with every answer."""
    if _card is None:
        return {}
    known = asdict(_card)
    return {key: known[key] for key in ("name", "sha256", "architecture", "quantization")}


def _warm_knowledge_again() -> None:
    if not _heartbeats:
        return  # this worker leaves
    try:
        _warm_knowledge()
    finally:
        connections.close_all()


def _warm_knowledge() -> None:
    """Open the index; where that fails, go on trying: another process may have it for a while (`manage.py reindex`),
    its server may not answer yet, the database may be away."""
    import knowledge

    try:
        embedder = knowledge.warm()
    except Exception as error:
        # without the index, words find what SQL has; while somebody else has it, nothing may be written beside him
        able = isinstance(error, knowledge.IndexUnavailable) and not isinstance(error, knowledge.IndexLocked)
        sentence = str(error) if isinstance(error, knowledge.KnowledgeError) else ""
        _say_not_opened(error, sentence, "words" if able else "failed")
        again = threading.Timer(_AGAIN, _warm_knowledge_again)
        again.daemon = True
        again.start()
    else:
        wanted = str(settings.HAVRE_EMBEDDER)
        _state["knowledge"] = {"state": "ready", "embedder": embedder or "words alone", "wants": wanted}


def _say_not_opened(error: Exception, sentence: str, state: str) -> None:
    """Once for each reason; `sentence` is empty where it is not known and the log has to tell. With the state "words"
    the worker answers, and finds passages by their words alone."""
    if isinstance(error, DatabaseError):
        sentence = "The database cannot be reached."
    said = {"state": state, "reason": sentence or f"{type(error).__name__}; see the worker's log."}
    if _state["knowledge"] != said:
        logger.error("index not opened: %s", said["reason"], exc_info=None if sentence else error)
    _state["knowledge"] = said
