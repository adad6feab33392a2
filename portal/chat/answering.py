"""Steps 5 to 8: the answer to a turn, generated in an inference worker, screened, streamed and kept."""

import logging
import threading
import time
import uuid
from dataclasses import asdict
from typing import Any

from django.conf import settings
from django.db import DatabaseError
from django.utils.translation import gettext, override

import guardrails
import inference
from guardrails import GroundedAnswer, OutputScreen, SourcePassage
from inference import Delta, FinishReason, GenerationRequest
from portal import workers
from portal.chat import events, selectors, stored
from portal.chat.citing import citations
from portal.chat.models import State, Turn
from portal.chat.prompting import build_request, readable
from portal.chat.services import queued_event
from portal.chat.turn import LeaseLost, claim, fail, finish, renew, wants_to_stop

logger = logging.getLogger(__name__)

_INJECTION = "passage.instructions"
_UNSUPPORTED = "output.mostly_unsupported"
_PUBLISH_SECONDS = 0.05  # text that comes closer together than this travels in one event
_STOP_CHECK_SECONDS = 0.15
_ROW_CHECK_SECONDS = 1.0  # how often the row is asked too: a sign in Valkey may be lost
_CODES = {
    inference.RequestTooLong: "too_long",
    inference.MalformedOutput: "malformed_output",
    inference.EngineNotLoaded: "model_unavailable",
    inference.ModelNotFound: "model_unavailable",
    inference.ModelRejected: "model_unavailable",
}


def generate_answer(turn_id: uuid.UUID) -> None:
    """Answer a turn whose passages are stored. Ends it in every case that this process survives; does nothing when the
    turn has ended or another worker has it."""
    turn = claim(turn_id, State.GENERATING)
    if turn is None:
        return
    try:
        if turn.covered is False:
            _say_not_covered(turn)
            return
        try:
            _answer(turn)
        except inference.MalformedOutput:  # about one turn in twenty-five at temperature 1: worth one more try
            events.publish(turn.id, queued_event(turn, 0))
            _answer(turn)
    except LeaseLost:
        logger.info("turn %s is no longer this worker's", turn.id)
    except inference.InferenceError as error:
        logger.error("generation for turn %s failed: %s", turn.id, error)
        _fail_quietly(turn, _CODES.get(type(error), "engine_failed"))
    except Exception as error:
        logger.error("generation for turn %s failed: %s", turn.id, type(error).__name__, exc_info=error)
        _fail_quietly(turn, "internal")


def _say_not_covered(turn: Turn) -> None:
    """Nothing in the guidelines is near the question: saying so is the answer, and no model is asked to invent one."""
    answer = _not_covered(turn)
    events.publish(turn.id, _delta(turn, answer))
    finish(turn, State.COMPLETED, answer=answer)


def _not_covered(turn: Turn) -> str:
    with override(turn.language):
        return gettext(
            "The guidelines of this facility do not cover this question. The nearest passages are shown; "
            "please ask a colleague or look elsewhere."
        )


def _answer(turn: Turn) -> None:
    model = inference.loaded()
    if model is None:
        raise inference.EngineNotLoaded("No model is loaded in this worker.")
    history = selectors.history_before(turn)
    card = workers.model_card()
    request = build_request(
        turn,
        history,
        context=model.context,
        count_tokens=inference.count_tokens,
        quote_only=card is not None and card.demonstration,
    )
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
    threading.Thread(target=screen.prepare, daemon=True).start()  # while the model reads its prompt
    last = _stream(turn, request, screen)
    grounded = screen.finish()
    if grounded.tail:
        events.publish(turn.id, _delta(turn, grounded.tail))
    _end(turn, last, grounded, stopped=screen.stopped)


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


def _stream(turn: Turn, request: GenerationRequest, screen: OutputScreen) -> Delta:
    """Pass the model's text through the screen into the turn's stream; returns the last delta."""
    watch = _Watch(turn)
    waiting: list[str] = []
    published = time.monotonic()
    thinking_shown = 0.0
    last = Delta(finish=FinishReason.STOP)
    for delta in inference.generate(request, cancelled=watch.is_over):
        now = time.monotonic()
        if delta.reasoning and now - thinking_shown > 1:
            events.publish(turn.id, {"type": "turn.reasoning", "turn": str(turn.id)})
            thinking_shown = now
        if delta.text:
            waiting.append(screen.feed(delta.text.replace("\x00", "")))  # PostgreSQL stores no NUL
        if now - published >= _PUBLISH_SECONDS and any(waiting):
            events.publish(turn.id, _delta(turn, "".join(waiting)))
            waiting.clear()
            published = now
        if delta.finish:
            last = delta
        if screen.stopped:
            break
    if any(waiting):
        events.publish(turn.id, _delta(turn, "".join(waiting)))
    if watch.lost:
        raise LeaseLost
    return last


