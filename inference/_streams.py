"""The engine's blocking call in a thread of its own."""

import logging
import queue
import threading
from collections.abc import Iterator

from inference._engine import Engine, Piece, Sampling
from inference._errors import EngineFailed, InferenceError

logger = logging.getLogger(__name__)

_running: set["Stream"] = set()


def stop_all(wait: float) -> None:
    """Stop every stream, and wait up to `wait` seconds for each to leave the engine."""
    for stream in tuple(_running):
        stream.stop(wait=wait)


class Stream:
    """The engine's blocking call in a thread of its own, so that whoever reads may leave at any moment."""

    def __init__(self, engine: Engine, tokens: list[int], sampling: Sampling) -> None:
        self._queue: queue.SimpleQueue[Piece | InferenceError] = queue.SimpleQueue()
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._run, args=(engine, tokens, sampling), daemon=True)
        _running.add(self)
        try:
            self._thread.start()
        except RuntimeError as error:  # no memory for one more thread
            _running.discard(self)
            raise EngineFailed("The machine has no room for one more answer at this moment.") from error

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
