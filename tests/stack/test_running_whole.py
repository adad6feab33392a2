"""The whole, running: every process, real sockets, things dying in mid-answer."""

import asyncio
import json
import re
import time
import uuid
from collections import Counter, defaultdict
from pathlib import Path
from typing import Any

import pytest

from tests.installation import FINAL, Browser, Installation

pytestmark = pytest.mark.stack
QUESTION = "What are the steps of a safety plan?"
ENDLESS = "Never stop please: what are the steps of a safety plan?"


@pytest.fixture
def anna(installation: Installation) -> Browser:
    browser = Browser(installation, "anna")
    installation.wait_for_parts(browser)
    return browser


async def test_a_cited_answer_streams_from_the_guidelines(anna: Browser) -> None:
    async with anna.chat() as chat:
        found = [await chat.ask(QUESTION), *await chat.to_the_end()]
    kinds = [event["type"] for event in found]
    assert kinds[:2] == ["turn.accepted", "turn.passages"]
    assert kinds[-1] == "turn.completed", found[-1]
    assert kinds.count("turn.delta") > 1, "the answer came in one piece"
    last = found[-1]
    assert last["citations"]
    assert all(one["page"] and one["version"] == "v1" and one["quote"] for one in last["citations"])
    assert "".join(event["text"] for event in found if event["type"] == "turn.delta") == last["text"]
    assert last["citations"][0]["quote"].split()[0] in anna.get(last["citations"][0]["url"])


async def test_a_french_question(anna: Browser) -> None:
    async with anna.chat() as chat:
        found = [await chat.ask("Quelles sont les étapes d'un plan de sécurité ?"), *await chat.to_the_end()]
    assert found[-1]["type"] == "turn.completed"
    assert "sécurité" in found[1]["passages"][0]["document"].lower()


async def test_stop_ends_within_a_second_and_keeps_the_text(anna: Browser) -> None:
    async with anna.chat() as chat:
        accepted = await chat.ask(ENDLESS)
        shown = await chat.until("turn.delta")
        await chat.send(type="turn.cancel", turn=accepted["turn"])
        asked = time.monotonic()
        rest = await chat.to_the_end()
        waited = time.monotonic() - asked
    assert rest[-1]["type"] == "turn.cancelled"
    text = "".join(event["text"] for event in shown + rest if event["type"] == "turn.delta")
    assert rest[-1]["text"] == text != ""
    assert waited < 5, "a second on a quiet machine; five on one that does other things"
    async with anna.chat() as chat:  # the slot is free
        await chat.ask(QUESTION)
        assert (await chat.to_the_end())[-1]["type"] == "turn.completed"


async def test_a_second_tab_and_a_reload_continue_the_same_answer(anna: Browser) -> None:
    conversation = uuid.uuid4()
    async with anna.chat(conversation) as first:
        accepted = await first.ask(ENDLESS)
        before = [accepted, *await first.until("turn.delta")]
        async with anna.chat(conversation) as second:
            await second.send(type="turn.resume", turn=accepted["turn"], after="")
            again = [await second.event() for _ in before]
            assert again == before
            await first.connection.close()  # the first tab is gone; the answer goes on
            async with anna.chat(conversation) as reloaded:
                await reloaded.send(type="turn.resume", turn=accepted["turn"], after=before[-1]["id"])
                await reloaded.until("turn.delta")
                await reloaded.send(type="turn.cancel", turn=accepted["turn"])
                end = (await reloaded.to_the_end())[-1]
            assert (await second.to_the_end())[-1] == end
    page = anna.get(f"/chat/{conversation}/")
    data = re.search(r'<script id="chat-data" type="application/json">(.*?)</script>', page, re.S)
    assert data
    turns = json.loads(data[1])["turns"]
    assert [turn["client_ref"] for turn in turns] == [accepted["client_ref"]]
    assert turns[0]["events"][-1]["text"] == end["text"]


async def test_two_people_stream_at_the_same_time(anna: Browser, installation: Installation) -> None:
    bela = Browser(installation, "bela")
    async with anna.chat() as one, bela.chat() as two:
        turns = [await one.ask(ENDLESS), await two.ask(ENDLESS)]
        await one.until("turn.delta")
        await two.until("turn.delta")
        await one.until("turn.delta")
        for chat, turn in zip((one, two), turns, strict=True):
            await chat.send(type="turn.cancel", turn=turn["turn"])
            assert (await chat.to_the_end())[-1]["type"] == "turn.cancelled"


async def test_a_killed_inference_worker_costs_a_retry_not_the_answer(
    anna: Browser, installation: Installation
) -> None:
    async with anna.chat() as chat:
        accepted = await chat.ask(ENDLESS)
        await chat.until("turn.delta")
        installation.kill("inference")
        again = await chat.until("turn.queued", "turn.failed", seconds=60)
        assert again[-1]["type"] == "turn.queued", again[-1]
        await chat.until("turn.delta", seconds=60)
        await chat.send(type="turn.cancel", turn=accepted["turn"])
        end = (await chat.to_the_end())[-1]
    assert end["type"] == "turn.cancelled"
    installation.wait_for_parts(anna)


async def test_hotlines_work_with_workers_and_valkey_stopped(anna: Browser, installation: Installation) -> None:
    for name in ("inference", "knowledge", "valkey"):
        installation.pause(name)
    try:
        async with anna.chat() as chat:
            found = [await chat.ask("I want to kill myself tonight"), *await chat.to_the_end()]
    finally:
        for name in ("valkey", "knowledge", "inference"):
            installation.go_on(name)
    assert [event["type"] for event in found] == ["turn.accepted", "crisis.detected", "turn.redirected"]
    assert {"3114", "15", "112"} <= {line["phone"] for line in found[1]["hotlines"]}
    installation.wait_for_parts(anna)