def _end(turn: Turn, last: Delta, grounded: GroundedAnswer, *, stopped: bool) -> None:
    said = [asdict(one) for one in grounded.notices]
    values: dict[str, Any] = {
        "answer": grounded.text,
        "citations": citations(turn.passages, grounded.markers, grounded.text),
        "groundedness": grounded.groundedness,
        "notices": turn.notices + said,
        "model": workers.model_snapshot(),
        "usage": _usage(last),
    }
    for one in said:
        events.publish(turn.id, stored.notice(turn, one))
    if stopped:
        card = guardrails.crisis_card(
            "first_person", region=settings.HAVRE_REGION, language=turn.language, answer_stopped=True
        )
        turn.card = asdict(card)
        if shown := stored.crisis(turn):
            events.publish(turn.id, shown)
        values |= {"answer": "", "citations": [], "card": turn.card}
        finish(turn, State.REFUSED, failure_code=said[-1]["rule"], failure_message=said[-1]["message"], **values)
    elif last.finish == FinishReason.CANCELLED:
        finish(turn, State.CANCELLED, **values)
    elif last.finish == FinishReason.DEADLINE:
        fail(turn, "deadline", **values)
    elif not grounded.text.strip():
        fail(turn, "empty_answer", **values)
    elif grounded.groundedness is not None and grounded.groundedness < settings.HAVRE_LEAST_GROUNDED:
        # the share belongs to a text that nobody sees any more: the notice says what became of it
        values |= {"answer": _not_covered(turn), "citations": [], "groundedness": None}
        notice = {"rule": _UNSUPPORTED, "message": _mostly_unsupported(turn)}
        events.publish(turn.id, stored.notice(turn, notice))
        finish(turn, State.COMPLETED, **values | {"notices": [*values["notices"], notice]})
    else:
        finish(turn, State.COMPLETED, **values)


class _Watch:
    """Asked by the engine between tokens, every 50 ms or so: has the person stopped, is the turn still ours? Renews the
    lease on the way, so that a worker that hangs loses its turn."""

    def __init__(self, turn: Turn) -> None:
        self._turn = turn
        self._renewed = self._looked = self._asked_row = time.monotonic()
        self._over = False
        self.lost = False

    def is_over(self) -> bool:
        now = time.monotonic()
        try:
            self._look(now)
        except LeaseLost:
            self.lost = self._over = True
        except DatabaseError as error:  # away for a moment; the lease says how long that may last
            logger.warning("turn %s not renewed: %s", self._turn.id, type(error).__name__)
        return self._over

    def _look(self, now: float) -> None:
        if not self._over and now - self._renewed > settings.HAVRE_LEASE_SECONDS / 3:
            renew(self._turn)
            self._renewed = now
        if not self._over and now - self._looked > _STOP_CHECK_SECONDS:
            self._looked = now
            asked = events.is_asked_to_stop(self._turn.id)
            if not asked and now - self._asked_row > _ROW_CHECK_SECONDS:
                self._asked_row = now
                asked = wants_to_stop(self._turn)
            self._over = bool(asked)


def _delta(turn: Turn, text: str) -> dict[str, Any]:
    return {"type": "turn.delta", "turn": str(turn.id), "text": text}


def _usage(last: Delta) -> dict[str, Any]:
    if last.usage is None:
        return {}
    return {
        "prompt_tokens": last.usage.prompt_tokens,
        "completion_tokens": last.usage.completion_tokens,
        "seconds": round(last.usage.seconds, 3),
        "first_token_seconds": last.usage.first_token_seconds and round(last.usage.first_token_seconds, 3),
        "finish": last.finish.value if last.finish else "",
    }


def _fail_quietly(turn: Turn, code: str) -> None:
    try:
        fail(turn, code)
    except LeaseLost:
        pass
