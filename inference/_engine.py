"""What an engine is: the one small protocol that everything above is written against."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal, Protocol


@dataclass(frozen=True, slots=True)
class Piece:
    """A step of an engine's output: raw text with special tokens in it, or, without text, a step of reading the prompt.
    The last piece has `finish`. Steps of reading have `cached_tokens`: how much of the prompt was known already."""

    text: str = ""
    finish: Literal["stop", "length"] | None = None
    completion_tokens: int = 0
    cached_tokens: int = 0


@dataclass(frozen=True, slots=True)
class Sampling:
    """How the next tokens are chosen, and how many there may be. `grammar` (GBNF) bounds the whole text."""

    max_tokens: int
    temperature: float
    seed: int | None
    grammar: str = ""


class Engine(Protocol):
    """A loaded model. Every method may be called from several threads at once."""

    def tokenize(self, text: str) -> list[int]:
        """The tokens of a rendered prompt; special tokens in it count as such. Raises EngineFailed."""

    def stream(self, tokens: Sequence[int], sampling: Sampling, emit: Callable[[Piece], bool]) -> None:
        """Generate, calling `emit` for every piece, until the answer has ended or `emit` returns True.

        Blocks. `emit` is also called, without text, while the prompt is being read, so that a caller who is gone does
        not hold the slot. Raises EngineFailed, RequestTooLong.
        """

    def close(self) -> None:
        """Free the model. Streams that still run end first."""
