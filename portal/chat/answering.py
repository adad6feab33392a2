"""Steps 5 to 8: the answer to a turn, generated in an inference worker, screened, streamed and kept."""

import logging
import threading
import time
import uuid
from contextlib import suppress
from dataclasses import asdict, dataclass, field, replace
from functools import partial
from typing import Any

from django.conf import settings
from django.utils.translation import gettext, override

import guardrails
import inference
from guardrails import GroundedAnswer, OutputScreen, SourcePassage
from inference import Delta, Effort, FinishReason, GenerationRequest, Usage
from portal import workers
from portal.chat import events, late, quoting, rescue, selectors, stored
from portal.chat.citing import citations
from portal.chat.models import Quotation, State, Turn
from portal.chat.prompting import INSTRUCTIONS_SHA256, build_request, readable
from portal.chat.streaming import Pieces, Watch
from portal.chat.turn import (
    LeaseLost,
    begin_anew,
    claim,
    draw_from,
    fail,
    finish,
    kept,
    prompt,
    show,
)
from portal.chat.writing import UNWRITABLE, left_to_the_rescue

logger = logging.getLogger(__name__)

_INJECTION = "passage.instructions"
_CARD_SECONDS = 0.5  # how long a hotline card waits to be kept
_UNSUPPORTED = "output.mostly_unsupported"
_CODES = {
    inference.RequestTooLong: "too_long",
    inference.MalformedOutput: "malformed_output",
    inference.EngineNotLoaded: "model_unavailable",
    inference.ModelNotFound: "model_unavailable",
    inference.ModelRejected: "model_unavailable",
}


class _NoAnswer(Exception):
    """The model thought, also where its answer had been opened for it."""


@dataclass(slots=True)
class _Tries:
    """The tries at one answer: there may be a second, with less thinking. Counts and thoughts are those of both."""

    number: int = 0
    effort: str = ""
    thoughts: list[str] = field(default_factory=list)
    prompt_tokens: int = 0
    completion_tokens: int = 0
    reasoning_tokens: int = 0
    seconds: float = 0.0

    def begin(self, request: GenerationRequest) -> GenerationRequest:
        """The request of the next try."""
        self.number += 1
        if self.number > 1 and request.effort is Effort.LOW:
            request = replace(request, reasoning_tokens=0)
        elif self.number > 1:
            request = replace(request, effort=Effort.LOW, reasoning_tokens=settings.HAVRE_REASONING_TOKENS["low"])
        self.effort = request.effort.value if request.reasoning_tokens != 0 else "none"
        return request

    def spend(self, usage: Usage | None) -> None:
        """Count what a try took."""
        if usage:
            self.prompt_tokens += usage.prompt_tokens
            self.completion_tokens += usage.completion_tokens
            self.reasoning_tokens += usage.reasoning_tokens
            self.seconds += usage.seconds

    @property
    def spent(self) -> dict[str, Any]:
        """What all tries took together, also those that came to nothing; `effort` is that of the last."""
        begun = {"effort": self.effort, "tries": self.number}
        if not self.prompt_tokens:
            return begun
        return begun | {
            "prompt_tokens": self.prompt_tokens,
            "completion_tokens": self.completion_tokens,
            "reasoning_tokens": self.reasoning_tokens,
            "seconds": round(self.seconds, 3),
        }


def generate_answer(turn_id: uuid.UUID) -> bool:
    """Answer a turn whose passages are stored. Ends it in every case that this process survives, unless nothing can be
    written down for too long: then it is left to the rescue. False, and nothing is done, when the turn has ended or
    another worker has it."""
    turn = claim(turn_id, State.GENERATING, workers.model_snapshot())
    if turn is None:
        return False
    try:
        _generate(turn)
    except UNWRITABLE as error:
        left_to_the_rescue(turn, error)
    return True


def _generate(turn: Turn) -> None:
    tries = _Tries()
    try:
        if turn.covered is False:
            _say_not_covered(turn)
            return
        try:
            _answer(turn, tries)
        except (inference.MalformedOutput, _NoAnswer):  # worth one more try, with less thinking
            begin_anew(turn)
            _answer(turn, tries)
    except LeaseLost:
        logger.info("turn %s is no longer this worker's", turn.id)
    except inference.InferenceError as error:
        logger.error("generation for turn %s failed: %s", turn.id, error)
        _give_up(turn, _CODES.get(type(error), "engine_failed"), **_kept(tries))
    except UNWRITABLE:
        raise
    except Exception as error:
        logger.error("generation for turn %s failed: %s", turn.id, type(error).__name__, exc_info=error)
        _give_up(turn, "internal")


