"""Who is erased while something of theirs is on its way: a question, a card, a job, a form. Nothing comes back."""

import json
import os
import threading
import uuid
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from django.db import DatabaseError, connection, transaction

from portal.accounts.models import User
from portal.audit.models import Actor, Event
from portal.audit.services import code_of, is_code, record
from portal.chat import erasing, erasures, late, spool
from portal.chat.access import NotAllowed
from portal.chat.erasing import By, NotErased, erase
from portal.chat.models import Conversation, ConversationKey, Turn
from portal.chat.protocol import TurnStart, parse
from portal.chat.sealed import Erased
from portal.chat.services import NotRecorded, start_turn
from tests.audit.test_ledger_exchanges import until_somebody_waits
from tests.conftest import Cast, at_once
from tests.portal.test_erasing import talk

BY = By("terminal:root", reason="She asked for it.")
PLAN, CRISIS, ALARM = (
    "What is a safety plan?",
    "I want to kill myself tonight.",
    "My patient has just taken all his pills.",
)


@pytest.fixture(autouse=True)
def emptied_spool() -> Iterator[None]:
    yield
    for one in spool._folder().glob("*"):
        one.unlink()


def ask(text: str) -> TurnStart:
    start = parse({"type": "turn.start", "client_ref": str(uuid.uuid4()), "text": text, "effort": "low"})
    assert isinstance(start, TurnStart)
    return start


def nobody_is_called(name: str) -> None:
    assert not Actor.objects.filter(name=name).exists()
    assert not User.objects.filter(username=name).exists()
    assert name not in json.dumps(list(Event.objects.values_list("subject", "payload")))


def leave(name: str) -> User:
    """Somebody is erased; what is returned is the person as whoever had them in hand a moment before knows them."""
    before = User.objects.get(username=name)
    erase(User.objects.get(username=name), BY)
    return before


def close(name: str) -> User:
    before = User.objects.get(username=name)
    User.objects.filter(pk=before.pk).update(is_active=False)
    return before


def become_admin(name: str) -> User:
    before = User.objects.get(username=name)
    User.objects.filter(pk=before.pk).update(role="admin")
    return before


# --- a question on its way ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("goes", [leave, close, become_admin])
@pytest.mark.parametrize("text", [PLAN, CRISIS, ALARM])
@pytest.mark.parametrize("in_new", [False, True])
def test_nothing_is_written_for_somebody_who_left_and_a_card_shows(
    goes: Callable[[str], User], text: str, in_new: bool, cast: Cast, living_workers: None
) -> None:
    conversation = uuid.uuid4() if in_new else talk(cast.anna).pk  # type: ignore[arg-type]
    if in_new:
        with transaction.atomic():
            code_of("anna")
    turns = Turn.objects.count()
    before = goes("anna")
    if text == PLAN:
        with pytest.raises((NotAllowed, NotRecorded)):
            start_turn(before, conversation, ask(text))
        assert not Event.objects.filter(kind="crisis.shown").exists()
    else:
        try:
            turn = start_turn(before, conversation, ask(text))
        except NotRecorded as error:  # what was asked before, which the screen reads, is gone already
            turn = error.turn
            late.write_down()
        assert turn.card and not turn.is_active
        (event,) = Event.objects.filter(kind="crisis.shown")
        assert event.subject == str(turn.pk) and event.actor_id == code_of_user(before)
        assert "question" not in event.payload and event.payload["verdict"]["category"]
    assert Turn.objects.count() == turns and Conversation.objects.filter(pk=conversation).exists() is not in_new
    assert list(spool.kept()) == [], "no word of it is kept either"
    if goes is leave:
        nobody_is_called("anna")


def code_of_user(user: User) -> str:
    name = User.objects.get(pk=user.pk).username
    return name if is_code(name) else Actor.objects.get(name=name).code


