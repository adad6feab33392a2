"""Two web processes on one Valkey, which ends and is started again: pages on both get what they are due."""

import asyncio
import json
import subprocess
import sys
import time
import uuid
from collections.abc import Iterator
from contextlib import AsyncExitStack
from typing import Any

import pytest

from portal.chat import presence
from tests.conftest import PASSWORD
from tests.installation import _TOGETHER, FINAL, ROOT, Browser, Chat, Installation, _free_port, die_with_parent

pytestmark = [pytest.mark.stack, pytest.mark.soak]  # a minute, beside the start of every process
QUESTION = "What are the steps of a safety plan?"
ENDLESS = "Never stop please: what are the steps of a safety plan?"
CROWD = ["iris", "jean", "kora"]


class Elsewhere(Installation):
    """The same installation, reached through its second web process."""

    def __init__(self, first: Installation) -> None:
        self.folder, self.environment = first.folder, first.environment
        self.port = _free_port()
        self.url = f"http://127.0.0.1:{self.port}"


@pytest.fixture(scope="module")
def elsewhere(installation: Installation) -> Iterator[Installation]:
    """A second Daphne on the same database and Valkey."""
    people = [["create_user", name, "--role", "clinician", "--password-stdin"] for name in CROWD]
    installation._run([sys.executable, "-c", _TOGETHER, PASSWORD + "\n"], json.dumps(people))
    second = Elsewhere(installation)
    command = [sys.executable, "-m", "daphne", "-b", "127.0.0.1", "-p", str(second.port), "portal.asgi:application"]
    with (installation.folder / "data" / "logs" / "web2.log").open("wb") as log:
        web = subprocess.Popen(
            command, cwd=ROOT, env=installation.environment, stdout=log, stderr=log, preexec_fn=die_with_parent
        )
    try:
        wait_until_it_answers(second)
        yield second
    finally:
        web.terminate()
        try:
            web.wait(20)
        finally:
            web.kill()


def wait_until_it_answers(web: Installation) -> None:
    deadline = time.monotonic() + 120
    while True:
        try:
            Browser(web, CROWD[0])
            return
        except OSError:
            assert time.monotonic() < deadline
            time.sleep(0.3)


@pytest.fixture
def here(installation: Installation, elsewhere: Installation) -> Installation:
    installation.wait_for_parts(Browser(installation, CROWD[0]))
    return installation


async def until_told_again(*chats: Chat) -> None:
    """Each page is told of a piece of the answer that was written after now."""
    began = time.time()
    for chat in chats:
        while True:
            event: dict[str, Any] = (await chat.until("turn.delta", *FINAL, seconds=60))[-1]
            assert event["type"] == "turn.delta", event
            if int(event["id"].partition("-")[0]) / 1000 > began:
                break


async def test_a_stream_and_a_stop_sign_outlive_valkey_for_pages_on_both(
    here: Installation, elsewhere: Installation
) -> None:
    conversation = uuid.uuid4()
    async with AsyncExitStack() as pages:
        asks = await pages.enter_async_context(Browser(here, CROWD[0]).chat(conversation))
        turn = (await asks.ask(ENDLESS))["turn"]
        await asks.until("turn.delta")
        looks = await pages.enter_async_context(Browser(elsewhere, CROWD[0]).chat(conversation))
        await looks.send(type="turn.resume", turn=turn, after="")
        await looks.until("turn.delta")
        here.kill("valkey")
        await asyncio.sleep(2)
        await until_told_again(asks, looks)
        await looks.send(type="turn.cancel", turn=turn)
        ends = [(await chat.to_the_end())[-1] for chat in (asks, looks)]
    assert [end["type"] for end in ends] == ["turn.cancelled"] * 2
    assert ends[0]["text"] == ends[1]["text"]


async def test_places_in_the_line_outlive_valkey_for_pages_on_both(here: Installation, elsewhere: Installation) -> None:
    browsers = [Browser(here, "anna"), Browser(elsewhere, CROWD[0])]
    waiting = [Browser(here, CROWD[1]), Browser(elsewhere, CROWD[2])]
    async with AsyncExitStack() as pages:
        busy = [await pages.enter_async_context(one.chat()) for one in browsers]
        turns = [(await chat.ask(ENDLESS))["turn"] for chat in busy]
        for chat in busy:
            await chat.until("turn.delta")
        rest = [asyncio.ensure_future(chat.to_the_end(seconds=120)) for chat in busy]
        line = [await pages.enter_async_context(one.chat()) for one in waiting]
        places = [(await chat.ask(QUESTION))["position"] for chat in line]
        assert places == [1, 2]
        here.kill("valkey")  # with it the messages of those who wait
        await asyncio.sleep(2)
        await busy[1].send(type="turn.cancel", turn=turns[1])
        assert (await rest[1])[-1]["type"] == "turn.cancelled"
        for chat in line:
            assert (await chat.to_the_end(seconds=120))[-1]["type"] == "turn.completed"
        await busy[0].send(type="turn.cancel", turn=turns[0])
        assert (await rest[0])[-1]["type"] == "turn.cancelled"


async def test_a_page_on_the_other_process_is_somebody_after_valkey_has_forgotten_it(
    here: Installation, elsewhere: Installation
) -> None:
    conversation = uuid.uuid4()
    async with AsyncExitStack() as open_until_the_end:
        async with Browser(here, CROWD[0]).chat(conversation) as asks:
            turn = (await asks.ask(ENDLESS))["turn"]
            await asks.until("turn.delta")
            # it has just said that it is open: it says so again later than a closed page is waited for
            other = await open_until_the_end.enter_async_context(Browser(elsewhere, CROWD[0]).chat())
            await other.send(type="ping")
            assert (await other.event())["type"] == "pong"
            here.kill("valkey")
            await asyncio.sleep(1)
        await asyncio.sleep(presence.HEARD_SECONDS + 4)  # by then it was looked who is there
        async with Browser(elsewhere, CROWD[0]).chat(conversation) as back:
            await back.send(type="turn.resume", turn=turn, after="")
            await until_told_again(back)
            await back.send(type="turn.cancel", turn=turn)
            end = (await back.to_the_end())[-1]
    assert (end["type"], end.get("code", "")) == ("turn.cancelled", ""), "a person stopped it, and nobody before"