def _say_not_covered(turn: Turn) -> None:
    """Nothing in the guidelines is near the question: saying so is the answer, and no model is asked to invent one."""
    answer = quoting.not_covered(turn)
    with suppress(*UNWRITABLE):  # then it is shown when it is written down
        show(turn, answer)
    finish(turn, State.COMPLETED, answer=answer)


def _answer(turn: Turn, tries: _Tries) -> None:
    model = inference.loaded()
    if model is None:
        raise inference.EngineNotLoaded("No model is loaded in this worker.")
    card = workers.model_card()
    quote_only = card is not None and card.demonstration
    history = [] if quote_only else selectors.history_for_model(turn)
    draw_from(turn, history)
    whole = build_request(
        turn,
        history,
        context=model.context,
        count_tokens=partial(inference.count_tokens, effort=Effort(turn.effort)),
        quote_only=quote_only,
    )
    request = tries.begin(whole)
    prompt(turn, _settings(request, model.context, tries))
    passages, left_out = readable(turn.passages)
    if left_out and all(one["rule"] != _INJECTION for one in turn.notices):
        turn.notices = [*turn.notices, _injection_notice(turn)]
        events.publish(turn.id, stored.notice(turn, turn.notices[-1]))
    screen = OutputScreen(
        [SourcePassage(one["marker"], one["quote"]) for one in passages],
        language=turn.language,
        embed=guardrails.sentence_encoder(),
        compare=guardrails.passage_reader(),
    )
    with suppress(RuntimeError):  # while the model reads its prompt; where there is no memory for a thread, afterwards
        threading.Thread(target=screen.prepare, daemon=True).start()
    pieces = Pieces(turn, Watch(turn))
    try:
        last = _stream(turn, request, screen, pieces)
    except inference.InferenceError as error:
        tries.spend(error.usage)
        raise
    tries.spend(last.usage)
    if last.thoughts:
        tries.thoughts.append(last.thoughts)
    with kept(turn):
        grounded = screen.finish()
    ended = last.finish in {FinishReason.STOP, FinishReason.LENGTH}
    if tries.number == 1 and ended and not screen.stopped and not grounded.text.strip():
        raise _NoAnswer
    pieces.add(grounded.tail)
    pieces.show(all=True)
    values = _kept(tries) | {"usage": _usage(last, tries)}
    _end(turn, last, grounded, screen, kept=values)


def _mostly_unsupported(turn: Turn) -> str:
    with override(turn.language):
        return gettext("What the model wrote does not stand in your guidelines; it was taken back.")


def _injection_notice(turn: Turn) -> dict[str, str]:
    with override(turn.language):
        return {
            "rule": _INJECTION,
            "message": gettext(
                "A passage of your guidelines held instructions for a language model; they were left out. Please tell "
                "whoever looks after the guidelines."
            ),
        }


def _settings(request: GenerationRequest, context: int, tries: _Tries) -> dict[str, Any]:
    """With which settings a model is asked, for the record."""
    return {
        "try": tries.number,
        "effort": tries.effort,
        "temperature": request.temperature,
        "max_tokens": request.max_tokens,
        "reasoning_tokens": request.reasoning_tokens,
        "answer_tokens": request.answer_tokens,
        "context": context,
        "seed": request.seed,
        "messages": len(request.messages),
        "instructions_sha256": INSTRUCTIONS_SHA256,
        "model": workers.model_snapshot(),
    }


def _stream(turn: Turn, request: GenerationRequest, screen: OutputScreen, pieces: Pieces) -> Delta:
    """Pass the model's text through the screen into the turn's stream; returns the last delta."""
    watch = pieces.watch
    thinking_shown = 0.0
    last = Delta(finish=FinishReason.STOP)
    for delta in inference.generate(request, cancelled=watch.is_over):
        now = time.monotonic()
        if delta.reasoning and now - thinking_shown > 1:
            events.publish(turn.id, {"type": "turn.reasoning", "turn": str(turn.id)})
            thinking_shown = now
        if delta.text and not screen.stopped:
            pieces.add(screen.feed(delta.text.replace("\x00", "")))  # PostgreSQL stores no NUL
        pieces.show()
        if delta.finish:
            last = delta
        if screen.stopped:  # the model stops as for a person; its last word is what it has thought
            watch.stop()
    pieces.show(all=True)
    if watch.lost:
        raise LeaseLost
    return last


