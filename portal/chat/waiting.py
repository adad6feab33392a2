"""The line before the language model: who waits, in which place, and for about how long.

Nothing is kept for it. Who waits stands in the rows of the turns, how many slots there are in the heartbeats of the
workers that live, and how long a slot is held in the last answers of the model that answers now.
"""

import statistics
import threading
import time
import uuid
from dataclasses import dataclass
from datetime import timedelta
from math import ceil

from django.utils import timezone

from portal import parts
from portal.chat.facts import mapping
from portal.chat.models import ACTIVE, State, Turn

_FRESH_SECONDS = 1.0  # many sockets ask for the same line
_MEASURED_TURNS = 20
_MEASURED_DAYS = 7
_ENDED = (State.COMPLETED, State.CANCELLED, State.FAILED, State.REFUSED)  # whoever stops frees the slot early, too


@dataclass(frozen=True, slots=True)
class Line:
    """The line at one moment: `waiting` are the turns that wait for a slot, the first come first; `running` is how many
    hold one, `slots` how many the living workers have together. `seconds` is how long an answer holds a slot, the
    median of the last ones of this model; None while nothing is measured."""

    waiting: tuple[uuid.UUID, ...]
    running: int
    slots: int
    seconds: float | None

    def place(self, turn_id: uuid.UUID) -> int | None:
        """1 for the turn that gets the next slot that is freed, 0 for one for which a slot is free; None for one that
        did not wait at that moment."""
        if turn_id not in self.waiting:
            return None
        free = max(0, self.slots - self.running)
        return max(0, self.waiting.index(turn_id) + 1 - free)

    def wait(self, place: int) -> int | None:
        """Seconds until the turn in this place gets its slot, as long as answers are as long as lately; None where
        nobody can know: nothing is measured, or no worker is ready."""
        if place == 0:
            return 0
        if self.seconds is None or not self.slots:
            return None
        return ceil(place * self.seconds / self.slots)


_lock = threading.Lock()
_seen: tuple[float, Line] | None = None


def line() -> Line:
    """The line as it was at most a second ago."""
    global _seen  # noqa: PLW0603  (one line an installation)
    with _lock:
        if _seen is None or time.monotonic() - _seen[0] > _FRESH_SECONDS:
            _seen = time.monotonic(), read()
        return _seen[1]


def read() -> Line:
    """The line as it is now."""
    present = parts.look()
    rows = Turn.objects.filter(state__in=ACTIVE, quotation="").order_by("created_at", "id").values_list("id", "state")
    active = list(rows)
    return Line(
        waiting=tuple(one for one, state in active if state != State.GENERATING),
        running=sum(state == State.GENERATING for _, state in active),
        slots=present.slots,
        seconds=_held_seconds(present.details.get("inference", {}).get("model", "")),
    )


def _held_seconds(model: str) -> float | None:
    """The median of the seconds that the last answers of this model took, read from the newest turns on."""
    since = timezone.now() - timedelta(days=_MEASURED_DAYS)
    last = Turn.objects.filter(model_name=model, state__in=_ENDED, quotation="", created_at__gte=since)
    usages = last.order_by("-created_at").values_list("usage", flat=True)[:_MEASURED_TURNS]
    seconds = [mapping(one).get("seconds") for one in usages]
    measured = [one for one in seconds if one and isinstance(one, int | float)]
    return statistics.median(measured) if measured else None
