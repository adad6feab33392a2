"""Opening an approved guideline to more departments, on the pages: one administrator asks, another one agrees."""

import re
from typing import Any

import pytest
from django.test import Client
from django.urls import reverse

from knowledge import selectors
from knowledge.models import Department, Guideline, Opening
from portal.accounts.models import User
from portal.audit.models import Event
from tests.conftest import PASSWORD, Cast
from tests.knowledge.versions import State, make
from tests.portal.test_guidelines_pages import words


@pytest.fixture
def plan(cast: Cast) -> Guideline:
    """A guideline in force, for the ward alone."""
    version = make(Guideline.objects.create(title="Plan", publisher="Ward 3", language="en"), state=State.EFFECTIVE)
    version.guideline.departments.add(Department.objects.create(name="Ward 3"))
    return version.guideline


@pytest.fixture
def dora(cast: Cast) -> Client:
    browser = Client()
    browser.force_login(cast.dora)  # type: ignore[arg-type]
    return browser


@pytest.fixture
def dina(cast: Cast) -> Client:
    browser = Client()
    browser.force_login(User.objects.create_user("dina", password=PASSWORD, role="admin"))
    return browser


def send(page: Client, route: str, plan: Guideline, **fields: Any) -> str:
    response = page.post(reverse(f"guidelines:{route}", args=[plan.pk]), fields, follow=True)
    assert response.status_code == 200
    return words(response.content.decode())


def ask(page: Client, plan: Guideline, *departments: Department) -> str:
    chosen = [str(one.pk) for one in departments]
    return send(page, "describe", plan, title="Plan", publisher="Ward 3", language="en", departments=chosen)


def may_ask_from_it(department: Department | None = None) -> bool:
    return selectors.answering_versions(departments=[department.pk] if department else []).exists()


def test_one_administrator_asks_and_another_one_agrees(dora: Client, dina: Client, plan: Guideline) -> None:
    ward, emergency = Department.objects.get(), Department.objects.create(name="Emergency")
    assert "waits until a second person agrees" in words(
        dora.get(reverse("guidelines:describe", args=[plan.pk])).content.decode()
    )
    said = ask(dora, plan, ward, emergency)
    assert "More people would see it than before" in said
    assert "that this guideline be for: Emergency, Ward 3." in said
    assert "For now it is only for: Ward 3." in said
    assert "takes a second person" in said
    asked = str(Opening.objects.get().pk)
    assert "takes a second person" in send(dora, "opening", plan, asked=asked, answer="agree")
    assert not may_ask_from_it(emergency)

    listed = dina.get(reverse("guidelines:index"), {"mine": "on"}).content.decode()
    assert "Asked to be opened to more departments" in listed
    assert "Asked to be" not in dora.get(reverse("guidelines:index"), {"mine": "on"}).content.decode()
    page = dina.get(reverse("guidelines:detail", args=[plan.pk])).content.decode()
    assert re.findall(r'name="asked" value="([^"]*)"', page) == [asked]
    said = send(dina, "opening", plan, asked=asked, answer="agree")
    assert "“Plan” is open to more people now." in said
    assert "Departments: Ward 3 → Emergency, Ward 3" in said
    assert may_ask_from_it(emergency)
    events = Event.objects.filter(kind__startswith="guideline.open").order_by("seq")
    assert [(one.kind, one.actor.name) for one in events] == [
        ("guideline.opening_asked", "dora"), ("guideline.opened", "dina"),
    ]  # fmt: skip
    assert events[1].payload["changes"]["asked_by"] == [events[0].actor_id, ""]


@pytest.mark.parametrize("who", ["dora", "dina"])
def test_it_stays_as_it_was(dora: Client, dina: Client, plan: Guideline, who: str) -> None:
    assert "that this guideline be for every department" in ask(dora, plan)
    asked = str(Opening.objects.get().pk)
    browser = {"dora": dora, "dina": dina}[who]
    assert "“Plan” stays as it was." in send(browser, "opening", plan, asked=asked, answer="leave")
    assert "decided or changed by somebody else" in send(dina, "opening", plan, asked=asked, answer="agree")
    assert not may_ask_from_it()


def test_closing_it_needs_nobody(dora: Client, plan: Guideline) -> None:
    plan.departments.add(Department.objects.create(name="Emergency"))
    said = ask(dora, plan, Department.objects.get(name="Ward 3"))
    assert "The description was changed." in said
    assert "second person" not in said
    assert not may_ask_from_it(Department.objects.get(name="Emergency"))


@pytest.mark.parametrize("asked", ["", "nonsense"])
def test_nothing_is_agreed_to_without_having_been_asked(dina: Client, plan: Guideline, asked: str) -> None:
    address = reverse("guidelines:opening", args=[plan.pk])
    assert dina.post(address, {"asked": asked, "answer": "agree"}).status_code == 404
