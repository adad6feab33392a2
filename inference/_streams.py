"""The engine's blocking call in a thread of its own."""

import logging
import threading
import time
from collections import deque
from collections.abc import Iterator

from inference._engine import Engine, Piece, Sampling
from inference._errors import EngineFailed, InferenceError

logger = logging.getLogger(__name__)

_TOGETHER_SECONDS = 0.01  # what comes closer together is taken together: a reader is not woken for each token
_running: set["Stream"] = set()


def stop_all(wait: float) -> None:
    """Stop every stream, and wait up to `wait` seconds for each to leave the engine."""
    for stream in tuple(_running):
        stream.stop(wait=wait)


class Stream:
    """The engine's blocking call in a thread of its own, so that whoever reads may leave at any moment."""

    def __init__(self, engine: Engine, tokens: list[int], sampling: Sampling) -> None:
        self._come: deque[Piece | InferenceError] = deque()
        self._has_come = threading.Event()
        self._ended = threading.Event()
        self._taken = float("-inf")
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
        if (early := self._taken + _TOGETHER_SECONDS - time.monotonic()) > 0:
            self._ended.wait(early)
        if not self._has_come.wait(wait):
            return
        self._has_come.clear()
        self._taken = time.monotonic()
        while self._come:
            item = self._come.popleft()
            if isinstance(item, InferenceError):
                raise item
            yield item

    def stop(self, wait: float = 0.0) -> None:
        """Let the engine free the slot at its next step."""
        self._stopped.set()
        if wait:
            self._thread.join(wait)

    def _run(self, engine: Engine, tokens: list[int], sampling: Sampling) -> None:
        try:
            engine.stream(tokens, sampling, self._take)
            self._end(EngineFailed("The engine ended without an answer."))
        except InferenceError as error:
            self._end(error)
        except Exception as error:
            logger.error("the engine raised %s", type(error).__name__)
            self._end(EngineFailed(f"The engine broke off ({type(error).__name__})."))
        finally:
            _running.discard(self)

    def _take(self, piece: Piece) -> bool:
        self._come.append(piece)
        if piece.finish:
            self._ended.set()
        if not self._has_come.is_set():
            self._has_come.set()
        return self._stopped.is_set()

    def _end(self, error: InferenceError) -> None:
        self._come.append(error)
        self._ended.set()
        self._has_come.set()
