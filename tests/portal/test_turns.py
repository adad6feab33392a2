"""The row of a turn: claimed once, fenced, ended once; started once however often it is asked."""

import time
import uuid
from datetime import timedelta
from typing import Any

import pytest
from django.db import IntegrityError, OperationalError, connection
from django.utils import timezone

from inference import Effort
from portal.audit import services as services_of_audit
from portal.audit.models import Event
from portal.chat import rescue, selectors, services, stored, writing
from portal.chat import turn as life
from portal.chat.access import NotAllowed
from portal.chat.models import Conversation, State, Turn
from portal.chat.protocol import FrameError, TurnStart
from portal.chat.streaming import Watch
from tests.conftest import Cast, at_once

QUESTION = "What are the steps of a safety plan?"
CRISIS = "I want to kill myself tonight"


def ask(text: str = QUESTION, ref: uuid.UUID | None = None) -> TurnStart:
    return TurnStart(ref or uuid.uuid4(), text, Effort.LOW)


def expire(turn: Turn) -> None:
    Turn.objects.filter(pk=turn.pk).update(lease_until=timezone.now() - timedelta(seconds=1))


@pytest.fixture
def turn(cast: Cast) -> Turn:
    conversation = Conversation.objects.create(owner=cast.anna)
    return Turn.objects.create(
        conversation=conversation, client_ref=uuid.uuid4(), question=QUESTION, language="en", effort="low"
    )


def kinds(turn: Turn) -> list[str]:
    return list(Event.objects.filter(subject=str(turn.id)).order_by("seq").values_list("kind", flat=True))


def database_is_away(monkeypatch: pytest.MonkeyPatch, times: int) -> None:
    """The next so many attempts to write down how a turn ended find no database; whoever tries again waits shortly."""
    failures = iter(range(times))

    def record(*arguments: object, **values: object) -> None:
        if next(failures, None) is not None:
            raise OperationalError("the connection is lost")
        services_of_audit.record(*arguments, **values)

    monkeypatch.setattr(life, "record", record)
    monkeypatch.setattr(writing, "_PAUSE_SECONDS", 0.01)


def test_one_worker_gets_the_turn(turn: Turn) -> None:
    mine = life.claim(turn.id, State.GENERATING)
    assert mine is not None
    assert life.claim(turn.id, State.GENERATING) is None
    expire(turn)
    assert life.claim(turn.id, State.GENERATING) is None, "a second message must not hide that a worker was lost"


def test_nobody_is_told_how_much_of_a_prompt_somebody_else_had_read(turn: Turn) -> None:
    turn.state, turn.usage = State.COMPLETED, {"prompt_tokens": 90, "cached_tokens": 80}
    assert stored.final(turn)["usage"] == {"prompt_tokens": 90}


@pytest.mark.django_db(transaction=True)
def test_whoever_lost_the_turn_changes_nothing(turn: Turn, living_workers: None) -> None:
    mine = life.claim(turn.id, State.GENERATING)
    expire(turn)
    rescue.rescue_turn(selectors.abandoned_turns().get())
    theirs = life.claim(turn.id, State.GENERATING)
    assert mine
    assert theirs
    for late_write in (
        lambda: life.renew(mine),
        lambda: life.store_passages(mine, [], True),
        lambda: life.finish(mine, State.COMPLETED, answer="late"),
    ):
        with pytest.raises(life.LeaseLost):
            late_write()
    life.finish(theirs, State.COMPLETED, answer="in time")
    turn.refresh_from_db()
    assert (turn.state, turn.answer) == (State.COMPLETED, "in time")
    with pytest.raises(life.LeaseLost):
        life.finish(theirs, State.FAILED)
    assert kinds(turn) == ["turn.generating", "turn.requeued", "turn.generating", "turn.completed"]


