"""The websocket as a browser meets it, attackers included."""

import json
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest
from asgiref.sync import sync_to_async
from channels.testing import WebsocketCommunicator
from django.conf import settings as live_settings
from django.test import Client

from inference import Effort
from portal.asgi import application
from portal.chat import events, services, stored
from portal.chat import turn as life
from portal.chat.models import Conversation, State, Turn
from portal.chat.protocol import TurnStart
from tests.conftest import Cast

pytestmark = pytest.mark.django_db(transaction=True)

Connect = Callable[..., Any]
QUESTION = "What are the steps of a safety plan?"
CRISIS = "I want to kill myself tonight"
NOBODYS = str(uuid.UUID(int=7))  # a turn that nobody has asked


def start(text: str = QUESTION, ref: uuid.UUID | None = None, **more: Any) -> dict[str, Any]:
    return {"type": "turn.start", "client_ref": str(ref or uuid.uuid4()), "text": text, "effort": "low", **more}


def session_of(user: Any) -> str:
    client = Client()
    client.force_login(user)
    return client.cookies[live_settings.SESSION_COOKIE_NAME].value


@asynccontextmanager
async def socket(
    user: Any = None,
    conversation: uuid.UUID | str | None = None,
    *,
    origin: str = "http://localhost",
    session: str | None = None,
    language: str = "en",
    path: str | None = None,
) -> AsyncIterator[WebsocketCommunicator]:
    key = session or (await sync_to_async(session_of)(user) if user else "")
    cookies = f"{live_settings.SESSION_COOKIE_NAME}={key}; {live_settings.LANGUAGE_COOKIE_NAME}={language}"
    headers = [(b"origin", origin.encode()), (b"cookie", cookies.encode())]
    address = path or f"/ws/chat/{conversation or uuid.uuid4()}/"
    communicator = WebsocketCommunicator(application, address, headers=headers)
    communicator.accepted, communicator.code = await communicator.connect(timeout=30)
    try:
        yield communicator
    finally:
        await communicator.disconnect()


def place(event: dict[str, Any]) -> tuple[int, ...]:
    return tuple(map(int, event["id"].split("-")))


async def close_code(communicator: WebsocketCommunicator) -> int:
    message = await communicator.receive_output(timeout=30)
    assert message["type"] == "websocket.close"
    return int(message["code"])


async def collect(communicator: WebsocketCommunicator) -> list[dict[str, Any]]:
    """Events until the last one of a turn, or an error."""
    found: list[dict[str, Any]] = []
    while not found or found[-1]["type"] not in events.FINAL | {"error"}:
        found.append(await communicator.receive_json_from(timeout=30))
    return found


async def eventually(condition: Callable[[], Awaitable[bool]]) -> None:
    import asyncio

    for _ in range(100):
        if await condition():
            return
        await asyncio.sleep(0.05)
    raise AssertionError("it never happened")


# --- who may come in ---


async def test_a_foreign_page_cannot_open_a_socket(cast: Cast) -> None:
    async with socket(cast.anna, origin="https://elsewhere.example") as browser:
        assert not browser.accepted


@pytest.mark.parametrize(("name", "code"), [(None, 4401), ("dora", 4403), ("emil", 4403)])
async def test_only_clinicians_stay(cast: Cast, name: str | None, code: int) -> None:
    async with socket(getattr(cast, name) if name else None) as browser:
        assert await close_code(browser) == code


async def test_an_invented_session_is_nobody(cast: Cast) -> None:
    async with socket(session="a" * 32) as browser:
        assert await close_code(browser) == 4401


async def test_somebody_elses_conversation_and_unknown_addresses(cast: Cast) -> None:
    conversation = await Conversation.objects.acreate(owner=cast.anna)
    async with socket(cast.bela, conversation.id) as browser:
        assert await close_code(browser) == 4404
    async with socket(cast.anna, path="/ws/other/") as browser:
        assert await close_code(browser) == 4404


