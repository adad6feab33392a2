"""What a model thought: sealed at rest, read by a compliance officer with a reason, by nobody else and nowhere else."""

import base64
import json
import os
import stat
import uuid
from pathlib import Path
from typing import Any

import pytest
from django.core.management import call_command
from django.db import connection
from django.test import Client
from django.urls import reverse
from hypothesis import given
from hypothesis import strategies as st

from portal import checks, vault
from portal.audit.models import Event
from portal.chat import sealed, stored
from portal.chat.apps import _make_master_key
from portal.chat.models import Conversation, ConversationKey, State, Turn
from portal.chat.turn import claim, finish
from tests.conftest import Cast

THOUGHTS = "The clinician asks about a safety plan. é 🧠 SECRET-THOUGHT"
KEY = bytes(range(32))


# --- the vault ---------------------------------------------------------------------------------------------------


@given(st.binary(max_size=200), st.binary(max_size=40))
def test_what_is_sealed_opens_with_the_same_key_and_purpose(text: bytes, aad: bytes) -> None:
    assert vault.open(KEY, vault.seal(KEY, text, aad), aad) == text


def test_the_same_text_is_never_sealed_alike() -> None:
    assert len({vault.seal(KEY, b"text", b"x") for _ in range(50)}) == 50


@given(st.integers(0, 10_000), st.integers(1, 255))
def test_a_changed_byte_anywhere_is_noticed(place: int, change: int) -> None:
    whole = bytearray(vault.seal(KEY, b"some text", b"turn:reasoning"))
    whole[place % len(whole)] ^= change
    with pytest.raises(vault.Unreadable):
        vault.open(KEY, bytes(whole), b"turn:reasoning")


@pytest.mark.parametrize(
    ("key", "cut", "aad"),
    [(bytes(32), None, b"a"), (KEY, None, b"b"), (KEY, None, b""), (KEY, -1, b"a"), (KEY, 20, b"a"), (KEY, 0, b"a")],
    ids=["another key", "another purpose", "no purpose", "one byte short", "cut in the tag", "empty"],
)
def test_the_wrong_key_purpose_or_length_is_one_typed_error(key: bytes, cut: int | None, aad: bytes) -> None:
    with pytest.raises(vault.Unreadable) as caught:
        vault.open(key, vault.seal(KEY, b"secret", b"a")[:cut], aad)
    assert "secret" not in str(caught.value)


def test_a_known_text_of_the_format() -> None:
    """Version 1: b"\\x01", nonce, AES-256-GCM over the text, with version and purpose authenticated."""
    from cryptography.hazmat.primitives.ciphers.aead import AESGCM

    nonce = bytes(12)
    made = b"\x01" + nonce + AESGCM(KEY).encrypt(nonce, b"text", b"\x01" + b"purpose")
    assert vault.open(KEY, made, b"purpose") == b"text"


def test_the_master_key_is_made_once_and_for_this_user_alone(tmp_path: Path, settings: Any) -> None:
    settings.HAVRE_MASTER_KEY_FILE = tmp_path / "keys" / "master.key"
    assert vault.make_master_key()
    first = vault.master_key()
    assert not vault.make_master_key() and vault.master_key() == first
    assert stat.S_IMODE(settings.HAVRE_MASTER_KEY_FILE.stat().st_mode) == 0o600
    assert stat.S_IMODE(settings.HAVRE_MASTER_KEY_FILE.parent.stat().st_mode) == 0o700
    assert [one.name for one in settings.HAVRE_MASTER_KEY_FILE.parent.iterdir()] == ["master.key"]


@pytest.mark.parametrize("content", [None, b"", b"short", b"!" * 44, base64.b64encode(bytes(31))])
def test_a_master_key_that_is_none_is_a_typed_error(content: bytes | None, tmp_path: Path, settings: Any) -> None:
    settings.HAVRE_MASTER_KEY_FILE = tmp_path / "master.key"
    if content is not None:
        settings.HAVRE_MASTER_KEY_FILE.write_bytes(content)
    with pytest.raises(vault.NoMasterKey, match="master"):
        vault.master_key()


@pytest.mark.parametrize(
    ("mode", "inside", "expected"),
    [
        (0o600, False, set()),
        (0o600, True, {"havre.W010"}),
        (0o640, False, {"havre.W011"}),
        (0o622, False, {"havre.E010"}),
        (None, False, {"havre.E011"}),
    ],
    ids=["apart", "beside the database", "readable", "writable", "missing"],
)
@pytest.mark.parametrize(("setting", "number"), [("HAVRE_MASTER_KEY_FILE", "1"), ("HAVRE_AUDIT_KEY_FILE", "2")])
def test_the_check_says_where_a_key_does_not_belong(
    mode: int | None, inside: bool, expected: set[str], setting: str, number: str, tmp_path: Path, settings: Any
) -> None:
    settings.HAVRE_DATA_DIR = tmp_path / "data"
    for name in ("HAVRE_MASTER_KEY_FILE", "HAVRE_AUDIT_KEY_FILE"):  # the other one is where it belongs
        setattr(settings, name, tmp_path / "elsewhere" / name)
        vault.make_key(tmp_path / "elsewhere" / name)
    path = tmp_path / ("data" if inside else "elsewhere") / "the.key"
    setattr(settings, setting, path)
    if mode is not None:
        vault.make_key(path)
        path.chmod(mode)
    assert {one.id for one in checks.key_files(None)} == {f"{one[:8]}{number}{one[9:]}" for one in expected}


