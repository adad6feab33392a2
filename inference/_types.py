"""The values that cross the border of inference: frozen, typed, without behaviour."""

from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Literal


class Effort(StrEnum):
    """How long a gpt-oss model may think before it answers ("Reasoning: low" in its system message)."""

    LOW = "low"
    MEDIUM = "medium"
    HIGH = "high"


class FinishReason(StrEnum):
    """Why a stream of deltas ended."""

    STOP = "stop"  # the model ended its answer itself
    LENGTH = "length"  # max_tokens or the context was reached
    CANCELLED = "cancelled"  # the caller's `cancelled` said so
    DEADLINE = "deadline"  # deadline_seconds were over


@dataclass(frozen=True, slots=True)
class Message:
    """One message of the dialogue that the model sees."""

    role: Literal["system", "user", "assistant"]
    content: str


@dataclass(frozen=True, slots=True)
class GenerationRequest:
    """One answer to generate.

    `max_tokens` bounds reasoning and answer together; `deadline_seconds` is wall time from the call.

    With `quotes` the answer is the first of these sentences and some of the others, in this order and word for word:
    the model only chooses which. That is for models too small to keep to the passages and to cite them. Families with
    channels (harmony) ignore it.
    """

    messages: tuple[Message, ...]
    effort: Effort = Effort.LOW
    max_tokens: int = 1024
    temperature: float = 0.2
    seed: int | None = None
    deadline_seconds: float = 300.0
    quotes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Usage:
    """Token counts and seconds of one answer. `completion_tokens` includes reasoning."""

    prompt_tokens: int
    completion_tokens: int
    seconds: float
    first_token_seconds: float | None


@dataclass(frozen=True, slots=True)
class Delta:
    """One step of a stream.

    `text` is a piece of the final answer, never reasoning and never a special token. `reasoning` is
    a sign of life while the model thinks. The last delta, and only it, has `finish` and `usage`, and `thoughts`: all of
    the reasoning, which is never for the person who asked.
    """

    text: str = ""
    reasoning: bool = False
    finish: FinishReason | None = None
    usage: Usage | None = None
    thoughts: str = ""


@dataclass(frozen=True, slots=True)
class EngineSettings:
    """How a model is loaded. `context` is tokens a slot; `threads` 0 means one per free core, `gpu_layers` -1 all."""

    model: Path
    engine: Literal["xllamacpp", "ctransformers", "scripted"] = "xllamacpp"
    slots: int = 2
    context: int = 8192
    threads: int = 0
    gpu_layers: int = -1


@dataclass(frozen=True, slots=True)
class ModelInfo:
    """What is known of a model file from its header and its hash."""

    name: str
    path: Path
    sha256: str
    size: int
    architecture: str
    quantization: str
    context: int
    licence: str
    demonstration: bool
