"""Two people decide an erasure on the page; holds are set and lifted with a reason. Never by one click, never alone."""

import re
import uuid
from typing import Any

import pytest
from django.test import Client
from django.urls import reverse

from portal.accounts.models import User
from portal.audit.models import Event
from portal.chat.erasing import By, erase
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
    assert kinds() == ["erasure.asked", "erasure.confirmed"]
    done = Erasure.objects.get()
    assert (done.state, done.turns, done.decided_by and done.decided_by.name) == ("done", 1, second)
    event = Event.objects.get(kind="erasure.confirmed")
    assert event.payload["asked_by"] == done.asked_by_id and event.actor_id != done.asked_by_id
    assert "Erased" in browser("emil").get(reverse("chat:erasures")).content.decode()


def test_a_person_is_erased_with_the_code_in_every_row(conversation: Conversation) -> None:
    assert ask("anna").status_code == 302
    assert answer("dora", "confirm").status_code == 302
    assert not User.objects.filter(username="anna").exists()
    asked, confirmed = Event.objects.filter(kind__startswith="erasure.").order_by("seq")
    assert asked.subject == confirmed.subject == asked.payload["person"]
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
    ("what", "reason"), [("nobody", WHY), ("", WHY), ("anna", "because"), ("anna", ""), (str(uuid.uuid4()), WHY)]
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
