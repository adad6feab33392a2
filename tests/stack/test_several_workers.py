"""Several inference workers take from one line: one that is added is used, and nothing is configured for it."""

import asyncio
import json
import re
import sys
import time
from collections.abc import Iterator
from contextlib import AsyncExitStack
from pathlib import Path

import pytest
import redis

from tests.conftest import PASSWORD
from tests.installation import _TOGETHER, Browser, Installation
from tests.stack.crew import beside

pytestmark = pytest.mark.stack
QUESTION = "What are the steps of a safety plan?"
ENDLESS = "Never stop please: what are the steps of a safety plan?"
CROWD = [f"nurse{number}" for number in range(5)]


@pytest.fixture(scope="module")
def crowd(installation: Installation) -> list[Browser]:
    people = [["create_user", name, "--role", "clinician", "--password-stdin"] for name in CROWD]
    installation._run([sys.executable, "-c", _TOGETHER, PASSWORD + "\n"], json.dumps(people))
    found = [Browser(installation, name) for name in CROWD]
    installation.wait_for_parts(found[0])
    return found


@pytest.fixture
def second_worker(installation: Installation, crowd: list[Browser]) -> Iterator[None]:
    """Another inference worker, as on another card or machine."""
    with beside(installation, ["second"]):
        wait_for_slots(installation, crowd[0], 4)
        yield
    wait_for_slots(installation, crowd[0], 2)


def messages_in_the_line(installation: Installation) -> int:
    """How many messages no worker has taken."""
    line = Path(f"/proc/{installation.pids('valkey')[0]}/cmdline").read_bytes().replace(b"\0", b" ").decode()
    path = re.search(r"/\S+valkey\.sock", line)
    assert path, line
    with redis.Redis(unix_socket_path=path[0]) as connection:
        return int(connection.llen("inference"))


def wait_for_slots(installation: Installation, browser: Browser, slots: int) -> None:
    deadline = time.monotonic() + 120
    while installation.parts(browser)["slots"] != slots:
        assert time.monotonic() < deadline, installation.parts(browser)
        time.sleep(0.2)


@pytest.mark.usefixtures("second_worker")
async def test_two_workers_answer_four_at_once_and_the_fifth_is_next(
    installation: Installation, crowd: list[Browser]
) -> None:
    async with AsyncExitStack() as open_pages:
        chats = [await open_pages.enter_async_context(person.chat()) for person in crowd]
        turns = [await chat.ask(ENDLESS) for chat in chats[:4]]
        assert [turn["position"] for turn in turns] == [0, 0, 0, 0], "there are four slots, and the web process knows"
        for chat in chats[:4]:  # one worker alone has two slots: all four are written at the same time
            await chat.until("turn.delta")
        rest = [asyncio.ensure_future(chat.to_the_end()) for chat in chats[:4]]  # whoever does not read is cut off
        last = await chats[4].ask(QUESTION)
        assert last["position"] == 1
        told = await chats[4].until("turn.queued")
        assert told[-1]["position"] == 1
        deadline = time.monotonic() + 30
        while messages_in_the_line(installation) != 1:  # no busy worker has put it aside
            assert time.monotonic() < deadline
            await asyncio.sleep(0.2)
        await chats[3].send(type="turn.cancel", turn=turns[3]["turn"])
        assert (await rest[3])[-1]["type"] == "turn.cancelled"
        assert (await chats[4].to_the_end())[-1]["type"] == "turn.completed"
        for chat, turn in zip(chats[:3], turns[:3], strict=True):
            await chat.send(type="turn.cancel", turn=turn["turn"])
        assert [(await found)[-1]["type"] for found in rest[:3]] == ["turn.cancelled"] * 3