@pytest.mark.django_db(transaction=True)
def test_a_database_that_comes_back_in_time_costs_nothing(
    turn: Turn, valkey_server: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    mine = life.claim(turn.id, State.GENERATING)
    assert mine
    database_is_away(monkeypatch, times=2)
    life.finish(mine, State.COMPLETED, answer="whole")
    turn.refresh_from_db()
    assert (turn.state, turn.answer, kinds(turn)) == ("completed", "whole", ["turn.generating", "turn.completed"])


@pytest.mark.django_db(transaction=True)
def test_a_database_that_stays_away_leaves_the_turn_to_the_rescue(
    turn: Turn, valkey_server: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    mine = life.claim(turn.id, State.GENERATING)
    assert mine
    database_is_away(monkeypatch, times=10**6)
    monkeypatch.setattr(writing, "_PATIENCE_SECONDS", 0.0)
    with pytest.raises(OperationalError):
        life.finish(mine, State.COMPLETED, answer="whole")
    expire(turn)
    assert selectors.abandoned_turns().get().pk == turn.pk


@pytest.mark.django_db(transaction=True)
def test_of_eight_workers_one_wins(turn: Turn) -> None:
    won: list[Turn] = []

    def race() -> None:
        if claimed := life.claim(turn.id, State.GENERATING):
            won.append(claimed)

    at_once(8, race)
    assert len(won) == 1


@pytest.mark.django_db(transaction=True)
def test_the_same_frame_is_the_same_turn(cast: Cast, living_workers: None) -> None:
    conversation, frame = uuid.uuid4(), ask()
    first = services.start_turn(cast.anna, conversation, frame)
    assert services.start_turn(cast.anna, conversation, frame).id == first.id
    assert Turn.objects.count() == 1
    assert Event.objects.filter(kind="turn.started").count() == 1


@pytest.mark.django_db(transaction=True)
def test_the_same_frame_through_many_sockets_at_once(cast: Cast, living_workers: None) -> None:
    conversation, frame, ids = uuid.uuid4(), ask(), []

    def start() -> None:
        ids.append(services.start_turn(cast.anna, conversation, frame).id)

    at_once(5, start)
    assert len(ids) == 5
    assert len(set(ids)) == 1


@pytest.mark.django_db(transaction=True)
def test_one_answer_at_a_time_but_a_crisis_never_waits(cast: Cast, living_workers: None) -> None:
    services.start_turn(cast.anna, uuid.uuid4(), ask())
    with pytest.raises(FrameError) as error:
        services.start_turn(cast.anna, uuid.uuid4(), ask())
    assert error.value.code == "rate_limited"
    crisis = services.start_turn(cast.anna, uuid.uuid4(), ask(CRISIS))
    assert crisis.state == State.REDIRECTED
    assert services.start_turn(cast.bela, uuid.uuid4(), ask()).is_active


@pytest.mark.django_db(transaction=True)
def test_too_many_questions_a_minute(cast: Cast, living_workers: None, settings: object) -> None:
    settings.HAVRE_TURNS_PER_MINUTE = 2
    for _ in range(2):
        turn = services.start_turn(cast.anna, uuid.uuid4(), ask())
        life.end_unheld(turn.id, State.CANCELLED)
    with pytest.raises(FrameError) as error:
        services.start_turn(cast.anna, uuid.uuid4(), ask())
    assert error.value.code == "rate_limited"


@pytest.mark.django_db(transaction=True)
def test_without_workers_a_question_fails_with_a_sentence(cast: Cast, valkey_server: str) -> None:
    turn = services.start_turn(cast.anna, uuid.uuid4(), ask())
    assert (turn.state, turn.failure_code) == (State.FAILED, "knowledge_down")
    assert "Hotlines keep working" in turn.failure_message
    french = services.start_turn(cast.anna, uuid.uuid4(), ask("Quelles sont les étapes d'un plan de sécurité ?"))
    assert "service des recommandations" in french.failure_message


@pytest.mark.django_db(transaction=True)
def test_a_redirected_message_is_kept_from_the_model_for_good(cast: Cast, living_workers: None) -> None:
    conversation = uuid.uuid4()
    services.start_turn(cast.anna, conversation, ask(CRISIS))
    assert Conversation.objects.get().title == "", "nor does it stand in the list of conversations"
    cleared_up = f"Sorry, I was quoting my patient for the chart. {QUESTION}"
    later = services.start_turn(cast.anna, conversation, ask(cleared_up))
    assert later.is_active
    assert Conversation.objects.get().title == cleared_up[:80]
    assert selectors.history_before(later) == []
    trail = " ".join(str(event.payload) for event in Event.objects.all())
    assert "kill myself" not in trail


@pytest.mark.django_db(transaction=True)
def test_a_waiting_turn_is_cancelled_at_once(cast: Cast, living_workers: None) -> None:
    turn = services.start_turn(cast.anna, uuid.uuid4(), ask())
    rescue.cancel_turn(cast.anna, turn.id)
    turn.refresh_from_db()
    assert turn.state == State.CANCELLED
    assert life.claim(turn.id, State.RETRIEVING) is None


def test_nobody_cancels_somebody_elses_turn(turn: Turn, cast: Cast) -> None:
    with pytest.raises(NotAllowed):
        rescue.cancel_turn(cast.bela, turn.id)


@pytest.mark.django_db(transaction=True)
def test_a_lost_worker_costs_one_retry_then_a_reason(turn: Turn, living_workers: None) -> None:
    for state, code in ((State.QUEUED, ""), (State.FAILED, "worker_lost")):
        assert life.claim(turn.id, State.GENERATING)
        expire(turn)
        rescue.rescue_turn(selectors.abandoned_turns().get())
        turn.refresh_from_db()
        assert (turn.state, turn.failure_code) == (state, code)
    assert not selectors.abandoned_turns().exists()


@pytest.mark.django_db(transaction=True)
def test_a_lost_message_is_sent_again(turn: Turn, living_workers: None) -> None:
    Turn.objects.update(enqueued_at=timezone.now() - timedelta(minutes=2))
    rescue.rescue_turn(selectors.abandoned_turns().get())
    turn.refresh_from_db()
    assert (turn.state, turn.recoveries, turn.attempt) == (State.QUEUED, 0, 0)
    assert not selectors.abandoned_turns().exists()


@pytest.mark.django_db(transaction=True)
def test_a_worker_that_was_given_up_loses_the_turn(turn: Turn, living_workers: None) -> None:
    mine = life.claim(turn.id, State.GENERATING)
    assert mine
    expire(turn)
    found = selectors.abandoned_turns().get()
    rescue.rescue_turn(found)
    rescue.rescue_turn(found)  # two look at once
    with pytest.raises(life.LeaseLost):
        life.renew(mine)
    assert kinds(turn).count("turn.requeued") == 1


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("given_up", [True, False])
def test_a_worker_that_stood_still_asks_before_it_says_another_word(
    turn: Turn, living_workers: None, settings: Any, given_up: bool
) -> None:
    mine = life.claim(turn.id, State.GENERATING)
    assert mine
    watch = Watch(mine)
    assert watch.holds()
    watch._renewed -= 2 * settings.HAVRE_LEASE_SECONDS
    if given_up:
        expire(turn)
        rescue.rescue_turn(selectors.abandoned_turns().get())
    assert watch.holds() is not given_up
    assert watch.lost is given_up


@pytest.mark.django_db(transaction=True)
def test_a_slow_worker_is_not_a_lost_one(turn: Turn, living_workers: None, settings: Any) -> None:
    settings.HAVRE_LEASE_SECONDS = 0.6
    mine = life.claim(turn.id, State.RETRIEVING)
    assert mine
    with life.kept(mine):
        time.sleep(1.2)
        assert not selectors.abandoned_turns().exists()
    life.store_passages(mine, [], True)
    time.sleep(0.3)
    assert life.claim(turn.id, State.GENERATING), "nothing renews a claim that was given back"
    settings.HAVRE_TURN_DEADLINE_SECONDS = 0
    with life.kept(mine):  # it hangs
        time.sleep(0.9)
    assert selectors.abandoned_turns().exists()


@pytest.mark.django_db(transaction=True)
def test_a_worker_that_renewed_in_time_is_left_alone(turn: Turn, living_workers: None) -> None:
    mine = life.claim(turn.id, State.GENERATING)
    assert mine
    expire(turn)
    found = selectors.abandoned_turns().get()
    life.renew(mine)
    rescue.rescue_turn(found)
    life.finish(mine, State.COMPLETED, answer="in time")
    turn.refresh_from_db()
    assert (turn.state, turn.recoveries) == (State.COMPLETED, 0)


@pytest.mark.django_db(transaction=True)
def test_stop_while_the_guidelines_are_searched(turn: Turn, cast: Cast, valkey_server: str) -> None:
    searching = life.claim(turn.id, State.RETRIEVING)
    assert searching
    rescue.cancel_turn(cast.anna, turn.id)
    turn.refresh_from_db()
    assert turn.state == State.CANCELLED
    with pytest.raises(life.LeaseLost):
        life.store_passages(searching, [], True)


@pytest.mark.django_db(transaction=True)
def test_a_second_stop_is_no_second_event(turn: Turn, cast: Cast, valkey_server: str) -> None:
    assert life.claim(turn.id, State.GENERATING)
    for _ in range(3):
        rescue.cancel_turn(cast.anna, turn.id)
    assert kinds(turn).count("turn.stop_asked") == 1
    rescue.end_stopped(turn.id)  # its worker does not: the socket that watches ends it
    turn.refresh_from_db()
    assert turn.state == State.CANCELLED


@pytest.mark.django_db(transaction=True)
def test_six_questions_at_once_are_one_turn(cast: Cast, living_workers: None) -> None:
    refused: list[str] = []

    def start() -> None:
        try:
            services.start_turn(cast.anna, uuid.uuid4(), ask())
        except FrameError as error:
            refused.append(error.code)

    at_once(6, start)
    assert refused == ["rate_limited"] * 5


@pytest.mark.django_db(transaction=True)
def test_a_reported_emergency_gets_its_card_while_an_answer_runs(cast: Cast, living_workers: None) -> None:
    services.start_turn(cast.anna, uuid.uuid4(), ask())
    alarm = services.start_turn(cast.anna, uuid.uuid4(), ask("My patient has just hanged himself in room 12"))
    assert (alarm.state, alarm.failure_code) == (State.REFUSED, "busy")
    assert alarm.card["level"] == "third_party"


def test_a_crisis_gets_its_card_where_the_audit_trail_refuses_every_event(cast: Cast, living_workers: None) -> None:
    def refuse(execute: Any, sql: str, params: Any, many: bool, context: Any) -> Any:
        if "INSERT INTO audit_event" in sql:  # PostgreSQL is asked for all of it in one statement
            raise IntegrityError("audit trail: an event is appended by the audit service alone")
        return execute(sql, params, many, context)

    with connection.execute_wrapper(refuse), pytest.raises(services.NotRecorded) as caught:
        services.start_turn(cast.anna, uuid.uuid4(), ask(CRISIS))
    assert caught.value.turn.card and caught.value.turn.state == State.REDIRECTED
