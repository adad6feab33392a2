"""Who is in which slot of an engine, and whose prompt is read next: first come, first served.

llama.cpp alone reads the prompt in the lowest slot to its end before it begins the next one's. So prompts are read in
pieces, and before each piece stands a queue.
"""

import threading
import time
from bisect import bisect_left
from collections import deque
from collections.abc import Callable, Sequence

from inference._errors import EngineFailed

_LOOK_SECONDS = 0.05  # how often somebody who waits is asked whether he is still there
_NEARLY_ALL = 0.9


class _Queue:
    """Those who wait for something, in the order of asking. Safe between threads."""

    def __init__(self) -> None:
        self._waiting: deque[object] = deque()
        self._changed = threading.Condition()
        self._closed = False

    def wait(self, is_there: Callable[[], bool], take: Callable[[], None], left: Callable[[], bool]) -> bool:
        """Wait until `is_there`, then `take`; False when `left` says that nobody waits any more. Raises EngineFailed
        once the queue is closed."""
        ticket = object()
        with self._changed:
            self._waiting.append(ticket)
        try:
            while True:
                with self._changed:
                    ready = self._changed.wait_for(
                        lambda: self._closed or (self._waiting[0] is ticket and is_there()), _LOOK_SECONDS
                    )
                    if self._closed:
                        raise EngineFailed("The model was unloaded.")
                    if ready:
                        take()
                        return True
                if left():
                    return False
        finally:
            with self._changed:
                self._waiting.remove(ticket)
                self._changed.notify_all()

    def change(self, how: Callable[[], None]) -> None:
        """Do something that may be what somebody waits for."""
        with self._changed:
            how()
            self._changed.notify_all()

    def close(self) -> None:
        """Nobody gets anything any more."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()


class Slots:
    """The slots of one engine, and the tokens that each has read."""

    def __init__(self, count: int) -> None:
        self._held: list[list[int]] = [[] for _ in range(count)]
        self._used = [0.0] * count
        self._free = set(range(count))
        self._queue = _Queue()

    def take(self, tokens: Sequence[int], left: Callable[[], bool]) -> tuple[int, int] | None:
        """A slot for this prompt, and how many of its tokens that slot has read already; waits until one is free. None
        when `left` says that nobody waits any more. Raises EngineFailed once the slots are closed."""
        wanted, taken = list(tokens), []

        def choose() -> None:
            taken.append(self._chosen(wanted))
            self._free.discard(taken[0][0])

        return taken[0] if self._queue.wait(lambda: bool(self._free), choose, left) else None

    def give_back(self, slot: int, read: Sequence[int]) -> None:
        """The slot is free again; `read` is the prompt, as far as it was read."""

        def free() -> None:
            self._held[slot], self._used[slot] = list(read), time.monotonic()
            self._free.add(slot)

        self._queue.change(free)

    def close(self) -> None:
        """Nobody gets a slot any more."""
        self._queue.close()

    def _chosen(self, tokens: list[int]) -> tuple[int, int]:
        """A talk that goes on gets its slot back: the free one that has most of the prompt, where that is nearly all it
        has read. Otherwise the slot that nobody used for longest, so that others can go on too."""
        common = {slot: _common(self._held[slot], tokens) for slot in self._free}
        best = max(common, key=lambda slot: (common[slot], -self._used[slot]))
        if common[best] < _NEARLY_ALL * len(self._held[best]):
            best = min(common, key=lambda slot: self._used[slot])
        return best, common[best]


class Reading:
    """How many tokens of prompts may be on their way into an engine at once: a long prompt asks for each piece anew,
    behind everybody who asked meanwhile, and several short ones are read together."""

    def __init__(self, tokens: int) -> None:
        self._room = tokens
        self._queue = _Queue()

    def take(self, tokens: int, left: Callable[[], bool]) -> bool:
        """Wait for the turn to have `tokens` read; False when `left` says that nobody waits any more."""

        def take() -> None:
            self._room -= tokens

        return self._queue.wait(lambda: self._room >= tokens, take, left)

    def give_back(self, tokens: int) -> None:
        """They are read."""

        def free() -> None:
            self._room += tokens

        self._queue.change(free)

    def close(self) -> None:
        """Nothing is read any more."""
        self._queue.close()


def _common(one: list[int], other: list[int]) -> int:
    """How many tokens two prompts have in common from their beginning."""
    most = min(len(one), len(other))
    # equal up to n is false from some n on: found by halving, each comparison at the speed of C
    return bisect_left(range(1, most + 1), x=True, key=lambda n: one[:n] != other[:n])