@pytest.mark.parametrize(
    ("change", "code"), [({"is_active": False}, 4401), ({"role": "admin"}, 4403), ({"password": "x"}, 4401)]
)
async def test_rights_are_asked_again_on_every_frame(
    cast: Cast, valkey_server: str, change: dict[str, Any], code: int
) -> None:
    async with socket(cast.anna) as browser:
        await browser.send_json_to({"type": "ping"})
        assert await browser.receive_json_from(timeout=30) == {"type": "pong"}
        await type(cast.anna).objects.filter(pk=cast.anna.pk).aupdate(**change)
        await browser.send_json_to(start(CRISIS))
        assert await close_code(browser) == code
    assert not await Turn.objects.aexists()


async def test_signing_out_closes_the_open_socket(cast: Cast, valkey_server: str) -> None:
    client = Client()
    await sync_to_async(client.force_login)(cast.anna)
    key = client.cookies[live_settings.SESSION_COOKIE_NAME].value
    async with socket(session=key) as browser:
        await browser.send_json_to({"type": "ping"})
        await browser.receive_json_from(timeout=30)
        await sync_to_async(client.post)("/accounts/logout/")
        assert await close_code(browser) == 4401


async def test_too_many_sockets(cast: Cast, valkey_server: str, settings: Any) -> None:
    settings.HAVRE_SOCKETS_PER_PERSON = 1
    async with socket(cast.anna) as first:
        await first.send_json_to({"type": "ping"})
        await first.receive_json_from(timeout=30)
        async with socket(cast.anna) as second:
            assert await close_code(second) == 4429
    async with socket(cast.anna) as third:
        await third.send_json_to({"type": "ping"})
        assert await third.receive_json_from(timeout=30) == {"type": "pong"}


# --- what is wrong gets an error, and the socket lives on ---


@pytest.mark.parametrize(
    ("frame", "code"),
    [
        ("{", "bad_frame"),
        ("[]", "bad_frame"),
        (json.dumps({"type": "turn.start"}), "bad_frame"),
        (json.dumps(start("x" * 40_000)), "too_large"),
        (json.dumps(start("x" * 9_000)), "too_large"),
        (json.dumps({"type": "turn.resume", "turn": NOBODYS, "after": ""}), "not_found"),
        (json.dumps({"type": "turn.resume", "turn": NOBODYS, "after": f"{2**64}-0"}), "bad_frame"),
        (json.dumps({"type": "turn.cancel", "turn": NOBODYS}), "not_found"),
        (b"\xff\xfe", "bad_frame"),
    ],
)
async def test_bad_frames(cast: Cast, valkey_server: str, frame: str | bytes, code: str) -> None:
    async with socket(cast.anna) as browser:
        if isinstance(frame, bytes):
            await browser.send_to(bytes_data=frame)
        else:
            await browser.send_to(text_data=frame)
        answer = await browser.receive_json_from(timeout=30)
        assert (answer["type"], answer["code"]) == ("error", code)
        assert answer["message"]
        await browser.send_json_to({"type": "ping"})
        assert await browser.receive_json_from(timeout=30) == {"type": "pong"}


async def test_nobody_resumes_or_cancels_somebody_elses_turn(cast: Cast, living_workers: None) -> None:
    turn = await sync_to_async(services.start_turn)(
        cast.anna, uuid.uuid4(), TurnStart(uuid.uuid4(), QUESTION, Effort.LOW)
    )
    async with socket(cast.bela) as browser:
        for frame in ("turn.resume", "turn.cancel"):
            await browser.send_json_to({"type": frame, "turn": str(turn.id), "after": ""})
            assert (await browser.receive_json_from(timeout=30))["code"] == "not_found"
    await turn.arefresh_from_db()
    assert turn.is_active


# --- a crisis ---


@pytest.mark.parametrize(("text", "language"), [(CRISIS, "en"), ("Je veux en finir ce soir, je vais me tuer", "fr")])
async def test_a_crisis_gets_its_card_with_everything_else_down(
    cast: Cast, dead_valkey: None, text: str, language: str
) -> None:
    """No Valkey, no worker, no model."""
    async with socket(cast.anna, language=language) as browser:
        await browser.send_json_to(start(text))
        found = await collect(browser)
    assert [event["type"] for event in found] == ["turn.accepted", "crisis.detected", "turn.redirected"]
    card = found[1]
    assert card["level"] == "first_person"
    phones = [line["phone"] for line in card["hotlines"]]
    assert {"3114", "15", "112"} <= set(phones)
    assert all(event["turn"] == found[0]["turn"] and event["id"] for event in found)
    turn = await Turn.objects.aget()
    assert (turn.state, turn.attempt) == (State.REDIRECTED, 0)


