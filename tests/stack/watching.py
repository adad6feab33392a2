"""Which inference workers are there, moment by moment, and whether the others answer while one is away."""

import asyncio
import bisect
import time
from collections.abc import Iterable
from typing import TYPE_CHECKING

from tests.stack.people import Asked
from tests.stack.reckoning import Reckoning

if TYPE_CHECKING:
    from tests.stack.faults import Faults

_PERIOD_SECONDS = 0.2
_SETTLED_SECONDS = 2.0  # what web process and beat know of workers is so old at most, on a busy machine


class Watch:
    """Looks every fifth of a second how many of the inference workers live and say that they are ready."""

    def __init__(self, faults: "Faults") -> None:
        self._faults = faults
        self._at: list[float] = []
        self._ready: list[int] = []

    async def until(self, over: asyncio.Event) -> None:
        """Look until it is over."""
        from tests.stack.faults import said_by

        while not over.is_set():
            living = [pid for pid in self._faults.pids("inference") if pid not in self._faults.gone]
            said = await asyncio.to_thread(said_by, "inference", living)
            self._at.append(time.monotonic())
            self._ready.append(said.count("ready"))
            await asyncio.sleep(_PERIOD_SECONDS)

    def reckon(self, asked: Iterable[Asked], found: Reckoning) -> None:
        """What the workers that were left did while one was away."""
        from portal.audit.models import Event

        workers = 1 + len(self._faults.others)
        if workers == 1 or not self._at:
            return
        for one in asked:
            there = self._between(one.began - _SETTLED_SECONDS, one.ended or time.monotonic())
            if one.written_by_a_model and 0 < there[-1] < workers:
                found.counts["answers of a model completed by the workers left while one was away"] += 1
            tried = Event.objects.filter(subject=one.turn, kind="turn.generating").exists()
            if one.turn and min(there) and not tried and _is_for_want_of_a_worker(one.turn):
                found.note("questions told that no model is there while a worker was ready", one.turn)
        for ready, seconds in self._seconds().items():
            found.counts[f"seconds with {ready} of {workers} inference workers ready"] = round(seconds)

    def _between(self, began: float, ended: float) -> list[int]:
        """How many were ready at each look in this time, the last one before it among them."""
        first = max(0, bisect.bisect_right(self._at, began) - 1)
        return self._ready[first : max(first + 1, bisect.bisect_right(self._at, ended))]

    def _seconds(self) -> dict[int, float]:
        found: dict[int, float] = {}
        for ready, at, following in zip(self._ready, self._at, self._at[1:], strict=False):
            found[ready] = found.get(ready, 0.0) + following - at
        return found


def _is_for_want_of_a_worker(turn: str) -> bool:
    from portal.chat.models import Quotation, Turn

    return Turn.objects.filter(pk=turn, quotation=Quotation.MODEL_DOWN).exists()
