"""Nothing is answered without its record: the disk is full, the database takes nothing or is held, a key is missing."""

import threading
import time
import uuid
from pathlib import Path
from typing import Any

import pytest
from asgiref.sync import sync_to_async
from django.test import Client
from django.urls import reverse

from portal import vault
from portal.audit.models import Event
from portal.chat import consumers, events, late, sealed, services, showing, spool, stored, writing
from portal.chat import turn as life
from portal.chat.models import Conversation, State, Turn
from portal.chat.protocol import TurnStart, parse
from portal.chat.streaming import Pieces, Watch
from tests.conftest import PASSWORD, Cast
from tests.portal.obstacles import Lift, Obstacle
from tests.portal.streams import stream_of
from tests.portal.test_socket import collect, socket, start

pytestmark = pytest.mark.django_db(transaction=True)

LONG = "What are the steps of a safety plan? " * 5000
CRISIS = "I want to kill myself tonight. "
OBSTACLES = ("disk full", "read only", "held", "no audit key", "no master key")


@pytest.fixture(autouse=True)
def hasty(monkeypatch: pytest.MonkeyPatch) -> None:
    """The sentence comes within five seconds in life; tests do not wait for that long."""
    assert services._PATIENCE_SECONDS < 4 and writing._TRY_SECONDS < 4 and writing._SAY_AFTER_SECONDS < 4
    monkeypatch.setattr(services, "_PATIENCE_SECONDS", 0.2)
    monkeypatch.setattr(writing, "_TRY_SECONDS", 0.2)
    monkeypatch.setattr(late, "_TRY_SECONDS", 0.2)
    monkeypatch.setattr(writing, "_SAY_AFTER_SECONDS", 0.3)


def ask(text: str) -> TurnStart:
    frame = {"type": "turn.start", "client_ref": str(uuid.uuid4()), "text": text[:4000], "effort": "low"}
    start = parse(frame)
    assert isinstance(start, TurnStart)
    return start


def begun(cast: Cast) -> Turn:
    """A turn that a worker answers."""
    turn = Turn.objects.create(
        conversation=Conversation.objects.create(owner=cast.anna, title="Plan"), client_ref=uuid.uuid4(),
        question="What belongs into a safety plan?", language="en", effort="low", state=State.RETRIEVING, covered=True,
    )  # fmt: skip
    held = life.claim(turn.pk, State.GENERATING)
    assert held and held.question
    return held


def texts(turn: Turn) -> list[str]:
    return [one["text"] for one in stream_of(turn) if one["type"] == "turn.delta"]


def told(turn: Turn) -> list[str]:
    return [one["message"] for one in stream_of(turn) if one.get("rule") == writing.NOT_WRITTEN]


# --- at the question ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", OBSTACLES)
def test_a_question_that_cannot_be_written_down_is_not_answered(
    name: str, cast: Cast, living_workers: None, obstacle: Obstacle
) -> None:
    lift = obstacle(name)
    with pytest.raises(services.NotRecorded) as caught:
        services.start_turn(cast.anna, uuid.uuid4(), ask(LONG))
    lift()
    events = stored.events(caught.value.turn)
    assert [one["type"] for one in events] == ["turn.accepted", "turn.failed"]
    assert events[-1]["code"] == ("key_missing" if "key" in name else "not_recorded")
    assert "Hotlines keep working" in events[-1]["message"]
    assert not Turn.objects.exists() and not Conversation.objects.exists()
    assert not Event.objects.filter(kind__startswith="turn.").exists()
    assert late.write_down() == 0


@pytest.mark.parametrize("name", OBSTACLES)
def test_a_card_shows_all_the_same_and_its_record_follows(
    name: str, cast: Cast, living_workers: None, obstacle: Obstacle
) -> None:
    conversation, start = uuid.uuid4(), ask(CRISIS + LONG)
    lift = obstacle(name)
    with pytest.raises(services.NotRecorded) as caught:
        services.start_turn(cast.anna, conversation, start)
    if name in {"read only", "held", "no audit key"}:
        assert late.write_down() == 0, "not yet"
    lift()
    assert caught.value.turn.card and caught.value.turn.state == State.REDIRECTED
    for file in spool._folder().glob("*.sealed"):
        assert b"kill" not in file.read_bytes()
    assert late.write_down() == 1
    assert late.write_down() == 0
    (event,) = Event.objects.filter(kind="crisis.shown")
    assert event.subject == str(caught.value.turn.pk) and event.payload["shown_at"]
    if name == "no master key":
        return  # at least that it was
    turn = Turn.objects.get(pk=caught.value.turn.pk)
    assert (turn.state, turn.question, event.actor.name) == (State.REDIRECTED, start.text, "anna")
    assert event.payload["question"] == sealed.proof(turn, "question")


