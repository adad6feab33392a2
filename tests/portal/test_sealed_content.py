"""What people ask and read: sealed at rest, opened by its key alone, proved by the audit trail, gone once erased."""

import json
import os
import sqlite3
import subprocess
import sys
import uuid
from pathlib import Path
from typing import Any

import pytest
from django.conf import settings as live
from django.db import connection
from django.test import Client
from django.urls import reverse

from portal import vault
from portal.audit.models import Event
from portal.chat import sealed, selectors, services, stored
from portal.chat import turn as life
from portal.chat.models import Conversation, ConversationKey, State, Turn
from portal.chat.protocol import TurnStart, parse
from portal.chat.reading import Reading
from tests.conftest import Cast

ASKED = "What does QUESTIONMARKER-7c1 belong to in a safety plan?"
SAID = "It names ANSWERMARKER-7c1 [1]."
FOUND = "Ask for PASSAGEMARKER-7c1 first."
MARKERS = (b"QUESTIONMARKER-7c1", b"ANSWERMARKER-7c1", b"PASSAGEMARKER-7c1", b"THOUGHTMARKER-7c1", b"NOTICEMARKER-7c1")


def ask(text: str = ASKED) -> TurnStart:
    frame = {"type": "turn.start", "client_ref": str(uuid.uuid4()), "text": text, "effort": "low"}
    start = parse(frame)
    assert isinstance(start, TurnStart)
    return start


def passage(turn: Turn) -> dict[str, Any]:
    return {
        "marker": 1, "document": "Plan", "version": "v1", "page": 1, "page_label": "", "heading": "Steps",
        "quote": FOUND, "score": 0.5, "url": f"/chat/turns/{turn.pk}/passages/1/", "chunk_id": 1,
        "version_id": str(uuid.uuid4()), "guideline_id": str(uuid.uuid4()),
    }  # fmt: skip


@pytest.fixture
def turn(cast: Cast, living_workers: None) -> Turn:
    """Asked, answered and ended as in life."""
    turn = services.start_turn(cast.anna, uuid.uuid4(), ask())  # type: ignore[arg-type]
    held = life.claim(turn.pk, State.RETRIEVING)
    assert held
    life.store_passages(held, [passage(held)], True)
    held = life.claim(turn.pk, State.GENERATING)
    assert held
    life.show(held, SAID)
    notices = [{"rule": "x", "message": "NOTICEMARKER-7c1"}]
    cited = [stored.public_passage(one) for one in held.passages]
    life.finish(held, State.COMPLETED, answer=SAID, citations=cited, notices=notices, thoughts="THOUGHTMARKER-7c1")
    return selectors.get_turn(turn.pk)


@pytest.mark.django_db(transaction=True)
def test_neither_the_database_nor_its_log_holds_a_word(turn: Turn) -> None:
    assert (turn.question, turn.answer, turn.thoughts) == (ASKED, SAID, "THOUGHTMARKER-7c1")
    assert turn.conversation.title == ASKED and turn.passages[0]["quote"] == FOUND
    assert turn.notices[0]["message"] == "NOTICEMARKER-7c1"
    whole = b""
    if connection.vendor == "sqlite":
        for file in Path(connection.settings_dict["NAME"]).parent.glob("test.sqlite3*"):
            whole += file.read_bytes()
        assert str(turn.pk.hex).encode() in whole, "this is where it would stand"
    else:
        with connection.cursor() as cursor:
            for table in connection.introspection.table_names():
                cursor.execute(f'SELECT coalesce(string_agg(t::text, chr(10)), $$$$) FROM "{table}" t')
                whole += cursor.fetchone()[0].encode()
        assert str(turn.pk).encode() in whole
    for marker in MARKERS:
        assert marker not in whole and marker.hex().encode() not in whole


