"""One model a process: loaded once, shared by every thread, asked for answers."""

import atexit
import hashlib
import logging
import os
import queue
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from inference._engine import Engine, Piece, Sampling
from inference._errors import (
    EngineFailed,
    EngineNotLoaded,
    InferenceError,
    MalformedOutput,
    ModelRejected,
    RequestTooLong,
)
from inference._gguf import read_header
from inference._grammar import quotation_grammar
from inference._templates import Family, family_of
from inference._types import Delta, Effort, EngineSettings, FinishReason, GenerationRequest, Message, Usage

logger = logging.getLogger(__name__)

_POLL_SECONDS = 0.03  # how often the caller's wish to stop and the deadline are looked at
_REASONING_SECONDS = 0.25  # the time between two signs of life while the model thinks
_UNLOAD_SECONDS = 10.0
_CHUNK = 4 * 1024 * 1024


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
class _Runtime:
    model: LoadedModel
    engine: Engine
    family: Family


_lock = threading.Lock()
_runtime: _Runtime | None = None
_running: set["_Stream"] = set()


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
        if approved_sha256 is not None and sha256_of(settings.model) != approved_sha256:
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
        _runtime = _Runtime(model, engine, family)
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
        for stream in tuple(_running):
            stream.stop(wait=_UNLOAD_SECONDS)
        runtime.engine.close()


def count_tokens(messages: Sequence[Message]) -> int:
    """How many tokens the prompt for these messages has, template included. Raises EngineNotLoaded."""
    runtime = _current()
    return len(runtime.engine.tokenize(runtime.family.render(messages, Effort.MEDIUM)))


def generate(request: GenerationRequest, *, cancelled: Callable[[], bool] = lambda: False) -> Iterator[Delta]:
    """The answer to a request, as it is made.

    `cancelled` is asked every 30 ms or so, also while the prompt is still being read. The last delta, and only it, has
    `finish` and `usage`; with FinishReason.LENGTH there may have been no text, when all of `max_tokens` went into
    reasoning. Closing the iterator frees the slot. Raises, before anything is generated, EngineNotLoaded and
    RequestTooLong (when prompt and `max_tokens` do not fit into a slot); while it is iterated, EngineFailed and
    MalformedOutput.
    """
    begun = time.monotonic()
    runtime = _current()
    tokens = runtime.engine.tokenize(runtime.family.render(request.messages, request.effort))
    if len(tokens) + request.max_tokens > runtime.model.context:
        raise RequestTooLong(
            f"The request has {len(tokens)} tokens and asks for up to {request.max_tokens} more; "
            f"a slot holds {runtime.model.context}."
        )
    return _answer(runtime, request, tokens, begun, cancelled)


def _current() -> _Runtime:
    runtime = _runtime
    if runtime is None:
        raise EngineNotLoaded("No model is loaded in this process.")
    return runtime


def _answer(
    runtime: _Runtime, request: GenerationRequest, tokens: list[int], begun: float, cancelled: Callable[[], bool]
) -> Iterator[Delta]:
    raw = runtime.family.filter()
    grammar = quotation_grammar(request.quotes) if request.quotes and not runtime.family.channels else ""
    sampling = Sampling(request.max_tokens, request.temperature, request.seed, grammar)
    stream = _Stream(runtime.engine, tokens, sampling)
    clock = _Clock(begun, len(tokens))
    ended: FinishReason | None = None
    thought, looked = float("-inf"), begun
    try:
        while ended is None:
            text = ""
            for piece in stream.pieces(_POLL_SECONDS):
                clock.count(piece)
                shown = raw.feed(piece.text)
                text += shown.text
                if shown.thinking and not text and time.monotonic() - thought >= _REASONING_SECONDS:
                    thought = time.monotonic()
                    yield Delta(reasoning=True)
                if piece.finish or raw.done:
                    ended = FinishReason.LENGTH if piece.finish == "length" else FinishReason.STOP
                    break
            if text:
                yield Delta(text)
            now = time.monotonic()
            if ended is None and now - begun >= request.deadline_seconds:
                ended = FinishReason.DEADLINE
            elif ended is None and now - looked >= _POLL_SECONDS:
                looked = now
                ended = FinishReason.CANCELLED if cancelled() else None
    finally:
        stream.stop()
    tail = raw.finish()
    if ended is FinishReason.STOP and not raw.answered:
        raise MalformedOutput("The model's output was not well formed, and it held no answer.")
    yield Delta(tail, finish=ended, usage=clock.usage())