def test_a_card_that_was_written_down_after_all_is_recorded_once(cast: Cast, living_workers: None) -> None:
    start = ask(CRISIS)
    turn = services.start_turn(cast.anna, uuid.uuid4(), start)
    services.unwritten(cast.anna.pk, turn.conversation_id, start, uuid.uuid4())  # type: ignore[attr-defined]
    late.write_down()
    assert Turn.objects.count() == 1 and not Event.objects.filter(kind="crisis.shown").exists()


def test_a_full_disk_has_room_for_a_card(monkeypatch: pytest.MonkeyPatch) -> None:
    spool.reserve()
    write, tries = spool._write_once, []

    def full_until_something_is_given_up(path: Path, whole: bytes) -> None:
        tries.append(path)
        if (path.parent / "reserve").exists():
            raise OSError(28, "No space left on device")
        write(path, whole)

    monkeypatch.setattr(spool, "_write_once", full_until_something_is_given_up)
    values = {"turn": str(uuid.uuid4()), "question": "x"}
    spool.keep("x", values)
    assert len(tries) == 2
    assert [one.values() for one in spool.kept()] == [values]


# --- in mid-answer -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["disk full", "read only", "held", "no audit key"])
def test_no_word_of_an_answer_is_shown_before_it_is_recorded(
    name: str, cast: Cast, obstacle: Obstacle, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("portal.chat.streaming._SHOW_SECONDS", 0)
    turn = begun(cast)
    pieces = Pieces(turn, Watch(turn))
    pieces.add("First [1]. ")
    pieces.show()
    lift = obstacle(name)
    for text in (LONG, "Then this. "):
        pieces.add(text)
        pieces.show()
    assert texts(turn) == ["First [1]. "]
    assert len(told(turn)) == 1 and "nothing is shown without" in told(turn)[0]
    lift()
    pieces.add("Last.")
    pieces.show(all=True)
    assert texts(turn) == ["First [1]. ", f"{LONG}Then this. Last."]
    life.finish(turn, State.COMPLETED, answer="".join(texts(turn)))
    _proves_all(turn)


def _proves_all(turn: Turn) -> None:
    """What was shown, byte for byte, from the audit trail and what is kept."""
    turn = Turn.objects.get(pk=turn.pk)
    shown = list(showing.pieces(turn))
    events = list(Event.objects.filter(kind="turn.shown", subject=str(turn.pk)).order_by("seq"))
    assert [one.text for one in shown] == texts(turn)
    proofs = [sealed.commitment(one.salt, one.text) for one in shown]
    assert proofs == [one.payload["commitment"] for one in events]
    ended = Event.objects.get(kind="turn.completed", subject=str(turn.pk))
    chain = showing.chain_of(turn.pk, ended.payload["attempt"], proofs)
    assert ended.payload["shown"] == {"pieces": len(shown), "chain": chain}
    assert ended.payload["answer"] == sealed.proof(turn, "answer")
    assert showing.chain_of(turn.pk, ended.payload["attempt"], proofs[::-1]) != chain


def test_whoever_lost_the_turn_shows_nothing(cast: Cast) -> None:
    turn = begun(cast)
    Turn.objects.filter(pk=turn.pk).update(attempt=99)
    watch = Watch(turn)
    pieces = Pieces(turn, watch)
    pieces.add("mine")
    pieces.show()
    assert texts(turn) == [] and watch.lost
    assert not Event.objects.filter(kind="turn.shown").exists()


def test_what_is_taken_back_stays_provable_and_is_no_part_of_the_answer(cast: Cast) -> None:
    turn = begun(cast)
    life.show(turn, "Wrong. ")
    life.begin_anew(turn)
    life.show(turn, "Right.")
    assert showing.text_of(turn) == "Right."
    assert [(one.attempt, one.text) for one in showing.pieces(turn)] == [(1, "Wrong. "), (2, "Right.")]
    assert life.end(turn.pk, State.CANCELLED, among=(State.GENERATING,))
    assert Turn.objects.get(pk=turn.pk).answer == "Right."


# --- as a browser meets it ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["held", "no audit key", "no master key"])
@pytest.mark.parametrize("text", ["What are the steps of a safety plan?", CRISIS])
async def test_a_browser_gets_a_sentence_or_the_card(
    name: str, text: str, cast: Cast, living_workers: None, obstacle: Obstacle
) -> None:
    async with socket(cast.anna) as browser:
        lift = await sync_to_async(obstacle)(name)
        await browser.send_json_to(start(text))
        found = await collect(browser)
        await sync_to_async(lift)()
    kinds = [one["type"] for one in found]
    assert "crisis.detected" in kinds if text == CRISIS else kinds[-1] == "turn.failed"
    assert not {"turn.delta", "turn.completed", "error"} & set(kinds)


async def test_a_question_that_hangs_is_said_to_wait(
    cast: Cast, living_workers: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert consumers._CARD_SECONDS + consumers._SAY_SECONDS < 5
    monkeypatch.setattr(consumers, "_SAY_SECONDS", 0.1)
    released = threading.Event()
    write = services._write_once

    def hang(*arguments: Any) -> Turn:
        released.wait(20)
        return write(*arguments)

    monkeypatch.setattr(services, "_write_once", hang)
    async with socket(cast.anna) as browser:
        await browser.send_json_to(start("What are the steps of a safety plan?"))
        found = [await browser.receive_json_from(timeout=20) for _ in range(2)]
        released.set()
        found.append(await browser.receive_json_from(timeout=20))
    assert [one["type"] for one in found] == ["turn.accepted", "guardrail.notice", "turn.accepted"]
    assert found[1]["rule"] == writing.NOT_WRITTEN and len({one["turn"] for one in found}) == 1


# --- on the way to it --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["read only", "held", "no audit key"])
def test_whoever_waits_is_told_when_no_worker_can_write_that_it_begins(
    name: str, cast: Cast, obstacle: Obstacle, monkeypatch: pytest.MonkeyPatch
) -> None:
    turn = begun(cast)
    Turn.objects.filter(pk=turn.pk).update(state=State.QUEUED, lease_until=None)
    lift = obstacle(name)
    with monkeypatch.context() as patch, pytest.raises(writing.UNWRITABLE):
        patch.setattr(writing, "_PATIENCE_SECONDS", 0)
        life.claim(turn.pk, State.RETRIEVING)
    assert len(told(turn)) == 1
    events.forget([turn.pk])
    monkeypatch.setattr(writing, "time", clock(turn, lift))
    held = life.claim(turn.pk, State.RETRIEVING)
    assert held and held.attempt == 2, "and it is taken as soon as that can be written"


def test_passages_wait_for_their_record_and_are_not_lost(
    cast: Cast, obstacle: Obstacle, monkeypatch: pytest.MonkeyPatch
) -> None:
    turn = begun(cast)
    lift = obstacle("held")
    monkeypatch.setattr(writing, "time", clock(turn, lift))
    life.store_passages(turn, [], True)
    assert len(told(turn)) == 1
    assert Event.objects.filter(kind="turn.passages").count() == 1


def clock(turn: Turn, lift: Lift) -> Any:
    """Whoever waits a moment does so until the person has been told; then what is in the way is lifted."""

    class Clock:
        monotonic = staticmethod(time.monotonic)

        @staticmethod
        def sleep(_: float) -> None:
            assert {one["type"] for one in stream_of(turn)} <= {"guardrail.notice"}
            time.sleep(0.05)
            if told(turn):
                lift()

    return Clock


# --- at its end --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["disk full", "read only", "held", "no audit key"])
def test_an_answer_waits_for_its_record_and_is_completed_once(
    name: str, cast: Cast, obstacle: Obstacle, monkeypatch: pytest.MonkeyPatch
) -> None:
    turn = begun(cast)
    monkeypatch.setattr(writing, "time", clock(turn, obstacle(name)))
    life.finish(turn, State.COMPLETED, answer=LONG)
    assert [one["type"] for one in stream_of(turn)] == ["guardrail.notice", "turn.completed"]
    assert Turn.objects.get(pk=turn.pk).answer == LONG
    assert Event.objects.filter(kind="turn.completed").count() == 1


def test_an_answer_that_is_never_recorded_is_never_shown(
    cast: Cast, obstacle: Obstacle, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(writing, "_PATIENCE_SECONDS", 0)
    turn = begun(cast)
    lift = obstacle("no audit key")
    with pytest.raises(vault.NoKey):
        life.finish(turn, State.COMPLETED, answer="The answer.")
    assert stream_of(turn) == []
    lift()
    assert Turn.objects.get(pk=turn.pk).is_active


# --- signing in --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["read only", "no audit key"])
def test_nobody_signs_in_unrecorded(name: str, cast: Cast, client: Client, obstacle: Obstacle) -> None:
    lift = obstacle(name)
    page = client.post(reverse("login"), {"username": "anna", "password": PASSWORD})
    lift()
    assert page.status_code == 503 and "Nothing can be written down" in page.content.decode()
    assert client.get(reverse("home")).status_code == 302
