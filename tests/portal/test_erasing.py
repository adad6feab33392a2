"""Erasing: nothing that somebody asked, read or was called is left anywhere, and every proof still holds."""

import io
import json
import uuid
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from django.contrib.sessions.backends.db import SessionStore
from django.core.management import call_command
from django.core.management.base import CommandError
from django.db import DatabaseError, transaction
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from knowledge.models import Department, Guideline, GuidelineVersion, Opening
from knowledge.models import Trial as BenchTrial
from portal import valkey
from portal.accounts.models import Role, User
from portal.accounts.services import AccountError, create_user
from portal.audit import sealing, verifying
from portal.audit.models import Actor, Event
from portal.audit.services import code_of, is_code
from portal.chat import erasing, events, sealed, stored
from portal.chat.erasing import By, NotErased, erase
from portal.chat.keeping import Hold
from portal.chat.models import Conversation, ConversationKey, Piece, State, Turn
from portal.chat.reading import reading
from portal.chat.turn import claim, finish, show
from tests.conftest import Cast

BY = By("terminal:root", reason="She asked for it.")


def talk(owner: User, words: str = "word", *, turns: int = 1) -> Conversation:
    """A conversation with everything in it that a conversation can have, through the functions of a worker."""
    conversation = Conversation.objects.create(owner=owner, title=f"title-{words}")
    for number in range(turns):
        begun = Turn.objects.create(
            conversation=conversation, client_ref=uuid.uuid4(), question=f"question-{words}-{number}",
            matched=[f"matched-{words}"], language="en", effort="low",
        )  # fmt: skip
        with transaction.atomic():
            code_of(owner.username)
        for event in stored.beginning(begun):
            events.publish(begun.id, event)
        taken = claim(begun.id, State.GENERATING)
        assert taken
        show(taken, f"piece-{words} ")
        finish(taken, State.COMPLETED, answer=f"answer-{words}", thoughts=f"thoughts-{words}")
    return conversation


# --- one conversation -----------------------------------------------------------------------------------------------


def test_a_conversation_leaves_a_tombstone_that_holds_no_word(cast: Cast) -> None:
    conversation = talk(cast.anna, turns=2)
    other = talk(cast.anna, "kept")
    extent = erase(conversation, BY)
    assert (extent.conversations, extent.turns, extent.pieces) == (1, 2, 2)
    gone = Conversation.objects.get(pk=conversation.pk)
    assert gone.erased_at and gone.title == "Erased"
    assert not ConversationKey.objects.filter(conversation=gone).exists()
    assert not Piece.objects.filter(turn__conversation=gone).exists()
    for turn in Turn.objects.filter(conversation=gone):
        with pytest.raises(sealed.Erased):
            _ = turn.question
        assert all(bytes(getattr(turn, name) or b"") in {b"", erasing.ERASED} for name in erasing.SEALED)
        assert "was erased" in reading(turn).question and "word" not in json.dumps(stored.events(turn))
    event = Event.objects.get(kind="conversation.erased")
    assert event.subject == str(conversation.pk)
    assert event.payload == {"conversation": event.subject, "reason": BY.reason, "turns": 2, "pieces": 2}
    assert Turn.objects.get(conversation=other).answer == "answer-kept", "and nobody else's is touched"
    sealing.seal("minute")
    assert verifying.verify().findings == ()


def test_nothing_is_added_to_what_was_erased_and_its_pages_say_so(cast: Cast, client: Client) -> None:
    from portal.chat.models import Turn

    conversation = talk(cast.anna)
    erase(conversation, BY)
    with pytest.raises(sealed.Erased):
        Turn.objects.create(
            conversation=Conversation.objects.get(pk=conversation.pk), client_ref=uuid.uuid4(), question="More?",
            language="en", effort="low",
        )  # fmt: skip
    client.force_login(cast.anna)  # type: ignore[arg-type]
    page = client.get(reverse("chat:conversation", args=[conversation.pk])).content.decode()
    assert "was erased" in page and "question-word" not in page


def test_a_running_answer_is_stopped_and_its_worker_loses_it(cast: Cast) -> None:
    from portal.chat.turn import LeaseLost

    conversation = Conversation.objects.create(owner=cast.anna, title="x")
    begun = Turn.objects.create(
        conversation=conversation, client_ref=uuid.uuid4(), question="What?", language="en", effort="low"
    )
    taken = claim(begun.id, State.GENERATING)
    assert taken
    show(taken, "The first half ")
    erase(conversation, BY)
    assert Turn.objects.get(pk=begun.pk).state == State.CANCELLED
    with pytest.raises(LeaseLost):
        show(taken, "and the second")
    assert valkey.client().exists(f"havre:turn:{begun.pk}") == 0
    events.publish(begun.id, {"type": "turn.delta", "text": "late"})  # by a worker that was slower than that
    erasing.forget_again(timezone.now() - timedelta(minutes=5))
    assert valkey.client().exists(f"havre:turn:{begun.pk}") == 0


