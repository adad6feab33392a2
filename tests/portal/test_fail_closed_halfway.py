"""What happens between two writes: the database goes away behind a question, a process ends behind a card."""

import threading
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from asgiref.sync import sync_to_async
from django.db import OperationalError

from portal import vault
from portal.audit.models import Event
from portal.chat import consumers, dispatch, late, selectors, services, spool, stored, tasks, waiting
from portal.chat.models import State, Turn
from portal.parts import Parts
from tests.conftest import Cast
from tests.portal.test_fail_closed import CRISIS, ask
from tests.portal.test_socket import collect, socket, start

pytestmark = pytest.mark.django_db(transaction=True)

QUESTION = "What are the steps of a safety plan?"
EMERGENCY = "My patient has just hanged himself in room 12"


# --- a question that is written down, and then the database is away -----------------------------------------------


def _away(*_: Any, **__: Any) -> Any:
    raise OperationalError("the connection is lost")


def _keyless(*_: Any, **__: Any) -> Any:
    raise vault.NoKey("no key")


_PLACES: list[tuple[Any, str, Any]] = [
    (waiting, "line", _away),
    (stored, "beginning", _keyless),
    (services, "fail_unheld", _keyless),
    (services, "hand_over_unheld", _away),
    (Turn, "refresh_from_db", _away),
]


def test_a_question_that_is_written_down_is_left_to_the_rescue_and_not_lost(
    cast: Cast, living_workers: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    for place, name, break_off in _PLACES:
        sent: list[uuid.UUID] = []
        with monkeypatch.context() as patch:
            patch.setattr(dispatch, "retrieve", sent.append)
            if name == "fail_unheld":
                patch.setattr(Parts, "failure_code", lambda self: "knowledge_down")
            if name == "hand_over_unheld":
                patch.setattr(Parts, "without_model", lambda self: "no_model")
            if name == "line":
                patch.setattr(services, "_admit", lambda turn, present: setattr(turn, "position", 3))
            patch.setattr(place, name, break_off)
            turn = services.start_turn(cast.anna, uuid.uuid4(), ask(QUESTION))
        assert Turn.objects.get().pk == turn.pk and turn.is_active, name
        assert Event.objects.filter(kind="turn.started", subject=str(turn.pk)).count() == 1
        assert bool(sent) == (name != "fail_unheld"), "a worker hears of it all the same"
        Turn.objects.update(enqueued_at="2026-01-01T00:00:00Z")
        assert selectors.abandoned_turns().get().pk == turn.pk, "and otherwise it is found"
        Turn.objects.all().delete()


# --- a card that is shown while its record is on its way ----------------------------------------------------------


@pytest.fixture
def hanging(monkeypatch: pytest.MonkeyPatch) -> Iterator[threading.Event]:
    """Writing a question down takes until this is set. Whoever writes one has ended before the database is emptied."""
    released = threading.Event()
    write, start_turn = services._write_once, services.start_turn
    ended: list[threading.Event] = []

    def hang(*arguments: Any) -> Turn:
        released.wait(20)
        return write(*arguments)

    def noted(*arguments: Any, **named: Any) -> Turn:
        ended.append(threading.Event())
        this = ended[-1]
        try:
            return start_turn(*arguments, **named)
        finally:
            this.set()

    monkeypatch.setattr(services, "_write_once", hang)
    monkeypatch.setattr(services, "start_turn", noted)
    yield released
    released.set()
    assert all(one.wait(20) for one in ended)


async def _until_the_card(browser: Any) -> None:
    found = [await browser.receive_json_from(timeout=20) for _ in range(2)]
    assert [one["type"] for one in found] == ["turn.accepted", "crisis.detected"]


@pytest.mark.parametrize("text", [CRISIS, EMERGENCY])
async def test_a_process_that_ends_behind_a_card_leaves_its_record(
    text: str, cast: Cast, living_workers: None, hanging: threading.Event, monkeypatch: pytest.MonkeyPatch
) -> None:
    kept: list[list[str]] = []
    send = consumers.ChatConsumer._send

    async def note_what_is_kept(self: Any, event: dict[str, Any]) -> None:
        if event["type"] == "crisis.detected":
            kept.append([one.stem for one in spool._folder().glob("*.sealed")])
        await send(self, event)

    monkeypatch.setattr(consumers.ChatConsumer, "_send", note_what_is_kept)
    async with socket(cast.anna) as browser:
        await browser.send_json_to(start(text))
        await _until_the_card(browser)
        assert kept and kept[0], "it was kept before it was sent"
        assert await sync_to_async(late.write_down)() == 1  # as after the process has ended here
        turn = await Turn.objects.aget()
        assert kept[0] == [str(turn.pk)] and turn.card
        assert turn.state == (State.REDIRECTED if text == CRISIS else State.FAILED)
        hanging.set()
        assert (await collect(browser))[-1]["type"] == f"turn.{turn.state}"  # and it did not end after all
    assert await Event.objects.filter(kind="crisis.shown").acount() == 1
    assert not await Event.objects.filter(kind="turn.started").aexists(), "one record, and not two"


async def test_a_card_that_may_still_be_written_is_not_written_twice(
    cast: Cast, living_workers: None, hanging: threading.Event
) -> None:
    async with socket(cast.anna) as browser:
        await browser.send_json_to(start(EMERGENCY))
        await _until_the_card(browser)
        await sync_to_async(tasks.write_down_cards)()
        assert not await Turn.objects.aexists(), "whoever shows it is at it"
        hanging.set()
        accepted = await browser.receive_json_from(timeout=20)
    assert accepted["type"] == "turn.accepted"
    turn = await Turn.objects.aget()
    assert turn.is_active and turn.card, "and the question is answered beside it"
    await sync_to_async(late.write_down)()
    assert not await Event.objects.filter(kind="crisis.shown").aexists()
    assert not list(spool._folder().glob("*.sealed"))


@pytest.mark.parametrize("text", [CRISIS, EMERGENCY])
async def test_a_card_that_can_be_kept_nowhere_is_shown(
    text: str,
    cast: Cast,
    living_workers: None,
    hanging: threading.Event,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
) -> None:
    (tmp_path / "spool").touch()  # no folder can be made here, whoever tries
    monkeypatch.setattr(spool, "_folder", lambda: tmp_path / "spool" / "cards")
    async with socket(cast.anna) as browser:
        await browser.send_json_to(start(text))
        await _until_the_card(browser)
        assert [one.levelname for one in caplog.records if "kept nowhere" in one.message] == ["CRITICAL"]


async def test_a_card_does_not_wait_for_a_disk_that_hangs(
    cast: Cast, living_workers: None, hanging: threading.Event, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(spool, "_write", lambda path, whole: hanging.wait(20))
    async with socket(cast.anna) as browser:
        await browser.send_json_to(start(CRISIS))
        await _until_the_card(browser)
        hanging.set()