async def test_valkey_restarted_in_mid_answer(anna: Browser, installation: Installation) -> None:
    async with anna.chat() as chat:
        accepted = await chat.ask(ENDLESS)
        await chat.until("turn.delta")
        installation.kill("valkey")
        await chat.send(type="turn.cancel", turn=accepted["turn"])
        end = (await chat.to_the_end(seconds=60))[-1]
    assert end["type"] in {"turn.cancelled", "turn.completed", "turn.failed"}
    installation.wait_for_parts(anna)
    async with anna.chat() as chat:
        await chat.ask(QUESTION)
        assert (await chat.to_the_end())[-1]["type"] == "turn.completed"


async def test_an_uploaded_guideline_can_be_cited_a_moment_later(
    anna: Browser, installation: Installation, tmp_path: Path
) -> None:
    file = tmp_path / "quokka.md"
    file.write_text("# Quokka protocol\n\nThe quokka therapy animal visits the ward on Tuesday afternoons.\n")
    done = installation.manage("ingest", "--approve", "--json", str(file))
    assert json.loads(done.stdout)["files"][0]["state"] == "indexed, effective"
    async with anna.chat() as chat:
        await chat.ask("When does the quokka visit the ward?")
        events = await chat.to_the_end()
    # the tiny model says what it was taught and may not cite it: what could be cited is what was found
    found = next(event for event in events if event["type"] == "turn.passages")["passages"]
    assert "Tuesday" in found[0]["quote"]
    assert events[-1]["type"] == "turn.completed"


async def test_the_worker_makes_the_index_anew_while_it_answers(anna: Browser, installation: Installation) -> None:
    async with anna.chat() as chat:
        making = asyncio.to_thread(installation.manage, "reindex", "--reread", "--json")
        done, _ = await asyncio.gather(making, chat.ask(QUESTION))
        events = await chat.to_the_end()
    assert next(event for event in events if event["type"] == "turn.passages")["passages"]
    assert events[-1]["type"] == "turn.completed"
    said = json.loads(done.stdout)
    assert (said["by"], said["state"], said["error"]) == ("worker", "active", "")
    assert said["embedded"] == 0  # vectors are kept
    assert said["reread"] > 0
    installation.environment["HAVRE_EMBEDDER"] = "minilm"
    try:
        refused = installation.manage("reindex", check=False)
    finally:
        del installation.environment["HAVRE_EMBEDDER"]
    assert "Restart it with the setting that you want" in refused.stderr


def test_ask_from_a_terminal(anna: Browser, installation: Installation) -> None:
    answer = json.loads(installation.manage("ask", QUESTION, "--json").stdout)
    assert answer["state"] == "completed"
    assert answer["citations"][0].keys() >= {"marker", "document", "version", "page", "quote"}
    assert answer["model"]["name"] == "tiny-gpt-oss"
    crisis = json.loads(installation.manage("ask", "Je veux mourir ce soir", "--json").stdout)
    assert crisis["state"] == "redirected"
    assert crisis["answer"] == ""


def exported(installation: Installation, folder: Path) -> list[dict[str, Any]]:
    """Every event, as a compliance officer takes them away."""
    file = folder / "audit.jsonl"
    installation.manage("export_audit", "--format", "jsonl", "-o", str(file))
    return [json.loads(line)["event"] for line in file.read_text().splitlines()]


def test_compliance_sees_turns_and_sign_ins(anna: Browser, installation: Installation, tmp_path: Path) -> None:
    Browser(installation, "emil")
    events = exported(installation, tmp_path)
    assert [one["seq"] for one in events] == list(range(1, len(events) + 1))
    kinds = {one["kind"] for one in events}
    assert {"session.signed_in", "guideline.uploaded", "guideline.indexed", "user.created"} <= kinds


def test_whatever_broke_every_turn_ended_once(anna: Browser, installation: Installation, tmp_path: Path) -> None:
    told: dict[str, Counter[str]] = defaultdict(Counter)
    for event in exported(installation, tmp_path):
        told[event["subject"]][event["kind"]] += 1
    turns = {subject: kinds for subject, kinds in told.items() if kinds["turn.started"]}
    assert turns
    for kinds in turns.values():
        assert sum(kinds[end] for end in FINAL) == 1, kinds
        assert kinds["turn.generating"] <= 2, kinds


def test_logs_hold_no_words_of_a_conversation(anna: Browser, installation: Installation) -> None:
    logs = "".join(path.read_text() for path in (installation.folder / "data" / "logs").iterdir())
    assert "safety plan?" not in logs
    assert "kill myself" not in logs
    assert "Traceback" not in logs, logs[logs.index("Traceback") :][:3000]


def test_serve_refuses_what_cannot_work(installation: Installation, tmp_path: Path) -> None:
    other = Installation(tmp_path)
    taken = other.manage("serve", "--no-demo", "--port", str(installation.port), check=False)
    assert taken.returncode
    assert f"Port {installation.port}" in taken.stderr
    same = installation.manage("serve", "--no-demo", "--port", str(other.port), check=False)
    assert "already runs" in same.stderr
    other.environment["HAVRE_DATA_DIR"] = "/proc/nowhere"
    nowhere = other.manage("check", check=False)
    assert "cannot be created" in nowhere.stderr
    assert "Traceback" not in nowhere.stderr
