"""The engine breaks off in the middle of an answer: it is tried once more, like after a lost worker, then quoted."""

import json
import uuid
from collections.abc import Callable, Iterator
from datetime import timedelta
from typing import Any

import pytest
from django.utils import timezone

from inference import EngineFailed
from inference._engine import Piece, Sampling
from portal import valkey
from portal.audit.models import Event
from portal.chat import dispatch, rescue, selectors
from portal.chat import turn as life
from portal.chat.answering import generate_answer
from portal.chat.models import Conversation, Quotation, State, Turn
from tests.conftest import Cast
from tests.inference.replay import FINAL, ReplayEngine, replaying
from tests.portal.test_malformed_turns import QUOTE

pytestmark = pytest.mark.django_db(transaction=True)

ANSWER = FINAL + "Write down the warning signs [1].<|return|>"
Stream = Callable[[list[int], Sampling, Callable[[Piece], bool]], None]


@pytest.fixture(autouse=True)
def without_embedding(monkeypatch: pytest.MonkeyPatch) -> None:
    import guardrails

    monkeypatch.setattr(guardrails, "sentence_encoder", lambda: None)
    monkeypatch.setattr(guardrails, "passage_reader", lambda: None)


@pytest.fixture
def sent(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What was given to the workers."""
    found: list[str] = []
    for step in ("retrieve", "generate", "quote"):
        monkeypatch.setattr(dispatch, step, lambda turn_id, step=step: found.append(step))
    return found


@pytest.fixture
def turn(cast: Cast) -> Turn:
    passage = {
        "marker": 1, "document": "Safety plan", "version": "v1", "page": 1, "page_label": "1", "heading": "Steps",
        "quote": QUOTE, "score": 0.8, "url": "/x/", "chunk_id": 1,
        "version_id": str(uuid.uuid4()), "guideline_id": str(uuid.uuid4()),
    }  # fmt: skip
    return Turn.objects.create(
        conversation=Conversation.objects.create(owner=cast.anna), client_ref=uuid.uuid4(), language="en",
        question="What are the steps?", effort="low", state=State.RETRIEVING, passages=[passage], covered=True,
    )  # fmt: skip


@pytest.fixture
def breaking(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., ReplayEngine]]:
    """`breaking(2)`: an engine that breaks off the first two times, with half a sentence said."""
    with replaying(ANSWER) as engine:
        whole: Stream = engine.stream

        def break_off(times: int, error: Exception, meanwhile: Callable[[], Any] = lambda: None) -> ReplayEngine:
            left = [error] * times

            def stream(tokens: Any, sampling: Sampling, emit: Callable[[Piece], bool]) -> None:
                if not left:
                    whole(tokens, sampling, emit)
                    return
                for count, text in enumerate((FINAL, "Write down", " the"), start=1):
                    emit(Piece(text, completion_tokens=count))
                meanwhile()
                raise left.pop()

            monkeypatch.setattr(engine, "stream", stream)
            return engine

        yield break_off


def play(sent: list[str], turn: Turn) -> Turn:
    """What the workers do until the turn has ended or is somebody else's."""
    sent.append("generate")
    while sent and sent[0] == "generate":
        sent.pop(0)
        generate_answer(turn.id)
    turn.refresh_from_db()
    return turn


def kinds(turn: Turn) -> list[str]:
    events = Event.objects.filter(subject=str(turn.id)).order_by("seq")
    return [kind.removeprefix("turn.") for kind in events.values_list("kind", flat=True)]


@pytest.mark.parametrize("error", [RuntimeError("CUDA error"), MemoryError(), EngineFailed("It ended.")])
def test_what_broke_off_once_is_answered_by_the_second_try(
    error: Exception, turn: Turn, breaking: Any, sent: list[str], living_workers: None
) -> None:
    breaking(1, error)
    play(sent, turn)
    assert (turn.state, turn.quotation, turn.recoveries, sent) == (State.COMPLETED, "", 1, [])
    assert turn.answer.startswith("Write down the warning signs [1].")
    assert kinds(turn) == ["generating", "prompted", "broken_off", "generating", "prompted", "shown", "completed"]
    entries = valkey.client().xrange(f"havre:turn:{turn.id}")
    told = [json.loads(fields["event"])["type"] for _, fields in entries]
    assert told.count("turn.queued") == 1, "what was shown is taken back"
    spent = Event.objects.get(kind="turn.broken_off").payload
    assert (spent["code"], spent["usage"]["completion_tokens"]) == ("engine_failed", 3)


@pytest.mark.parametrize("before", ["broke off", "worker lost"])
def test_the_second_time_it_is_quoted_and_there_is_no_third(
    before: str, turn: Turn, breaking: Any, sent: list[str], living_workers: None
) -> None:
    breaking(9, RuntimeError("CUDA error"))
    if before == "worker lost":
        assert life.claim(turn.id, State.GENERATING)
        Turn.objects.update(lease_until=timezone.now() - timedelta(seconds=1))
        rescue.rescue_turn(selectors.abandoned_turns().get())
        sent.clear()
    play(sent, turn)
    assert (turn.state, turn.quotation, sent) == (State.QUEUED, Quotation.MODEL_DOWN, ["quote"])
    assert kinds(turn).count("generating") == 2 and kinds(turn)[-1] == "handed_over"


def test_where_nobody_can_quote_the_second_time_ends_with_a_sentence_and_what_was_spent(
    turn: Turn, breaking: Any, sent: list[str], valkey_server: str
) -> None:
    breaking(9, RuntimeError("CUDA error"))
    play(sent, turn)
    assert (turn.state, turn.failure_code, kinds(turn).count("generating")) == (State.FAILED, "engine_failed", 2)
    assert turn.usage["completion_tokens"] == 3 and turn.usage["prompt_tokens"] > 0


def test_a_worker_that_is_lost_after_the_engine_broke_off_is_no_third_try(
    turn: Turn, breaking: Any, sent: list[str], living_workers: None
) -> None:
    breaking(1, RuntimeError("CUDA error"))
    generate_answer(turn.id)
    assert sent == ["generate"]
    assert life.claim(turn.id, State.GENERATING)
    Turn.objects.update(lease_until=timezone.now() - timedelta(seconds=1))
    rescue.rescue_turn(selectors.abandoned_turns().get())
    turn.refresh_from_db()
    assert (turn.quotation, kinds(turn).count("generating")) == (Quotation.MODEL_DOWN, 2)


def test_what_was_stopped_while_it_broke_off_is_not_tried_again(
    cast: Cast, turn: Turn, breaking: Any, sent: list[str], living_workers: None
) -> None:
    breaking(9, RuntimeError("CUDA error"), lambda: Turn.objects.update(cancel_requested=True))
    play(sent, turn)
    assert (turn.state, sent, kinds(turn).count("generating")) == (State.CANCELLED, [], 1)


def test_whoever_lost_the_turn_begins_nothing_again(
    turn: Turn, breaking: Any, sent: list[str], living_workers: None
) -> None:
    def lose() -> None:
        Turn.objects.update(lease_until=timezone.now() - timedelta(seconds=1))
        rescue.rescue_turn(selectors.abandoned_turns().get())

    breaking(1, RuntimeError("CUDA error"), lose)
    generate_answer(turn.id)
    turn.refresh_from_db()
    assert (turn.recoveries, kinds(turn)) == (1, ["generating", "prompted", "requeued"])
