"""Step 4: the passages for a turn, found in the knowledge worker and kept with the turn."""

import logging
import uuid
from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from django.conf import settings

import knowledge
from knowledge.citations import PageStart, page_starts
from portal.accounts.selectors import departments_of
from portal.chat import events, quoting, selectors
from portal.chat.models import State, Turn
from portal.chat.reading import Reading
from portal.chat.rendering import passage_url
from portal.chat.stored import passages as passages_event
from portal.chat.turn import LeaseLost, claim, fail_if_held, kept, store_passages
from portal.chat.writing import UNWRITABLE, left_to_the_rescue

logger = logging.getLogger(__name__)


def retrieve_passages(turn_id: uuid.UUID) -> bool:
    """Find and store the passages; where no model is to answer, quote them too. True when the turn now wants its answer
    generated, False when it ended or is somebody else's. Never raises for what can be told to the person instead."""
    turn = claim(turn_id, State.RETRIEVING)
    if turn is None:
        return False
    try:
        earlier = [one.question for one in selectors.history_before(turn)]
        departments = departments_of(turn.conversation.owner)
        with kept(turn):
            found = knowledge.retrieve(
                turn.question,
                limit=settings.HAVRE_PASSAGES,
                language=turn.language,
                history=earlier,
                departments=departments,
            )
        passages = [
            _snapshot(turn, marker, one, pages, found)
            for marker, (one, pages) in enumerate(zip(found.passages, page_starts(found.passages), strict=True), 1)
        ]
        store_passages(turn, passages, found.covered, keep=bool(turn.quotation))
    except LeaseLost:
        return False
    except UNWRITABLE as error:
        left_to_the_rescue(turn, error)
        return False
    except Exception as error:
        logger.error("retrieval for turn %s failed: %s", turn.id, type(error).__name__, exc_info=error)
        fail_if_held(turn, "retrieval_failed")
        return False
    events.publish(turn.id, passages_event(Reading(turn)))
    if turn.quotation:
        quoting.end_quoted(turn)
        return False
    # the model may have gone while the guidelines were searched: not a minute later
    return not quoting.quote_without_model(turn)


def _snapshot(
    turn: Turn, marker: int, passage: knowledge.Passage, pages: Sequence[PageStart], found: knowledge.Retrieval
) -> dict[str, Any]:
    """What stays with the turn whatever becomes of the guideline: the words themselves, where they stood, on which
    pages (`pages`: number, printed label, and the character of the quotation where each begins), and what found them.
    """
    return {
        "marker": marker,
        "document": passage.document,
        "version": passage.version,
        "page": passage.page,
        "last_page": passage.last_page,
        "page_label": passage.page_label,
        "pages": [asdict(one) for one in pages],
        "start": passage.start,
        "end": passage.end,
        "heading": passage.heading,
        "quote": passage.text,
        "score": round(passage.score, 4),
        "url": passage_url(turn.id, marker),
        "chunk_id": passage.chunk_id,
        "version_id": str(passage.version_id),
        "guideline_id": str(passage.guideline_id),
        "language": passage.language,
        "embedder": found.embedder,
        "confidence": round(found.confidence, 4),
    }
