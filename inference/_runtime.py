"""One model a process: loaded once, shared by every thread, asked for answers."""

import atexit
import logging
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from inference._engine import Engine
from inference._errors import EngineFailed, EngineNotLoaded, ModelRejected
from inference._gguf import Header, read_header
from inference._grammar import quotation_grammar
from inference._hardware import hardware
from inference._holding import HeldModel
from inference._planning import plan
from inference._streams import stop_all
from inference._templates import Family, family_of
from inference._types import Effort, EngineSettings, Message, Plan

logger = logging.getLogger(__name__)

_UNLOAD_SECONDS = 10.0


@dataclass(frozen=True, slots=True)
class LoadedModel:
    """What is loaded in this process: what was asked for, and the plan that was made of it. `sha256` is the file's hash
    where one was asked for, `seconds` what loading took."""

    settings: EngineSettings
    plan: Plan
    architecture: str
    family: str
    sha256: str | None
    seconds: float

    @property
    def slots(self) -> int:
        """How many answers are written at the same time."""
        return self.plan.slots

    @property
    def context(self) -> int:
        """Tokens of a slot, never more than the model was made for."""
        return self.plan.context


@dataclass(frozen=True, slots=True)
class Runtime:
    """What is loaded: what is known of it, the engine that runs it, the chat format that it speaks, and the files that
    it was loaded from, where there are any."""

    model: LoadedModel
    engine: Engine
    family: Family
    files: HeldModel | None = None

    def prompt(self, messages: Sequence[Message], effort: Effort) -> list[int]:
        """The tokens that the engine reads for these messages. Raises EngineFailed."""
        return self.engine.tokenize(self.family.render(messages, effort))

    def grammar(self, quotes: Sequence[str]) -> str:
        """What bounds an answer to these quotations; empty without any, and where raw text is more than the answer."""
        return quotation_grammar(quotes) if quotes and not self.family.channels else ""


_lock = threading.Lock()
_runtime: Runtime | None = None


def load(settings: EngineSettings, *, approved_sha256: str | None = None) -> LoadedModel:
    """Load a model into this process. Loading the same settings again returns what is loaded.

    With `approved_sha256` the file is hashed first, and no parser sees a file whose hash is another, nor one that was
    changed since. Raises ModelNotFound, ModelRejected, and EngineFailed when a different model is loaded already.
    """
    global _runtime  # noqa: PLW0603 (one model a process is the point)
    with _lock:
        if _runtime is not None:
            if _runtime.model.settings == settings:
                return _runtime.model
            raise EngineFailed("Another model is loaded in this process; it must be unloaded first.")
        _runtime = _open(settings, approved_sha256)
        atexit.register(unload)  # a thread still inside the engine when Python ends would abort the process
        logger.info("%s loaded in %.1f s: %s", settings.model.name, _runtime.model.seconds, _runtime.model.plan)
        return _runtime.model


def _open(settings: EngineSettings, approved_sha256: str | None) -> Runtime:
    """Hash, read and load what lies at one path, and nothing else: see `_holding`."""
    begun = time.monotonic()
    files = HeldModel(settings.model)
    try:
        if approved_sha256 is not None and files.sha256() != approved_sha256:
            raise ModelRejected("not_approved", file=settings.model.name)
        header = read_header(files.path)
        family = family_of(header, settings.model.name)
        chosen = plan(settings, header, hardware())
        engine = _engine(files.path, header, chosen)
        if files.changed():
            engine.close()
            raise ModelRejected("changed_while_loading", file=settings.model.name)
        files.unlink()
    except BaseException:
        files.close()
        raise
    seconds = time.monotonic() - begun
    model = LoadedModel(settings, chosen, header.architecture, family.name, approved_sha256, seconds)
    return Runtime(model, engine, family, files)


def _engine(model: Path, header: Header, chosen: Plan) -> Engine:
    if chosen.engine == "scripted":
        from inference._scripted import ScriptedEngine

        return ScriptedEngine(model, chosen.context)
    if chosen.engine == "ctransformers":
        from inference._ctransformers import CtransformersEngine

        return CtransformersEngine(model, header, chosen)
    from inference._xllamacpp import XllamacppEngine

    return XllamacppEngine(model, chosen)


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
        if runtime.files:
            runtime.files.close()


def untouched() -> bool:
    """Whether the files of the model that is loaded are still what was hashed, and nobody waits to write to them; also
    when none is loaded. An engine may read its weights from the file for as long as it lives: where this is false, the
    model must be unloaded. Asks the system alone, and takes no time."""
    with _lock:
        return _runtime is None or _runtime.files is None or not _runtime.files.changed()


def count_tokens(messages: Sequence[Message], effort: Effort = Effort.LOW) -> int:
    """How many tokens the prompt for these messages has, template included; the effort stands in it. Raises
    EngineNotLoaded."""
    return len(current().prompt(messages, effort))


def current() -> Runtime:
    """What is loaded in this process. Raises EngineNotLoaded."""
    runtime = _runtime
    if runtime is None:
        raise EngineNotLoaded("No model is loaded in this process.")
    return runtime