@pytest.mark.parametrize("text", [PLAN, CRISIS, ALARM])
def test_nothing_is_added_to_a_conversation_that_was_erased_meanwhile(
    text: str, cast: Cast, living_workers: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Between the look at the conversation and writing."""
    from portal.chat import services as starting

    conversation = talk(cast.anna)  # type: ignore[arg-type]
    earlier = starting.selectors.earlier_questions

    def erased_now(*given: Any) -> list[str]:
        found = earlier(*given)
        erase(Conversation.objects.get(pk=conversation.pk), BY)
        return found

    monkeypatch.setattr(starting.selectors, "earlier_questions", erased_now)
    try:
        turn = start_turn(cast.anna, conversation.pk, ask(text))  # type: ignore[arg-type]
    except NotRecorded as error:
        turn = error.turn
    assert bool(turn.card) is (text != PLAN) and not turn.is_active
    late.write_down()
    assert Turn.objects.filter(conversation=conversation).count() == 1
    assert Event.objects.filter(kind="crisis.shown").count() == (text != PLAN)
    assert list(spool.kept()) == []


def test_a_conversation_that_was_erased_since_it_was_read_gets_no_other_key(cast: Cast) -> None:
    stale = Conversation.objects.get(pk=talk(cast.anna).pk)  # type: ignore[arg-type]
    erase(Conversation.objects.get(pk=stale.pk), BY)
    with pytest.raises(Erased), transaction.atomic():
        Turn.objects.create(conversation=stale, client_ref=uuid.uuid4(), question="More?", language="en", effort="low")
    assert not ConversationKey.objects.exists() and Turn.objects.count() == 1


# --- hotline cards whose record follows -----------------------------------------------------------------------------


def card(owner: Any, conversation: uuid.UUID, text: str = CRISIS) -> Turn:
    from portal.chat.services import unwritten

    return unwritten(owner.pk, conversation, ask(text), uuid.uuid4())


@pytest.mark.parametrize("goes", [leave, close])
def test_a_card_of_somebody_who_left_is_recorded_without_a_word(goes: Callable[[str], User], cast: Cast) -> None:
    conversation = uuid.uuid4()
    owner = goes("anna")
    turn = card(owner, conversation)
    assert late.write_down() == 1
    (event,) = Event.objects.filter(kind="crisis.shown")
    assert event.subject == str(turn.pk) and "question" not in event.payload
    assert not Turn.objects.exists() and not Conversation.objects.exists() and list(spool.kept()) == []
    if goes is leave:
        nobody_is_called("anna")


def test_one_card_that_cannot_be_written_keeps_no_other_waiting(cast: Cast, monkeypatch: pytest.MonkeyPatch) -> None:
    cards = [card(cast.anna, uuid.uuid4()) for _ in range(3)]
    (spool._folder() / f"{uuid.uuid4()}.sealed").write_bytes(b"not a card")
    write = late._write

    def broken(one: spool.Kept) -> bool:
        if one.path.stem == str(cards[0].pk):
            raise DatabaseError("this one does not fit")
        return write(one)

    monkeypatch.setattr(late, "_write", broken)
    assert late.write_down() == 3
    assert {one.subject for one in Event.objects.filter(kind="crisis.shown")} >= {str(one.pk) for one in cards[1:]}
    monkeypatch.setattr(late, "_write", write)
    assert late.write_down() == 1


def test_a_card_is_recorded_once_however_often_its_file_is_met(cast: Cast, monkeypatch: pytest.MonkeyPatch) -> None:
    """Two workers, or one that is killed after the commit."""
    before = close("anna")
    card(before, uuid.uuid4())
    (spool._folder() / f"{uuid.uuid4()}.bare").touch()
    monkeypatch.setattr(spool, "done", lambda one: None)
    late.write_down()
    late.write_down()
    assert Event.objects.filter(kind="crisis.shown").count() == 2


def test_nobody_is_erased_while_a_card_of_theirs_waits(cast: Cast, monkeypatch: pytest.MonkeyPatch) -> None:
    conversation = talk(cast.anna)  # type: ignore[arg-type]
    cards = [card(cast.anna, conversation.pk) for _ in range(3)]
    others = [card(cast.dora, uuid.uuid4()) for _ in range(3)]
    tried: list[str] = []

    def fails(one: spool.Kept) -> bool:
        tried.append(one.turn)
        raise DatabaseError("the database is held")

    with monkeypatch.context() as held:
        held.setattr(late, "_write", fails)
        for target in (User.objects.get(username="anna"), conversation):
            with pytest.raises(NotErased, match="hotline card"):
                erase(target, BY)
        assert len(tried) == 2 and set(tried) <= {str(one.pk) for one in cards}, "nobody waits for one after the other"
        erase(User.objects.get(username="bela"), BY)
    assert Turn.objects.get(conversation=conversation).question == "question-word-0"
    erase(User.objects.get(username="anna"), BY)
    assert {one.turn for one in spool.kept()} == {str(one.pk) for one in others}
    assert Event.objects.filter(kind="crisis.shown").count() == 3


def test_without_the_master_key_nobody_is_erased_whose_card_may_wait(cast: Cast, settings: Any, tmp_path: Any) -> None:
    card(cast.anna, uuid.uuid4())
    (broken := spool._folder() / f"{uuid.uuid4()}.sealed").write_bytes(b"not a card")
    before, settings.HAVRE_MASTER_KEY_FILE = settings.HAVRE_MASTER_KEY_FILE, tmp_path / "lost.key"
    with pytest.raises(NotErased, match="hotline card"):
        erase(User.objects.get(username="bela"), BY)
    settings.HAVRE_MASTER_KEY_FILE = before
    erase(User.objects.get(username="bela"), BY)
    late.write_down()
    assert not broken.exists(), "what cannot be opened any more is nobody's"


def test_what_a_killed_process_left_of_a_card_goes(cast: Cast) -> None:
    spool._folder().mkdir(parents=True, exist_ok=True)
    old, new = (spool._folder() / f".{uuid.uuid4()}.sealed.{name}" for name in ("old", "new"))
    old.touch()
    new.touch()
    os.utime(old, (0, 0))
    assert late.write_down() == 0
    assert not old.exists() and new.exists(), "this one may be being written"


@pytest.mark.django_db(transaction=True)
def test_of_two_who_erase_the_same_person_or_each_other_at_once_each_thing_goes_once(cast: Cast) -> None:
    for number in range(3):
        talk(cast.anna, str(number))  # type: ignore[arg-type]
    for name in ("first", "second"):
        User.objects.create_user(name, role="admin")
    User.objects.filter(username="dora").update(role="clinician")
    targets = [User.objects.get(username=name) for name in ("anna", "first", "anna", "second")]
    refused: list[str] = []

    def one() -> None:
        try:
            erase(targets.pop(), BY)
        except NotErased as error:
            refused.append(str(error))

    at_once(4, one)
    assert len(refused) == 2 and any("last person" in text for text in refused), "an administrator is left"
    assert User.objects.filter(role="admin", is_active=True).count() == 1
    erased = list(Event.objects.filter(kind="conversation.erased").values_list("subject", flat=True))
    assert len(erased) == len(set(erased)) == 3
    assert Event.objects.filter(kind="person.erased").count() == 2


@pytest.mark.skipif(connection.vendor != "postgresql", reason="on SQLite one transaction writes at a time")
@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("of_person", [True, False])
def test_an_erasure_is_asked_for_while_a_question_of_that_person_begins(of_person: bool, cast: Cast) -> None:
    """Whoever asks a question holds their own row, and then the audit trail; so does whoever asks for an erasure."""
    conversation = talk(cast.anna)  # type: ignore[arg-type]
    target = User.objects.get(username="anna") if of_person else conversation
    with transaction.atomic():
        code_of("emil")
    problems: list[BaseException] = []

    def asks() -> None:
        try:
            erasures.ask(User.objects.get(username="emil"), target, "Request 12 of the person, checked.")
        except BaseException as error:  # for the test
            problems.append(error)
        finally:
            connection.close()

    asking = threading.Thread(target=asks)
    with transaction.atomic():
        User.objects.select_for_update().get(username="anna")
        Conversation.objects.select_for_update().get(pk=conversation.pk)
        asking.start()
        until_somebody_waits()
        record("turn.started", actor="anna", subject=str(uuid.uuid4()))
    asking.join()
    assert problems == [] and Event.objects.filter(kind="erasure.asked").count() == 1


def test_sessions_are_looked_through_before_the_audit_trail_is_held(
    cast: Cast, monkeypatch: pytest.MonkeyPatch
) -> None:
    talk(cast.anna)  # type: ignore[arg-type]
    recorded: list[int] = []
    end_sessions = erasing.end_sessions

    def looked(person: int) -> None:
        recorded.append(Event.objects.count())
        end_sessions(person)

    monkeypatch.setattr(erasing, "end_sessions", looked)
    before = Event.objects.count()
    erase(User.objects.get(username="anna"), BY)
    assert recorded == [before]
