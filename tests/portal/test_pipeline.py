"""A turn from the question to the stored answer with every real part: retrieval, the tiny gpt-oss, the screens, the
stream, the audit trail. The Celery messages alone are played by the test."""

import threading
import time
import uuid
from typing import Any

import pytest

import inference
from inference import Effort
from portal.audit.models import Event
from portal.chat import rescue, sealed, services
from portal.chat.answering import generate_answer
from portal.chat.models import Quotation, State, Turn
from portal.chat.protocol import TurnStart
from portal.chat.quoting import quote_answer
from portal.chat.retrieving import retrieve_passages
from tests.conftest import Cast
from tests.portal.streams import shown_text, stream_of

pytestmark = [
    pytest.mark.django_db(transaction=True),
    pytest.mark.usefixtures("living_workers", "active_model", "guideline"),
]
QUESTION = "What are the steps of a safety plan?"
ENDLESS = "Never stop please: what are the steps of a safety plan?"


def begin(cast: Cast, text: str = QUESTION, conversation: uuid.UUID | None = None) -> Turn:
    return services.start_turn(
        cast.anna, conversation or uuid.uuid4(), TurnStart(uuid.uuid4(), text, Effort.LOW), queue=False
    )


def run(turn: Turn) -> Turn:
    assert retrieve_passages(turn.id)
    generate_answer(turn.id)
    turn.refresh_from_db()
    return turn


def test_a_question_is_answered_with_citations(cast: Cast) -> None:
    turn = run(begin(cast))
    assert turn.state == State.COMPLETED, turn.failure_code
    assert turn.passages[0]["heading"].startswith("Safety plan")
    assert turn.citations
    assert {one["marker"] for one in turn.citations} <= {one["marker"] for one in turn.passages}
    assert "<|" not in turn.answer
    assert turn.usage["completion_tokens"] > 5
    assert turn.model["name"] == "tiny-gpt-oss"


def test_the_stream_tells_the_turn_in_order_and_its_text_is_the_answer(cast: Cast) -> None:
    turn = run(begin(cast))
    told = stream_of(turn)
    kinds = [event["type"] for event in told]
    assert kinds[0] == "turn.accepted"
    assert kinds[1] == "turn.passages"
    assert kinds[-1] == "turn.completed"
    assert set(kinds[2:-1]) <= {"turn.delta", "turn.reasoning"}
    assert "".join(event["text"] for event in told if event["type"] == "turn.delta") == turn.answer
    assert told[-1]["text"] == turn.answer
    assert 'class="citation"' in told[-1]["html"]


def test_every_step_is_in_the_audit_trail_without_gaps_or_words(cast: Cast) -> None:
    turn = run(begin(cast))
    found = list(Event.objects.filter(subject=str(turn.id)).order_by("seq"))
    shown = [event.payload for event in found if event.kind == "turn.shown"]
    assert [event.kind for event in found if event.kind != "turn.shown"] == [
        "turn.started", "turn.retrieving", "turn.passages", "turn.generating", "turn.prompted", "turn.completed",
    ]  # fmt: skip
    assert {event.payload["conversation"] for event in found} == {str(turn.conversation_id)}
    assert [one["piece"] for one in shown] == list(range(1, len(shown) + 1))
    assert found[-1].payload["shown"] == {"pieces": len(shown), "chain": shown[-1]["chain"]}
    assert sum(one["characters"] for one in shown) == len(turn.answer)
    asked_how = next(event.payload for event in found if event.kind == "turn.prompted")
    assert {"temperature", "max_tokens", "context", "seed", "effort", "instructions_sha256"} <= set(asked_how)
    assert found[0].payload["question"] == sealed.proof(turn, "question")
    assert found[-1].payload["answer"] == sealed.proof(turn, "answer")
    everything = list(Event.objects.order_by("seq"))
    assert [event.seq for event in everything] == list(range(1, len(everything) + 1))
    trail = " ".join(str(event.payload) for event in everything)
    assert QUESTION not in trail
    assert turn.answer.strip() not in trail
    assert found[-1].payload["model"]["sha256"]
    assert found[2].payload["passages"][0]["version_id"] == turn.passages[0]["version_id"]


def test_a_french_question_gets_french_around_it(cast: Cast) -> None:
    turn = run(begin(cast, "Quelles sont les étapes d'un plan de sécurité ?"))
    assert turn.language == "fr"
    assert turn.state == State.COMPLETED


def test_history_goes_into_the_next_prompt_but_redirected_messages_never(cast: Cast) -> None:
    from portal.chat.prompting import build_request
    from portal.chat.selectors import history_before

    conversation = uuid.uuid4()
    first = run(begin(cast, conversation=conversation))
    begin(cast, "I want to kill myself tonight", conversation)
    turn = begin(cast, "And after discharge?", conversation)
    request = build_request(turn, history_before(turn), context=4096, count_tokens=lambda messages: 1)
    contents = " ".join(message.content for message in request.messages)
    assert first.answer in contents
    assert "kill myself" not in contents


def test_the_oldest_history_goes_first_when_the_context_is_small(cast: Cast) -> None:
    from portal.chat.prompting import build_request

    turn = begin(cast)
    turn.passages = [
        {"marker": n, "document": "D", "page": n, "page_label": "", "quote": "words " * 50} for n in (1, 2, 3)
    ]
    history = [Turn(question=f"question {n} " * 30, answer=f"answer {n} " * 30) for n in (1, 2)]

    def count(messages: Any) -> int:
        return sum(len(message.content.split()) for message in messages)

    request = build_request(turn, history, context=600, count_tokens=count)
    contents = " ".join(message.content for message in request.messages)
    assert "answer 1" not in contents
    assert "[3]" in contents
    assert count(request.messages) <= 300
    request = build_request(turn, history, context=300, count_tokens=count)
    contents = " ".join(message.content for message in request.messages)
    assert "answer 2" not in contents
    assert "[3]" not in contents
    assert "[1]" in contents


