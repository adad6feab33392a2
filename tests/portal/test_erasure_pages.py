"""Two people decide an erasure on the page; holds are set and lifted with a reason. Never by one click, never alone."""

import itertools
import re
import uuid
from datetime import timedelta
from typing import Any

import pytest
from django.db import DatabaseError, transaction
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from portal.accounts.models import User
from portal.audit.models import Actor, Event
from portal.chat import erasing, erasures, tasks
from portal.chat.erasing import By, erase, extent_of
from portal.chat.keeping import Erasure, Hold
from portal.chat.models import Conversation, Turn
from tests.conftest import Cast
from tests.portal.test_erasing import talk

WHY = "Request 2026-12 of the person, checked."


@pytest.fixture
def conversation(cast: Cast) -> Conversation:
    User.objects.create_user("frida", role="compliance")
    return talk(cast.anna)  # type: ignore[arg-type]


def browser(name: str) -> Client:
    client = Client()
    client.force_login(User.objects.get(username=name))
    return client


def ask(what: object, *, by: str = "emil", reason: str = WHY) -> Any:
    return browser(by).post(reverse("chat:ask_erasure"), {"erase-what": str(what), "erase-reason": reason})


def answer(name: str, given: str, *, sure: str = "1", seen: str | None = None) -> Any:
    request = Erasure.objects.order_by("-asked_at")[0]
    client = browser(name)
    page = client.get(reverse("chat:erasure", args=[request.pk])).content.decode()
    shown = re.search(r'name="seen" value="([^"]*)"', page)
    seen = seen if seen is not None else (shown.group(1) if shown else "")
    data = {"answer": given, "seen": seen} | ({"sure": sure} if sure else {})
    return client.post(reverse("chat:decide_erasure", args=[request.pk]), data)


def kinds(beginning: str = "erasure.") -> list[str]:
    return list(Event.objects.filter(kind__startswith=beginning).order_by("seq").values_list("kind", flat=True))


def is_there(conversation: Conversation) -> bool:
    return Conversation.objects.get(pk=conversation.pk).erased_at is None


@pytest.mark.parametrize("second", ["dora", "frida"])
def test_one_asks_and_another_confirms(second: str, conversation: Conversation) -> None:
    assert ask(conversation.pk).status_code == 302
    assert is_there(conversation)
    page = browser(second).get(reverse("chat:erasure", args=[Erasure.objects.get().pk])).content.decode()
    assert WHY in page and "question-word" not in page and "title-word" not in page
    assert answer(second, "confirm").status_code == 302
    assert not is_there(conversation)
    assert kinds() == ["erasure.asked", "erasure.confirmed", "erasure.done"]
    done = Erasure.objects.get()
    assert (done.state, done.turns, done.decided_by and done.decided_by.name) == ("done", 1, second)
    event = Event.objects.get(kind="erasure.confirmed")
    assert event.payload["asked_by"] == done.asked_by_id and event.actor_id != done.asked_by_id
    assert "Erased" in browser("emil").get(reverse("chat:erasures")).content.decode()


def test_a_person_is_erased_with_the_code_in_every_row(conversation: Conversation) -> None:
    assert ask("anna").status_code == 302
    assert answer("dora", "confirm").status_code == 302
    assert not User.objects.filter(username="anna").exists()
    asked, confirmed, done = Event.objects.filter(kind__startswith="erasure.").order_by("seq")
    assert asked.subject == confirmed.subject == done.subject == asked.payload["person"]
    assert "anna" not in browser("emil").get(reverse("chat:erasures")).content.decode()


def test_who_asked_cannot_confirm_but_can_take_it_back(conversation: Conversation) -> None:
    ask(conversation.pk)
    page = answer("emil", "confirm")
    assert page.status_code == 422 and "second person" in page.content.decode() and is_there(conversation)
    assert answer("emil", "decline").status_code == 302
    assert kinds() == ["erasure.asked", "erasure.withdrawn"]
    assert answer("dora", "confirm").status_code == 422 and is_there(conversation)


def test_a_second_person_declines(conversation: Conversation) -> None:
    ask(conversation.pk)
    answer("dora", "decline")
    assert kinds() == ["erasure.asked", "erasure.declined"] and is_there(conversation)
    assert ask(conversation.pk).status_code == 302, "and it can be asked for again"


