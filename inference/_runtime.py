"""One model a process: loaded once, shared by every thread, asked for answers."""

import atexit
import logging
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass

from inference._engine import Engine
from inference._errors import EngineFailed, EngineNotLoaded, ModelRejected
from inference._files import model_sha256
from inference._gguf import read_header
from inference._hardware import threads_for
from inference._streams import stop_all
from inference._templates import Family, family_of
from inference._types import Effort, EngineSettings, Message

logger = logging.getLogger(__name__)

_UNLOAD_SECONDS = 10.0


@dataclass(frozen=True, slots=True)
class LoadedModel:
    """What is loaded in this process. `context` is tokens a slot (never more than the model was made for), `threads`
    and `seconds` are what loading chose and took, `sha256` is the file's hash where one was asked for."""

    settings: EngineSettings
    architecture: str
    family: str
    context: int
    slots: int
    threads: int
    sha256: str | None
    seconds: float


@dataclass(frozen=True, slots=True)
class Runtime:
    """What is loaded: what is known of it, the engine that runs it, and the chat format that it speaks."""

    model: LoadedModel
    engine: Engine
    family: Family


_lock = threading.Lock()
_runtime: Runtime | None = None


def load(settings: EngineSettings, *, approved_sha256: str | None = None) -> LoadedModel:
    """Load a model into this process. Loading the same settings again returns what is loaded.

    With `approved_sha256` the file is hashed first, and no parser sees a file whose hash is another. Raises
    ModelNotFound, ModelRejected, and EngineFailed when a different model is loaded already.
    """
    global _runtime  # noqa: PLW0603 (one model a process is the point)
    with _lock:
        if _runtime is not None:
            if _runtime.model.settings == settings:
                return _runtime.model
            raise EngineFailed("Another model is loaded in this process; it must be unloaded first.")
        begun = time.monotonic()
        if approved_sha256 is not None and model_sha256(settings.model) != approved_sha256:
            raise ModelRejected(
                f"{settings.model.name} is not the file that was approved: its SHA-256 is a different one."
            )
        header = read_header(settings.model)
        family = family_of(header, settings.model.name)
        context = min(settings.context, header.context or settings.context)
        threads = threads_for(settings.threads)
        engine = _engine(settings, context, threads)
        seconds = time.monotonic() - begun
        model = LoadedModel(
            settings, header.architecture, family.name, context, settings.slots, threads, approved_sha256, seconds
        )
        _runtime = Runtime(model, engine, family)
        atexit.register(unload)  # a thread still inside the engine when Python ends would abort the process
        logger.info("%s loaded in %.1f s (%d slots, %d threads)", settings.model.name, seconds, settings.slots, threads)
        return model


def _engine(settings: EngineSettings, context: int, threads: int) -> Engine:
    if settings.engine == "scripted":
        from inference._scripted import ScriptedEngine

        return ScriptedEngine(settings.model)
    from inference._xllamacpp import XllamacppEngine

    return XllamacppEngine(
        settings.model, slots=settings.slots, context=context, threads=threads, gpu_layers=settings.gpu_layers
    )


def loaded() -> LoadedModel | None:
    """What is loaded in this process, or None."""
    runtime = _runtime
    return runtime.model if runtime else None


def unload() -> None:
    """End every running answer and free the model. Does nothing when none is loaded."""
    global _runtime
    with _lock:
        if _runtime is None:
            return
        atexit.unregister(unload)
        runtime, _runtime = _runtime, None
        stop_all(_UNLOAD_SECONDS)
        runtime.engine.close()


def count_tokens(messages: Sequence[Message]) -> int:
    """How many tokens the prompt for these messages has, template included. Raises EngineNotLoaded."""
    runtime = current()
    return len(runtime.engine.tokenize(runtime.family.render(messages, Effort.MEDIUM)))


def current() -> Runtime:
    """What is loaded in this process. Raises EngineNotLoaded."""
    runtime = _runtime
    if runtime is None:
        raise EngineNotLoaded("No model is loaded in this process.")
    return runtime
