"""One turn's whole story: what is known without a word of it, and the words with a reason."""

import uuid
from typing import Any

import pytest
from django.test import Client
from django.urls import reverse

from portal import vault
from portal.audit import sealing
from portal.audit.models import Event
from portal.chat.erasing import By, erase
from portal.chat.models import ConversationKey, Turn
from tests.conftest import Cast
from tests.portal.whole_turns import SHA256, WORDS, answered

REASON = "Complaint 2026-117: the answer contradicts the guideline."


@pytest.fixture
def turn(cast: Cast, living_workers: None) -> Turn:
    """A turn of anna's that went the whole way, with pieces that were shown."""
    return answered(cast.anna)


@pytest.fixture
def officer(client: Client, cast: Cast) -> Client:
    client.force_login(cast.emil)
    return client


def page_of(turn: Turn) -> str:
    return reverse("story", args=[turn.id])


def readings() -> list[Event]:
    return list(Event.objects.filter(kind="conversation.read").order_by("seq"))


def ask(officer: Client, turn: Turn, reason: str = REASON, times: int = 0) -> str:
    return officer.post(page_of(turn), {"reason": reason, "times": times}).content.decode()


def test_without_a_reason_the_story_holds_no_word_of_it(officer: Client, turn: Turn) -> None:
    sealing.seal("minute")
    page = officer.get(page_of(turn)).content.decode()
    assert not [word for word in WORDS if word in page]
    assert "Every event is proven" in page and "87 %" in page and "gpt-oss-20b" in page and "Cited" in page
    assert readings() == []
    assert reverse("modelcards:card", args=[SHA256]) in page
    for event in Event.objects.filter(subject=str(turn.id)):
        assert f'id="event-{event.seq}"' in page and bytes(event.leaf).hex() in page


def test_with_a_reason_the_words_are_there_and_that_is_an_event(officer: Client, turn: Turn) -> None:
    page = ask(officer, turn)
    assert not [word for word in WORDS if word not in page]
    assert "<script>alert" not in page and "<b>bold" not in page
    assert page.count("These are the very words that were recorded") == 3 and "very passages" in page
    assert page.count("as recorded") == 2
    (event,) = readings()
    assert (event.actor.name, event.subject, event.actor_role) == ("emil", str(turn.id), "compliance")
    opened = ["question", "passages", "answer", "shown", "reasoning"]
    expected = {"conversation": str(turn.conversation_id), "reason": REASON, "outcome": "read", "opened": opened}
    assert event.payload == expected
    assert REASON in page, "who read it and why is part of the story"


def test_a_page_that_is_loaded_again_asks_again(officer: Client, turn: Turn) -> None:
    assert "ANSWER-WORD" in ask(officer, turn)
    again = ask(officer, turn)
    assert "ANSWER-WORD" not in again and "say again why" in again and len(readings()) == 1
    assert "ANSWER-WORD" in ask(officer, turn, times=1)


@pytest.mark.parametrize("reason", ["", "because", "              ", "x" * 501])
def test_without_a_good_reason_nothing_is_shown_and_nothing_recorded(officer: Client, turn: Turn, reason: str) -> None:
    page = ask(officer, turn, reason)
    assert "ANSWER-WORD" not in page and "field__error" in page
    assert readings() == []


@pytest.mark.parametrize("name", ["anna", "bela", "dora"])
def test_nobody_else_reads_it_not_even_who_asked(name: str, client: Client, cast: Cast, turn: Turn) -> None:
    client.force_login(getattr(cast, name))
    assert client.get(page_of(turn)).status_code == 403
    assert client.post(page_of(turn), {"reason": REASON, "times": 0}).status_code == 403
    assert readings() == []


def test_who_asked_does_not_read_it_even_as_an_officer_later(client: Client, cast: Cast, turn: Turn) -> None:
    people = type(cast.anna).objects  # type: ignore[attr-defined]
    people.filter(username="anna").update(role="compliance")
    client.force_login(people.get(username="anna"))
    assert client.post(page_of(turn), {"reason": REASON, "times": 0}).status_code == 404


def test_an_unknown_turn_is_not_found(officer: Client) -> None:
    assert officer.get(reverse("story", args=[uuid.uuid4()])).status_code == 404


@pytest.mark.parametrize(("loss", "sentence"), [("key_gone", "knows of no erasure"), ("unreadable", "master key")])
def test_what_cannot_be_read_says_why_and_the_attempt_is_an_event(
    loss: str, sentence: str, officer: Client, turn: Turn, tmp_path: Any, settings: Any
) -> None:
    if loss == "key_gone":
        ConversationKey.objects.all().delete()
    else:
        settings.HAVRE_MASTER_KEY_FILE = tmp_path / "other.key"
        vault.make_master_key()
    page = ask(officer, turn)
    assert "ANSWER-WORD" not in page and "notice--caution" in page and sentence in page
    assert [(one.payload["outcome"], "opened" in one.payload) for one in readings()] == [(loss, False)]


def test_an_erased_conversation_keeps_its_story_and_says_so(officer: Client, turn: Turn) -> None:
    erase(turn.conversation, By("emil"))
    sealing.seal("minute")
    page = officer.get(page_of(turn)).content.decode()
    assert "was erased on" in page and "<textarea" not in page and "Every event is proven" in page
    assert page.count("Erased: nobody can read these words any more.") == 2
    assert "ANSWER-WORD" not in ask(officer, turn) and readings() == [], "there is nothing to ask for"


def test_what_cannot_be_recorded_is_not_opened(officer: Client, turn: Turn, tmp_path: Any, settings: Any) -> None:
    settings.HAVRE_AUDIT_KEY_FILE = tmp_path / "none.key"
    page = ask(officer, turn)
    assert "ANSWER-WORD" not in page and "cannot be recorded" in page
