"""The smoke prompt: before a model may answer anybody it answers one fixed question, in a process of its own.

The process loads the model as a worker would, hash first, with the installation's settings, and is given up when it
takes too long or too much memory. Whatever a strange file does to the engine happens there, and the process that asked
lives on. Where the model that answers at present leaves no room beside it, the new one is tried in small, on the
processor.
"""

import ctypes
import json
import os
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import asdict, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import IO, Any

from inference._engine import Sampling
from inference._errors import EngineFailed, InferenceError
from inference._gguf import read_header
from inference._hardware import Hardware, hardware, proc_bytes
from inference._memory import Estimate, estimate
from inference._models import ModelInfo, Smoke
from inference._planning import plan
from inference._runtime import current, load, unload
from inference._sentences import Sentence, Size, say, sentence_from
from inference._streams import Stream
from inference._types import Delta, Effort, EngineSettings, FinishReason, GenerationRequest, Message

_QUESTION = (
    Message("system", "You help the staff of a hospital. Answer in one short sentence."),
    Message("user", "Are you ready to answer questions about guidelines?"),
)
_TOKENS = 400
_TRIES = 2  # a few answers in a hundred are malformed without meaning anything
_SECONDS = 300.0
_SECONDS_A_GIB = 45.0  # to hash, to load and to read the prompt on a slow machine
_LEAST_MEMORY = 2 << 30
_SMALL_CONTEXT = 2048
_LOOK_SECONDS = 0.1
_PR_SET_PDEATHSIG = 1
_MARKERS = re.compile(r"<[|｜]|[|｜]>|</?think>|</s>|\[/?INST\]")

Say = Callable[[Sentence], None]


def smoke(
    one: ModelInfo,
    settings: EngineSettings,
    tell: Say = lambda _: None,
    *,
    seconds: float | None = None,
    memory: int | None = None,
) -> Smoke:
    """Try a model with the smoke prompt in a process of its own. `tell` gets a sentence for each step.

    `seconds` is the longest it may take and `memory` the most bytes that the process may hold beside its files; without
    them they follow from the model's size and from what the machine has free. Never raises for what the model does: the
    outcome's `problem` says it.
    """
    began = datetime.now(UTC).isoformat(timespec="seconds")
    try:
        settings, note = _settings_for_now(one, settings)
    except InferenceError as error:
        return Smoke(began, problem=error.said)
    if note:
        tell(note)
    limit = seconds or _SECONDS + _SECONDS_A_GIB * one.size / (1 << 30)
    watch = _Watch(limit, memory or max(_LEAST_MEMORY, int(hardware().memory_free * 0.95)))
    values = {**asdict(settings), "model": str(settings.model)}
    said = _run({"settings": values, "sha256": one.sha256}, watch, tell)
    return Smoke(began, memory=watch.peak, note=note, **said)


def room(one: ModelInfo, settings: EngineSettings, machine: Hardware | None = None) -> Estimate:
    """The memory that the model takes with these settings, and whether a machine (None: this one) has it.

    Loads nothing. Raises ModelRejected and ModelNotFound for its file, SettingsRejected for impossible settings."""
    header = one.header or read_header(one.path)
    machine = machine or hardware()
    return estimate(header, plan(settings, header, machine), machine)


def _settings_for_now(one: ModelInfo, settings: EngineSettings) -> tuple[EngineSettings, Sentence]:
    """The settings to try with, and a sentence where they are not the installation's own."""
    if settings.engine in {"scripted", "ctransformers"}:
        return settings, Sentence()
    found = room(one, settings)
    if not found.fits:
        raise InferenceError(found.said())
    if found.fits_now:
        return settings, Sentence()
    small = replace(settings, gpu_layers=0, tensor_split=(), slots=1, context=min(found.context, _SMALL_CONTEXT))
    return small, say("tried_small")


def first_token(seconds: float = _SECONDS) -> float:
    """Have the model that is loaded in this process read the smoke prompt and write one token: what shows, for a moment
    of work, that it computes. Returns the seconds that it took. Raises EngineFailed when it writes nothing within
    `seconds`, EngineNotLoaded."""
    runtime = current()
    begun = time.monotonic()
    tokens = runtime.prompt(_QUESTION, Effort.LOW)
    stream = Stream(runtime.engine, tokens, Sampling(1, 0.0, None))
    try:
        while time.monotonic() - begun < seconds:
            if any(piece.text or piece.completion_tokens for piece in stream.pieces(_LOOK_SECONDS)):
                return time.monotonic() - begun
    finally:
        stream.stop()
    raise EngineFailed("wrote_nothing", seconds=round(seconds))


class _Watch:
    """Ends a process that takes too long or too much memory."""

    def __init__(self, seconds: float, memory: int) -> None:
        self.peak = 0
        self.why = Sentence()
        self._seconds, self._memory = seconds, memory
        self._over = threading.Event()

    def begin(self, process: "subprocess.Popen[str]") -> threading.Thread:
        thread = threading.Thread(target=self._run, args=(process,), daemon=True)
        thread.start()
        return thread

    def end(self) -> None:
        self._over.set()

    def _run(self, process: "subprocess.Popen[str]") -> None:
        ends = time.monotonic() + self._seconds
        while not self._over.wait(_LOOK_SECONDS):
            held, own = _memory_of(process.pid)
            self.peak = max(self.peak, held)
            if own > self._memory:
                self.why = say("too_much_memory", most=Size(self._memory))
            elif time.monotonic() > ends:
                self.why = say("too_slow", seconds=round(self._seconds))
            if self.why:
                process.kill()
                return


