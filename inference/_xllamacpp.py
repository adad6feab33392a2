"""The engine xllamacpp: llama.cpp in this process, with continuous batching over slots.

Only its raw completions are used. Prompts are rendered with Havre's own templates and the output is read by Havre's own
filters, so a model file decides nothing about the format, and malformed output is ours to handle.

llama.cpp's server opens an HTTP listener of its own. It is put on a unix socket in a folder that only this user can
enter, behind a random key, and is closed as soon as the model is loaded: nothing in Havre needs it.

Which slot an answer gets is decided here, and long prompts are read in pieces (`inference._slots` says why).
"""

import os
import secrets
import shutil
import socket
import stat
import tempfile
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from inference._engine import Piece, Sampling
from inference._errors import EngineFailed, ModelRejected, RequestTooLong
from inference._hardware import Gpu
from inference._slots import Reading, Slots
from inference._types import Plan
from inference._vocabulary import Vocabulary

_FOLDER_PREFIX = "havre-engine-"
_LONGEST_SOCKET_PATH = 100  # 107 bytes on Linux, 103 elsewhere
_BATCHES_A_PIECE = 2


def devices() -> tuple[Gpu, ...]:
    """The graphics cards that the installed build of llama.cpp can compute on, in its order."""
    try:
        import xllamacpp

        found = xllamacpp.get_device_info()
    except (ImportError, RuntimeError):  # a build for a card whose driver is not there
        return ()
    return tuple(
        Gpu(one["description"] or one["name"], one["memory_total"], one["memory_free"])
        for one in found
        if one["type"].name.endswith("_GPU")
    )


class XllamacppEngine:
    """One model in one llama.cpp server object."""

    def __init__(self, model: Path, chosen: Plan) -> None:
        import xllamacpp

        self._context = chosen.context
        self._piece = chosen.batch * _BATCHES_A_PIECE
        self._slots = Slots(chosen.slots)
        self._reading = Reading(self._piece)
        folder = _private_folder()
        try:
            self._server: Any = xllamacpp.Server(_params(model, chosen, folder / "engine.sock"))
            _close_listener(folder / "engine.sock")
        except RuntimeError as error:
            raise ModelRejected("engine_refuses", file=model.name) from error
        finally:
            shutil.rmtree(folder, ignore_errors=True)
        self._asked = False
        self._vocabulary = Vocabulary(xllamacpp.xllamacpp.__file__, model)

    def tokenize(self, text: str) -> list[int]:
        """The tokens of a rendered prompt. Raises EngineFailed."""
        return self._vocabulary.tokenize(text)

    def stream(self, tokens: Sequence[int], sampling: Sampling, emit: Callable[[Piece], bool]) -> None:
        """Generate, calling `emit` for every piece. Raises EngineFailed, RequestTooLong."""
        if len(tokens) >= self._context:
            raise RequestTooLong("The request is longer than the context of a slot.")
        if not tokens or not self._vocabulary.knows(tokens):
            raise EngineFailed("The engine refused the request: it holds no tokens, or tokens that the model has not.")
        taken = self._slots.take(tokens, lambda: emit(Piece()))
        if taken is None:
            return
        slot, read = taken
        self._asked = True
        request = _Request(self._server, self._reading, slot, emit)
        try:
            while read + self._piece < len(tokens):
                if not request.read(tokens[: read + self._piece], self._piece):
                    return
                read += self._piece
            request.answer(tokens, max(1, len(tokens) - read), sampling)
            read = len(tokens)
        finally:
            self._slots.give_back(slot, tokens[:read])

    def close(self) -> None:
        """Free the model."""
        self._slots.close()
        self._reading.close()
        if self._server is not None and not self._asked:
            # a server that is ended before its thread has begun to work waits for that thread for ever
            with suppress(RuntimeError, ValueError):
                self._server.handle_completions(completion([0], Sampling(1, 0.0, None)), lambda _: True)
        self._server = None
        self._vocabulary.close()


