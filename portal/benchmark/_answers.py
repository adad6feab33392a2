"""One answer as it was measured, and what several together say."""

import math
import statistics
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, field
from itertools import pairwise
from typing import Any


@dataclass(slots=True)
class Answer:
    """Seconds are counted from when the question was sent; nan where something did not happen.

    `first` is the first sign of the model: a token, or what a browser is told of it (the model thinks, or its words).
    `words` is when the first words for the person came, `pieces` when each of the pieces came in which they arrived:
    tokens from an engine, events at a browser. `released` is when pieces of a bare engine's words would have been shown
    by the screen of answers, were it free. `accepted` and `passages` are steps of the whole path alone.
    """

    tokens: int
    first: float
    words: float
    done: float
    pieces: list[float] = field(default_factory=list)
    released: list[float] = field(default_factory=list)
    accepted: float = math.nan
    passages: float = math.nan
    state: str = "completed"

    def as_json(self) -> dict[str, Any]:
        """For the process that asked for it."""
        return {
            name: None if isinstance(value, float) and math.isnan(value) else value
            for name, value in asdict(self).items()
        }

    @classmethod
    def from_json(cls, values: dict[str, Any]) -> "Answer":
        """What `as_json` made."""
        known: dict[str, Any] = {name: math.nan if value is None else value for name, value in values.items()}
        return cls(**known)


@dataclass(slots=True)
class Round:
    """What one path did with one number of users: wall seconds from the first question to the last answer's end, and
    seconds of processor time by process."""

    answers: list[Answer]
    seconds: float
    cpu: dict[str, float]

    @property
    def tokens(self) -> int:
        """Tokens of all answers, reasoning included."""
        return sum(one.tokens for one in self.answers)

    @property
    def tokens_a_second(self) -> float:
        """All tokens over the whole time, with everything that happens before and after they are made."""
        return self.tokens / self.seconds if self.seconds else math.nan

    @property
    def writing_tokens_a_second(self) -> float:
        """How fast one answer is written, once it has begun: the median."""
        return median((one.tokens - 1) / (one.done - one.first) for one in self.answers if one.done > one.first)


def percentile(values: Iterable[float], share: float) -> float:
    """The smallest value that `share` of the values do not exceed; nan of none. What is not a number is left out."""
    known = sorted(value for value in values if not math.isnan(value))
    return known[min(len(known) - 1, max(0, math.ceil(share * len(known)) - 1))] if known else math.nan


def median(values: Iterable[float]) -> float:
    """The middle value, or the mean of the two in the middle; nan of none."""
    known = [value for value in values if not math.isnan(value)]
    return statistics.median(known) if known else math.nan


def gaps(times: Sequence[float]) -> list[float]:
    """The times between neighbours."""
    return [after - before for before, after in pairwise(times)]
