"""The engine alone, as a benchmark measures it: llama.cpp's server object, asked for raw completions in its own order.

Nothing of Havre lies between: no slots of ours, no queue, no filter while it runs. What the model's words for a person
were is read from the text when the clock has stopped.
"""

import time
from dataclasses import dataclass
from typing import Any

from inference._engine import Sampling
from inference._errors import EngineFailed
from inference._runtime import Runtime, current
from inference._types import GenerationRequest
from inference._xllamacpp import XllamacppEngine, completion


@dataclass(frozen=True, slots=True)
class BareAnswer:
    """One raw completion. `times` are the seconds from the call at which its tokens came, `shown` the pieces of its
    words for a person, each with the time at which it was known, `seconds` the whole."""

    tokens: int
    times: tuple[float, ...]
    shown: tuple[tuple[float, str], ...]
    seconds: float


def prompt_tokens(request: GenerationRequest) -> list[int]:
    """The tokens that `generate` would have the engine read for this request. Raises EngineNotLoaded."""
    return current().prompt(request.messages, request.effort)


def complete_bare(request: GenerationRequest, prompt: list[int]) -> BareAnswer:
    """Have the loaded engine complete `prompt` with the sampling of `request`; blocks. Its budget of reasoning is not
    kept. Raises EngineNotLoaded, and EngineFailed where the engine is not xllamacpp or breaks off."""
    runtime = current()
    engine = runtime.engine
    if not isinstance(engine, XllamacppEngine) or engine._server is None:
        raise EngineFailed("Only the engine xllamacpp can be measured beside the whole path.")
    grammar = runtime.grammar(request.quotes)
    asked = completion(prompt, Sampling(request.max_tokens, request.temperature, request.seed, grammar))
    begun = time.perf_counter()
    chunks: list[tuple[float, dict[str, Any]]] = []

    def take(chunk: dict[str, Any]) -> bool:
        chunks.append((time.perf_counter() - begun, chunk))
        return False

    engine._server.handle_completions(asked, take)
    return _answer(runtime, chunks, time.perf_counter() - begun)


def _answer(runtime: Runtime, chunks: list[tuple[float, dict[str, Any]]], seconds: float) -> BareAnswer:
    output = runtime.family.filter()
    times: list[float] = []
    shown: list[tuple[float, str]] = []
    tokens = 0
    for at, chunk in chunks:
        if "error" in chunk:
            raise EngineFailed(f"The engine broke off ({chunk['error'].get('type', 'unknown')}).")
        text = "".join(choice.get("text") or "" for choice in chunk.get("choices", [])[:1])
        tokens = max(tokens, chunk.get("usage", {}).get("completion_tokens", 0))
        if text:
            times.append(at)
            shown.append((at, output.feed(text).text))
    shown.append((seconds, output.finish()))
    return BareAnswer(tokens or len(times), tuple(times), tuple(one for one in shown if one[1]), seconds)