def _end(turn: Turn, last: Delta, grounded: GroundedAnswer, screen: OutputScreen, *, kept: dict[str, Any]) -> None:
    said = [asdict(one) for one in grounded.notices]
    values: dict[str, Any] = kept | {
        "answer": grounded.text,
        "citations": citations(turn.passages, grounded.markers, grounded.text, screen.resting_places),
        "groundedness": grounded.groundedness,
        "notices": turn.notices + said,
        "model": workers.model_snapshot(),
    }
    values["first"] = [stored.notice(turn, one) for one in said]
    if screen.stopped:
        card = guardrails.crisis_card(
            "first_person", region=settings.HAVRE_REGION, language=turn.language, answer_stopped=True
        )
        turn.card = asdict(card)
        _show_card(turn)
        values |= {"answer": "", "citations": [], "card": turn.card}
        finish(turn, State.REFUSED, failure_code=said[-1]["rule"], failure_message=said[-1]["message"], **values)
        late.drop_beside(turn)
    elif last.finish == FinishReason.CANCELLED:
        finish(turn, State.CANCELLED, **values)
    elif last.finish == FinishReason.DEADLINE:
        fail(turn, "deadline", **values)
    elif not grounded.text.strip():
        fail(turn, "empty_answer", **values)
    elif grounded.groundedness is not None and grounded.groundedness < settings.HAVRE_LEAST_GROUNDED:
        if _hand_over(turn, Quotation.NOT_GROUNDED, values):
            return
        # the share belongs to a text that nobody sees any more: the notice says what became of it
        values |= {"answer": quoting.not_covered(turn), "citations": [], "groundedness": None}
        notice = {"rule": _UNSUPPORTED, "message": _mostly_unsupported(turn)}
        values["first"] = [*values["first"], stored.notice(turn, notice)]
        finish(turn, State.COMPLETED, **values | {"notices": [*values["notices"], notice]})
    else:
        finish(turn, State.COMPLETED, **values)


def _show_card(turn: Turn) -> None:
    """A hotline card waits for no record: it is kept, shown, and then named by the end of the turn. Nor does it wait
    for a disk that hangs."""
    keeper = threading.Thread(target=late.keep_beside, args=(turn,), daemon=True)
    try:
        keeper.start()
        keeper.join(_CARD_SECONDS)
    except RuntimeError:  # no memory for a thread
        late.keep_beside(turn)
    if shown := stored.crisis(turn):
        events.publish(turn.id, shown)


def _kept(tries: _Tries) -> dict[str, Any]:
    """What is kept of the tries however the turn ends: the thoughts, for nobody but whom `chat.access` names."""
    thoughts = "\n\n".join(tries.thoughts)
    return ({"thoughts": thoughts} if thoughts.strip() else {}) | {
        "model": workers.model_snapshot(),
        "usage": tries.spent,
    }


def _hand_over(turn: Turn, reason: Quotation, values: dict[str, Any]) -> bool:
    """Have the guidelines quoted instead; what the model thought is kept, what it took is recorded."""
    kept = {name: values[name] for name in ("thoughts",) if name in values} | {"notices": turn.notices}
    return quoting.hand_over(turn, reason, kept=kept, spent=_recorded(values))


def _recorded(values: dict[str, Any]) -> dict[str, Any]:
    """What the audit trail tells of work that came to nothing."""
    return {name: values[name] for name in ("usage", "model", "groundedness") if values.get(name)}


def _usage(last: Delta, tries: _Tries) -> dict[str, Any]:
    """What all tries took together; `opened` is why the answer was begun for the model."""
    if last.usage is None:
        return {}
    return tries.spent | {
        "cached_tokens": last.usage.cached_tokens,
        "opened": last.usage.opened,
        "first_token_seconds": last.usage.first_token_seconds and round(last.usage.first_token_seconds, 3),
        "finish": last.finish.value if last.finish else "",
    }


def _give_up(turn: Turn, code: str, **values: Any) -> None:
    """Have it answered once more where the engine broke off, the guidelines quoted where the model is at fault, or say
    why there is no answer."""
    try:
        if code == "engine_failed" and rescue.begin_broken_off_again(turn, code, _recorded(values)):
            return
        reason = quoting.reason_for(code)
        if reason is None or not _hand_over(turn, reason, values):
            fail(turn, code, **values)
    except LeaseLost:
        pass