def test_erasing_goes_on_without_valkey(cast: Cast, dead_valkey: None) -> None:
    conversation = talk(cast.anna)
    assert erase(conversation, BY).turns == 1


def test_without_the_audit_key_nothing_is_erased(cast: Cast, settings: Any, tmp_path: Path) -> None:
    conversation = talk(cast.anna)
    settings.HAVRE_AUDIT_KEY_FILE = tmp_path / "none.key"
    with pytest.raises(CommandError):
        call_command("erase", "--conversation", str(conversation.pk), "--yes", stdout=io.StringIO())
    assert Turn.objects.get(conversation=conversation).question == "question-word-0"


# --- a person -------------------------------------------------------------------------------------------------------


def test_every_column_that_holds_a_name_is_known() -> None:
    """Whoever adds a column with names finds out here that erasing has to know of it."""
    from django.apps import apps
    from django.db.models import CharField

    known = set(erasing.NAMES) | set(erasing._DELETED)
    found = {
        (f"{model._meta.app_label}.{model._meta.object_name}", field.name)
        for model in apps.get_models()
        for field in model._meta.get_fields()
        if isinstance(field, CharField) and (field.name.endswith("_by") or field.name in {"author", "actor", "person"})
    }
    assert found == known


def test_a_person_loses_sign_in_sessions_and_name_everywhere(cast: Cast) -> None:
    from portal.modelcards.models import Trial as ModelTrial
    from portal.safeguards.models import LabelledCase, RuleRelease

    User.objects.create_user("zoe", role="admin", password="x", email="zoe@example.org", first_name="Zoë")
    zoe = User.objects.get(username="zoe")
    guideline = Guideline.objects.create(title="Plan")
    version = GuidelineVersion.objects.create(
        guideline=guideline, number=1, filename="a.pdf", media_type="x", sha256="1" * 64, size=1,
        uploaded_by="zoe", submitted_by="zoe", approved_by="dora",
    )  # fmt: skip
    Opening.objects.create(guideline=guideline, asked_by="zoe")
    BenchTrial.objects.create(question="What did I try?", asked_by="zoe")
    ModelTrial.objects.create(name="m", sha256="2" * 64, asked_by="zoe")
    LabelledCase.objects.create(text="x", language="en", label="benign", added_by="zoe")
    RuleRelease.objects.create(authors=["dora", "zoe"], requested_by="zoe")
    zoe.departments.add(Department.objects.create(name="Ward 3"))
    browser = Client()
    browser.force_login(zoe)
    assert browser.get(reverse("guidelines:index")).status_code == 200
    erase(zoe, BY)
    zoe.refresh_from_db()
    code = zoe.username
    assert is_code(code) and Actor.objects.get(code=code).name is None
    assert (zoe.is_active, zoe.email, zoe.first_name, zoe.has_usable_password()) == (False, "", "", False)
    assert browser.get(reverse("guidelines:index")).status_code == 302
    assert not [one for one in SessionStore.get_model_class().objects.all() if one.get_decoded()]
    version.refresh_from_db()
    assert (version.uploaded_by, version.submitted_by, version.approved_by) == (code, code, "dora")
    assert RuleRelease.objects.get().authors == ["dora", code] and RuleRelease.objects.get().requested_by == code
    assert Opening.objects.get().asked_by == ModelTrial.objects.get().asked_by == code
    assert LabelledCase.objects.get().added_by == code and not BenchTrial.objects.exists()
    with pytest.raises(NotErased, match="already"):
        erase(zoe, BY)
    with transaction.atomic():
        assert code_of(code) == code, "what stands in the place of the name is no other person"
    with pytest.raises(AccountError):
        create_user(code, role=Role.ADMIN, password="correct-horse-battery", actor="terminal:root")
    sealing.seal("minute")
    assert verifying.verify().findings == ()


