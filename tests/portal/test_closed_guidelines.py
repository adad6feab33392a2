"""A guideline is closed to a person's department after it was used to answer: on no road do its words come back."""

import io
import json
import uuid
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from asgiref.sync import sync_to_async
from django.test import Client
from django.urls import reverse

from knowledge.models import Department, Guideline, GuidelineVersion
from portal import valkey
from portal.chat import events, selectors, stored
from portal.chat import turn as life
from portal.chat.answering import generate_answer
from portal.chat.management.commands import ask
from portal.chat.models import Conversation, State, Turn
from portal.chat.reading import Reading, reading
from portal.chat.relay import Relay
from tests.conftest import Cast
from tests.inference.replay import replaying
from tests.portal.test_socket import collect, socket

pytestmark = pytest.mark.django_db(transaction=True)

QUESTION = "When is lithium stopped?"
SECRET = "Stop lithium above twelve millimoles"
WITHHELD = "for other departments by now"


@pytest.fixture
def version(db: None) -> GuidelineVersion:
    return a_version("Lithium")


def a_version(title: str) -> GuidelineVersion:
    return GuidelineVersion.objects.create(
        guideline=Guideline.objects.create(title=title), number=1, filename="a.md", media_type="text/markdown",
        sha256=title, size=1, state="effective", ingestion="indexed",
    )  # fmt: skip


def close(version: GuidelineVersion) -> Department:
    ward = Department.objects.create(name=f"Ward of {version.guideline.title}")
    version.guideline.departments.add(ward)
    return ward


def passage(turn: Turn, version: GuidelineVersion, marker: int = 1, quote: str = SECRET) -> dict[str, Any]:
    return {
        "marker": marker, "document": version.guideline.title, "version": "v1", "page": None, "page_label": "",
        "heading": "", "quote": f"{quote}.", "score": 0.8, "url": reverse("chat:passage", args=[turn.id, marker]),
        "chunk_id": marker, "version_id": str(version.pk), "guideline_id": str(version.guideline_id),
    }  # fmt: skip


def begun(owner: Any, version: GuidelineVersion, conversation: Conversation | None = None, **values: Any) -> Turn:
    """A turn that is being answered from this version, with the stream that a browser has followed."""
    conversation = conversation or Conversation.objects.create(owner=owner)
    turn = Turn(conversation=conversation, client_ref=uuid.uuid4(), question=QUESTION, language="en", effort="low")
    turn.passages, turn.covered, turn.state = [passage(turn, version)], True, State.RETRIEVING
    for name, value in values.items():
        setattr(turn, name, value)
    turn.save(force_insert=True)
    for event in [*stored.beginning(turn), stored.passages(Reading(turn))]:
        events.publish(turn.id, event)
    return turn


def delta(turn: Turn, text: str = SECRET) -> None:
    events.publish(turn.id, {"type": "turn.delta", "turn": str(turn.id), "text": text})


def ended(turn: Turn, state: State = State.COMPLETED, **values: Any) -> Turn:
    delta(turn)
    held = life.claim(turn.id, State.RETRIEVING if turn.quotation else State.GENERATING)
    assert held
    cited = [stored.public_passage(one) for one in turn.passages]
    life.finish(held, state, answer=f"{SECRET} [1].", citations=cited, groundedness=1.0, **values)
    return Turn.objects.get(pk=turn.pk)


def inherited(owner: Any, version: GuidelineVersion) -> Turn:
    """A later question's answer: its own passage is open, and the model had read the earlier answer."""
    first = ended(begun(owner, version))
    turn = begun(owner, a_version("Sleep"), first.conversation)
    turn.passages = [turn.passages[0] | {"quote": "Sleep at night."}]
    turn.save()
    valkey.client().delete(f"havre:turn:{turn.id}")
    held = life.claim(turn.id, State.GENERATING)
    assert held
    life.draw_from(held, selectors.history_for_model(held))
    delta(turn)
    life.finish(held, State.COMPLETED, answer=f"As I said: {SECRET}.")
    return Turn.objects.get(pk=turn.pk)


TURNS: dict[str, Callable[[Any, GuidelineVersion], Turn]] = {
    "written": lambda owner, version: ended(begun(owner, version)),
    "quoted": lambda owner, version: ended(begun(owner, version, quotation="asked")),
    "stopped": lambda owner, version: ended(begun(owner, version), State.CANCELLED),
    "failed": lambda owner, version: ended(begun(owner, version), State.FAILED, failure_code="deadline"),
    "not covered": lambda owner, version: ended(begun(owner, version, covered=False)),
    "by an earlier answer": inherited,
}


# --- the roads ---


async def by_socket(turn: Turn, frame: dict[str, Any]) -> str:
    owner = (await sync_to_async(selectors.get_turn)(turn.id)).conversation.owner
    async with socket(owner, turn.conversation_id) as browser:
        await browser.send_json_to(frame)
        return json.dumps(await collect(browser), ensure_ascii=False)


