"""Whom a guideline is for: one person closes it, two people open it."""

import uuid
from collections.abc import Iterator
from typing import Any

import pytest

import knowledge
from knowledge import lifecycle, selectors
from knowledge.models import Department, Guideline, Opening
from knowledge.signals import guideline_changed

from .test_knowledge_describing import describe
from .versions import State, make

pytestmark = pytest.mark.django_db
Said = list[tuple[str, str, dict[str, list[Any]]]]


@pytest.fixture
def said() -> Iterator[Said]:
    """What was announced: kind, actor, changes."""
    heard: Said = []

    def hear(sender: object, *, kind: str, actor: str, changes: dict[str, list[Any]], **_: Any) -> None:
        heard.append((kind, actor, changes))

    guideline_changed.connect(hear)
    yield heard
    guideline_changed.disconnect(hear)


def wards(names: str) -> list[Department]:
    return [Department.objects.get_or_create(name=name)[0] for name in names]


def guideline_for(names: str, state: str = State.EFFECTIVE, **fields: Any) -> Guideline:
    guideline = make(state=state, **fields).guideline
    guideline.departments.set(wards(names))
    return guideline


def names_of(guideline: Guideline) -> str:
    return "".join(guideline.departments.order_by("name").values_list("name", flat=True))


@pytest.mark.parametrize(
    ("own", "wanted", "now", "asked"),
    [
        ("A", "AB", "A", True),
        ("A", "", "A", True),  # everybody
        ("A", "B", "A", True),  # nobody would be left, and nobody is everybody
        ("AB", "BC", "B", True),  # what closes it is done at once
        ("AB", "A", "A", False),
        ("", "A", "A", False),
        ("AB", "AB", "AB", False),
        ("", "", "", False),
    ],
)
def test_what_one_person_does_and_what_takes_two(own: str, wanted: str, now: str, asked: bool) -> None:
    guideline = guideline_for(own)
    changes = describe(guideline, departments=wards(wanted), population="adults")
    assert (names_of(guideline), Opening.objects.exists()) == (now, asked)
    assert changes.pop("population") == ["", "adults"]
    assert changes == ({"departments": [list(own), list(now)]} if own != now else {})
    if not asked:
        return
    opening = Opening.objects.get()
    for nobody in ("dora", ""):
        with pytest.raises(knowledge.NotPossible, match="takes a second person"):
            knowledge.agree_to_opening(opening.pk, actor=nobody)
    assert names_of(guideline) == now
    knowledge.agree_to_opening(opening.pk, actor="carl")
    assert names_of(guideline) == wanted
    assert not Opening.objects.exists()


@pytest.mark.parametrize("state", list(State))
def test_what_was_approved_once_is_not_opened_by_one_person(state: str) -> None:
    """Archived or superseded, it would come back by `restore`, which one person does alone."""
    guideline = guideline_for("A", state)
    describe(guideline, departments=[])
    assert names_of(guideline) == ("" if state in {State.DRAFT, State.IN_REVIEW, State.ARCHIVED} else "A")


def test_archiving_it_meanwhile_does_not_help() -> None:
    guideline = guideline_for("A")
    version = knowledge.archive(guideline.versions.get().pk, actor="dora")
    describe(guideline, departments=[])
    knowledge.restore(version.pk, actor="dora")
    assert not selectors.answering_versions(departments=[]).exists()
    assert selectors.answering_versions(departments=[wards("A")[0].pk]).exists()


def test_two_people_and_their_records(said: Said) -> None:
    guideline = guideline_for("A")
    describe(guideline, departments=wards("AB"))
    knowledge.agree_to_opening(Opening.objects.get().pk, actor="carl")
    assert said == [
        ("opening_asked", "dora", {"departments": [["A"], ["A", "B"]]}),
        ("opened", "carl", {"departments": [["A"], ["A", "B"]], "asked_by": ["dora", ""]}),
    ]


def test_what_was_asked_stays_until_something_else_is_wanted(said: Said) -> None:
    guideline = guideline_for("AB")
    describe(guideline, departments=wards("ABC"))
    opening = Opening.objects.get()
    describe(guideline, title="Another title")  # with the departments that it has
    describe(guideline, title="Another title", departments=wards("ABC"))  # asked for already
    assert Opening.objects.get() == opening
    describe(guideline, title="Another title", departments=wards("A"))
    assert names_of(guideline) == "A"
    with pytest.raises(knowledge.NotPossible, match="decided or changed by somebody else"):
        knowledge.agree_to_opening(opening.pk, actor="carl")
    assert names_of(guideline) == "A"
    assert [kind for kind, _, _ in said] == ["opening_asked", "described", "opening_withdrawn", "described"]


def test_anybody_may_leave_it_as_it_is() -> None:
    guideline = guideline_for("A")
    for actor in ("dora", "carl"):
        describe(guideline, departments=[])
        knowledge.withdraw_opening(Opening.objects.get().pk, actor=actor)
        assert names_of(guideline) == "A"
    for step in (knowledge.agree_to_opening, knowledge.withdraw_opening):
        with pytest.raises(knowledge.NotPossible, match="decided or changed by somebody else"):
            step(uuid.uuid4(), actor="carl")


def test_a_department_that_goes_takes_what_was_asked_for_it_along(said: Said) -> None:
    guideline = guideline_for("A")
    describe(guideline, departments=wards("B"))
    knowledge.remove_department(wards("B")[0].pk, actor="dora")
    assert not Opening.objects.exists()
    assert names_of(guideline) == "A"
    assert [kind for kind, _, _ in said] == ["opening_asked", "opening_withdrawn"]


def test_who_approves_saw_whom_it_is_for() -> None:
    """Before it is approved one person opens it; not while another one is about to approve it."""
    guideline = guideline_for("A", State.IN_REVIEW)
    version = guideline.versions.get()
    seen = lifecycle.place(version)
    describe(guideline, departments=[])
    with pytest.raises(knowledge.NotPossible, match="departments that may see it were changed meanwhile"):
        knowledge.approve(version.pk, actor="carl", seen=seen)
    knowledge.approve(version.pk, actor="carl", seen=lifecycle.place(version))