class _Clock:
    """Counts tokens and seconds of one answer."""

    def __init__(self, begun: float, prompt_tokens: int) -> None:
        self._begun = begun
        self._prompt_tokens = prompt_tokens
        self._completion_tokens = 0
        self._first: float | None = None

    def count(self, piece: Piece) -> None:
        if piece.text:
            self._completion_tokens += 1
            if self._first is None:
                self._first = time.monotonic() - self._begun
        self._completion_tokens = piece.completion_tokens or self._completion_tokens

    def usage(self) -> Usage:
        return Usage(self._prompt_tokens, self._completion_tokens, time.monotonic() - self._begun, self._first)


class _Stream:
    """The engine's blocking call in a thread of its own, so that whoever reads may leave at any moment."""

    def __init__(self, engine: Engine, tokens: list[int], sampling: Sampling) -> None:
        self._queue: queue.SimpleQueue[Piece | InferenceError] = queue.SimpleQueue()
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._run, args=(engine, tokens, sampling), daemon=True)
        _running.add(self)
        self._thread.start()

    def pieces(self, wait: float) -> Iterator[Piece]:
        """What has come since the last call; waits up to `wait` seconds for the first. Raises what the engine did."""
        try:
            item = self._queue.get(timeout=wait)
            while True:
                if isinstance(item, InferenceError):
                    raise item
                yield item
                item = self._queue.get_nowait()
        except queue.Empty:
            return

    def stop(self, wait: float = 0.0) -> None:
        """Let the engine free the slot at its next step."""
        self._stopped.set()
        if wait:
            self._thread.join(wait)

    def _run(self, engine: Engine, tokens: list[int], sampling: Sampling) -> None:
        try:
            engine.stream(tokens, sampling, self._take)
            self._queue.put(EngineFailed("The engine ended without an answer."))
        except InferenceError as error:
            self._queue.put(error)
        except Exception as error:
            logger.error("the engine raised %s", type(error).__name__)
            self._queue.put(EngineFailed(f"The engine broke off ({type(error).__name__})."))
        finally:
            _running.discard(self)

    def _take(self, piece: Piece) -> bool:
        self._queue.put(piece)
        return self._stopped.is_set()


def sha256_of(path: Path, on_progress: Callable[[int, int], None] | None = None) -> str:
    """The SHA-256 of a file, in hexadecimal. `on_progress` gets bytes done and bytes in all. Raises ModelRejected when
    the file cannot be read."""
    digest, done = hashlib.sha256(), 0
    try:
        size = path.stat().st_size
        with path.open("rb") as file:
            while chunk := file.read(_CHUNK):
                digest.update(chunk)
                done += len(chunk)
                if on_progress:
                    on_progress(done, size)
    except OSError as error:
        raise ModelRejected(f"{path} cannot be read ({error.strerror}).") from error
    return digest.hexdigest()


def threads_for(wanted: int) -> int:
    """How many threads to compute with: what is wanted, but never more than there are cores; without a wish all cores
    but one, which stays free for everything else. An oversubscribed machine is ten times slower, not a little."""
    cores = max(1, min(len(os.sched_getaffinity(0)), _quota()))
    return min(wanted, cores) if wanted > 0 else max(1, cores - 1)


def _quota() -> int:
    """Cores that the control group allows (a container's limit), or a large number."""
    try:
        quota, period = Path("/sys/fs/cgroup/cpu.max").read_text(encoding="ascii").split()
        return max(1, int(quota) // int(period))
    except (OSError, ValueError):
        return 1 << 16