async def by_page(turn: Turn) -> str:
    def load() -> str:
        client = Client()
        client.force_login(turn.conversation.owner)
        return client.get(reverse("chat:conversation", args=[turn.conversation_id])).content.decode()

    return await sync_to_async(load)()


async def by_resume(turn: Turn) -> str:
    return await by_socket(turn, {"type": "turn.resume", "turn": str(turn.id), "after": ""})


async def by_resume_from_the_middle(turn: Turn) -> str:
    (first, _), *_ = valkey.client().xrange(f"havre:turn:{turn.id}")
    return await by_socket(turn, {"type": "turn.resume", "turn": str(turn.id), "after": first})


async def by_resume_without_a_stream(turn: Turn) -> str:
    valkey.client().delete(f"havre:turn:{turn.id}")
    return await by_resume(turn)


async def by_asking_the_same_again(turn: Turn) -> str:
    same = {"type": "turn.start", "client_ref": str(turn.client_ref), "text": QUESTION, "effort": "low"}
    return await by_socket(turn, same)


async def by_a_relay_that_was_there(turn: Turn) -> str:
    """The socket has followed the stream from the beginning and is late: all of it is still to be passed on."""
    told: list[dict[str, Any]] = []

    async def send(event: dict[str, Any]) -> None:
        told.append(event)

    connection = valkey.async_client()
    relay = Relay(connection, turn.id, "", send)
    relay._is_begun = True
    await relay.run()
    await connection.aclose()
    return json.dumps([{"question": QUESTION}, *told], ensure_ascii=False)


async def by_the_terminal(turn: Turn) -> str:
    out = io.StringIO()
    fresh = await sync_to_async(selectors.get_turn)(turn.id)
    await sync_to_async(ask.Command(stdout=out)._show)(fresh)
    result = await sync_to_async(ask._result)(fresh)
    return QUESTION + json.dumps(result, ensure_ascii=False) + out.getvalue()


ROADS: list[Callable[[Turn], Awaitable[str]]] = [
    by_page,
    by_resume,
    by_resume_from_the_middle,
    by_a_relay_that_was_there,
    by_the_terminal,
    by_asking_the_same_again,
    by_resume_without_a_stream,
]


@pytest.mark.parametrize("kind", TURNS)
async def test_no_road_shows_an_answer_from_a_guideline_that_is_closed_by_now(
    kind: str, cast: Cast, version: GuidelineVersion
) -> None:
    turn = await sync_to_async(TURNS[kind])(cast.anna, version)
    for road in ROADS[:-1] if kind == "written" else ROADS[:1]:
        assert SECRET in await road(turn), f"{road.__name__}: open, it is shown"
    ward = await sync_to_async(close)(version)
    for road in ROADS:
        shown = await road(turn)
        assert SECRET not in shown, road.__name__
        assert QUESTION in shown, f"{road.__name__}: the question stays"
        assert WITHHELD in shown, road.__name__
    assert "administrators of the guidelines" in shown
    await sync_to_async(cast.anna.departments.add)(ward)  # type: ignore[attr-defined]
    for road in ROADS[:1]:
        assert SECRET in await road(turn), f"{road.__name__}: opened again, it is shown again"


def test_a_withheld_answer_carries_nothing_of_how_it_was_made(cast: Cast, version: GuidelineVersion) -> None:
    turn = ended(begun(cast.anna, version), usage={"completion_tokens": 9}, model={"name": "gpt", "sha256": "a" * 64})
    close(version)
    event = stored.final(turn)
    assert (event["withheld"], event["citations"], event["groundedness"], event["usage"]) == (True, [], None, {})
    assert event["model"] == "" and event["html"].startswith("<p>") and "[1]" not in event["html"]


def test_sources_of_a_closed_guideline_do_not_open_and_the_others_do(
    client: Client, cast: Cast, version: GuidelineVersion
) -> None:
    turn = begun(cast.anna, version)
    turn.passages = [*turn.passages, passage(turn, a_version("Sleep"), 2, "Sleep at night")]
    turn.save()
    turn = ended(turn)
    close(version)
    client.force_login(cast.anna)  # type: ignore[arg-type]
    for marker, status in ((1, 404), (2, 200)):
        assert client.get(reverse("chat:passage", args=[turn.id, marker])).status_code == status
    assert client.get(reverse("chat:passage_image", args=[turn.id, 1, 1])).status_code == 404
    shown = stored.passages(reading(turn))["passages"]
    assert [SECRET in one["quote"] for one in shown] == [False, False] and "Sleep at night" in shown[1]["quote"]


