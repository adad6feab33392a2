"""Quotation mode: a turn is answered with the guidelines' own sentences, because no language model can or shall answer.

The knowledge worker does it, under the same lease as retrieval. `Turn.quotation` says why.
"""

import logging
import uuid
from collections.abc import Mapping
from typing import Any

from django.utils.translation import gettext, override

import guardrails
import knowledge
from knowledge.citations import Quotation as Place
from portal import parts
from portal.chat import dispatch, events, selectors
from portal.chat.citing import Passage, place_of
from portal.chat.models import Quotation, State, Turn
from portal.chat.rendering import quoted_text
from portal.chat.stored import public_passage, queued
from portal.chat.turn import LeaseLost, claim, end_unheld, fail_if_held, finish, hand_over_unheld, kept
from portal.chat.turn import hand_over as give_back
from portal.chat.writing import UNWRITABLE, left_to_the_rescue

logger = logging.getLogger(__name__)

_REASONS = {
    "model_unavailable": Quotation.NO_MODEL,
    "inference_down": Quotation.MODEL_DOWN,
    "worker_lost": Quotation.MODEL_DOWN,
    "engine_failed": Quotation.MODEL_DOWN,
}


def reason_for(code: str) -> Quotation | None:
    """Why a turn is quoted that would fail with `code` of `chat.failures`; None where quoting is no way out."""
    return _REASONS.get(code)


def hand_over(
    turn: Turn, reason: Quotation, *, kept: Mapping[str, Any] | None = None, spent: Mapping[str, Any] | None = None
) -> bool:
    """Give a turn that this worker holds to the knowledge worker, to be quoted; what was shown of an answer is taken
    back. `kept` is values of its row, `spent` (usage, model) goes into its record. False where nobody could quote it,
    and it is still the caller's to end. Raises LeaseLost."""
    if turn.covered is None or not _can_be_quoted():
        return False
    give_back(turn, reason, kept or {}, spent or {})
    _go_on(turn.id)
    return True


def quote_unheld(turn: Turn, reason: Quotation) -> bool:
    """Have a turn quoted that no worker holds; False when one does, or it has ended or is to be quoted already."""
    if not hand_over_unheld(turn.id, reason):
        return False
    _go_on(turn.id)
    return True


def quote_without_model(turn: Turn) -> bool:
    """Have a turn quoted for which there is no model now; False where there is one, or nobody knows."""
    present = parts.look()
    reason = present.without_model()
    if not present.valkey or not reason:
        return False
    return quote_unheld(turn, Quotation(reason))


def quote_answer(turn_id: uuid.UUID) -> None:
    """Quote for a turn whose passages are stored. Does nothing when it has ended, another worker has it, or a model is
    to answer it."""
    if selectors.get_turn(turn_id).quotation:
        turn = claim(turn_id, State.RETRIEVING)
        if turn is not None:
            end_quoted(turn)


def end_quoted(turn: Turn) -> None:
    """End a turn that this worker holds with the sentences of its passages, or with a word that they do not answer it.
    Never raises for what can be told to the person instead."""
    try:
        with kept(turn):
            cited = _citations(turn) if turn.covered else []
        answer = quoted_text(cited) if cited else not_covered(turn)
        finish(turn, State.COMPLETED, answer=answer, citations=cited)
    except LeaseLost:
        logger.info("turn %s is no longer this worker's", turn.id)
    except UNWRITABLE as error:
        left_to_the_rescue(turn, error)
    except Exception as error:
        logger.error("quoting for turn %s failed: %s", turn.id, type(error).__name__, exc_info=error)
        fail_if_held(turn, "retrieval_failed")


def not_covered(turn: Turn) -> str:
    """The answer where nothing in the guidelines is near the question."""
    with override(turn.language):
        return gettext(
            "The guidelines of this facility do not cover this question. The nearest passages are shown; "
            "please ask a colleague or look elsewhere."
        )


def _can_be_quoted() -> bool:
    """Whether there is a knowledge worker; where Valkey does not say, the turn waits for it as for any."""
    present = parts.look()
    return present.knowledge or not present.valkey


def _go_on(turn_id: uuid.UUID) -> None:
    turn = selectors.get_turn(turn_id)
    if turn.cancel_requested:  # a moment before: no worker takes it any more
        end_unheld(turn.id, State.CANCELLED)
        return
    events.publish(turn.id, queued(turn))
    dispatch.go_on(turn)


def _citations(turn: Turn) -> list[dict[str, Any]]:
    """The passages that are quoted, as the browser gets them, each with the places of its quotes in `exact`."""
    passages: dict[int, Passage] = {one["marker"]: one for one in turn.passages}
    quotes = knowledge.quote(
        turn.question,
        {marker: _place(one) for marker, one in passages.items()},
        language=turn.language,
        headings={marker: one["heading"] for marker, one in passages.items()},
        history=[one.question for one in selectors.history_before(turn)],
    )
    spans: dict[int, list[tuple[int, int]]] = {}
    for one in quotes:
        said = passages[one.marker]["quote"][one.start : one.end]
        # words to a language model are no answer to a person, nor part of the next prompt
        if not guardrails.neutralise(said).removed:
            spans.setdefault(one.marker, []).append((one.start, one.end))
    return [
        public_passage(passages[marker])
        | place_of(passages[marker], places)
        | {"quoted": [list(span) for span in places], "language": passages[marker].get("language", "")}
        for marker, places in spans.items()
    ]


def _place(passage: Passage) -> Place:
    return Place(
        passage["version_id"], passage["quote"], passage["page"], passage.get("last_page"), passage.get("start")
    )
