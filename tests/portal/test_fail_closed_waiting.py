"""What a worker has finished waits for its record, and nobody begins it anew meanwhile; whoever stops it is heard."""

import time
from collections.abc import Callable
from typing import Any

import pytest
from django.db import (
    DatabaseError,
    DataError,
    IntegrityError,
    InterfaceError,
    NotSupportedError,
    OperationalError,
    ProgrammingError,
    connection,
)
from django.test import Client
from django.urls import reverse

from portal.audit.models import Event
from portal.chat import answering, events, rescue, retrieving, selectors, streaming, tasks, writing
from portal.chat import turn as life
from portal.chat.access import NotAllowed
from portal.chat.models import Quotation, State, Turn
from portal.chat.streaming import Watch
from portal.database import patience
from portal.valkey import client
from tests.conftest import PASSWORD, Cast
from tests.portal.obstacles import Obstacle
from tests.portal.streams import stream_of
from tests.portal.test_fail_closed import begun, hasty  # noqa: F401
from tests.portal.test_turns import expire, kinds

pytestmark = pytest.mark.django_db(transaction=True)

OBSTACLES = ("held", "no audit key") if connection.vendor == "sqlite" else ("held", "events held", "no audit key")


def in_the_first_pause(monkeypatch: pytest.MonkeyPatch, do: Callable[[], object]) -> None:
    """Whoever waits to write has failed once; this happens before he tries again."""
    todo = [do]

    class Clock:
        monotonic = staticmethod(time.monotonic)

        @staticmethod
        def sleep(_: float) -> None:
            while todo:
                todo.pop()()

    monkeypatch.setattr(writing, "time", Clock)


@pytest.mark.parametrize("name", OBSTACLES)
def test_a_finished_answer_that_waits_for_its_record_is_not_written_anew(
    name: str, cast: Cast, living_workers: None, obstacle: Obstacle, monkeypatch: pytest.MonkeyPatch
) -> None:
    turn = begun(cast)
    expire(turn)  # it has waited for longer than its lease
    lift = obstacle(name)

    def rescuers_come_first() -> None:
        lift()
        assert selectors.abandoned_turns().get().pk == turn.pk
        tasks.recover_turns()
        rescue.rescue_turn(Turn.objects.get(pk=turn.pk))  # as a browser that waits does

    in_the_first_pause(monkeypatch, rescuers_come_first)
    life.finish(turn, State.COMPLETED, answer="The answer.")
    after = Turn.objects.get(pk=turn.pk)
    assert (after.state, after.answer, after.attempt, after.recoveries) == (State.COMPLETED, "The answer.", 1, 0)
    assert kinds(turn) == ["turn.generating", "turn.completed"]
    assert [one["type"] for one in stream_of(turn) if one["type"].startswith("turn.")] == ["turn.completed"]


def test_one_whose_process_ends_while_it_waits_is_taken_up_after_a_lease(
    cast: Cast, living_workers: None, obstacle: Obstacle, monkeypatch: pytest.MonkeyPatch
) -> None:
    turn = begun(cast)
    expire(turn)
    lift = obstacle("held")

    class Killed(BaseException):
        pass

    def die() -> None:
        lift()
        raise Killed

    in_the_first_pause(monkeypatch, die)
    with pytest.raises(Killed):
        life.finish(turn, State.COMPLETED, answer="The answer.")
    (sign,) = client().keys(f"havre:at-work:{turn.pk}:*")
    assert 0 < client().ttl(sign) <= 15, "it says so for no longer than a lease"
    tasks.recover_turns()
    assert Turn.objects.get(pk=turn.pk).recoveries == 0
    client().delete(sign)
    tasks.recover_turns()
    assert kinds(turn)[-1] == "turn.requeued"


def test_a_claim_that_cannot_be_renewed_is_said_elsewhere(cast: Cast, living_workers: None, obstacle: Obstacle) -> None:
    if connection.vendor != "sqlite":
        pytest.skip("there only a table of the audit trail is held, and the claim is renewed")
    turn = begun(cast)
    lift = obstacle("held")
    with pytest.raises(writing.UNWRITABLE):
        life.renew(turn)
    lift()
    expire(turn)
    tasks.recover_turns()
    assert Turn.objects.get(pk=turn.pk).recoveries == 0
    life.renew(turn)


def test_without_the_database_and_without_valkey_the_row_alone_decides(
    cast: Cast, dead_valkey: None, obstacle: Obstacle
) -> None:
    turn = begun(cast)
    events.say_at_work(turn.pk, turn.attempt)
    assert not events.is_at_work(turn.pk, turn.attempt)


def test_whoever_lost_a_turn_asks_no_model(cast: Cast, living_workers: None) -> None:
    turn = begun(cast)
    expire(turn)
    tasks.recover_turns()
    for late_write in (lambda: life.prompt(turn, {"try": 1}), lambda: life.begin_anew(turn)):
        with pytest.raises(life.LeaseLost):
            late_write()
    assert not Event.objects.filter(kind="turn.prompted").exists()


# --- a database that stays away ------------------------------------------------------------------------------------


def _answer_that_cannot_be_written(turn: Turn, *_: Any) -> None:
    life.finish(turn, State.COMPLETED, answer="The answer.")