@pytest.mark.django_db
def test_a_list_of_turns_is_opened_with_one_query(turn: Turn, django_assert_num_queries: Any) -> None:
    with django_assert_num_queries(1):
        found = Turn.objects.select_related(*sealed.WITH_KEY)
        assert [one.question + one.answer for one in found] == [ASKED + SAID]


@pytest.mark.django_db
@pytest.mark.parametrize(("column", "other"), [("asked", "said"), ("said", "asked"), ("found", "said")])
def test_what_was_sealed_opens_in_its_own_place_alone(turn: Turn, column: str, other: str) -> None:
    Turn.objects.filter(pk=turn.pk).update(**{other: getattr(turn, column)})
    moved = Turn.objects.get(pk=turn.pk)
    with pytest.raises(vault.Unreadable):
        assert moved.question and moved.answer
    assert "cannot be opened" in Reading(moved).instead


@pytest.mark.django_db
def test_whoever_may_open_a_text_can_prove_it_and_no_other(turn: Turn) -> None:
    started = Event.objects.get(kind="turn.started").payload
    ended = Event.objects.get(kind="turn.completed").payload
    for event, place, name, text in (
        (started, "question", "question", ASKED),
        (ended, "answer", "answer", SAID),
        (ended, "reasoning", "thoughts", "THOUGHTMARKER-7c1"),
        (ended, "citations", "citations", turn.citations),
    ):
        said = {key: event[place][key] for key in ("sealed_sha256", "commitment")}
        assert said == sealed.proof(turn, name)
        assert sealed.commitment(sealed.salt_of(turn, name), text) == said["commitment"]
        assert sealed.commitment(sealed.salt_of(turn, name), "another") != said["commitment"]
    assert len({sealed.salt_of(turn, name) for name in ("question", "answer", "thoughts", "passages")}) == 4


@pytest.mark.django_db
def test_the_audit_trail_says_nothing_that_could_be_guessed(turn: Turn) -> None:
    import hashlib

    trail = json.dumps(list(Event.objects.values_list("payload", flat=True)))
    for text in (ASKED, SAID, FOUND):
        assert text not in trail and hashlib.sha256(text.encode()).hexdigest() not in trail


@pytest.mark.django_db
def test_what_is_asked_again_is_sealed_with_another_salt(cast: Cast, living_workers: None) -> None:
    for _ in range(2):
        first = services.start_turn(cast.anna, uuid.uuid4(), ask())  # type: ignore[arg-type]
        life.end_unheld(first.pk, State.CANCELLED)
    proofs = [one.payload["question"]["commitment"] for one in Event.objects.filter(kind="turn.started")]
    assert len(set(proofs)) == 2


@pytest.mark.django_db
def test_an_erased_conversation_is_a_sentence_everywhere(
    turn: Turn, cast: Cast, client: Client, living_workers: None
) -> None:
    ConversationKey.objects.all().delete()
    Conversation.objects.update(erased_at=turn.finished_at)
    client.force_login(cast.anna)  # type: ignore[arg-type]
    page = client.get(reverse("chat:conversation", args=[turn.conversation_id]))
    assert page.status_code == 200 and "This conversation was erased" in page.content.decode()
    assert client.get(reverse("chat:passage", args=[turn.pk, 1])).status_code == 404
    found = selectors.get_turn(turn.pk)
    told = json.dumps(stored.events(found))
    assert "This conversation was erased" in told and "MARKER" not in told
    with pytest.raises(sealed.Erased):
        assert found.question
    with pytest.raises(services.NotRecorded) as caught:
        services.start_turn(cast.anna, turn.conversation_id, ask())  # type: ignore[arg-type]
    assert caught.value.turn.failure_code == "erased"
    assert not ConversationKey.objects.exists(), "it gets no new key"


