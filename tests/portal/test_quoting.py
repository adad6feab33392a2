"""Quotation mode: whoever cannot or shall not be answered by a model gets the guidelines' own sentences. The Celery
messages alone are played by the test."""

import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import Any

import pytest
from django.utils import timezone

from inference import Effort
from knowledge.models import Department, Guideline
from portal.accounts.models import User
from portal.audit.models import Event
from portal.chat import dispatch, quoting, rescue, selectors, services, stored
from portal.chat import turn as life
from portal.chat.models import Quotation, State, Turn
from portal.chat.protocol import FrameError, TurnStart, parse
from portal.chat.quoting import quote_answer
from portal.chat.reading import Reading, stands_on
from portal.chat.retrieving import retrieve_passages
from portal.chat.sources import Source
from portal.parts import Heartbeat
from tests.conftest import Cast

pytestmark = pytest.mark.django_db(transaction=True)
QUESTION = "What should be written down first in a safety plan?"
ANSWER = "First, write down the\nwarning signs that a crisis may be developing."
CRISIS = "I want to kill myself tonight"
Says = dict[str, Any]


@contextmanager
def workers(**said: Says) -> Iterator[None]:
    """Workers that say this of themselves."""
    beats = [Heartbeat(name, lambda one=one: one) for name, one in said.items()]
    for beat in beats:
        beat.beat()
        beat.start()  # an embedder may take longer to load than one beat is believed
    try:
        yield
    finally:
        for beat in beats:
            beat._stop.set()
            beat._thread.join()  # no last beat of the dead
            beat.stop()


READY: Says = {"state": "ready"}
NO_MODEL: Says = {"state": "failed", "reason": "No model is active.", "installed": False}


@pytest.fixture
def sent(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, uuid.UUID]]:
    """What was given to the workers: step and turn."""
    found: list[tuple[str, uuid.UUID]] = []
    for step in ("retrieve", "generate", "quote"):
        monkeypatch.setattr(dispatch, step, lambda turn_id, step=step: found.append((step, turn_id)))
    return found


def begin(user: object, text: str = QUESTION, answer: str = "model") -> Turn:
    start = TurnStart(uuid.uuid4(), text, Effort.LOW, answer)  # type: ignore[arg-type]
    return services.start_turn(user, uuid.uuid4(), start)  # type: ignore[arg-type]


def waiting_for_a_model(cast: Cast) -> Turn:
    """A turn whose passages are stored, with every worker there."""
    with workers(inference=READY, knowledge=READY):
        turn = begin(cast.anna)
        assert retrieve_passages(turn.id)
    return Turn.objects.get(pk=turn.pk)


def held_by_a_model(cast: Cast, sent: list[tuple[str, uuid.UUID]]) -> Turn:
    """The same, claimed by an inference worker; nothing else is on its way."""
    held = waiting_for_a_model(cast)
    sent.clear()
    turn = life.claim(held.id, State.GENERATING)
    assert turn
    return turn


def play(sent: list[tuple[str, uuid.UUID]], turn: Turn) -> Turn:
    """Do what was sent, as the knowledge worker would; the inference worker does nothing."""
    while sent:
        step, turn_id = sent.pop(0)
        {"retrieve": retrieve_passages, "quote": quote_answer, "generate": lambda one: None}[step](turn_id)
    turn.refresh_from_db()
    return turn


def check(turn: Turn, reason: Quotation) -> None:
    """The turn is answered with quotations that stand word for word in passages of its own, and says why."""
    assert (turn.state, turn.quotation, turn.failure_code) == (State.COMPLETED, reason, "")
    passages = {one["marker"]: one for one in turn.passages}
    assert turn.citations
    for one in turn.citations:
        assert one["quote"] == passages[one["marker"]]["quote"]
        for start, end in one["quoted"]:
            assert f"{one['quote'][start:end]} [{one['marker']}]" in turn.answer
        assert "".join(one["quote"][a:b] for a, b, _ in one["exact"]) == "".join(
            one["quote"][a:b] for a, b in one["quoted"]
        )
    assert "warning signs" in turn.answer
    assert turn.model == {}
    event = stored.final(turn)
    assert event["quotation"] == reason
    assert event["html"].count("<blockquote") == len(turn.citations)
    assert 'class="citation"' in event["html"]
    ended = Event.objects.get(subject=str(turn.id), kind="turn.completed")
    assert ended.payload["quotation"] == reason


def lose(turn: Turn) -> Turn:
    past = timezone.now() - timedelta(hours=1)
    Turn.objects.filter(pk=turn.pk).update(lease_until=past, enqueued_at=past)
    return Turn.objects.get(pk=turn.pk)