# --- the turn ----------------------------------------------------------------------------------------------------


@pytest.fixture
def turn(cast: Cast) -> Turn:
    """A turn of anna's, answered, with its reasoning sealed."""
    conversation = Conversation.objects.create(owner=cast.anna, title="Safety plan")
    begun = Turn.objects.create(
        conversation=conversation, client_ref=uuid.uuid4(), question="What?", language="en", effort="low"
    )
    taken = claim(begun.id, State.GENERATING)
    assert taken
    finish(taken, State.COMPLETED, answer="The plan.", thoughts=THOUGHTS)
    return Turn.objects.get(pk=begun.id)


def test_the_database_holds_no_word_of_it_and_the_key_is_sealed_too(turn: Turn) -> None:
    key = ConversationKey.objects.get(pk=turn.conversation_id)
    assert b"SECRET" not in bytes(turn.reasoning) and bytes(turn.reasoning)[:1] == b"\x01"
    assert sealed.open_reasoning(turn) == THOUGHTS
    unwrapped = vault.open(vault.master_key(), key.wrapped, f"{turn.conversation_id}:key".encode())
    assert len(unwrapped) == 32 and unwrapped not in bytes(key.wrapped)


def test_sealed_text_cannot_be_put_into_another_turn(turn: Turn) -> None:
    other = Turn.objects.create(
        conversation=turn.conversation, client_ref=uuid.uuid4(), question="?", language="en", effort="low",
        reasoning=turn.reasoning, state=State.COMPLETED, finished_at=turn.finished_at,
    )  # fmt: skip
    with pytest.raises(vault.Unreadable):
        sealed.open_reasoning(other)


def test_without_its_key_a_conversation_is_erased(turn: Turn) -> None:
    ConversationKey.objects.all().delete()
    with pytest.raises(sealed.Erased):
        sealed.open_reasoning(turn)


def test_reasoning_that_was_sealed_before_there_were_salts_opens(turn: Turn) -> None:
    key = vault.open(vault.master_key(), turn.conversation.key.wrapped, f"{turn.conversation_id}:key".encode())
    turn.reasoning = vault.seal(key, THOUGHTS.encode(), f"{turn.id}:reasoning".encode())
    turn.save()
    assert sealed.open_reasoning(Turn.objects.get(pk=turn.pk)) == THOUGHTS


def test_migrating_makes_a_lost_master_key_only_where_nothing_was_sealed(
    turn: Turn, tmp_path: Path, settings: Any
) -> None:
    settings.HAVRE_MASTER_KEY_FILE = tmp_path / "master.key"
    call_command("migrate", verbosity=0)
    assert not settings.HAVRE_MASTER_KEY_FILE.exists(), "a new key would hide that the old one is lost"
    ConversationKey.objects.all().delete()
    call_command("migrate", verbosity=0)
    assert vault.master_key()


def test_migrating_other_apps_alone_wants_no_table_of_this_one(
    db: None, tmp_path: Path, settings: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings.HAVRE_MASTER_KEY_FILE = tmp_path / "master.key"
    monkeypatch.setattr(connection.introspection, "table_names", lambda *_, **__: ["accounts_user"])
    _make_master_key(using="default")
    assert not settings.HAVRE_MASTER_KEY_FILE.exists()


def test_no_event_no_page_and_no_export_holds_it(turn: Turn, cast: Cast) -> None:
    said = json.dumps(stored.events(turn)) + json.dumps(list(Event.objects.values("kind", "payload")))
    client = Client()
    for person, pages in (
        (cast.anna, [reverse("chat:conversation", args=[turn.conversation_id])]),
        (cast.emil, [reverse("audit:index"), reverse("story", args=[turn.id])]),
    ):
        client.force_login(person)
        said += "".join(client.get(page).content.decode() for page in pages)
    assert "SECRET" not in said and bytes(turn.reasoning).hex() not in said
    ended = Event.objects.get(kind="turn.completed")
    assert ended.payload["reasoning"]["sealed_sha256"] == sealed.fingerprint(bytes(turn.reasoning))


def test_the_master_key_file_of_the_tests_is_not_this_users_own() -> None:
    from django.conf import settings

    assert str(settings.HAVRE_MASTER_KEY_FILE).startswith(os.environ["HAVRE_DATA_DIR"])