async def test_a_reported_emergency_shows_numbers_and_goes_on(cast: Cast, living_workers: None) -> None:
    async with socket(cast.anna) as browser:
        await browser.send_json_to(start("My patient has just swallowed a whole box of pills in front of me"))
        found = [await browser.receive_json_from(timeout=30) for _ in range(2)]
    assert [event["type"] for event in found] == ["turn.accepted", "crisis.detected"]
    assert found[1]["level"] == "third_party"
    assert found[1]["hotlines"][0]["audience"] == "emergency"


# --- one turn, many watchers ---


async def test_every_tab_sees_the_same_turn_and_a_late_one_catches_up(cast: Cast, living_workers: None) -> None:
    conversation = uuid.uuid4()
    async with socket(cast.anna, conversation) as first, socket(cast.anna, conversation) as second:
        await second.send_json_to({"type": "ping"})  # both are connected before the question is asked
        await second.receive_json_from(timeout=30)
        await first.send_json_to(start())
        accepted = await first.receive_json_from(timeout=30)
        assert await second.receive_json_from(timeout=30) == accepted
        assert accepted["question"] == QUESTION
        held = await sync_to_async(life.claim)(uuid.UUID(accepted["turn"]), State.GENERATING)
        for text in ("One. ", "Two. "):
            await sync_to_async(events.publish)(held.id, {"type": "turn.delta", "turn": str(held.id), "text": text})
        await sync_to_async(life.finish)(held, State.COMPLETED, answer="One. Two. ")
        seen = await collect(first)
        assert [event["type"] for event in seen] == ["turn.delta", "turn.delta", "turn.completed"]
        assert await collect(second) == seen
    async with socket(cast.anna, conversation) as late:
        await late.send_json_to({"type": "turn.resume", "turn": accepted["turn"], "after": ""})
        found = await collect(late)
        assert [{**event, "id": ""} for event in found] == [{**event, "id": ""} for event in (accepted, seen[-1])]
        await late.send_json_to({"type": "turn.resume", "turn": accepted["turn"], "after": seen[0]["id"]})
        found = await collect(late)
        assert found[-1]["text"] == "One. Two. "
        assert all(place(event) > place(seen[0]) for event in found), "a browser passes over what it has seen"


async def test_after_the_stream_has_expired_the_stored_answer_comes(cast: Cast, living_workers: None) -> None:
    from portal import valkey

    conversation = uuid.uuid4()
    async with socket(cast.anna, conversation) as browser:
        await browser.send_json_to(start())
        accepted = await browser.receive_json_from(timeout=30)
        held = await sync_to_async(life.claim)(uuid.UUID(accepted["turn"]), State.GENERATING)
        await sync_to_async(life.finish)(held, State.COMPLETED, answer="Write it **down** <b>now</b>.")
        await collect(browser)
        await sync_to_async(valkey.client().delete)(f"havre:turn:{held.id}")
        await browser.send_json_to({"type": "turn.resume", "turn": str(held.id), "after": accepted["id"]})
        found = await collect(browser)
    assert found[-1]["html"] == "<p>Write it <strong>down</strong> &lt;b&gt;now&lt;/b&gt;.</p>\n"
    assert all(place(event) > place(accepted) for event in found)


async def test_a_question_sent_twice_is_answered_once(cast: Cast, living_workers: None) -> None:
    frame, conversation = start(), uuid.uuid4()
    async with socket(cast.anna, conversation) as browser:
        await browser.send_json_to(frame)
        first = await browser.receive_json_from(timeout=30)
    async with socket(cast.anna, conversation) as browser:
        await browser.send_json_to(frame)
        assert await browser.receive_json_from(timeout=30) == first
    assert await Turn.objects.acount() == 1


async def test_without_valkey_a_question_fails_with_a_sentence(cast: Cast, dead_valkey: None) -> None:
    async with socket(cast.anna, language="fr") as browser:
        await browser.send_json_to(start("Quelles sont les étapes d'un plan de sécurité ?"))
        found = await collect(browser)
    assert found[-1]["type"] == "turn.failed"
    assert found[-1]["code"] == "valkey_down"
    assert "lignes d’écoute" in found[-1]["message"]


