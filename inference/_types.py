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

    `max_tokens` bounds reasoning and answer together. Of them reasoning gets at most `reasoning_tokens` (None: as many
    as there are), and never the last `answer_tokens` (at most half of all), which are kept for the answer: a model that
    still thinks by then is made to answer. With 0 it answers at once. `deadline_seconds` is wall time
    from the call to the first token, and once more from there: a slow machine reads for long, and then it answers.

    With `quotes` the answer is the first of these sentences and some of the others, in this order and word for word:
    the model only chooses which. That is for models too small to keep to the passages and to cite them. Families with
    channels (harmony) ignore it.
    """

    messages: tuple[Message, ...]
    effort: Effort = Effort.LOW
    max_tokens: int = 1024
    reasoning_tokens: int | None = None
    answer_tokens: int = 256
    temperature: float = 0.2
    seed: int | None = None
    deadline_seconds: float = 300.0
    quotes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Usage:
    """Token counts and seconds of one answer.

    `completion_tokens` includes reasoning, `reasoning_tokens` counts it alone (headers of messages included). `opened`
    says why the answer was begun for the model: its reasoning had used up what it may ("budget"; also where it may not
    think at all), or its output ended without an answer ("malformed"); empty where the model came to it by itself.
    `cached_tokens` of the prompt's had been read before, for a prompt that began alike.
    """

    prompt_tokens: int
    completion_tokens: int
    seconds: float
    first_token_seconds: float | None
    reasoning_tokens: int = 0
    opened: Literal["", "budget", "malformed"] = ""
    cached_tokens: int = 0


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
    """How a model is loaded. 0 (or an empty `tensor_split`) means: chosen for the machine, see `Plan`.

    `context` is tokens a slot; `threads` 0 means one per free core but one; `gpu_layers` -1 as many as the cards take;
    `tensor_split` the share of each card, in their order; `kv_type` how keys and values are kept: "f16", or smaller and
    less exact "q8_0" and "q4_0"; `batch` the tokens of prompts that are read at a time. With `swa_full` layers with a
    sliding window keep the whole context: more memory, and prompts that begin alike are read once. With `repack` the
    engine may keep a copy of the weights in the order that this processor reads fastest; without it, all processes that
    load a model on the CPU share the memory that its file occupies.
    """

    model: Path
    engine: Literal["auto", "xllamacpp", "ctransformers", "scripted"] = "auto"
    slots: int = 0
    context: int = 0
    threads: int = 0
    gpu_layers: int = -1
    tensor_split: tuple[float, ...] = ()
    flash_attention: Literal["auto", "on", "off"] = "auto"
    kv_type: Literal["f16", "q8_0", "q4_0"] = "f16"
    batch: int = 0
    swa_full: bool = True
    repack: bool = True


@dataclass(frozen=True, slots=True)
class Plan:
    """What was chosen for this model on this machine: EngineSettings without open questions. `gpus` are the names of
    the cards that are used; `gpu_layers` -1 leaves the number of layers to the engine, which fits them to the cards."""

    engine: Literal["xllamacpp", "ctransformers", "scripted"]
    slots: int
    context: int
    threads: int
    gpu_layers: int
    tensor_split: tuple[float, ...]
    flash_attention: Literal["auto", "on", "off"]
    kv_type: Literal["f16", "q8_0", "q4_0"]
    batch: int
    swa_full: bool
    gpus: tuple[str, ...]
    repack: bool = True
