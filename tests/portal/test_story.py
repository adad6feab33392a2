"""One turn's whole story: what is known without a word of it, the words with a reason, and how each event stands."""

import uuid
from typing import Any

import pytest
from django.db import connection, transaction
from django.test import Client
from django.urls import reverse

from portal import vault
from portal.audit import _triggers, proving, sealing
from portal.audit.models import Checkpoint, Event
from portal.audit.proving import Standing, proofs
from portal.audit.services import record
from portal.chat.models import Conversation, ConversationKey, Piece, State, Turn
from portal.chat.protocol import Effort, TurnStart
from portal.chat.services import start_turn
from portal.chat.turn import claim, finish, show, store_passages
from tests.conftest import Cast

QUESTION = "Which steps has a plan for QUESTION-WORD?"
ANSWER = "First the warning signs. ANSWER-WORD <b>bold</b> [1]"
THOUGHTS = "THOUGHT-WORD <script>alert(1)</script>"
QUOTE = "PASSAGE-WORD: write the plan with the person."
REASON = "Complaint 2026-117: the answer contradicts the guideline."
WORDS = ("QUESTION-WORD", "ANSWER-WORD", "THOUGHT-WORD", "PASSAGE-WORD")
SHA256 = "9" * 64
NOBODY = uuid.UUID("99999999-9999-4999-8999-999999999999")


def passage(**changed: Any) -> dict[str, Any]:
    return {
        "marker": 1, "document": "Safety plan", "version": "v1", "page": 2, "page_label": "2", "heading": "Steps",
        "quote": QUOTE, "score": 0.8, "url": "/x/", "chunk_id": 1, "version_id": str(NOBODY),
        "guideline_id": str(NOBODY),
    } | changed  # fmt: skip


@pytest.fixture
def turn(cast: Cast, living_workers: None) -> Turn:
    """A turn of anna's that went the whole way, with pieces that were shown."""
    start = TurnStart(client_ref=uuid.uuid4(), text=QUESTION, effort=Effort.LOW)
    begun = start_turn(cast.anna, uuid.uuid4(), start, queue=False)  # type: ignore[arg-type]
    assert begun.is_active
    taken = claim(begun.id, State.RETRIEVING)
    assert taken
    store_passages(taken, [passage()], True)
    taken = claim(begun.id, State.GENERATING)
    assert taken
    for text in (ANSWER[:24], ANSWER[24:]):
        show(taken, text)
    model = {"name": "gpt-oss-20b", "sha256": SHA256, "architecture": "gpt-oss", "quantization": "MXFP4"}
    cited = [passage()]
    values = {"answer": ANSWER, "thoughts": THOUGHTS, "groundedness": 0.87, "model": model, "citations": cited}
    finish(taken, State.COMPLETED, **values)
    return Turn.objects.get(pk=begun.id)


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


@pytest.mark.parametrize("loss", ["erased", "unreadable"])
def test_what_cannot_be_read_says_why_and_the_attempt_is_an_event(
    loss: str, officer: Client, turn: Turn, tmp_path: Any, settings: Any
) -> None:
    if loss == "erased":
        ConversationKey.objects.all().delete()
    else:
        settings.HAVRE_MASTER_KEY_FILE = tmp_path / "other.key"
        vault.make_master_key()
    page = ask(officer, turn)
    assert "ANSWER-WORD" not in page and "notice--caution" in page
    assert [(one.payload["outcome"], "opened" in one.payload) for one in readings()] == [(loss, False)]


def test_an_erased_conversation_keeps_its_story_and_says_so(officer: Client, turn: Turn) -> None:
    ConversationKey.objects.all().delete()
    Conversation.objects.update(erased_at=turn.finished_at)
    sealing.seal("minute")
    page = officer.get(page_of(turn)).content.decode()
    assert "was erased on" in page and "<textarea" not in page and "Every event is proven" in page


def test_what_cannot_be_recorded_is_not_opened(officer: Client, turn: Turn, tmp_path: Any, settings: Any) -> None:
    settings.HAVRE_AUDIT_KEY_FILE = tmp_path / "none.key"
    page = ask(officer, turn)
    assert "ANSWER-WORD" not in page and "cannot be recorded" in page


def test_words_that_were_exchanged_in_the_database_do_not_fit(officer: Client, turn: Turn) -> None:
    turn.answer = "Another ANSWER-WORD."
    turn.save()
    page = ask(officer, turn)
    assert "These are not the words that were recorded" in page
    assert page.count("These are the very words that were recorded") == 2


def test_a_piece_that_was_put_in_another_ones_place_is_not_opened(officer: Client, turn: Turn) -> None:
    first, second = Piece.objects.order_by("number")
    Piece.objects.filter(pk=second.pk).update(words=first.words)
    assert "ANSWER-WORD" not in ask(officer, turn)
    assert readings()[0].payload["outcome"] == "unreadable"


# --- how single events stand -------------------------------------------------------------------------------------


def make(number: int) -> list[Event]:
    with transaction.atomic():
        return [record("x.happened", actor="system", payload={"n": one}) for one in range(number)]


def test_an_event_is_proven_by_the_checkpoint_that_covers_it(db: None) -> None:
    first = make(3)
    one = sealing.seal("minute")
    second = make(5)
    two = sealing.seal("minute")
    sealing.seal("minute")
    late = make(1)
    found = proofs([*late, *first, *second])
    assert {found[event.seq].checkpoint for event in first} == {one.number}
    assert {found[event.seq].checkpoint for event in second} == {two.number}
    assert {found[event.seq].standing for event in [*first, *second]} == {Standing.PROVEN}
    assert found[late[0].seq] == proving.Proof(Standing.WAITING)


@pytest.mark.parametrize("what", ["payload", "leaf", "neighbour", "signature", "root", "size"])
def test_an_event_that_is_not_what_was_recorded_is_wrong(db: None, what: str) -> None:
    events = make(4)
    checkpoint = sealing.seal("minute")
    _triggers.remove(connection)
    chosen = Event.objects.filter(seq=events[1].seq)
    if what == "payload":
        chosen.update(payload={"n": 99})
    elif what == "leaf":
        chosen.update(leaf=b"\x00" * 32)
    elif what == "neighbour":
        Event.objects.filter(seq=events[2].seq).update(leaf=b"\x00" * 32)
    elif what == "signature":
        Checkpoint.objects.filter(pk=checkpoint.pk).update(signature=b"\x00" * 64)
    elif what == "size":
        Checkpoint.objects.filter(pk=checkpoint.pk).update(tree_size=99)
    else:
        Checkpoint.objects.filter(pk=checkpoint.pk).update(body=checkpoint.body.replace('"root":"', '"root":"0'))
    assert proofs(chosen)[events[1].seq].standing is Standing.WRONG
    _triggers.install(connection)


def test_a_checkpoint_over_too_many_events_is_left_to_the_full_verification(
    db: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(proving, "_MOST_BETWEEN", 2)
    events = make(4)
    sealing.seal("minute")
    assert proofs(events)[events[0].seq].standing is Standing.SEALED
