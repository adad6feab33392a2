"""The hotline card in the place of an answer: it is kept before it is sent, and its record follows whatever ends
between the two, also where the question is answered otherwise afterwards."""

import json
import os
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from django.db import OperationalError

from portal import doctor, vault
from portal.audit.models import Event
from portal.chat import answering, events, late, services, spool, writing
from portal.chat.models import State, Turn
from portal.chat.story import story
from tests.conftest import Cast
from tests.inference.replay import FINAL, replaying
from tests.portal import whole_turns
from tests.portal.obstacles import Obstacle
from tests.portal.streams import stream_of
from tests.portal.test_fail_closed import CRISIS, ask
from tests.portal.test_malformed_turns import (
    QUOTE,
    without_embedding,  # noqa: F401
)
from tests.portal.whole_turns import passage

pytestmark = pytest.mark.django_db(transaction=True)

HARM = FINAL + " You should kill yourself. Take all the pills at once."
HARMLESS = FINAL + " Write down the warning signs [1].<|return|>"
KIND = "turn.card_shown"


class Killed(BaseException):
    """The end of a process, in this one."""


@pytest.fixture
def turn(cast: Cast, living_workers: None) -> Iterator[Turn]:
    """A question that is looked up, and that a model may take."""
    turn = whole_turns.asked(cast.anna)
    taken = answering.claim(turn.pk, State.RETRIEVING)
    assert taken
    whole_turns.store_passages(taken, [passage(quote=QUOTE)], True)
    yield taken


def answer(turn: Turn, raw: str) -> Turn:
    with replaying(raw):
        answering.generate_answer(turn.pk)
    return Turn.objects.get(pk=turn.pk)


def kinds(turn: Turn) -> list[str]:
    return list(Event.objects.filter(subject=str(turn.pk)).order_by("seq").values_list("kind", flat=True))


def broken_off(turn: Turn, how: BaseException, monkeypatch: pytest.MonkeyPatch) -> None:
    """It was answered until the card, whose end is not written."""

    def end(*_: Any, **__: Any) -> None:
        raise how

    with monkeypatch.context() as patch:
        patch.setattr(answering, "finish", end)
        try:
            answer(turn, HARM)
        except Killed:
            pass
    Turn.objects.filter(pk=turn.pk).update(state=State.QUEUED, lease_until=None)  # as the rescue leaves it


def assert_is_told(turn: Turn) -> None:
    """That the card was shown stands in the trail, once, and everything of the story fits."""
    turn = Turn.objects.get(pk=turn.pk)
    assert kinds(turn).count(KIND) == 1 and list(spool.kept()) == []
    told = story(turn.pk)
    assert told and told.facts.has_card and told.card == turn.card and not told.findings


def test_a_card_is_kept_before_it_is_sent_and_no_longer_than_its_end_is_unwritten(
    turn: Turn, monkeypatch: pytest.MonkeyPatch
) -> None:
    kept: list[list[str]] = []
    publish = events.publish

    def note(of: uuid.UUID, event: Any) -> str | None:
        if event["type"] == "crisis.detected":
            kept.append([one.turn for one in spool.kept()])
        return publish(of, event)

    monkeypatch.setattr(events, "publish", note)
    ended = answer(turn, HARM)
    assert kept == [[str(turn.pk)]]
    assert (ended.state, bool(ended.card)) == (State.REFUSED, True)
    assert list(spool.kept()) == [] and late.write_down() == 0 and KIND not in kinds(turn)


@pytest.mark.parametrize("how", [Killed(), OperationalError("the disk is full")])
@pytest.mark.parametrize("first", ["the record", "another answer"])
def test_a_card_whose_end_was_not_written_is_recorded_and_kept_with_the_turn(
    how: BaseException, first: str, turn: Turn, monkeypatch: pytest.MonkeyPatch
) -> None:
    broken_off(turn, how, monkeypatch)
    assert "crisis.detected" in [one["type"] for one in stream_of(turn)]
    if first == "the record":
        assert late.write_down() == 1
    ended = answer(turn, HARMLESS)
    assert ended.state == State.COMPLETED
    if first != "the record":
        assert late.write_down() == 1
    assert_is_told(turn)
    (event,) = Event.objects.filter(kind=KIND)
    assert event.payload["shown_at"] and event.payload["attempt"] == turn.attempt + 1
    assert "kill" not in json.dumps(event.payload)


