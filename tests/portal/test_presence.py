"""Who closes the last page stops what runs; who is cut off, reloads or has another page open does not."""

import asyncio
import uuid
from typing import Any

import pytest
from asgiref.sync import sync_to_async
from django.conf import settings as live_settings
from django.test import Client

from portal import valkey
from portal.audit.models import Event
from portal.chat import events, presence, rescue
from portal.chat import turn as life
from portal.chat.models import State, Turn
from tests.conftest import Cast
from tests.portal.test_socket import close_code, collect, eventually, socket, start

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture(autouse=True)
def patience(settings: Any, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    settings.HAVRE_ABANDONED_SECONDS = 1
    if "dead_valkey" in request.fixturenames:
        return
    monkeypatch.setattr(presence, "HEARD_SECONDS", 0.0)  # the Valkey of the tests may be as young as they are
    request.getfixturevalue("living_workers")
    for key in valkey.client().scan_iter("havre:present:*"):  # people of other tests have the same numbers
        valkey.client().delete(key)


async def asked(browser: Any) -> Turn:
    await browser.send_json_to(start())
    accepted = await browser.receive_json_from(timeout=30)
    await eventually(lambda: _is_known(accepted))
    return await Turn.objects.select_related("conversation").aget(pk=accepted["turn"])


async def _is_known(accepted: dict[str, Any]) -> bool:
    owner = await Turn.objects.values_list("conversation__owner_id", flat=True).aget(pk=accepted["turn"])
    return not await sync_to_async(presence.is_gone)(owner)


async def state_of(turn: Turn) -> tuple[str, str]:
    await turn.arefresh_from_db()
    return turn.state, turn.failure_code


async def is_left(turn: Turn) -> bool:
    return await state_of(turn) == (State.CANCELLED, "left")


@pytest.mark.parametrize("code", [1000, 1001])
async def test_closing_the_page_stops_a_waiting_turn_after_a_while(cast: Cast, code: int) -> None:
    async with socket(cast.anna) as browser:
        turn = await asked(browser)
        await browser.disconnect(code=code)
        assert (await state_of(turn))[0] == State.QUEUED, "a reload takes a moment"
        await eventually(lambda: is_left(turn))
    asked_to, ended = [one async for one in Event.objects.filter(subject=str(turn.id)).order_by("seq")][-2:]
    payload = {"code": "left", "conversation": str(turn.conversation_id)}
    assert (asked_to.kind, asked_to.actor_id, asked_to.payload) == ("turn.stop_asked", "system", payload)
    assert ended.kind == "turn.cancelled"


async def test_closing_the_page_stops_the_worker_that_answers(cast: Cast) -> None:
    async with socket(cast.anna) as browser:
        turn = await asked(browser)
        held = await sync_to_async(life.claim)(turn.id, State.GENERATING)
        await browser.disconnect(code=1001)
    await eventually(lambda: sync_to_async(events.is_asked_to_stop)(turn.id))
    assert await sync_to_async(life.wants_to_stop)(held)
    await sync_to_async(life.finish)(held, State.CANCELLED, answer="First, ")
    assert await is_left(turn), "whoever comes back is told why"


async def test_a_lost_connection_stops_nothing(cast: Cast) -> None:
    async with socket(cast.anna) as browser:
        turn = await asked(browser)
        await browser.disconnect(code=1006)
        await asyncio.sleep(1.5)
        assert (await state_of(turn))[0] == State.QUEUED


async def test_a_reload_stops_nothing(cast: Cast) -> None:
    async with socket(cast.anna) as browser:
        turn = await asked(browser)
        await browser.disconnect(code=1001)
    async with socket(cast.anna, turn.conversation_id) as reloaded:
        await reloaded.send_json_to({"type": "turn.resume", "turn": str(turn.id), "after": ""})
        assert (await reloaded.receive_json_from(timeout=30))["type"] == "turn.accepted"
        await asyncio.sleep(1.5)
        assert (await state_of(turn))[0] == State.QUEUED


async def test_another_page_of_the_chat_and_a_source_that_is_read_keep_the_answer(cast: Cast) -> None:
    async with socket(cast.anna) as browser, socket(cast.anna) as elsewhere:
        await elsewhere.send_json_to({"type": "ping"})
        await elsewhere.receive_json_from(timeout=30)
        turn = await asked(browser)
        await eventually(sync_to_async(lambda: valkey.client().zcard(presence._key(cast.anna.pk)) == 2))
        await browser.disconnect(code=1001)
        await asyncio.sleep(1.3)
        assert (await state_of(turn))[0] == State.QUEUED
        await sync_to_async(presence.stay)(cast.anna.pk, "source", 2)
        await elsewhere.disconnect(code=1001)
        await asyncio.sleep(1.3)
        assert (await state_of(turn))[0] == State.QUEUED


async def test_signing_out_stops_what_runs_at_once(cast: Cast, settings: Any) -> None:
    settings.HAVRE_ABANDONED_SECONDS = 600
    client = Client()
    await sync_to_async(client.force_login)(cast.anna)
    async with socket(session=client.cookies[live_settings.SESSION_COOKIE_NAME].value) as browser:
        turn = await asked(browser)
        await sync_to_async(client.post)("/accounts/logout/")
        await eventually(lambda: is_left(turn))


async def test_signing_out_on_one_device_leaves_the_other_its_answer(cast: Cast) -> None:
    client = Client()
    await sync_to_async(client.force_login)(cast.anna)
    key = client.cookies[live_settings.SESSION_COOKIE_NAME].value
    async with socket(cast.anna) as ward, socket(session=key) as office:
        await office.send_json_to({"type": "ping"})
        await office.receive_json_from(timeout=30)
        turn = await asked(ward)
        await sync_to_async(client.post)("/accounts/logout/")
        assert (await office.receive_output(timeout=30))["code"] == 4401
        await asyncio.sleep(0.5)
        assert (await state_of(turn))[0] == State.QUEUED


def test_nobody_elses_answer_is_stopped(cast: Cast) -> None:
    from tests.portal.test_waiting import ask

    hers, his = ask(cast.anna), ask(cast.bela)
    rescue.stop_left(cast.anna.pk)
    hers.refresh_from_db()
    his.refresh_from_db()
    assert (hers.state, his.state) == (State.CANCELLED, State.QUEUED)


async def test_a_page_of_another_web_process_that_a_restarted_valkey_has_forgotten_keeps_the_answer(
    cast: Cast, monkeypatch: pytest.MonkeyPatch
) -> None:
    age = iter([0, 0, 1])  # seconds for which Valkey runs
    server = valkey.client()
    monkeypatch.setattr(presence, "HEARD_SECONDS", 1.0)
    monkeypatch.setattr(server, "info", lambda section: {"uptime_in_seconds": next(age, 1)})
    async with socket(cast.anna) as browser:
        turn = await asked(browser)
        await sync_to_async(server.delete)(presence._key(cast.anna.pk))
        await browser.disconnect(code=1001)
    await asyncio.sleep(1.5)  # the last page that Valkey knows of is closed, but Valkey has not heard of all
    await sync_to_async(presence.stay)(cast.anna.pk, "elsewhere", 4)
    await asyncio.sleep(2)
    assert (await state_of(turn))[0] == State.QUEUED


def test_where_nobody_knows_nobody_is_gone(dead_valkey: None) -> None:
    assert not presence.is_gone(1)
    presence.stay(1, "page")
    presence.close(1, "page")


def test_a_page_that_says_nothing_any_more_does_not_count(valkey_server: str) -> None:
    person = uuid.uuid4().int % 10**9
    presence.stay(person, "lost", -1)
    assert presence.is_gone(person)
    presence.stay(person, "open")
    assert not presence.is_gone(person)


async def test_a_valkey_that_has_forgotten_the_other_page_stops_nothing(cast: Cast) -> None:
    async with socket(cast.anna) as other, socket(cast.anna) as browser:
        turn = await asked(browser)
        await sync_to_async(valkey.client().delete)(f"havre:present:{turn.conversation.owner_id}")  # it was restarted
        await browser.disconnect(code=1001)
        await asyncio.sleep(1.5)
        assert (await state_of(turn))[0] == State.QUEUED
        await other.disconnect(code=1001)
        await eventually(lambda: is_left(turn))


async def _has_joined(conversation: uuid.UUID) -> bool:
    return any(str(conversation) in str(key) for key in valkey.client().scan_iter("*group*"))


async def test_who_came_before_a_conversation_was_somebody_elses_hears_nothing(cast: Cast) -> None:
    conversation = uuid.uuid4()
    async with socket(cast.bela, conversation) as before:
        await eventually(lambda: _has_joined(conversation))
        async with socket(cast.anna, conversation) as browser:
            await browser.send_json_to(start("I want to kill myself tonight"))
            assert (await collect(browser))[-1]["type"] == "turn.redirected"
            assert await close_code(before) == 4404