def test_nobody_decides_about_themselves(conversation: Conversation) -> None:
    assert ask("emil").status_code == 422
    ask("dora", by="emil")  # refused: the last administrator
    User.objects.create_user("gina", role="admin")
    assert ask("dora", by="emil").status_code == 302
    page = answer("dora", "confirm")
    assert page.status_code == 422 and "yourself" in page.content.decode()
    assert User.objects.filter(username="dora", is_active=True).exists()


@pytest.mark.parametrize(("sure", "seen"), [("", None), ("1", "1-7-7"), ("1", "")])
def test_no_single_click_and_nothing_that_was_not_seen(sure: str, seen: str | None, conversation: Conversation) -> None:
    ask(conversation.pk)
    assert answer("dora", "confirm", sure=sure, seen=seen).status_code == 422
    assert is_there(conversation) and kinds() == ["erasure.asked"]


@pytest.mark.parametrize(
    ("what", "reason"), [("nobody", WHY), ("", WHY), ("anna", "because"), ("anna", ""), (str(uuid.UUID(int=7)), WHY)]
)
def test_what_is_wrong_in_the_form_is_said_there(what: str, reason: str, conversation: Conversation) -> None:
    page = ask(what, reason=reason)
    assert page.status_code == 422 and "field__error" in page.content.decode()
    assert not Erasure.objects.exists() and kinds() == []


def test_it_is_asked_for_once(conversation: Conversation) -> None:
    turn = Turn.objects.get(conversation=conversation)
    assert ask(turn.pk).status_code == 302
    assert ask(conversation.pk, by="frida").status_code == 422
    erase(conversation, By("terminal:root"))
    assert answer("dora", "confirm").status_code == 422, "it went another way meanwhile"
    assert ask(conversation.pk).status_code == 422


def test_a_hold_keeps_it_until_it_is_lifted_with_a_reason(conversation: Conversation) -> None:
    ask(conversation.pk)
    officer = browser("emil")
    url = reverse("chat:set_hold")
    assert officer.post(url, {"hold-what": "anna", "hold-reason": "too short"}).status_code == 422
    assert officer.post(url, {"hold-what": "anna", "hold-reason": WHY}).status_code == 302
    assert officer.post(url, {"hold-what": "anna", "hold-reason": WHY}).status_code == 422
    page = answer("dora", "confirm")
    assert page.status_code == 422 and "legal hold" in page.content.decode() and is_there(conversation)
    lift = reverse("chat:lift_hold", args=[Hold.objects.get().pk])
    officer.post(lift, {"reason": "no"})
    assert Hold.objects.get().lifted_at is None
    officer.post(lift, {"reason": "The case was closed in March."})
    assert Hold.objects.get().lifted_at is not None
    assert kinds("hold.") == ["hold.set", "hold.lifted"]
    assert answer("dora", "confirm").status_code == 302 and not is_there(conversation)
    assert officer.post(url, {"hold-what": str(conversation.pk), "hold-reason": WHY}).status_code == 422


@pytest.mark.parametrize("name", ["anna", "dora"])
def test_only_compliance_asks_and_holds(name: str, conversation: Conversation) -> None:
    assert ask(conversation.pk, by=name).status_code == 403
    data = {"hold-what": "anna", "hold-reason": WHY}
    assert browser(name).post(reverse("chat:set_hold"), data).status_code == 403
    assert "form" not in browser("dora").get(reverse("chat:erasures")).content.decode().split("<main")[1]


# --- who, which step, in which state --------------------------------------------------------------------------------

STATES = ("open", "confirmed", "done", "declined", "withdrawn")
MAY = {
    # who: which step in which state; everybody else is refused everything else
    "emil": {("decline", "open")},  # who asked: takes it back
    "dora": {("confirm", "open"), ("decline", "open"), ("go_on", "confirmed")},
    "frida": {("confirm", "open"), ("decline", "open"), ("go_on", "confirmed")},
    "gina": set(),  # an administrator whom it is about
    "anna": set(),  # a clinician
    "closed": set(),  # an administrator whose account was closed meanwhile
    "demoted": set(),  # and one who is a clinician by now
}


