"""The process with the bare engine: the model as the installation loads it, and raw completions of the same prompts."""

import math
import threading
import time
import uuid
from dataclasses import dataclass
from functools import partial
from typing import Any

import inference
from guardrails import OutputScreen, SourcePassage
from inference import BareAnswer, Effort, GenerationRequest
from portal import workers
from portal.benchmark._answers import Answer
from portal.chat import selectors
from portal.chat.models import Turn
from portal.chat.prompting import build_request, readable


@dataclass(frozen=True, slots=True)
class _Asked:
    """What the whole path asks its engine for a turn."""

    request: GenerationRequest
    prompt: list[int]
    passages: list[SourcePassage]
    language: str


class BareEngine:
    """Answers the lines {"turn": ID} and {"users": N, "answers": K}."""

    def __init__(self) -> None:
        workers.load_model()
        loaded = inference.loaded()
        if loaded is None:
            raise inference.EngineNotLoaded("The model could not be loaded (see above).")
        self._loaded = loaded
        self._asked: _Asked | None = None

    def __call__(self, line: dict[str, Any]) -> dict[str, Any]:
        """The answer to one line."""
        if "turn" in line:
            self._asked = self._of(selectors.get_turn(uuid.UUID(line["turn"])))
            request = self._asked.request
            return {
                "prompt": self._asked.prompt,
                "max_tokens": request.max_tokens,
                "temperature": request.temperature,
            }
        assert self._asked is not None
        return self._together(self._asked, line["users"], line["answers"])

    def _of(self, turn: Turn) -> _Asked:
        card = workers.model_card()
        request = build_request(
            turn,
            [],
            context=self._loaded.context,
            count_tokens=partial(inference.count_tokens, effort=Effort(turn.effort)),
            quote_only=card is not None and card.demonstration,
        )
        passages = [SourcePassage(one["marker"], one["quote"]) for one in readable(turn.passages)[0]]
        return _Asked(request, inference.prompt_tokens(request), passages, turn.language)

    def _together(self, asked: _Asked, users: int, answers: int) -> dict[str, Any]:
        """`answers` completions for each of `users`, all users at the same time."""
        found: list[BareAnswer] = []

        def work() -> None:
            for _ in range(answers):
                found.append(inference.complete_bare(asked.request, asked.prompt))

        threads = [threading.Thread(target=work) for _ in range(users)]
        begun, cpu = time.perf_counter(), time.process_time()
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        seconds, cpu = time.perf_counter() - begun, time.process_time() - cpu
        if len(found) != users * answers:
            raise inference.EngineFailed("The bare engine broke off.")
        return {"answers": [_measured(one, asked).as_json() for one in found], "seconds": seconds, "cpu": cpu}


def _measured(bare: BareAnswer, asked: _Asked) -> Answer:
    """With the times at which the screen of answers would have let words through, had it taken no time."""
    screen = OutputScreen(asked.passages, language=asked.language)
    released = [at for at, text in bare.shown if screen.feed(text)]
    if screen.finish().tail:
        released.append(bare.seconds)
    return Answer(
        tokens=bare.tokens,
        first=bare.times[0] if bare.times else math.nan,
        words=released[0] if released else math.nan,
        done=bare.seconds,
        pieces=list(bare.times),
        released=released,
    )
