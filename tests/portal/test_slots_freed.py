"""Who stops, leaves or is over the time frees the slot at once: somebody else's answer begins in it. With the real
engine, whose slots are all taken by answers without an end."""

import asyncio
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from django.db import connection

import inference
from inference import Effort
from portal.accounts.models import User
from portal.chat import presence, rescue, services
from portal.chat.answering import generate_answer
from portal.chat.models import State, Turn
from portal.chat.protocol import TurnStart
from portal.chat.retrieving import retrieve_passages
from tests.conftest import Cast
from tests.portal.streams import shown_text

pytestmark = [
    pytest.mark.django_db(transaction=True),
    pytest.mark.usefixtures("living_workers", "active_model", "guideline"),
]
QUESTION = "What are the steps of a safety plan?"
ENDLESS = "Never stop please: what are the steps of a safety plan?"
DEADLINE = 4
Begin = Callable[[str, str], Turn]


@pytest.fixture
def begin(cast: Cast, settings: Any) -> Iterator[Begin]:
    """Ask for somebody, in a thread that plays the worker; whatever runs at the end is stopped."""
    settings.HAVRE_MAX_TOKENS = 30_000
    turns: list[Turn] = []
    threads: list[threading.Thread] = []

    def answer(turn: Turn) -> None:
        try:
            generate_answer(turn.id)
        finally:
            connection.close()

    def start(name: str, text: str) -> Turn:
        person = User.objects.create(username=name, role="clinician")
        frame = TurnStart(uuid.uuid4(), text, Effort.LOW)
        turn = services.start_turn(person, uuid.uuid4(), frame, queue=False)
        assert retrieve_passages(turn.id)
        turns.append(turn)
        threads.append(threading.Thread(target=answer, args=[turn]))
        threads[-1].start()
        return turn

    yield start
    for turn in turns:
        rescue.stop_left(turn.conversation.owner_id)
    for thread in threads:
        thread.join(20)


def first_words(turn: Turn, seconds: float = 30) -> float:
    """When the first words of the answer are there."""
    deadline = time.monotonic() + seconds
    while not shown_text(turn.id):
        assert time.monotonic() < deadline, "no word of the answer"
        time.sleep(0.01)
    return time.monotonic()


def stop(turn: Turn) -> float:
    rescue.cancel_turn(turn.conversation.owner, turn.id)
    return time.monotonic()


def leave(turn: Turn) -> float:
    """What the web process does when the last page was closed and nobody came back."""
    asyncio.run(presence._after_a_while(turn.conversation.owner_id, "page"))
    return time.monotonic()


def wait_for_the_deadline(turn: Turn) -> float:
    while Turn.objects.get(pk=turn.pk).state == State.GENERATING:
        time.sleep(0.01)
    return time.monotonic()


@pytest.mark.parametrize(
    ("end", "state", "code"),
    [
        (stop, State.CANCELLED, ""),
        (leave, State.CANCELLED, "left"),
        (wait_for_the_deadline, State.FAILED, "deadline"),
    ],
)
def test_the_slot_is_free_within_a_second(
    begin: Begin,
    settings: Any,
    monkeypatch: pytest.MonkeyPatch,
    end: Callable[[Turn], float],
    state: State,
    code: str,
    capsys: Any,
) -> None:
    settings.HAVRE_ABANDONED_SECONDS = 0
    monkeypatch.setattr(presence, "HEARD_SECONDS", 0.0)  # the Valkey of the tests may be as young as they are
    model = inference.loaded()
    assert model
    others = [begin(f"busy{number}", ENDLESS) for number in range(model.slots - 1)]
    for turn in others:
        first_words(turn)
    settings.HAVRE_TURN_DEADLINE_SECONDS = DEADLINE if code == "deadline" else 300
    mine = begin("mine", ENDLESS)
    first_words(mine)
    settings.HAVRE_TURN_DEADLINE_SECONDS = 300
    waiting = begin("waiting", QUESTION)
    time.sleep(0.3)
    assert not shown_text(waiting.id), "every slot is taken"
    begun = end(mine)
    seconds = first_words(waiting) - begun
    with capsys.disabled():
        print(f"\n{end.__name__}: the slot was taken again after {seconds:.2f} s", end=" ")
    assert seconds < 5, "a second on a quiet machine; five on one that does other things"
    first = Turn.objects.get(pk=mine.pk)
    while first.is_active:
        first.refresh_from_db()
    assert (first.state, first.failure_code) == (state, code)
    assert first.answer, "what was shown is kept"
    assert all(Turn.objects.get(pk=turn.pk).is_active for turn in others), "nobody else was stopped"
