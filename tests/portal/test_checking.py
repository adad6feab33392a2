"""A clinician verifies an answer: opens its sources, says that it was checked, takes that back. Each is an event."""

import json
import re
import uuid
from datetime import timedelta
from typing import Any

import pytest
from django.db import connection
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from knowledge.models import Department, Guideline, GuidelineVersion
from portal.audit import _triggers
from portal.audit.models import Event
from portal.chat import checking
from portal.chat.models import Conversation, ConversationKey, State, Turn
from tests.conftest import Cast

KINDS = ("turn.source_opened", "turn.verified", "turn.verification_withdrawn")
VERSION = uuid.UUID(int=7)


@pytest.fixture
def turn(cast: Cast) -> Turn:
    passage = {
        "marker": 1, "document": "Safety plan", "version": "v1", "page": 2, "page_label": "2", "heading": "Steps",
        "quote": "Write the plan with the person.", "score": 0.8, "url": "/x/", "chunk_id": 1,
        "version_id": str(VERSION), "guideline_id": str(VERSION),
    }  # fmt: skip
    return Turn.objects.create(
        conversation=Conversation.objects.create(owner=cast.anna, title="Safety plan"), client_ref=uuid.uuid4(),
        question="What?", answer="The plan [1].", language="en", effort="low", state=State.COMPLETED,
        finished_at=timezone.now(), passages=[passage], citations=[passage], groundedness=0.9,
    )  # fmt: skip


@pytest.fixture
def reader(client: Client, cast: Cast) -> Client:
    client.force_login(cast.anna)
    return client


def said() -> list[tuple[str, Any]]:
    found = Event.objects.filter(kind__in=KINDS).order_by("seq")
    return [(one.kind, one.actor.name) for one in found]


def click(client: Client, turn: Turn, wanted: bool = True) -> Any:
    return client.post(reverse("chat:checked", args=[turn.id]), {"checked": "1" if wanted else ""})


def on_the_page(client: Client, turn: Turn) -> dict[str, Any]:
    page = client.get(reverse("chat:conversation", args=[turn.conversation_id])).content.decode()
    data = re.search(r'<script id="chat-data" type="application/json">(.*?)</script>', page)
    assert data
    found: dict[str, Any] = json.loads(data[1])["checks"]["turns"]
    return found


def test_opening_a_source_is_an_event_without_its_words(reader: Client, turn: Turn) -> None:
    assert reader.get(reverse("chat:passage", args=[turn.id, 1])).status_code == 200
    event = Event.objects.get(kind="turn.source_opened")
    assert (event.subject, event.actor_role) == (str(turn.id), "clinician")
    assert event.payload["marker"] == 1 and event.payload["version_id"] == str(VERSION)
    assert event.payload["conversation"] == str(turn.conversation_id)
    assert "Write the plan" not in json.dumps(event.payload)


def test_a_source_is_shown_even_where_that_cannot_be_recorded(
    reader: Client, turn: Turn, settings: Any, tmp_path: Any
) -> None:
    settings.HAVRE_AUDIT_KEY_FILE = tmp_path / "none.key"
    assert reader.get(reverse("chat:passage", args=[turn.id, 1])).status_code == 200
    assert said() == []


def test_a_check_stands_again_after_a_reload_and_is_recorded_once(reader: Client, turn: Turn) -> None:
    assert on_the_page(reader, turn) == {}
    answer = click(reader, turn).json()["check"]
    assert 0 < answer["undo_seconds"] <= 60
    click(reader, turn)
    assert said() == [("turn.verified", "anna")]
    assert list(on_the_page(reader, turn)) == [str(turn.id)]


def test_it_can_be_taken_back_for_a_minute_and_said_again(reader: Client, turn: Turn) -> None:
    click(reader, turn)
    assert click(reader, turn, wanted=False).json() == {"check": None}
    assert on_the_page(reader, turn) == {}
    click(reader, turn)
    assert [kind for kind, _ in said()] == ["turn.verified", "turn.verification_withdrawn", "turn.verified"]
    _triggers.remove(connection)
    Event.objects.filter(kind="turn.verified").update(at=timezone.now() - timedelta(seconds=61))
    _triggers.install(connection)
    assert click(reader, turn, wanted=False).status_code == 409
    assert on_the_page(reader, turn)[str(turn.id)]["undo_seconds"] == 0


def test_nothing_is_taken_back_that_was_not_said(reader: Client, turn: Turn) -> None:
    assert click(reader, turn, wanted=False).json() == {"check": None}
    assert said() == []


@pytest.mark.parametrize("state", [State.GENERATING, State.FAILED, State.REDIRECTED, State.REFUSED, State.CANCELLED])
def test_only_a_completed_answer_is_checked(reader: Client, turn: Turn, state: State) -> None:
    Turn.objects.filter(pk=turn.pk).update(state=state)
    assert click(reader, turn).status_code == 409
    assert said() == []


def test_an_answer_that_is_withheld_or_erased_is_not_checked(reader: Client, turn: Turn) -> None:
    guideline = Guideline.objects.create(title="Safety plan", language="en")
    GuidelineVersion.objects.create(pk=VERSION, guideline=guideline, number=1, size=1, sha256="0" * 64)
    guideline.departments.add(Department.objects.create(name="Geriatrics"))
    assert click(reader, turn).status_code == 409
    guideline.departments.clear()
    ConversationKey.objects.all().delete()
    assert click(reader, turn).status_code == 409
    assert said() == []


def test_what_cannot_be_recorded_is_not_said_to_be(reader: Client, turn: Turn, settings: Any, tmp_path: Any) -> None:
    settings.HAVRE_AUDIT_KEY_FILE = tmp_path / "none.key"
    assert click(reader, turn).status_code == 503


def test_the_story_tells_of_it(client: Client, cast: Cast, reader: Client, turn: Turn) -> None:
    reader.get(reverse("chat:passage", args=[turn.id, 1]))
    click(reader, turn)
    client.force_login(cast.emil)
    page = client.get(reverse("story", args=[turn.id])).content.decode()
    assert "Opened source 1 of the answer" in page and "Checked the answer against the guideline" in page
    assert "badge--success" in page[page.index("Checked by the reader") :][:200]


def test_undo_seconds_count_down() -> None:
    assert checking.Check(timezone.now() - timedelta(seconds=100)).undo_seconds == 0