def _memory_of(pid: int) -> tuple[int, int]:
    """Bytes that a process holds in memory, and those of them that are no files."""
    known = proc_bytes(Path(f"/proc/{pid}/status"))
    return known.get("VmRSS", 0), known.get("RssAnon", 0)


def _run(order: dict[str, Any], watch: _Watch, tell: Say) -> dict[str, Any]:
    """Run the trial; returns fields of Smoke."""
    command = [sys.executable, "-c", "import sys, inference._smoke as it; it.main(sys.stdin, sys.stdout)"]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(one for one in sys.path if one)}
    try:
        process = subprocess.Popen(  # noqa: S603 (our own module)
            command,
            env=environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        )
    except OSError as error:
        return {"problem": say("no_process", reason=error.strerror or "")}
    watcher = watch.begin(process)
    found: dict[str, Any] = {}
    try:
        assert process.stdin is not None and process.stdout is not None
        with suppress(BrokenPipeError), process.stdin as stdin:
            stdin.write(json.dumps(order))
        for line in process.stdout:
            found = _heard(line, tell) or found
        process.wait()
    finally:
        watch.end()
        watcher.join()
        if process.poll() is None:
            process.kill()
            process.wait()
    if watch.why:
        return {"problem": watch.why}
    return found or {"problem": say("ended", exit=process.returncode)}


def _heard(line: str, tell: Say) -> dict[str, Any]:
    """What a line of the process means: a step is passed on, an outcome returned. The engine's library may print."""
    try:
        heard = json.loads(line)
    except ValueError:
        return {}
    if not isinstance(heard, dict):
        return {}
    if step := sentence_from(heard.get("step")):
        tell(step)
        return {}
    outcome = heard.get("outcome")
    return {**outcome, "problem": sentence_from(outcome.get("problem"))} if isinstance(outcome, dict) else {}


def main(source: IO[str], out: IO[str]) -> None:
    """The process: reads an order as JSON from `source`, loads, asks, and writes steps and the outcome, a JSON object a
    line, to `out`."""
    _die_with_parent()
    with suppress(OSError):
        Path("/proc/self/oom_score_adj").write_text("1000", encoding="ascii")  # if memory ends, this process ends

    def tell(**values: object) -> None:
        out.write(json.dumps(values) + "\n")
        out.flush()

    order = json.load(source)
    settings = EngineSettings(**{**order["settings"], "model": Path(order["settings"]["model"])})
    try:
        tell(outcome=_try(replace(settings, tensor_split=tuple(settings.tensor_split)), order["sha256"], tell))
    except InferenceError as error:
        tell(outcome={"problem": error.said.row()})


def _die_with_parent() -> None:
    """Nobody waits for the outcome any more when the process that asked was killed: then this one ends too (Linux)."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)


def _try(settings: EngineSettings, sha256: str, tell: Callable[..., None]) -> dict[str, Any]:
    from inference._generating import generate

    begun = time.monotonic()
    tell(step=say("step_loading").row())
    loaded = load(settings, approved_sha256=sha256)
    load_seconds = time.monotonic() - begun
    tell(step=say("step_asking", seconds=f"{load_seconds:.1f}").row())
    problem, outcome = Sentence(), {}
    for attempt in range(_TRIES):
        begun = time.monotonic()
        most = min(_TOKENS, loaded.context // 2)
        request = GenerationRequest(_QUESTION, Effort.LOW, max_tokens=most, temperature=0.2, seed=attempt + 1)
        try:
            deltas = list(generate(request))
        except InferenceError as error:
            problem = error.said
            continue
        problem, usage = _judged(deltas), deltas[-1].usage
        seconds = time.monotonic() - begun
        tokens = usage.completion_tokens if usage else 0
        writing = max(1e-6, seconds - ((usage and usage.first_token_seconds) or 0))
        outcome = {
            "load_seconds": round(load_seconds, 2),
            "answer_seconds": round(seconds, 2),
            "tokens": tokens,
            "tokens_per_second": round(max(0, tokens - 1) / writing, 1),
        }
        if not problem:
            break
    unload()
    return {**outcome, "problem": problem.row()}


def _judged(deltas: list[Delta]) -> Sentence:
    """What is wrong with an answer; nothing where nothing is."""
    text = "".join(one.text for one in deltas).strip()
    usage, finish = deltas[-1].usage, deltas[-1].finish
    if not any(one.isalpha() for one in text):
        return say("no_answer")
    if _MARKERS.search(text):
        return say("shows_markers")
    if usage is not None and usage.opened == "malformed":
        return say("malformed")
    if finish not in {FinishReason.STOP, FinishReason.LENGTH}:
        return say("no_end")
    return Sentence()