@pytest.fixture
def people(cast: Cast) -> None:
    for name, role in (("frida", "compliance"), ("gina", "admin"), ("closed", "admin"), ("demoted", "admin")):
        User.objects.create_user(name, role=role)
    talk(User.objects.get(username="gina"))


def step(user: User, name: str, request: Erasure) -> None:
    if name == "confirm":
        erasures.confirm(user, request.pk, erasures.counts(extent_of(request.target)))
    elif name == "go_on":
        erasures.go_on(user, request.pk)
    else:
        erasures.decline(user, request.pk)


def be_in(state: str, request: Erasure) -> None:
    """The request in this state: open, confirmed by a second person and broken off, or as its row says alone."""
    if state == "confirmed":
        with pytest.MonkeyPatch.context() as broken_off:
            broken_off.setattr(erasures, "carry_out", lambda erasure_id: None)
            second = User.objects.create_user("second", role="admin")
            erasures.confirm(second, request.pk, erasures.counts(extent_of(request.target)))
    elif state != "open":
        decided = {"decided_by": request.asked_by, "decided_at": timezone.now()}
        Erasure.objects.filter(pk=request.pk).update(state=state, **decided)


@pytest.mark.parametrize("who", MAY)
def test_who_may_do_what_in_which_state(who: str, people: None) -> None:
    request = erasures.ask(User.objects.get(username="emil"), User.objects.get(username="gina"), WHY)
    user = User.objects.get(username=who)
    User.objects.filter(username="closed").update(is_active=False)
    User.objects.filter(username="demoted").update(role="clinician")
    for state, name in itertools.product(STATES, ("confirm", "go_on", "decline")):
        with transaction.atomic():
            be_in(state, request)
            before = kinds()
            if (name, state) in MAY[who]:
                step(user, name, request)
                assert kinds() != before, (name, state)
            else:
                with pytest.raises(erasures.NotDecided):
                    step(user, name, request)
                assert kinds() == before and Erasure.objects.get(pk=request.pk).state == state, (name, state)
                assert User.objects.filter(username="gina").exists()
            transaction.set_rollback(True)


@pytest.mark.parametrize(
    ("who", "role", "others", "expected"),
    [
        ("frida", "compliance", True, ""),
        ("frida", "compliance", False, "last person"),  # who asked has another role by now
        ("gina", "admin", True, ""),
        ("gina", "admin", False, "last person"),
    ],
)
def test_nobody_confirms_away_the_last_of_a_role(
    who: str, role: str, others: bool, expected: str, people: None
) -> None:
    request = erasures.ask(User.objects.get(username="emil"), User.objects.get(username=who), WHY)
    User.objects.create_user("second", role="compliance" if role == "admin" else "admin")
    if not others:
        User.objects.filter(role=role).exclude(username=who).update(role="clinician")
    page = answer("second", "confirm")
    assert page.status_code == (422 if expected else 302) and expected in page.content.decode()
    assert User.objects.filter(username=who).exists() is bool(expected)
    assert Erasure.objects.get(pk=request.pk).state == ("open" if expected else "done")


# --- broken off -----------------------------------------------------------------------------------------------------


def break_off(monkeypatch: pytest.MonkeyPatch, *, after: int) -> None:
    """The process dies when so many of a person's conversations are erased."""
    monkeypatch.setattr(erasing, "_AT_ONCE", 1)
    one_by_one, done = erasing._erase_conversation, []

    def dies(*given: Any) -> Any:
        if len(done) == after:
            raise DatabaseError("killed")
        done.append(given)
        return one_by_one(*given)

    monkeypatch.setattr(erasing, "_erase_conversation", dies)