def test_what_is_published_last_is_asked_again(cast: Cast, version: GuidelineVersion) -> None:
    """The guideline is closed while the answer is written: its end is not published with it."""
    turn = begun(cast.anna, version)
    close(version)
    turn = ended(turn)
    assert turn.answer, "it is kept: the guideline may be opened again"
    entries = valkey.client().xrevrange(f"havre:turn:{turn.id}", count=1)
    last = json.loads(entries[0][1]["event"])
    assert last["type"] == "turn.completed" and SECRET not in json.dumps(last, ensure_ascii=False)


async def test_a_browser_that_watches_loses_the_words_when_the_guideline_is_closed(
    cast: Cast, version: GuidelineVersion, living_workers: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    from portal.chat import relay

    turn = await sync_to_async(begun)(cast.anna, version)
    held = await sync_to_async(life.claim)(turn.id, State.GENERATING)
    assert held
    async with socket(cast.anna, turn.conversation_id) as browser:
        await browser.send_json_to({"type": "turn.resume", "turn": str(turn.id), "after": ""})
        found = [await browser.receive_json_from(timeout=5) for _ in range(2)]
        assert SECRET in found[1]["passages"][0]["quote"]
        await sync_to_async(close)(version)
        monkeypatch.setattr(relay, "_ASK_SECONDS", 0.0)
        await sync_to_async(delta)(turn)
        back = [await browser.receive_json_from(timeout=5) for _ in range(2)]
        assert [one["type"] for one in back] == ["turn.queued", "turn.passages"], "what was shown is taken back"
        assert WITHHELD in back[1]["passages"][0]["quote"]
        await sync_to_async(delta)(turn)
        await sync_to_async(life.finish)(held, State.COMPLETED, answer=SECRET)
        *_, last = await collect(browser)
        assert WITHHELD in last["text"] and SECRET not in json.dumps([*_, last], ensure_ascii=False)


async def test_a_browser_that_comes_back_to_a_running_answer_gets_no_words_of_it(
    cast: Cast, version: GuidelineVersion, living_workers: None
) -> None:
    turn = await sync_to_async(begun)(cast.anna, version)
    held = await sync_to_async(life.claim)(turn.id, State.GENERATING)
    assert held
    await sync_to_async(delta)(turn)
    await sync_to_async(close)(version)
    seen: list[Any] = []
    async with socket(cast.anna, turn.conversation_id) as browser:
        await browser.send_json_to({"type": "turn.resume", "turn": str(turn.id), "after": ""})
        seen += [await browser.receive_json_from(timeout=5) for _ in range(3)]
        await sync_to_async(life.finish)(held, State.COMPLETED, answer=SECRET)
        seen += await collect(browser)
    assert [one["type"] for one in seen[:3]] == ["turn.accepted", "turn.queued", "turn.passages"]
    assert WITHHELD in seen[-1]["text"]
    assert SECRET not in json.dumps(seen, ensure_ascii=False)


def test_what_a_model_read_of_earlier_answers_is_kept_before_it_writes(
    cast: Cast, version: GuidelineVersion, monkeypatch: pytest.MonkeyPatch
) -> None:
    import guardrails

    monkeypatch.setattr(guardrails, "sentence_encoder", lambda: None)
    monkeypatch.setattr(guardrails, "passage_reader", lambda: None)
    first = ended(begun(cast.anna, version))
    second = begun(cast.anna, a_version("Sleep"), first.conversation)
    third = None
    with replaying(f"<|channel|>final<|message|>{SECRET} [1].<|return|>") as engine:
        generate_answer(second.id)
        assert SECRET in engine.prompts[0]
        third = begun(cast.anna, a_version("Food"), first.conversation)
        generate_answer(third.id)
        close(version)
        fourth = begun(cast.anna, a_version("Work"), first.conversation)
        generate_answer(fourth.id)
        assert "assistant<|" in engine.prompts[1] and SECRET not in engine.prompts[-1].replace(f"{SECRET}.", "", 1)
    rows = {turn.pk: turn for turn in Turn.objects.select_related("conversation__owner")}
    assert rows[second.pk].drawn_from == [str(version.pk)]
    assert str(version.pk) in rows[third.pk].drawn_from, "also through an answer in between"
    assert rows[fourth.pk].drawn_from == [], "what was closed by then was not read"
    assert [reading(rows[one.pk]).is_withheld for one in (second, third, fourth)] == [True, True, False]


def test_what_is_quoted_after_all_draws_on_its_own_passages_alone(cast: Cast, version: GuidelineVersion) -> None:
    first = ended(begun(cast.anna, version))
    second = begun(cast.anna, a_version("Sleep"), first.conversation)
    held = life.claim(second.id, State.GENERATING)
    assert held
    life.draw_from(held, [first])
    life.hand_over(held, life.Quotation.BUSY, {}, {})
    assert Turn.objects.get(pk=second.pk).drawn_from == []