@pytest.mark.django_db
def test_without_its_master_key_an_installation_says_so(
    turn: Turn, cast: Cast, client: Client, tmp_path: Path, settings: Any
) -> None:
    settings.HAVRE_MASTER_KEY_FILE = tmp_path / "lost.key"
    client.force_login(cast.anna)  # type: ignore[arg-type]
    page = client.get(reverse("chat:conversation", args=[turn.conversation_id]))
    assert page.status_code == 200 and "master key of this installation" in page.content.decode()


# --- upgrading ---------------------------------------------------------------------------------------------------

_READ = """
import django; django.setup()
from portal.chat.models import Turn, Conversation
from portal.chat import sealed
t = Turn.objects.get()
print(repr((t.question, t.matched, t.answer, t.passages, t.citations, t.notices, t.passage_versions, t.verdict,
    t.conversation.title)))
"""


@pytest.mark.skipif(connection.vendor != "sqlite", reason="it makes a file of its own")
def test_what_was_written_before_is_sealed_and_nothing_of_it_stays_in_the_file(tmp_path: Path) -> None:
    environment = {
        **{name: value for name, value in os.environ.items() if not name.startswith("HAVRE_")},
        "HAVRE_DATA_DIR": str(tmp_path),
        "DJANGO_SETTINGS_MODULE": "portal.settings",
    }

    def python(*arguments: str) -> str:
        command = [sys.executable, *arguments]
        done = subprocess.run(command, env=environment, cwd=live.BASE_DIR, check=True, capture_output=True, text=True)
        return done.stdout

    python("manage.py", "migrate", "chat", "0003", "-v0")
    file = tmp_path / "havre.sqlite3"
    passages = [{"marker": 1, "quote": FOUND, "version_id": "v-1"}]
    now = "2026-11-01 10:00:00"
    with sqlite3.connect(file) as rows:
        table = rows.execute("PRAGMA table_info(accounts_user)").fetchall()
        person = {name: "" if "char" in kind else 0 for _, name, kind, needed, *_ in table if needed}
        person |= {"id": 1, "username": "anna", "date_joined": now, "is_active": 1, "role": "clinician"}
        marks = ", ".join("?" * len(person))
        rows.execute(f"INSERT INTO accounts_user ({', '.join(person)}) VALUES ({marks})", list(person.values()))
        rows.execute(
            "INSERT INTO chat_conversation (id, title, created_at, updated_at, owner_id) VALUES (?, ?, ?, ?, 1)",
            ["a" * 32, ASKED, now, now],
        )
        values = {
            "id": "b" * 32, "conversation_id": "a" * 32, "client_ref": "c" * 32, "question": ASKED, "language": "en",
            "effort": "low", "state": "completed", "position": 0, "failure_code": "", "failure_message": "",
            "verdict": json.dumps({"category": "benign", "matched": ["QUESTIONMARKER-7c1"]}),
            "notices": json.dumps([{"rule": "x", "message": "NOTICEMARKER-7c1"}]), "passages": json.dumps(passages),
            "answer": SAID * 500, "citations": json.dumps(passages), "usage": "{}", "model": "{}", "quotation": "",
            "cancel_requested": 0, "attempt": 1, "recoveries": 0, "created_at": now, "finished_at": now,
            "drawn_from": "[]",
        }  # fmt: skip
        marks = ", ".join("?" * len(values))
        rows.execute(f"INSERT INTO chat_turn ({', '.join(values)}) VALUES ({marks})", list(values.values()))
    rows.close()
    assert MARKERS[0] in file.read_bytes()
    python("manage.py", "migrate", "-v0")
    notices = [{"rule": "x", "message": "NOTICEMARKER-7c1"}]
    assert eval(python("-c", _READ)) == (
        ASKED, ["QUESTIONMARKER-7c1"], SAID * 500, passages, passages, notices, ["v-1"], {"category": "benign"}, ASKED,
    )  # fmt: skip
    whole = b"".join(one.read_bytes() for one in tmp_path.glob("havre.sqlite3*"))
    assert not [one for one in MARKERS if one in whole]
