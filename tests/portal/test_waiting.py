"""The line before the model: places, waits, and who is let in."""

import json
import uuid
from collections import Counter
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from asgiref.sync import sync_to_async
from django.utils import timezone

from inference import Effort
from portal import parts, valkey
from portal.accounts.models import User
from portal.chat import services, waiting
from portal.chat import turn as life
from portal.chat.models import Conversation, Quotation, State, Turn
from portal.chat.protocol import FrameError, TurnStart
from tests.conftest import Cast, at_once
from tests.portal.test_socket import collect, socket, start

pytestmark = pytest.mark.django_db(transaction=True)

QUESTION = "What are the steps of a safety plan?"
CRISIS = "I want to kill myself tonight"
Workers = Callable[..., None]


@pytest.fixture
def workers(valkey_server: str) -> Iterator[Workers]:
    """`workers(2, 4)`: two inference workers live, with two and with four slots; and a knowledge worker."""
    keys = [f"havre:part:knowledge:test:{number}" for number in range(9)]

    def say(*slots: int | str, model: str = "gpt") -> None:
        connection = valkey.client()
        for name, said in (("knowledge", [{"state": "ready"}]), ("inference", [_said(one, model) for one in slots])):
            for number, one in enumerate(said):
                keys.append(f"havre:part:{name}:test:{number}")
                connection.set(keys[-1], json.dumps(one), ex=60)
                connection.sadd(f"havre:parts:{name}", keys[-1])
        waiting._seen = None

    yield say
    valkey.client().delete(*keys)
    waiting._seen = None


def _said(slots: int | str, model: str) -> dict[str, Any]:
    if isinstance(slots, str):
        return {"state": slots, "slots": 4}  # what a worker that is not ready says counts for nothing
    return {"state": "ready", "slots": slots, "model": model}


def ask(person: Any, text: str = QUESTION) -> Turn:
    return services.start_turn(person, uuid.uuid4(), TurnStart(uuid.uuid4(), text, Effort.LOW))


def people(count: int) -> list[User]:
    return [User.objects.create(username=f"nurse{number}", role="clinician") for number in range(count)]


def answered(person: Any, seconds: float, model: str = "gpt", state: State = State.COMPLETED) -> None:
    Turn.objects.create(
        conversation=Conversation.objects.create(owner=person),
        client_ref=uuid.uuid4(),
        question=QUESTION,
        state=state,
        finished_at=timezone.now(),
        usage={"seconds": seconds} if seconds else {},
        model={"name": model} if model else {},
    )


@pytest.mark.parametrize(
    ("said", "slots"),
    [((), 0), ((2,), 2), ((2, 4), 6), ((2, "loading"), 2), ((2, "failed", 16), 18), (("failed",), 0)],
)
def test_slots_are_those_of_all_workers_that_are_ready(workers: Workers, said: tuple[Any, ...], slots: int) -> None:
    workers(*said)
    assert parts.look().slots == slots


@pytest.mark.parametrize(
    ("running", "slots", "places"),
    [(0, 0, [1, 2, 3]), (0, 2, [0, 0, 1]), (2, 2, [1, 2, 3]), (3, 2, [1, 2, 3]), (1, 4, [0, 0, 0]), (5, 6, [0, 1, 2])],
)
def test_places_are_counted_behind_the_free_slots(running: int, slots: int, places: list[int]) -> None:
    three = tuple(uuid.uuid4() for _ in range(3))
    line = waiting.Line(three, running, slots, 10.0)
    assert [line.place(one) for one in three] == places
    assert line.place(uuid.uuid4()) is None


@pytest.mark.parametrize(
    ("place", "slots", "seconds", "wait"),
    [(0, 2, None, 0), (1, 2, 10.0, 5), (5, 2, 10.0, 25), (5, 4, 10.0, 13), (1, 2, None, None), (1, 0, 10.0, None)],
)
def test_waits_come_from_what_was_measured_or_there_is_none(
    place: int, slots: int, seconds: float | None, wait: int | None
) -> None:
    assert waiting.Line((), slots, slots, seconds).wait(place) == wait


def test_the_measure_is_the_median_of_this_model_alone(cast: Cast, workers: Workers) -> None:
    workers(1)
    assert waiting.read().seconds is None, "nothing is measured: no number"
    answered(cast.anna, 500.0, model="another")
    answered(cast.anna, 0, model="")  # a question that nothing covered, and no model answered
    assert waiting.read().seconds is None
    for seconds in (8.0, 9.0, 10.0, 11.0, 900.0):  # one that hung tells nobody how long the others take
        answered(cast.anna, seconds)
    answered(cast.anna, 1.0, state=State.CANCELLED)  # whoever stops frees the slot early
    assert waiting.read().seconds == 9.5