def test_many_conversations_go_some_at_a_time_and_go_on_where_they_broke_off(
    cast: Cast, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(erasing, "_AT_ONCE", 2)
    anna: Any = cast.anna
    for number in range(7):
        talk(anna, str(number))
    sizes: list[int] = []
    one_by_one, lock = erasing._erase_conversation, erasing._lock

    def locked(*given: Any) -> None:
        if len(sizes) == 2:
            raise DatabaseError("the disk is full")
        sizes.append(0)
        lock(*given)

    def counted(*given: Any) -> Any:
        sizes[-1] += 1
        return one_by_one(*given)

    monkeypatch.setattr(erasing, "_erase_conversation", counted)
    monkeypatch.setattr(erasing, "_lock", locked)
    with pytest.raises(DatabaseError):
        erase(anna, BY)
    assert sizes == [2, 2] and Conversation.objects.filter(erased_at=None).count() == 3
    assert User.objects.filter(username="anna", is_active=True).exists()
    monkeypatch.setattr(erasing, "_lock", lock)
    sizes.append(0)
    assert erase(anna, BY).conversations == 3
    assert not Conversation.objects.filter(erased_at=None).exists()
    assert not User.objects.filter(username="anna").exists()
    assert Event.objects.filter(kind="conversation.erased").count() == 7


@pytest.mark.parametrize(("name", "last"), [("dora", True), ("emil", True), ("anna", False)])
def test_the_last_administrator_and_the_last_compliance_officer_stay(name: str, last: bool, cast: Cast) -> None:
    person = User.objects.get(username=name)
    if not last:
        erase(person, BY)
        return
    with pytest.raises(NotErased, match="last person"):
        erase(person, BY)
    assert User.objects.filter(username=name, is_active=True).exists()
    User.objects.create_user("second", role=person.role)
    erase(person, BY)


def test_nobodys_name_is_not_erased(cast: Cast) -> None:
    with pytest.raises(NotErased, match="nobody"):
        erase(User.objects.create(username="terminal", role="clinician"), BY)


# --- legal hold -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("on", "what", "refused"),
    [
        ("conversation", "conversation", True),
        ("conversation", "person", True),
        ("person", "conversation", True),
        ("person", "person", True),
        ("other", "conversation", False),
    ],
)
def test_what_is_held_is_not_erased(on: str, what: str, refused: bool, cast: Cast) -> None:
    conversation, other = talk(cast.anna), talk(cast.bela, "other")
    with transaction.atomic():
        by = Actor.objects.get(code=code_of("emil"))
    about: dict[str, dict[str, Any]] = {
        "conversation": {"conversation": conversation},
        "person": {"person": cast.anna},
        "other": {"conversation": other},
    }
    hold = Hold.objects.create(reason="Case 12 of the court.", set_by=by, **about[on])
    target: Any = conversation if what == "conversation" else cast.anna
    if refused:
        with pytest.raises(NotErased, match="legal hold"):
            erase(target, BY)
        assert Turn.objects.get(conversation=conversation).question == "question-word-0"
        hold.lifted_at = timezone.now()
        hold.save()
    erase(target, BY)


# --- the command ----------------------------------------------------------------------------------------------------


def run(*arguments: str) -> dict[str, Any]:
    out = io.StringIO()
    call_command("erase", *arguments, "--json", stdout=out)
    report: dict[str, Any] = json.loads(out.getvalue())
    return report


def test_a_dry_run_says_what_would_go_and_erases_nothing(cast: Cast) -> None:
    conversation = talk(cast.anna, turns=3)
    report = run("--user", "anna", "--dry-run")
    assert (report["conversations"], report["turns"], report["erased"], report["refusal"]) == (1, 3, False, "")
    assert "anna" not in json.dumps(report)
    assert ConversationKey.objects.filter(conversation=conversation).exists()
    assert "last person" in run("--user", "dora", "--dry-run")["refusal"]


def test_the_command_erases_by_a_questions_id_too(cast: Cast) -> None:
    turn = Turn.objects.get(conversation=talk(cast.anna))
    report = run("--conversation", str(turn.pk), "--yes", "--reason", "Request 7")
    assert report["erased"] and report["turns"] == 1
    assert Event.objects.get(kind="conversation.erased").payload["reason"] == "Request 7"


def _wrong(*arguments: str) -> Callable[[], None]:
    return lambda: call_command("erase", *arguments, stdout=io.StringIO())


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("--user", "Anna", "--yes"), "no person"),
        (("--user", "ann", "--yes"), "no person"),
        (("--conversation", "x", "--yes"), "no conversation"),
        (("--conversation", str(uuid.uuid4()), "--yes"), "no conversation"),
        ((), "required"),
    ],
)
def test_what_is_not_there_is_said(arguments: tuple[str, ...], said: str, cast: Cast) -> None:
    with pytest.raises(CommandError, match=said):
        _wrong(*arguments)()


def test_it_asks_first(cast: Cast, monkeypatch: pytest.MonkeyPatch) -> None:
    talk(cast.anna)
    monkeypatch.setattr("builtins.input", lambda _: "no")
    with pytest.raises(CommandError, match="Nothing was erased"):
        call_command("erase", "--user", "anna", stdout=io.StringIO())
    assert User.objects.filter(username="anna").exists()
