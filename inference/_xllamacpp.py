"""The engine xllamacpp: llama.cpp in this process, with continuous batching over slots.

Only its raw completions are used. Prompts are rendered with Havre's own templates and the output is read by Havre's own
filters, so a model file decides nothing about the format, and malformed output is ours to handle.

llama.cpp's server opens an HTTP listener of its own. It is put on a unix socket in a folder that only this user can
enter, behind a random key, without any endpoint that shows prompts; no TCP port is opened. It is used for one thing:
tokenizing.
"""

import http.client
import json
import secrets
import shutil
import socket
import tempfile
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from inference._engine import Piece, Sampling
from inference._errors import EngineFailed, ModelRejected, RequestTooLong
from inference._hardware import Gpu

_FOLDER_PREFIX = "havre-engine-"
_LONGEST_SOCKET_PATH = 100  # 107 bytes on Linux, 103 elsewhere
_STARTING_SECONDS = 60  # a socket this young may belong to an engine that is not listening yet
# Tokens of a prompt that are read at a time. In between others get their next token and a caller may leave; a CPU reads
# about a hundred a second of a small model, and no faster in larger pieces.
_BATCH_CPU, _BATCH_GPU = 64, 512


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
    """One model in one llama.cpp server object. `context` is tokens a slot."""

    def __init__(self, model: Path, *, slots: int, context: int, threads: int, gpu_layers: int) -> None:
        import xllamacpp

        self._folder = _private_folder()
        self._socket = self._folder / "engine.sock"
        self._key = secrets.token_urlsafe(32)
        params = xllamacpp.CommonParams()
        params.model.path = str(model)
        params.n_parallel = slots
        params.n_ctx = slots * context
        on_gpu = gpu_layers != 0 and bool(devices())
        params.n_batch = params.n_ubatch = _BATCH_GPU if on_gpu else _BATCH_CPU
        params.n_gpu_layers = gpu_layers
        params.cpuparams.n_threads = params.cpuparams_batch.n_threads = threads
        params.special = True  # special tokens come as text: the filters need them
        params.cache_ram_mib = 0  # finished dialogues are not kept in memory beside the slots
        params.hostnames = [str(self._socket)]
        params.api_keys = [self._key]
        params.n_threads_http = 1
        params.cors_origins = ""
        params.ui = params.endpoint_slots = params.endpoint_props = params.endpoint_metrics = False
        params.verbosity = -1  # llama.cpp's log would show what people write
        try:
            self._server: Any = xllamacpp.Server(params)
        except RuntimeError as error:
            shutil.rmtree(self._folder, ignore_errors=True)
            raise ModelRejected(
                f"The engine could not load {model.name}: an architecture that it does not know, "
                "or not enough memory for the model and its slots."
            ) from error

    def tokenize(self, text: str) -> list[int]:
        """The tokens of a rendered prompt. Raises EngineFailed."""
        connection = _UnixConnection(self._socket)
        body = json.dumps({"content": text, "add_special": False, "parse_special": True})
        headers = {"Authorization": f"Bearer {self._key}", "Content-Type": "application/json"}
        try:
            connection.request("POST", "/tokenize", body, headers)
            response = connection.getresponse()
            if response.status != http.client.OK:
                raise EngineFailed(f"The engine could not split the request into tokens ({response.status}).")
            tokens: list[int] = json.load(response)["tokens"]
        except (OSError, http.client.HTTPException, ValueError, KeyError) as error:
            raise EngineFailed("The engine does not answer.") from error
        finally:
            connection.close()
        return tokens

    def stream(self, tokens: Sequence[int], sampling: Sampling, emit: Callable[[Piece], bool]) -> None:
        """Generate, calling `emit` for every piece. Raises EngineFailed, RequestTooLong."""
        server = self._server
        if server is None:
            raise EngineFailed("The model was unloaded.")
        failure: list[dict[str, Any]] = []

        def take(chunk: dict[str, Any]) -> bool:
            if "error" in chunk:
                failure.append(chunk["error"])
                return True
            return emit(_piece(chunk))

        request = {
            "prompt": list(tokens),
            "stream": True,
            "return_progress": True,
            "max_tokens": sampling.max_tokens,
            "temperature": sampling.temperature,
            "seed": -1 if sampling.seed is None else sampling.seed,
            "grammar": sampling.grammar,
        }
        try:
            server.handle_completions(request, take)
        except (RuntimeError, ValueError) as error:
            raise EngineFailed("The engine refused the request.") from error
        if failure:
            # The engine's own message may quote the dialogue, so only its kind is passed on.
            kind = failure[0].get("type", "unknown")
            if kind == "exceed_context_size_error":
                raise RequestTooLong("The request is longer than the context of a slot.")
            raise EngineFailed(f"The engine broke off ({kind}).")

    def close(self) -> None:
        """Free the model and remove the socket."""
        self._server = None
        shutil.rmtree(self._folder, ignore_errors=True)


def _piece(chunk: dict[str, Any]) -> Piece:
    choice = chunk["choices"][0] if chunk.get("choices") else {}
    finish = choice.get("finish_reason")
    tokens = chunk.get("usage", {}).get("completion_tokens", 0)
    return Piece(choice.get("text") or "", "length" if finish == "length" else "stop" if finish else None, tokens)


class _UnixConnection(http.client.HTTPConnection):
    def __init__(self, path: Path) -> None:
        super().__init__("localhost", timeout=30)
        self._path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(self.timeout)
        self.sock.connect(str(self._path))


def _private_folder() -> Path:
    """A new folder that only this user can enter, short enough for a socket; on the way, those of dead processes go."""
    parent = Path(tempfile.gettempdir())
    if len(str(parent)) + 40 > _LONGEST_SOCKET_PATH:
        parent = Path("/tmp")  # noqa: S108 (mkdtemp below makes the folder private)
    for old in parent.glob(f"{_FOLDER_PREFIX}*"):
        with suppress(OSError), socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
            if time.time() - old.stat().st_mtime < _STARTING_SECONDS:
                continue
            try:
                probe.connect(str(old / "engine.sock"))
            except ConnectionRefusedError:
                shutil.rmtree(old, ignore_errors=True)
    return Path(tempfile.mkdtemp(prefix=_FOLDER_PREFIX, dir=parent))