def test_everybody_is_told_a_place_and_the_line_moves_up(cast: Cast, workers: Workers) -> None:
    workers(1, 1)
    answered(cast.anna, 20.0)
    turns = [ask(person) for person in people(5)]
    assert [turn.position for turn in turns] == [0, 0, 1, 2, 3]
    held = [life.claim(turn.id, State.GENERATING) for turn in turns[:2]]
    line = waiting.read()
    assert [line.place(turn.id) for turn in turns] == [None, None, 1, 2, 3]
    assert [line.wait(place) for place in (1, 2, 3)] == [10, 20, 30]
    assert held[0]
    life.finish(held[0], State.COMPLETED, answer="done")
    assert [waiting.read().place(turn.id) for turn in turns[2:]] == [0, 1, 2]
    workers(1, 1, 2)  # a worker more, and nothing is configured
    assert [waiting.read().place(turn.id) for turn in turns[2:]] == [0, 0, 0]


def test_the_limit_counts_those_who_wait_and_not_those_who_are_answered(
    cast: Cast, workers: Workers, settings: Any
) -> None:
    workers(2, 2)
    settings.HAVRE_QUEUE_LIMIT = 2
    crowd = people(9)
    turns = [ask(person) for person in crowd]
    assert [turn.quotation for turn in turns[:6]] == [""] * 6, "four are answered and two wait"
    assert [(turn.state, turn.quotation, turn.position) for turn in turns[6:8]] == [("queued", Quotation.BUSY, 0)] * 2
    assert (turns[8].state, turns[8].failure_code, turns[8].quotation) == (State.REFUSED, "queue_full", "")


@pytest.mark.parametrize("is_alive", [True, False])
def test_a_crisis_waits_for_nobody(cast: Cast, workers: Workers, settings: Any, is_alive: bool) -> None:
    """Sixty-four wait, the queue is full, the person has a question in it; or there is no worker at all."""
    if is_alive:
        workers(1)
        settings.HAVRE_QUEUE_LIMIT = 63
        for person in people(63):
            ask(person)
        assert ask(cast.anna).position == 63
    turn = ask(cast.anna, CRISIS)
    assert (turn.state, turn.position) == (State.REDIRECTED, 0)
    assert turn.card["hotlines"]


def test_one_question_at_a_time_also_in_another_conversation_and_from_a_terminal(cast: Cast, workers: Workers) -> None:
    from portal.chat.management.commands.ask import _person

    workers(2)
    for person in (cast.anna, _person()):
        first = ask(person)
        with pytest.raises(FrameError) as error:
            ask(person)
        assert error.value.code == "rate_limited"
        life.end_unheld(first.id, State.CANCELLED)
        assert ask(person).is_active


async def test_a_page_is_told_of_each_new_place(cast: Cast, workers: Workers) -> None:
    await sync_to_async(workers)(1)
    await sync_to_async(answered)(cast.anna, 30.0)
    before = await sync_to_async(people)(2)
    first, second = [await sync_to_async(ask)(person) for person in before]
    claim, finish = sync_to_async(life.claim), sync_to_async(life.finish)
    held = await claim(first.id, State.GENERATING)
    assert held
    async with socket(cast.anna) as browser:
        await browser.send_json_to(start())
        accepted = await browser.receive_json_from(timeout=5)
        assert accepted["position"] == 2
        told = [await browser.receive_json_from(timeout=5)]
        await finish(held, State.COMPLETED, answer="done")
        held = await claim(second.id, State.GENERATING)
        told.append(await browser.receive_json_from(timeout=8))
        assert held
        await finish(held, State.COMPLETED, answer="done")
        told.append(await browser.receive_json_from(timeout=8))
        assert [(one["type"], one["position"], one["eta_seconds"]) for one in told] == [
            ("turn.queued", 2, 60),
            ("turn.queued", 1, 30),
            ("turn.queued", 0, 0),
        ]
        mine = await claim(uuid.UUID(accepted["turn"]), State.GENERATING)
        assert mine
        await finish(mine, State.COMPLETED, answer="It is.")
        assert [event["type"] for event in await collect(browser)] == ["turn.completed"]


async def test_a_place_never_takes_back_words_that_were_shown(cast: Cast, workers: Workers) -> None:
    """The answer begins while the page believes that it waits, and pauses: nothing tells it to begin anew."""
    from portal.chat import events

    await sync_to_async(workers)(1)
    other = await sync_to_async(ask)((await sync_to_async(people)(1))[0])
    assert await sync_to_async(life.claim)(other.id, State.GENERATING)
    async with socket(cast.anna) as browser:
        await browser.send_json_to(start())
        accepted = await browser.receive_json_from(timeout=5)
        assert (await browser.receive_json_from(timeout=5))["position"] == 1
        mine = await sync_to_async(life.claim)(uuid.UUID(accepted["turn"]), State.GENERATING)
        assert mine
        delta = {"type": "turn.delta", "turn": accepted["turn"], "text": "First, "}
        await sync_to_async(events.publish)(mine.id, delta)
        found = await browser.receive_json_from(timeout=5)
        if found["type"] == "turn.queued":  # it looked in between: before the first word that may be said
            assert found["position"] == 0
            found = await browser.receive_json_from(timeout=5)
        assert found["type"] == "turn.delta"
        assert await browser.receive_nothing(timeout=3.5, interval=0.1), "said in the pause"


