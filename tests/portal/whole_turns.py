"""A turn that went the whole way, with words that are found again, for tests of what an officer sees of it."""

import uuid
from typing import Any

from portal.chat.models import State, Turn
from portal.chat.protocol import Effort, TurnStart
from portal.chat.services import start_turn
from portal.chat.turn import claim, finish, prompt, show, store_passages

QUESTION = "Which steps has a plan for QUESTION-WORD?"
ANSWER = "First the warning signs. ANSWER-WORD <b>bold</b> [1]"
THOUGHTS = "THOUGHT-WORD <script>alert(1)</script>"
QUOTE = "PASSAGE-WORD: write the plan with the person."
WORDS = ("QUESTION-WORD", "ANSWER-WORD", "THOUGHT-WORD", "PASSAGE-WORD")
SHA256 = "9" * 64
MODEL = {"name": "gpt-oss-20b", "sha256": SHA256, "architecture": "gpt-oss", "quantization": "MXFP4"}
NOBODY = uuid.UUID("99999999-9999-4999-8999-999999999999")


def passage(**changed: Any) -> dict[str, Any]:
    """A passage as retrieval stores it."""
    return {
        "marker": 1, "document": "Safety plan", "version": "v1", "page": 2, "page_label": "2", "heading": "Steps",
        "quote": QUOTE, "score": 0.8, "url": "/x/", "chunk_id": 1, "version_id": str(NOBODY),
        "guideline_id": str(NOBODY),
    } | changed  # fmt: skip


def asked(person: Any, text: str = QUESTION) -> Turn:
    """A question of this person that waits, or has ended at once."""
    start = TurnStart(client_ref=uuid.uuid4(), text=text, effort=Effort.LOW)
    return start_turn(person, uuid.uuid4(), start, queue=False)


def begun(person: Any, text: str = QUESTION) -> Turn:
    """One whose passages are there, and that a model has in hand."""
    turn = asked(person, text)
    assert turn.is_active
    taken = claim(turn.id, State.RETRIEVING)
    assert taken
    store_passages(taken, [passage()], True)
    taken = claim(turn.id, State.GENERATING, MODEL)
    assert taken
    prompt(taken, {"try": 1, "seed": 7, "model": MODEL})
    return taken


def answered(person: Any, text: str = QUESTION) -> Turn:
    """One that was answered in two pieces."""
    taken = begun(person, text)
    for part in (ANSWER[:24], ANSWER[24:]):
        show(taken, part)
    values = {"answer": ANSWER, "thoughts": THOUGHTS, "groundedness": 0.87, "model": MODEL, "citations": [passage()]}
    finish(taken, State.COMPLETED, usage={"completion_tokens": 12}, **values)
    return Turn.objects.get(pk=taken.pk)
