"""Who is in which slot of an engine: first come, first served, and where possible behind a prompt that began alike."""

import threading
import time
from bisect import bisect_left
from collections import deque
from collections.abc import Callable, Sequence

from inference._errors import EngineFailed

_LOOK_SECONDS = 0.05  # how often somebody who waits is asked whether he is still there
_NEARLY_ALL = 0.9


class Slots:
    """The slots of one engine, and the tokens that each has read. Safe between threads."""

    def __init__(self, count: int) -> None:
        self._held: list[list[int]] = [[] for _ in range(count)]
        self._used = [0.0] * count
        self._free = set(range(count))
        self._waiting: deque[object] = deque()
        self._changed = threading.Condition()
        self._closed = False

    def take(self, tokens: Sequence[int], left: Callable[[], bool]) -> tuple[int, int] | None:
        """A slot for this prompt, and how many of its tokens that slot has read already; waits until one is free. None
        when `left` says that nobody waits any more. Raises EngineFailed once the slots are closed."""
        ticket, wanted = object(), list(tokens)
        with self._changed:
            self._waiting.append(ticket)
        try:
            while True:
                with self._changed:
                    turn = self._changed.wait_for(lambda: self._closed or self._is_next(ticket), _LOOK_SECONDS)
                    if self._closed:
                        raise EngineFailed("The model was unloaded.")
                    if turn:
                        slot, known = self._chosen(wanted)
                        self._free.discard(slot)
                        return slot, known
                if left():
                    return None
        finally:
            with self._changed:
                self._waiting.remove(ticket)
                self._changed.notify_all()

    def give_back(self, slot: int, read: Sequence[int]) -> None:
        """The slot is free again; `read` is the prompt, as far as it was read."""
        with self._changed:
            self._held[slot], self._used[slot] = list(read), time.monotonic()
            self._free.add(slot)
            self._changed.notify_all()

    def close(self) -> None:
        """Nobody gets a slot any more."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()

    def _is_next(self, ticket: object) -> bool:
        return bool(self._free) and self._waiting[0] is ticket

    def _chosen(self, tokens: list[int]) -> tuple[int, int]:
        """A talk that goes on gets its slot back: the free one that has most of the prompt, where that is nearly all it
        has read. Otherwise the slot that nobody used for longest, so that others can go on too."""
        common = {slot: _common(self._held[slot], tokens) for slot in self._free}
        best = max(common, key=lambda slot: (common[slot], -self._used[slot]))
        if common[best] < _NEARLY_ALL * len(self._held[best]):
            best = min(common, key=lambda slot: self._used[slot])
        return best, common[best]


def _common(one: list[int], other: list[int]) -> int:
    """How many tokens two prompts have in common from their beginning."""
    most = min(len(one), len(other))
    # equal up to n is false from some n on: found by halving, each comparison at the speed of C
    return bisect_left(range(1, most + 1), x=True, key=lambda n: one[:n] != other[:n])
