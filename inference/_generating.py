"""One answer: the engine's raw text becomes deltas, which a caller may leave, stop or let run into a deadline.

A model that thinks too long, or ends without an answer, is made to answer: its stream is stopped, and generation goes
on behind its own thoughts with the answer opened. The engine still knows that prefix, so that this costs little.
"""

import time
from collections.abc import Callable, Iterator
from typing import Literal

from inference._echo import Echo
from inference._engine import Piece, Sampling
from inference._errors import InferenceError, MalformedOutput, RequestTooLong
from inference._runtime import Runtime, current
from inference._streams import Stream
from inference._types import Delta, FinishReason, GenerationRequest, Usage

_POLL_SECONDS = 0.03  # how often the caller's wish to stop and the deadline are looked at
_REASONING_SECONDS = 0.25  # the time between two signs of life while the model thinks
_HEADER_TOKENS = 16  # what a model may write between an answer that was opened for it and its words
_STOPPING_SECONDS = 2.0  # a stream that is stopped gives its slot, and the prefix in it, to the one that follows


def generate(request: GenerationRequest, *, cancelled: Callable[[], bool] = lambda: False) -> Iterator[Delta]:
    """The answer to a request, as it is made.

    `cancelled` is asked every 30 ms or so, also while the prompt is still being read. The last delta, and only it, has
    `finish`, `usage` and `thoughts`; with FinishReason.LENGTH there may have been no text, when the model thought even
    where an answer had been opened for it. Closing the iterator frees the slot. Raises, before anything is generated,
    EngineNotLoaded and RequestTooLong (when prompt and `max_tokens` do not fit into a slot); while it is iterated,
    EngineFailed and MalformedOutput, with the `usage` until then.
    """
    begun = time.monotonic()
    runtime = current()
    tokens = runtime.prompt(request.messages, request.effort)
    if len(tokens) + request.max_tokens > runtime.model.context:
        raise RequestTooLong(
            f"The request has {len(tokens)} tokens and asks for up to {request.max_tokens} more; "
            f"a slot holds {runtime.model.context}."
        )
    return _Answer(runtime, request, tokens, _Clock(begun, len(tokens)), cancelled).deltas()