@pytest.mark.parametrize("by", ["clock", "frida"])
@pytest.mark.parametrize("after", [0, 2])
def test_what_is_confirmed_and_broken_off_stays_decided_and_goes_on(
    by: str, after: int, conversation: Conversation, cast: Cast, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number in range(3):
        talk(cast.anna, str(number))  # type: ignore[arg-type]
    ask("anna")
    with monkeypatch.context() as killed:
        break_off(killed, after=after)
        assert answer("dora", "confirm").status_code == 503
    request = Erasure.objects.get()
    assert (request.state, request.turns) == ("confirmed", 4) and kinds() == ["erasure.asked", "erasure.confirmed"]
    assert Conversation.objects.exclude(erased_at=None).count() == after
    assert User.objects.filter(username="anna").exists()
    for name in ("dora", "emil"):
        refused = answer(name, "decline")
        assert refused.status_code == 422 and "cannot be taken back" in refused.content.decode()
    assert ask("anna", by="frida").status_code == 422, "and is not asked for twice"
    listed = browser("emil").get(reverse("chat:erasures")).content.decode()
    assert "not finished yet" in listed.split("<main")[1]
    assert "Go on now" not in browser("emil").get(reverse("chat:erasure", args=[request.pk])).content.decode()
    assert "Go on now" in browser("frida").get(reverse("chat:erasure", args=[request.pk])).content.decode()
    if by == "clock":
        tasks.carry_out_erasures()
        assert Erasure.objects.get().state == "confirmed", "whoever confirmed may still be at it"
        Erasure.objects.update(decided_at=request.decided_at - timedelta(minutes=5))  # type: ignore[operator]
        tasks.carry_out_erasures()
    else:
        assert answer(by, "go_on").status_code == 302
    done = Erasure.objects.get()
    assert (done.state, done.conversations, done.turns) == ("done", 4, 4) and done.done_at
    end = Event.objects.get(kind="erasure.done")
    assert end.actor.name == "dora" and end.actor_role == "admin" and end.payload["turns"] == 4
    assert Event.objects.filter(kind="conversation.erased").count() == 4
    assert not User.objects.filter(username="anna").exists()
    tasks.carry_out_erasures()
    assert Event.objects.filter(kind="erasure.done").count() == 1


def test_a_hold_that_comes_after_the_decision_is_kept_and_said(
    conversation: Conversation, monkeypatch: pytest.MonkeyPatch
) -> None:
    ask("anna")
    with monkeypatch.context() as killed:
        break_off(killed, after=0)
        assert answer("dora", "confirm").status_code == 503
    hold = erasures.set_hold(User.objects.get(username="emil"), User.objects.get(username="anna"), WHY)
    Erasure.objects.update(decided_at=timezone.now() - timedelta(minutes=5))
    tasks.carry_out_erasures()
    assert (
        is_there(conversation)
        and "It waits:"
        in browser("emil").get(reverse("chat:erasure", args=[Erasure.objects.get().pk])).content.decode()
    )
    erasures.lift_hold(User.objects.get(username="emil"), hold.pk, "The case was closed in March.")
    tasks.carry_out_erasures()
    assert not is_there(conversation) and Erasure.objects.get().state == "done"


def test_who_confirmed_may_be_erased_before_it_is_done(
    conversation: Conversation, monkeypatch: pytest.MonkeyPatch
) -> None:
    ask("anna")
    with monkeypatch.context() as killed:
        break_off(killed, after=0)
        assert answer("dora", "confirm").status_code == 503
    User.objects.create_user("second", role="admin")
    code = Erasure.objects.get().decided_by_id
    erase(User.objects.get(username="dora"), By("terminal:root"))
    assert answer("second", "go_on").status_code == 302
    assert (
        Event.objects.get(kind="erasure.done").actor_id == code
        and Event.objects.get(kind="conversation.erased").actor_id == code
    )
    assert not Actor.objects.filter(name="dora").exists()


def test_nobody_lifts_a_hold_on_themselves(conversation: Conversation) -> None:
    emil = User.objects.get(username="emil")
    hold = erasures.set_hold(User.objects.get(username="frida"), emil, WHY)
    with pytest.raises(erasures.NotDecided, match="yourself"):
        erasures.lift_hold(emil, hold.pk, "It was about nothing.")
    for name in ("anna", "dora"):
        with pytest.raises(erasures.NotDecided):
            erasures.lift_hold(User.objects.get(username=name), hold.pk, "It was about nothing.")
    erasures.lift_hold(User.objects.get(username="frida"), hold.pk, "The case was closed in March.")