class _Request:
    """The calls into the server for one answer, all in one slot."""

    def __init__(self, server: Any, reading: Reading, slot: int, emit: Callable[[Piece], bool]) -> None:
        self._server = server
        self._reading = reading
        self._slot = slot
        self._emit = emit
        self._cached: int | None = None

    def read(self, tokens: Sequence[int], unread: int) -> bool:
        """Read the beginning of a prompt into the slot; False when the caller has left. `unread` of it are new."""
        if not self._reading.take(unread, lambda: self._emit(Piece())):
            return False
        left = False

        def take(piece: Piece) -> bool:
            nonlocal left
            left = left or self._emit(Piece(cached_tokens=piece.cached_tokens))
            return left

        try:
            self._call(tokens, Sampling(1, 0.0, None), take)  # less than one token cannot be asked for
        finally:
            self._reading.give_back(unread)
        return not left

    def answer(self, tokens: Sequence[int], unread: int, sampling: Sampling) -> None:
        """Read what is left of the prompt, and generate."""
        if not self._reading.take(unread, lambda: self._emit(Piece())):
            return
        begun = False

        def take(piece: Piece) -> bool:
            nonlocal begun
            if piece.text and not begun:
                begun = True
                self._reading.give_back(unread)
            return self._emit(piece)

        try:
            self._call(tokens, sampling, take)
        finally:
            if not begun:
                self._reading.give_back(unread)

    def _call(self, tokens: Sequence[int], sampling: Sampling, emit: Callable[[Piece], bool]) -> None:
        if self._server is None:
            raise EngineFailed("The model was unloaded.")
        failure: list[dict[str, Any]] = []

        def take(chunk: dict[str, Any]) -> bool:
            if "error" in chunk:
                failure.append(chunk["error"])
                return True
            return emit(self._piece(chunk))

        request = completion(tokens, sampling) | {"id_slot": self._slot, "return_progress": True}
        try:
            self._server.handle_completions(request, take)
        except (RuntimeError, ValueError) as error:
            raise EngineFailed("The engine refused the request.") from error
        if failure:
            # The engine's own message may quote the dialogue, so only its kind is passed on.
            kind = failure[0].get("type", "unknown")
            if kind == "exceed_context_size_error":
                raise RequestTooLong("The request is longer than the context of a slot.")
            raise EngineFailed(f"The engine broke off ({kind}).")

    def _piece(self, chunk: dict[str, Any]) -> Piece:
        progress = chunk.get("prompt_progress")
        if progress and self._cached is None:
            self._cached = progress.get("cache", 0)  # of the first call: the later ones find what it has read
        choice = chunk["choices"][0] if chunk.get("choices") else {}
        finish = choice.get("finish_reason")
        return Piece(
            choice.get("text") or "",
            "length" if finish == "length" else "stop" if finish else None,
            chunk.get("usage", {}).get("completion_tokens", 0),
            self._cached or 0 if progress else 0,
        )


def completion(tokens: Sequence[int], sampling: Sampling) -> dict[str, Any]:
    """What the server is asked for, to complete a prompt."""
    return {
        "prompt": list(tokens),
        "stream": True,
        "max_tokens": sampling.max_tokens,
        "temperature": sampling.temperature,
        "seed": -1 if sampling.seed is None else sampling.seed,
        "grammar": sampling.grammar,
    }


def _params(model: Path, chosen: Plan, path: Path) -> Any:
    import xllamacpp

    params = xllamacpp.CommonParams()
    params.model.path = str(model)
    params.n_parallel = chosen.slots
    params.n_ctx = chosen.slots * chosen.context
    params.n_batch = params.n_ubatch = chosen.batch
    params.n_gpu_layers = chosen.gpu_layers
    if chosen.tensor_split:
        shares = params.tensor_split
        params.tensor_split = [*chosen.tensor_split, *shares[len(chosen.tensor_split) :]]
    params.flash_attn_type = xllamacpp.llama_flash_attn_type(
        {"auto": -1, "off": 0, "on": 1}[chosen.flash_attention],
    )
    params.cache_type_k = params.cache_type_v = xllamacpp.ggml_type[f"GGML_TYPE_{chosen.kv_type.upper()}"]
    params.swa_full = chosen.swa_full
    params.no_extra_bufts = not chosen.repack
    params.cpuparams.n_threads = params.cpuparams_batch.n_threads = chosen.threads
    params.special = True  # special tokens come as text: the filters need them
    params.cache_ram_mib = 0  # finished dialogues are not kept in memory beside the slots
    params.n_cache_reuse = 0  # what was read behind somebody else's words is never moved behind yours
    params.hostnames = [str(path)]
    params.api_keys = [secrets.token_urlsafe(32)]
    params.n_threads_http = 1
    params.cors_origins = ""
    params.ui = params.endpoint_slots = params.endpoint_props = params.endpoint_metrics = False
    params.verbosity = -1  # llama.cpp's log would show what people write
    return params


def _close_listener(path: Path) -> None:
    """Find the listening socket among this process's open files and shut it down; the thread behind it ends."""
    for entry in Path("/dev/fd").iterdir():
        with suppress(OSError):
            if not stat.S_ISSOCK(os.fstat(int(entry.name)).st_mode):
                continue
            with socket.socket(fileno=os.dup(int(entry.name))) as one:
                if one.getsockname() == str(path):
                    one.shutdown(socket.SHUT_RDWR)
                    return
    raise ModelRejected("listener_open")


def _private_folder() -> Path:
    """A new folder that only this user can enter, short enough for a socket."""
    parent = Path(tempfile.gettempdir())
    if len(str(parent)) + 40 > _LONGEST_SOCKET_PATH:
        parent = Path("/tmp")  # noqa: S108 (mkdtemp makes the folder private)
    return Path(tempfile.mkdtemp(prefix=_FOLDER_PREFIX, dir=parent))