@pytest.mark.parametrize(("text", "last"), [(CRISIS, "turn.redirected"), (QUESTION, "turn.failed")])
async def test_a_full_disk_stops_answers_but_not_the_card(
    cast: Cast, valkey_server: str, monkeypatch: pytest.MonkeyPatch, text: str, last: str
) -> None:
    from django.db import OperationalError

    def full(*_: Any, **__: Any) -> None:
        raise OperationalError("database or disk is full")

    monkeypatch.setattr(Turn, "save", full)
    async with socket(cast.anna) as browser:
        await browser.send_json_to(start(text))
        found = await collect(browser)
    assert found[-1]["type"] == last
    assert ("crisis.detected" in [event["type"] for event in found]) == (text == CRISIS)


@pytest.mark.parametrize("text", [CRISIS, "My patient has just hanged himself in room 12"])
async def test_a_card_does_not_wait_for_a_database_that_hangs(
    cast: Cast, living_workers: None, monkeypatch: pytest.MonkeyPatch, text: str
) -> None:
    import threading

    released = threading.Event()
    write = services._write_once

    def hang(*arguments: Any) -> Turn:
        released.wait(20)
        return write(*arguments)

    monkeypatch.setattr(services, "_write_once", hang)
    async with socket(cast.anna) as browser, socket(cast.bela) as other:
        await browser.send_json_to(start(text))
        found = [await browser.receive_json_from(timeout=8) for _ in range(2)]
        assert [event["type"] for event in found] == ["turn.accepted", "crisis.detected"]
        await other.send_json_to({"type": "ping"})  # and nobody else waits for it
        assert await other.receive_json_from(timeout=30) == {"type": "pong"}
        released.set()
        rest = [await browser.receive_json_from(timeout=8) for _ in range(2)]
    assert {event["turn"] for event in found + rest} == {found[0]["turn"]}
    assert str((await Turn.objects.aget()).id) == found[0]["turn"]


async def test_a_database_that_fails_costs_neither_the_card_nor_the_socket(
    cast: Cast, living_workers: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    from django.db import OperationalError

    from portal.chat import consumers

    def away(*_: Any) -> None:
        raise OperationalError("the database is away")

    async with socket(cast.anna) as browser:
        await browser.send_json_to({"type": "ping"})
        await browser.receive_json_from(timeout=30)
        with monkeypatch.context() as patch:
            patch.setattr(consumers, "user_of_session", away)
            for text, last in ((CRISIS, "turn.redirected"), (QUESTION, "turn.failed")):
                await browser.send_json_to(start(text))
                found = await collect(browser)
                assert found[-1]["type"] == last
                assert ("crisis.detected" in [event["type"] for event in found]) == (text == CRISIS)
        await browser.send_json_to({"type": "ping"})
        assert await browser.receive_json_from(timeout=30) == {"type": "pong"}
    assert not consumers._sockets


async def test_too_many_frames_at_once(cast: Cast, living_workers: None) -> None:
    async with socket(cast.anna) as browser:
        for _ in range(60):
            await browser.send_json_to({"type": "ping"})
        answers = [await browser.receive_json_from(timeout=30) for _ in range(60)]
        assert {answer.get("code") for answer in answers} == {None, "rate_limited"}
        await browser.send_json_to(start(CRISIS))
        assert (await collect(browser))[-1]["type"] == "turn.redirected"


async def test_the_asking_tab_hears_everything_once(cast: Cast, living_workers: None) -> None:
    async with socket(cast.anna) as browser:
        await browser.send_json_to(start(CRISIS))
        assert len(await collect(browser)) == 3
        assert await browser.receive_nothing(timeout=1)


async def test_stored_events_are_what_was_streamed(cast: Cast, living_workers: None) -> None:
    async with socket(cast.anna) as browser:
        await browser.send_json_to(start())
        accepted = await browser.receive_json_from(timeout=30)
        held = await sync_to_async(life.claim)(uuid.UUID(accepted["turn"]), State.GENERATING)
        await sync_to_async(life.fail)(held, "deadline")
        live = [accepted, *await collect(browser)]
    turn = await Turn.objects.aget()
    kept = await sync_to_async(stored.events)(turn)
    assert [{**event, "id": ""} for event in kept] == [{**event, "id": ""} for event in live]