@pytest.mark.parametrize("step", ["generating", "retrieving", "quoting"])
def test_what_cannot_be_written_for_too_long_begins_again_and_has_not_failed(
    step: str, cast: Cast, living_workers: None, obstacle: Obstacle, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(writing, "_PATIENCE_SECONDS", 0)
    turn = begun(cast)
    quotation = Quotation.ASKED if step == "quoting" else ""
    Turn.objects.filter(pk=turn.pk).update(state=State.QUEUED, lease_until=None, quotation=quotation)
    lifts = []

    def put(*_: Any, **__: Any) -> Any:
        lifts.append(obstacle("no audit key"))
        if step == "generating":
            _answer_that_cannot_be_written(*_)
        return [] if step == "quoting" else _Found()

    if step == "generating":
        monkeypatch.setattr(answering, "_answer", put)
        assert answering.generate_answer(turn.pk)
    elif step == "retrieving":
        monkeypatch.setattr("knowledge.retrieve", put)
        assert not retrieving.retrieve_passages(turn.pk)
    else:
        monkeypatch.setattr("portal.chat.quoting._citations", put)
        tasks.quote_answer(str(turn.pk))
    lifts[0]()
    assert Turn.objects.get(pk=turn.pk).is_active
    expire(turn)
    client().delete(*client().keys("havre:at-work:*") or ["none"])
    tasks.recover_turns()
    assert kinds(turn)[-1] == "turn.requeued"


class _Found:
    passages, covered, embedder, confidence = (), True, "", 0.0


# --- Stop ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", OBSTACLES)
def test_a_model_stops_talking_also_where_that_cannot_be_written_down(
    name: str, cast: Cast, living_workers: None, obstacle: Obstacle, monkeypatch: pytest.MonkeyPatch
) -> None:
    turn = begun(cast)
    watch = Watch(turn)
    monkeypatch.setattr(streaming, "_STOP_CHECK_SECONDS", -1.0)
    lift = obstacle(name)
    with pytest.raises(rescue.NotWritten), patience(0.2):
        rescue.cancel_turn(cast.anna, turn.pk)  # type: ignore[arg-type]
    lift()
    assert not Turn.objects.get(pk=turn.pk).cancel_requested
    monkeypatch.setattr(streaming, "renew", lambda _: pytest.fail("the database is asked first"))
    watch._renewed = 0.0
    assert watch.is_over() and not watch.lost


def test_nobody_stops_somebody_elses_answer_by_its_sign(cast: Cast, living_workers: None) -> None:
    turn = begun(cast)
    with pytest.raises(NotAllowed):
        rescue.cancel_turn(cast.bela, turn.pk)  # type: ignore[arg-type]
    assert not events.is_asked_to_stop(turn.pk)


def test_a_renewal_that_failed_is_not_tried_at_each_token(
    cast: Cast, living_workers: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    turn = begun(cast)
    watch = Watch(turn)
    tries = []

    def away(_: Turn) -> None:
        tries.append(1)
        raise OperationalError

    monkeypatch.setattr(streaming, "renew", away)
    watch._renewed = time.monotonic() - 7
    for _ in range(20):
        assert not watch.is_over()
    assert len(tries) == 1
    watch._failed -= 2
    watch.is_over()
    assert len(tries) == 2


# --- whatever the database says --------------------------------------------------------------------------------------

TAKES_NOTHING = (
    DatabaseError("malformed"),
    ProgrammingError("no such relation"),
    NotSupportedError(),
    InterfaceError(),
)
UNFIT = (IntegrityError("there is one already"), DataError("out of range"))


@pytest.mark.parametrize("error", TAKES_NOTHING, ids=lambda one: type(one).__name__)
def test_a_database_that_takes_nothing_is_waited_for_whatever_it_says(
    error: Exception, cast: Cast, living_workers: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    turn = begun(cast)
    record, said = life.record, [error]

    def refuse(*given: Any, **more: Any) -> Any:
        if said:
            raise said[0]
        return record(*given, **more)

    monkeypatch.setattr(life, "record", refuse)
    monkeypatch.setattr(writing, "_SAY_AFTER_SECONDS", 0)
    in_the_first_pause(monkeypatch, said.clear)
    life.finish(turn, State.COMPLETED, answer="The answer.")
    assert stream_of(turn)[-1]["type"] == "turn.completed"
    assert kinds(turn).count("turn.completed") == 1


@pytest.mark.parametrize("error", UNFIT, ids=lambda one: type(one).__name__)
def test_what_does_not_fit_in_the_database_is_waited_for_by_nobody(
    error: Exception, cast: Cast, living_workers: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    turn = begun(cast)

    def refuse(*_: Any, **__: Any) -> None:
        raise error

    monkeypatch.setattr(life, "record", refuse)
    in_the_first_pause(monkeypatch, lambda: pytest.fail("it waits"))
    with pytest.raises(writing.Unfit):
        life.finish(turn, State.COMPLETED, answer="The answer.")


@pytest.mark.skipif(connection.vendor == "sqlite", reason="there a table that is missing is an OperationalError")
def test_a_table_that_is_missing_is_said_to_whoever_waits(
    cast: Cast, living_workers: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    turn = begun(cast)
    monkeypatch.setattr(writing, "_PATIENCE_SECONDS", 0)
    monkeypatch.setattr(writing, "_SAY_AFTER_SECONDS", 0)
    with connection.cursor() as cursor:
        cursor.execute("ALTER TABLE audit_event RENAME TO gone_event")
    try:
        pieces = streaming.Pieces(turn, Watch(turn))
        pieces.add("A piece.")
        pieces.show(all=True)
        with pytest.raises(writing.UNWRITABLE):
            life.finish(turn, State.COMPLETED, answer="The answer.")
        page = Client().post(reverse("login"), {"username": "anna", "password": PASSWORD})
    finally:
        with connection.cursor() as cursor:
            cursor.execute("ALTER TABLE gone_event RENAME TO audit_event")
    assert [one.get("rule") for one in stream_of(turn)] == [writing.NOT_WRITTEN]
    assert page.status_code == 503 and Turn.objects.get(pk=turn.pk).is_active