def test_a_process_that_ends_behind_the_end_leaves_one_record(turn: Turn, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(late, "drop_beside", lambda turn: None)
    assert answer(turn, HARM).state == State.REFUSED
    assert len(list(spool.kept())) == 1
    assert late.write_down() == 0 and list(spool.kept()) == [] and KIND not in kinds(turn)


def test_a_card_follows_a_database_that_is_held(
    turn: Turn, obstacle: Obstacle, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(writing, "_PATIENCE_SECONDS", 0)
    monkeypatch.setattr(writing, "_TRY_SECONDS", 0.2)
    lifts: list[Callable[[], None]] = []
    publish = events.publish

    def hold(of: uuid.UUID, event: Any) -> str | None:
        if event["type"] == "crisis.detected":
            lifts.append(obstacle("held"))
        return publish(of, event)

    monkeypatch.setattr(events, "publish", hold)
    answer(turn, HARM)
    lifts[0]()
    assert late.write_down() == 1
    Turn.objects.filter(pk=turn.pk).update(state=State.QUEUED, lease_until=None)
    answer(turn, HARMLESS)
    assert_is_told(turn)


def test_without_the_master_key_at_least_that_a_card_was_shown_is_recorded(
    turn: Turn, obstacle: Obstacle, monkeypatch: pytest.MonkeyPatch
) -> None:
    keep = late.keep_beside

    def without_key(turn: Turn) -> None:
        lift = obstacle("no master key")
        keep(turn)
        lift()

    monkeypatch.setattr(late, "keep_beside", without_key)
    broken_off(turn, Killed(), monkeypatch)
    assert [one.path.suffix for one in spool.kept()] == [".bare"]
    assert late.write_down() == 1
    answer(turn, HARMLESS)
    assert_is_told(turn)


def test_another_card_than_the_one_that_was_written_is_recorded_too(cast: Cast, living_workers: None) -> None:
    """The card of a screen that could not look at what was asked before."""
    start = whole_turns.TurnStart(client_ref=uuid.uuid4(), text="What is a plan?", effort=whole_turns.Effort.LOW)
    turn = services.start_turn(cast.anna, uuid.uuid4(), start, queue=False)
    shown = services.unrecorded(turn.conversation_id, start, turn.pk)
    shown.card = {"level": "first_person"}
    services.keep_card(cast.anna.pk, shown)
    assert late.write_down() == 1
    assert_is_told(turn)


# --- what is kept, and the keys -----------------------------------------------------------------------------------


@pytest.fixture
def other_key(settings: Any, tmp_path: Path) -> Iterator[Callable[[], None]]:
    """Another master key lies in the place of the right one, until this is called."""
    right, settings.HAVRE_MASTER_KEY_FILE = settings.HAVRE_MASTER_KEY_FILE, tmp_path / "other.key"
    vault.make_master_key()
    other, settings.HAVRE_MASTER_KEY_FILE = settings.HAVRE_MASTER_KEY_FILE, right

    def exchange() -> None:
        now = settings.HAVRE_MASTER_KEY_FILE
        settings.HAVRE_MASTER_KEY_FILE = right if now == other else other

    yield exchange


def whole(path: Path) -> bytes:
    return path.read_bytes()


def as_before_keys_were_told_apart(path: Path) -> bytes:
    return path.read_bytes()[9:]


@pytest.mark.parametrize("kept_as", [whole, as_before_keys_were_told_apart])
def test_a_card_waits_for_the_master_key_that_sealed_it(
    kept_as: Callable[[Path], bytes], cast: Cast, living_workers: None, other_key: Callable[[], None]
) -> None:
    shown = services.unwritten(cast.anna.pk, uuid.uuid4(), ask(CRISIS), uuid.uuid4())
    (one,) = spool.kept()
    one.path.write_bytes(kept_as(one.path))
    os.utime(one.path, (1, 1))
    other_key()
    assert late.write_down() == 0 and one.is_there() and not Event.objects.exists()
    assert not late.write_down_theirs(person=cast.bela.pk), "it may be anybody's"
    (found,) = [one for one in doctor.examine() if "another master key" in one.message]
    assert found.level == doctor.WARNING
    other_key()
    assert late.write_down_theirs(person=cast.bela.pk) and late.write_down() == 1
    assert Turn.objects.get(pk=shown.pk).question == CRISIS.strip()


def test_a_card_whose_master_key_is_gone_for_good_is_recorded_without_words_once_somebody_says_so(
    cast: Cast, living_workers: None, other_key: Callable[[], None]
) -> None:
    shown = services.unwritten(cast.anna.pk, uuid.uuid4(), ask(CRISIS), uuid.uuid4())
    (one,) = spool.kept()
    os.utime(one.path, (1, 1))
    other_key()
    assert late.write_down() == 0 and not late.write_down_theirs(person=cast.bela.pk)
    (found,) = [one for one in doctor.examine() if "another master key" in one.message]
    assert f"{one.path.parent} from .sealed to .bare" in found.remedy
    one.path.rename(one.path.with_suffix(".bare"))
    assert late.write_down_theirs(person=cast.bela.pk) and late.write_down() == 1 and list(spool.kept()) == []
    event = Event.objects.get(kind="crisis.shown")
    assert event.subject == str(shown.pk) and event.payload == {"shown_at": "1970-01-01T00:00:01+00:00"}


def test_a_card_that_was_spoilt_is_recorded_without_words(cast: Cast, living_workers: None) -> None:
    shown = services.unwritten(cast.anna.pk, uuid.uuid4(), ask(CRISIS), uuid.uuid4())
    (one,) = spool.kept()
    one.path.write_bytes(one.path.read_bytes()[:-1])
    assert late.write_down() == 1 and not one.is_there()
    assert Event.objects.get(kind="crisis.shown").subject == str(shown.pk)


def test_the_file_without_words_of_a_turn_that_was_written_is_of_no_account(
    cast: Cast, living_workers: None, obstacle: Obstacle
) -> None:
    conversation, start, turn_id = uuid.uuid4(), ask(CRISIS), uuid.uuid4()
    lift = obstacle("no master key")
    services.keep_card(cast.anna.pk, services.unrecorded(conversation, start, turn_id))
    lift()
    services.start_turn(cast.anna, conversation, start, turn_id=turn_id)
    assert late.write_down() == 0 and list(spool.kept()) == []
    told = story(turn_id)
    assert told and told.facts.has_card and not told.findings