@pytest.mark.usefixtures("guideline")
def test_a_person_may_choose_quotations(cast: Cast, sent: list[Any]) -> None:
    with workers(inference=READY, knowledge=READY):
        turn = begin(cast.anna, answer="quotation")
        check(play(sent, turn), Quotation.ASKED)
        assert stored.accepted(turn)["answer"] == "quotation"
        kinds = Event.objects.filter(subject=str(turn.id)).order_by("seq").values_list("kind", flat=True)
        assert list(kinds) == ["turn.started", "turn.retrieving", "turn.passages", "turn.completed"]


@pytest.mark.usefixtures("guideline")
def test_the_very_words_are_marked_on_the_page_of_the_source(cast: Cast, sent: list[Any]) -> None:
    with workers(inference=READY, knowledge=READY):
        turn = play(sent, begin(cast.anna, answer="quotation"))
    passage = next(one for one in turn.passages if one["marker"] == turn.citations[0]["marker"])
    marked = "".join(piece.text for piece in Source(turn, passage).pieces if piece.exact)
    assert "warning signs" in marked
    assert len(marked) < len(passage["quote"])


@pytest.mark.usefixtures("guideline")
@pytest.mark.parametrize(
    ("said", "reason"), [({"inference": NO_MODEL}, Quotation.NO_MODEL), ({}, Quotation.MODEL_DOWN)]
)
def test_without_a_model_the_guidelines_are_quoted_at_once(
    cast: Cast, sent: list[Any], said: dict[str, Says], reason: Quotation
) -> None:
    with workers(knowledge=READY, **said):
        check(play(sent, begin(cast.anna)), reason)
    assert not any(step == "generate" for step, _ in sent)


@pytest.mark.usefixtures("guideline")
def test_a_full_queue_is_answered_with_quotations(cast: Cast, sent: list[Any], settings: Any) -> None:
    settings.HAVRE_QUEUE_LIMIT = 1
    with workers(inference=READY, knowledge=READY):
        for person in (cast.bela, User.objects.create(username="carla", role="clinician")):
            begin(person)  # one is answered and one waits
        sent.clear()
        check(play(sent, begin(cast.anna)), Quotation.BUSY)


@pytest.mark.usefixtures("guideline")
def test_a_model_that_goes_while_the_guidelines_are_searched(cast: Cast, sent: list[Any]) -> None:
    with workers(inference=READY, knowledge=READY):
        turn = begin(cast.anna)
    with workers(knowledge=READY):
        check(play(sent, turn), Quotation.MODEL_DOWN)


@pytest.mark.usefixtures("guideline")
@pytest.mark.parametrize(
    ("recoveries", "said", "reason"),
    [
        (0, {}, Quotation.MODEL_DOWN),
        (0, {"inference": NO_MODEL}, Quotation.NO_MODEL),
        (1, {"inference": READY}, Quotation.MODEL_DOWN),
    ],
)
def test_a_turn_that_its_workers_left_is_quoted(
    cast: Cast, sent: list[Any], recoveries: int, said: dict[str, Says], reason: Quotation
) -> None:
    turn = waiting_for_a_model(cast)
    assert life.claim(turn.id, State.GENERATING)
    Turn.objects.filter(pk=turn.pk).update(recoveries=recoveries)
    turn = lose(turn)
    also = Turn.objects.get(pk=turn.pk)
    sent.clear()
    with workers(knowledge=READY, **said):
        rescue.rescue_turn(turn)
        rescue.rescue_turn(also)  # of two that rescue at once, one does
        assert [step for step, _ in sent] == ["quote"]
        check(play(sent, turn), reason)
    assert Event.objects.filter(subject=str(turn.id), kind="turn.handed_over").count() == 1


@pytest.mark.usefixtures("guideline")
def test_a_quotation_that_is_lost_is_begun_once_more_and_not_for_ever(cast: Cast, sent: list[Any]) -> None:
    with workers(knowledge=READY):
        turn = begin(cast.anna)
        assert life.claim(turn.id, State.RETRIEVING)
        rescue.rescue_turn(lose(turn))
        assert life.claim(turn.id, State.RETRIEVING)
        rescue.rescue_turn(lose(turn))
    turn.refresh_from_db()
    assert (turn.state, turn.failure_code) == (State.FAILED, "worker_lost")


@pytest.mark.usefixtures("guideline")
def test_an_answer_is_handed_over_by_the_worker_that_holds_it(cast: Cast, sent: list[Any]) -> None:
    turn = held_by_a_model(cast, sent)
    with workers(inference=READY):
        assert not quoting.hand_over(turn, Quotation.NOT_GROUNDED), "nobody could quote it: the worker ends it itself"
    with workers(inference=READY, knowledge=READY):
        late = Turn.objects.get(pk=turn.pk)
        assert quoting.hand_over(turn, Quotation.NOT_GROUNDED, spent={"model": {"name": "tiny"}})
        with pytest.raises(life.LeaseLost):
            life.finish(late, State.COMPLETED, answer="what the model says too late")
        check(play(sent, turn), Quotation.NOT_GROUNDED)
    over = Event.objects.get(subject=str(turn.id), kind="turn.handed_over")
    made = {"quotation": "not_grounded", "model": {"name": "tiny"}}
    assert over.payload == {"conversation": str(turn.conversation_id), "attempt": 2, **made}