def test_stop_ends_generation_and_keeps_what_was_shown(cast: Cast) -> None:
    turn = begin(cast, ENDLESS)
    assert retrieve_passages(turn.id)
    worker = threading.Thread(target=generate_answer, args=[turn.id])
    worker.start()
    try:
        deadline = time.monotonic() + 20
        while not shown_text(turn.id) and time.monotonic() < deadline:
            time.sleep(0.02)
        assert shown_text(turn.id)
        rescue.cancel_turn(cast.anna, turn.id)
    finally:
        worker.join(20)
    turn.refresh_from_db()
    assert turn.state == State.CANCELLED
    assert turn.answer
    assert "".join(e["text"] for e in stream_of(turn) if e["type"] == "turn.delta") == turn.answer
    assert turn.usage["completion_tokens"] < 1024


def test_a_worker_that_lost_its_turn_stops_quietly(cast: Cast, settings: Any) -> None:
    settings.HAVRE_LEASE_SECONDS = 3
    turn = begin(cast, ENDLESS)
    assert retrieve_passages(turn.id)
    settings.HAVRE_MAX_TOKENS = 100_000
    worker = threading.Thread(target=generate_answer, args=[turn.id])
    worker.start()
    try:
        deadline = time.monotonic() + 20
        while not shown_text(turn.id) and time.monotonic() < deadline:
            time.sleep(0.02)
        Turn.objects.filter(pk=turn.id).update(attempt=99)
    finally:
        worker.join(30)
    turn.refresh_from_db()
    assert (turn.state, turn.answer) == (State.GENERATING, "")


def test_malformed_output_ends_in_an_answer(cast: Cast, settings: Any) -> None:
    settings.HAVRE_MAX_TOKENS = 400  # this model goes on to the end of what it may write
    turn = run(begin(cast, f"{QUESTION} malformed please"))
    assert turn.state == State.COMPLETED, turn.failure_code
    assert turn.usage["opened"] == "malformed" and turn.usage["tries"] == 1
    assert turn.answer
    assert all("<|" not in str(event) for event in stream_of(turn))


def test_generation_goes_on_while_valkey_is_away(cast: Cast, dead_valkey: None) -> None:
    turn = begin(cast)
    turn = run(turn)
    assert turn.state == State.COMPLETED
    assert turn.answer


def test_a_question_that_nothing_covers_says_so(cast: Cast) -> None:
    turn = run(begin(cast, "How do I change the tyre of a lorry?"))
    assert turn.covered is False
    assert "do not cover" in turn.answer
    assert turn.model == {}, "no model was asked to invent an answer"
    assert stream_of(turn)[1]["covered"] is False


def test_an_answer_that_is_mostly_unsupported_is_taken_back_and_the_guidelines_are_quoted(
    cast: Cast, settings: Any
) -> None:
    settings.HAVRE_LEAST_GROUNDED = 1.1
    turn = run(begin(cast))
    assert (turn.state, turn.quotation) == (State.QUEUED, Quotation.NOT_GROUNDED)
    assert stream_of(turn)[-1]["type"] == "turn.queued", "what was shown is taken back"
    quote_answer(turn.id)
    turn.refresh_from_db()
    assert (turn.state, turn.model) == (State.COMPLETED, {})
    assert turn.citations
    last = stream_of(turn)[-1]
    assert (last["text"], last["quotation"]) == (turn.answer, "not_grounded")
    over = Event.objects.get(subject=str(turn.id), kind="turn.handed_over")
    assert over.payload["model"]["name"] == "tiny-gpt-oss"
    assert over.payload["usage"]["completion_tokens"] > 0


def test_a_model_that_breaks_off_is_no_reason_to_get_nothing(cast: Cast, monkeypatch: pytest.MonkeyPatch) -> None:
    turn = begin(cast)
    assert retrieve_passages(turn.id)
    error = inference.InferenceError("the card is gone")
    monkeypatch.setattr(inference, "generate", lambda *args, **kwargs: (_ for _ in ()).throw(error))
    while generate_answer(turn.id):
        pass
    quote_answer(turn.id)
    turn.refresh_from_db()
    assert (turn.state, turn.quotation, turn.recoveries) == (State.COMPLETED, Quotation.MODEL_DOWN, 1)
    assert turn.citations


def test_two_people_are_answered_at_the_same_time(cast: Cast) -> None:
    turns = [
        services.start_turn(person, uuid.uuid4(), TurnStart(uuid.uuid4(), ENDLESS, Effort.LOW), queue=False)
        for person in (cast.anna, cast.bela)
    ]
    for turn in turns:
        assert retrieve_passages(turn.id)
    workers = [threading.Thread(target=generate_answer, args=[turn.id]) for turn in turns]
    for worker in workers:
        worker.start()
    try:
        deadline = time.monotonic() + 20
        while not all(shown_text(turn.id) for turn in turns) and time.monotonic() < deadline:
            time.sleep(0.02)
        assert all(shown_text(turn.id) for turn in turns)
        assert all(worker.is_alive() for worker in workers), "one waited for the other"
    finally:
        rescue.cancel_turn(cast.anna, turns[0].id)
        rescue.cancel_turn(cast.bela, turns[1].id)
        for worker in workers:
            worker.join(20)
