"""One answer: the engine's raw text becomes deltas, which a caller may leave, stop or let run into a deadline."""

import time
from collections.abc import Callable, Iterator

from inference._engine import Piece, Sampling
from inference._errors import MalformedOutput, RequestTooLong
from inference._grammar import quotation_grammar
from inference._runtime import Runtime, current
from inference._streams import Stream
from inference._types import Delta, FinishReason, GenerationRequest, Usage

_POLL_SECONDS = 0.03  # how often the caller's wish to stop and the deadline are looked at
_REASONING_SECONDS = 0.25  # the time between two signs of life while the model thinks


def generate(request: GenerationRequest, *, cancelled: Callable[[], bool] = lambda: False) -> Iterator[Delta]:
    """The answer to a request, as it is made.

    `cancelled` is asked every 30 ms or so, also while the prompt is still being read. The last delta, and only it, has
    `finish` and `usage`; with FinishReason.LENGTH there may have been no text, when all of `max_tokens` went into
    reasoning. Closing the iterator frees the slot. Raises, before anything is generated, EngineNotLoaded and
    RequestTooLong (when prompt and `max_tokens` do not fit into a slot); while it is iterated, EngineFailed and
    MalformedOutput.
    """
    begun = time.monotonic()
    runtime = current()
    tokens = runtime.engine.tokenize(runtime.family.render(request.messages, request.effort))
    if len(tokens) + request.max_tokens > runtime.model.context:
        raise RequestTooLong(
            f"The request has {len(tokens)} tokens and asks for up to {request.max_tokens} more; "
            f"a slot holds {runtime.model.context}."
        )
    return _answer(runtime, request, tokens, begun, cancelled)


def _answer(
    runtime: Runtime, request: GenerationRequest, tokens: list[int], begun: float, cancelled: Callable[[], bool]
) -> Iterator[Delta]:
    raw = runtime.family.filter()
    grammar = quotation_grammar(request.quotes) if request.quotes and not runtime.family.channels else ""
    sampling = Sampling(request.max_tokens, request.temperature, request.seed, grammar)
    stream = Stream(runtime.engine, tokens, sampling)
    clock = _Clock(begun, len(tokens))
    ended: FinishReason | None = None
    thought, looked = float("-inf"), begun
    try:
        while ended is None:
            text = ""
            for piece in stream.pieces(_POLL_SECONDS):
                clock.count(piece)
                shown = raw.feed(piece.text)
                text += shown.text
                if shown.thinking and not text and time.monotonic() - thought >= _REASONING_SECONDS:
                    thought = time.monotonic()
                    yield Delta(reasoning=True)
                if piece.finish or raw.done:
                    ended = FinishReason.LENGTH if piece.finish == "length" else FinishReason.STOP
                    break
            if text:
                yield Delta(text)
            now = time.monotonic()
            if ended is None and now - begun >= request.deadline_seconds:
                ended = FinishReason.DEADLINE
            elif ended is None and now - looked >= _POLL_SECONDS:
                looked = now
                ended = FinishReason.CANCELLED if cancelled() else None
    finally:
        stream.stop()
    tail = raw.finish()
    if ended is FinishReason.STOP and not raw.answered:
        raise MalformedOutput("The model's output was not well formed, and it held no answer.")
    yield Delta(tail, finish=ended, usage=clock.usage())


class _Clock:
    """Counts tokens and seconds of one answer."""

    def __init__(self, begun: float, prompt_tokens: int) -> None:
        self._begun = begun
        self._prompt_tokens = prompt_tokens
        self._completion_tokens = 0
        self._first: float | None = None

    def count(self, piece: Piece) -> None:
        if piece.text:
            self._completion_tokens += 1
            if self._first is None:
                self._first = time.monotonic() - self._begun
        self._completion_tokens = piece.completion_tokens or self._completion_tokens

    def usage(self) -> Usage:
        return Usage(self._prompt_tokens, self._completion_tokens, time.monotonic() - self._begun, self._first)