@pytest.mark.usefixtures("guideline")
def test_what_was_stopped_a_moment_before_it_is_handed_over_ends_at_once(cast: Cast, sent: list[Any]) -> None:
    turn = held_by_a_model(cast, sent)
    with workers(inference=READY, knowledge=READY):
        rescue.stop_left(cast.anna.pk)  # type: ignore[attr-defined]
        assert quoting.hand_over(turn, Quotation.NOT_GROUNDED)
    turn.refresh_from_db()
    assert (turn.state, turn.failure_code, sent) == (State.CANCELLED, "left", [])


@pytest.mark.usefixtures("guideline")
def test_a_second_message_to_a_model_takes_no_turn_that_is_to_be_quoted(cast: Cast, sent: list[Any]) -> None:
    """Who waits long is sent again, so that there may be two messages: the answer would say that no model wrote it."""
    turn = held_by_a_model(cast, sent)
    with workers(inference=READY, knowledge=READY):
        assert quoting.hand_over(turn, Quotation.MODEL_DOWN)
        assert life.claim(turn.id, State.GENERATING) is None
        check(play(sent, turn), Quotation.MODEL_DOWN)


@pytest.mark.usefixtures("guideline")
def test_what_the_guidelines_do_not_cover_is_not_quoted(cast: Cast, sent: list[Any]) -> None:
    with workers(knowledge=READY):
        turn = play(sent, begin(cast.anna, "How do I change the tyre of a lorry?"))
    assert (turn.state, turn.citations) == (State.COMPLETED, [])
    assert "do not cover" in turn.answer


@pytest.mark.parametrize("answer", ["model", "quotation"])
def test_a_crisis_gets_its_card_and_nothing_is_quoted(cast: Cast, sent: list[Any], answer: str) -> None:
    with workers(knowledge=READY):
        turn = begin(cast.anna, CRISIS, answer)
    assert (turn.state, turn.quotation, sent) == (State.REDIRECTED, "", [])
    assert turn.card


@pytest.mark.usefixtures("guideline")
def test_words_of_a_guideline_that_is_closed_by_now_are_not_shown(cast: Cast, sent: list[Any]) -> None:
    with workers(inference=READY, knowledge=READY):
        turn = play(sent, begin(cast.anna, answer="quotation"))
    event = stored.final(turn, Reading(turn, frozenset(stands_on(turn))))
    assert "warning signs" not in str(event)
    assert "other departments" in event["html"]
    assert "other departments" in event["text"]


@pytest.mark.usefixtures("guideline")
def test_no_model_reads_earlier_answers_from_a_guideline_that_is_closed_by_now(cast: Cast, sent: list[Any]) -> None:
    with workers(inference=READY, knowledge=READY):
        first = play(sent, begin(cast.anna, answer="quotation"))
        start = TurnStart(uuid.uuid4(), "And then?", Effort.LOW, "model")
        second = services.start_turn(cast.anna, first.conversation_id, start)  # type: ignore[arg-type]
    assert selectors.history_for_model(second) == [first]
    for one in Guideline.objects.all():
        one.departments.set([Department.objects.create(name="Ward 3")])
    assert selectors.history_for_model(second) == []


def test_words_to_a_language_model_are_not_quoted(
    cast: Cast, sent: list[Any], guideline: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    import guardrails
    from guardrails import Neutralised

    real: Callable[[str], Neutralised] = guardrails.neutralise
    monkeypatch.setattr(
        guardrails, "neutralise", lambda text: Neutralised("", (text,)) if "warning" in text else real(text)
    )
    with workers(inference=READY, knowledge=READY):
        turn = play(sent, begin(cast.anna, answer="quotation"))
    assert turn.state == State.COMPLETED
    assert "warning signs" not in turn.answer


@pytest.mark.parametrize(("said", "meant"), [({}, "model"), ({"answer": "quotation"}, "quotation")])
def test_the_frame_may_name_who_answers(said: dict[str, str], meant: str) -> None:
    frame = {"type": "turn.start", "client_ref": str(uuid.uuid4()), "text": "x", **said}
    assert parse(frame).answer == meant  # type: ignore[union-attr]


@pytest.mark.parametrize("wrong", ["", "both", None, 1, ["quotation"]])
def test_a_frame_that_names_nobody_known_is_refused(wrong: object) -> None:
    with pytest.raises(FrameError) as error:
        parse({"type": "turn.start", "client_ref": str(uuid.uuid4()), "text": "x", "answer": wrong})
    assert error.value.code == "bad_frame"