@pytest.mark.parametrize(("said", "is_left"), [((1, "failed"), True), (("failed",), False)])
def test_a_worker_without_a_model_leaves_turns_to_those_that_have_one(
    cast: Cast, workers: Workers, monkeypatch: pytest.MonkeyPatch, said: tuple[Any, ...], is_left: bool
) -> None:
    from portal.chat import answering, dispatch, tasks

    seen: list[tuple[str, uuid.UUID]] = []
    monkeypatch.setattr(tasks.inference, "loaded", lambda: None)
    monkeypatch.setattr(tasks, "_LEAVE_SECONDS", 0)
    monkeypatch.setattr(dispatch, "generate", lambda turn: seen.append(("left", turn)))
    monkeypatch.setattr(answering, "generate_answer", lambda turn: seen.append(("taken", turn)) or True)
    workers(*said)
    turn = ready(cast.anna)
    tasks.generate_answer(str(turn.id))
    assert seen == [("left" if is_left else "taken", turn.id)]


def ready(person: Any, **values: Any) -> Turn:
    """A turn whose passages are stored, with its message under way."""
    known = {"state": State.RETRIEVING, "covered": True, "language": "en", "effort": "low", **values}
    conversation = Conversation.objects.create(owner=person)
    return Turn.objects.create(conversation=conversation, client_ref=uuid.uuid4(), question=QUESTION, **known)


def claiming(monkeypatch: pytest.MonkeyPatch) -> list[uuid.UUID]:
    """The model's part is left out of answering; returns whom it took, in order."""
    from portal.chat import answering, tasks

    taken: list[uuid.UUID] = []

    def generate(turn: uuid.UUID) -> bool:
        if held := life.claim(turn, State.GENERATING):
            taken.append(held.id)
        return held is not None

    monkeypatch.setattr(answering, "generate_answer", generate)
    monkeypatch.setattr(tasks.inference, "loaded", object)
    return taken


def test_the_first_in_the_line_is_answered_first_whichever_message_comes_first(
    cast: Cast, valkey_server: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    from portal.chat import tasks

    taken = claiming(monkeypatch)
    for wrong in ({"quotation": "busy"}, {"covered": None}, {"cancel_requested": True}, {"state": State.COMPLETED}):
        ready(cast.anna, **wrong)
    turns = [ready(person).id for person in people(6)]
    order = waiting.read().waiting
    assert [one for one in order if one in turns] == turns, "as they are told their places"
    for message in (4, 0, 5, 2, 2, 1, 3):  # one came twice
        tasks.generate_answer(str(turns[message]))
    assert taken == turns


def test_each_message_takes_one_turn_and_of_many_workers_none_takes_the_same(
    cast: Cast, valkey_server: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    from portal.chat import tasks

    taken = claiming(monkeypatch)
    turns = [ready(person).id for person in people(8)]
    messages = list(reversed(turns))
    at_once(8, lambda: tasks.generate_answer(str(messages.pop())))
    assert sorted(taken) == sorted(turns)


def test_a_message_that_is_left_to_others_keeps_nobody_running_and_nobody_back(
    cast: Cast, workers: Workers, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two workers, one without a model, and its message comes first each time."""
    from portal.chat import dispatch, tasks

    taken = claiming(monkeypatch)
    pauses: list[float] = []
    line: list[uuid.UUID] = []
    monkeypatch.setattr(tasks.time, "sleep", pauses.append)
    monkeypatch.setattr(dispatch, "generate", line.append)
    workers(1, "failed")
    turns = [ready(person).id for person in people(4)]
    line += turns
    is_without = True
    while line:
        monkeypatch.setattr(tasks.inference, "loaded", lambda without=is_without: None if without else object())
        tasks.generate_answer(str(line.pop(0)))
        is_without = not is_without
    assert taken == turns
    assert pauses == [tasks._LEAVE_SECONDS] * 4 and tasks._LEAVE_SECONDS >= 0.5


def test_the_limits_hold_for_people_who_ask_in_the_same_moment(
    cast: Cast, workers: Workers, settings: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two slots, two may wait for them, two more for quotations. They meet at the database: what is screened and who is
    alive is known before."""
    verdict = services.guardrails.screen_input(QUESTION)
    monkeypatch.setattr(services.guardrails, "screen_input", lambda text, history: verdict)
    workers(2)
    present = parts.look()
    monkeypatch.setattr(services.parts, "look", lambda: present)
    settings.HAVRE_QUEUE_LIMIT = 2
    crowd = people(16)
    at_once(16, lambda: ask(crowd.pop()))
    became = Counter((one.state, one.quotation) for one in Turn.objects.all())
    assert became == {("queued", ""): 4, ("queued", Quotation.BUSY): 2, ("refused", ""): 10}
    assert sorted(Turn.objects.filter(state="queued", quotation="").values_list("position", flat=True)) == [0, 0, 1, 2]