def reasoning_budget(request: GenerationRequest) -> int:
    """How many tokens the model may think: what the request allows, and never what is kept for the answer."""
    most = request.max_tokens - min(request.answer_tokens, request.max_tokens // 2)
    return most if request.reasoning_tokens is None else max(0, min(request.reasoning_tokens, most))


class _Answer:
    """One answer in one or two streams of the engine: the second where the answer is opened for the model."""

    def __init__(
        self,
        runtime: Runtime,
        request: GenerationRequest,
        prompt: list[int],
        clock: "_Clock",
        cancelled: Callable[[], bool],
    ) -> None:
        self._runtime = runtime
        self._request = request
        self._prompt = prompt
        self._clock = clock
        self._cancelled = cancelled
        self._raw = runtime.family.filter()
        self._budget = reasoning_budget(request)
        self._echo: Echo | None = None  # reads the answer where it was opened for the model
        self._ended: FinishReason | None = None
        self._sign_of_life = float("-inf")

    def deltas(self) -> Iterator[Delta]:
        """All of them; the last has `finish`. An error says what was spent until then."""
        try:
            yield from self._deltas()
        except InferenceError as error:
            error.usage = self._clock.usage("")
            raise

    def _deltas(self) -> Iterator[Delta]:
        opened: Literal["", "budget", "malformed"] = ""
        tail = ""
        if self._budget or not self._raw.thinking:
            yield from self._read(self._prompt)
            tail = self._raw.finish()
        else:
            opened = "budget"
        if not self._raw.answered and self._ended in {None, FinishReason.STOP, FinishReason.LENGTH}:
            if self._ended is FinishReason.STOP:
                opened = "malformed"
            elif self._raw.thinking:
                opened = "budget"
            if tokens := self._opening() if opened else []:
                self._echo = echo = Echo(self._raw.thoughts)
                yield from self._read(tokens)
                tail = echo.feed(self._raw.finish()) + echo.finish()
                if echo.found and self._ended in {FinishReason.STOP, FinishReason.LENGTH}:
                    self._ended = None
        answered = self._echo.passed if self._echo else self._raw.answered
        if self._ended is None:  # it thinks again
            self._ended = FinishReason.STOP if answered else FinishReason.LENGTH
        if self._ended is FinishReason.STOP and not answered:
            raise MalformedOutput("The model's output was not well formed, and it held no answer.")
        yield Delta(tail, finish=self._ended, usage=self._clock.usage(opened), thoughts=self._raw.thoughts)

    def _opening(self) -> list[int]:
        """The prompt once more, with the thoughts so far and the answer opened; empty where there is no room for it, or
        no way to do so."""
        behind = self._raw.conclude()
        if not behind:
            return []
        tokens = self._prompt + self._runtime.engine.tokenize(behind)
        return tokens if self._room(tokens) > 0 else []

    def _room(self, tokens: list[int]) -> int:
        left = self._request.max_tokens - self._clock.completion_tokens
        return min(left, self._runtime.model.context - len(tokens))

    def _sampling(self, tokens: list[int]) -> Sampling:
        grammar = self._runtime.grammar(self._request.quotes)
        return Sampling(self._room(tokens), self._request.temperature, self._request.seed, grammar)

    def _read(self, tokens: list[int]) -> Iterator[Delta]:
        """One stream of the engine. Leaves in `_ended` why it ended; None: the model has thought enough."""
        self._ended = None
        self._clock.begin_stream()
        most = max(self._budget, self._clock.reasoning_tokens + _HEADER_TOKENS)
        stream = Stream(self._runtime.engine, tokens, self._sampling(tokens))
        looked = time.monotonic()
        over = False
        try:
            while self._ended is None and not over:
                text = ""
                for piece in stream.pieces(_POLL_SECONDS):
                    shown = self._raw.feed(piece.text)
                    self._clock.count(piece, thinking=self._raw.thinking and not shown.text)
                    text += shown.text
                    if shown.thinking and not text and self._is_time_for_a_sign():
                        yield Delta(reasoning=True)
                    if piece.finish or self._raw.done:
                        self._ended = FinishReason.LENGTH if piece.finish == "length" else FinishReason.STOP
                        break
                    if over := self._raw.thinking and self._clock.reasoning_tokens >= most:
                        break
                if self._echo:
                    text = self._echo.feed(text)
                    over = over or self._echo.found
                if text:
                    yield Delta(text)
                now = time.monotonic()
                if self._ended is None and now - self._clock.at_work_since >= self._request.deadline_seconds:
                    self._ended = FinishReason.DEADLINE
                elif self._ended is None and now - looked >= _POLL_SECONDS:
                    looked = now
                    self._ended = FinishReason.CANCELLED if self._cancelled() else None
        finally:
            stream.stop(_STOPPING_SECONDS if over else 0.0)

    def _is_time_for_a_sign(self) -> bool:
        now = time.monotonic()
        if now - self._sign_of_life < _REASONING_SECONDS:
            return False
        self._sign_of_life = now
        return True


class _Clock:
    """Counts tokens and seconds of one answer, over all of its streams."""

    def __init__(self, begun: float, prompt_tokens: int) -> None:
        self.begun = begun
        self.completion_tokens = 0
        self.reasoning_tokens = 0
        self._cached_tokens: int | None = None  # of the first stream: the prompt of another is what was there before
        self._prompt_tokens = prompt_tokens
        self._before = 0
        self._first: float | None = None

    @property
    def at_work_since(self) -> float:
        """When reading the prompt began; once there is a token, when writing did."""
        return self.begun + (self._first or 0.0)

    def begin_stream(self) -> None:
        """The engine counts from 1 again."""
        self._before = self.completion_tokens

    def count(self, piece: Piece, *, thinking: bool) -> None:
        """Take one piece, and whether it was spent on reasoning."""
        counted = self.completion_tokens
        if piece.text or piece.cached_tokens:
            self._cached_tokens = piece.cached_tokens if self._cached_tokens is None else self._cached_tokens
        if piece.completion_tokens:
            self.completion_tokens = max(counted, self._before + piece.completion_tokens)
        elif piece.text:
            self.completion_tokens += 1
        if piece.text and self._first is None:
            self._first = time.monotonic() - self.begun
        if thinking:
            self.reasoning_tokens += self.completion_tokens - counted

    def usage(self, opened: Literal["", "budget", "malformed"]) -> Usage:
        """What the answer took until now."""
        seconds = time.monotonic() - self.begun
        return Usage(
            self._prompt_tokens,
            self.completion_tokens,
            seconds,
            self._first,
            self.reasoning_tokens,
            opened,
            self._cached_tokens or 0,
        )
