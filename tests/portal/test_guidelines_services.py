"""Guidelines on behalf of people: what is recorded of their life, and who sees which, on every route."""

import io
import json
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from django.core.management import CommandError, call_command
from django.test import Client
from django.urls import reverse
from django.utils import timezone

import knowledge
from inference import Effort
from knowledge._claims import claim
from knowledge.models import Department, Guideline, GuidelineVersion
from portal.accounts.models import User
from portal.accounts.selectors import departments_of
from portal.accounts.services import set_departments
from portal.audit.models import Event
from portal.audit.services import code_of
from portal.chat import stored
from portal.chat.models import State, Turn
from portal.chat.protocol import TurnStart
from portal.chat.retrieving import retrieve_passages
from portal.chat.services import start_turn
from portal.guidelines import services, tasks
from portal.guidelines.selectors import history
from tests.conftest import Cast, at_once
from tests.knowledge.documents import make_pdf

PLACES = {  # about one thing, each in words of its own, so that none is dropped as a near-duplicate
    "garden": "A visit in the house lasts two hours at most when it is in the garden. Gardeners close the gate.",
    "workshop": "Visitors stay until supper, and the workshop is swept. How long the visit lasts is noted on paper.",
    "kitchen": "In the kitchen nobody stays alone: cooks count the knives. The house ends a visit after forty minutes.",
}
QUESTION = "How long does the visit in the house last?"


@pytest.fixture
def data_folder(settings: Any, tmp_path: Path) -> Iterator[Path]:
    """A data folder of the test's own."""
    settings.HAVRE_DATA_DIR = tmp_path
    yield tmp_path
    knowledge.close()


def document(place: str) -> io.BytesIO:
    return io.BytesIO(make_pdf([[(f"Visits in the {place}", 20), "", PLACES[place]]]))


def take_in(place: str, **fields: Any) -> GuidelineVersion:
    version = services.take_in(
        document(place), filename=f"{place}.pdf", title=f"Visits in the {place}", actor="dora", **fields
    )
    return knowledge.ingest(version.pk)


# --- what is recorded


def test_the_life_of_a_guideline_is_its_events(cast: Cast, data_folder: Path) -> None:
    User.objects.create_user("fred", role="admin")
    version = take_in("garden")
    knowledge.submit(version.pk, actor="dora")
    knowledge.send_back(version.pk, actor="fred", note="Who wrote it?")
    knowledge.describe(
        version.guideline_id, actor="dora", title=version.guideline.title, publisher="Ward 3", language="en",
        population="adults", setting="", evidence_level="", licence="", source_url="", contact="", departments=[],
    )  # fmt: skip
    knowledge.submit(version.pk, actor="dora")
    knowledge.approve(version.pk, actor="fred", expires_at=timezone.now() + timedelta(days=9))
    knowledge.reschedule(version.pk, actor="fred", effective_from=None, review_due=None, expires_at=None)
    knowledge.set_enabled(version.guideline_id, False, actor="dora")
    knowledge.set_enabled(version.guideline_id, False, actor="dora")  # off already: nothing to record
    knowledge.unapprove(version.pk, actor="fred", note="Two hours are too long.")
    knowledge.archive(version.pk, actor="dora")
    knowledge.restore(version.pk, actor="dora")
    events = history(version.guideline_id)[::-1]
    assert [(one.kind.partition(".")[2], one.actor.name, one.actor_role) for one in events] == [
        ("uploaded", "dora", "admin"),
        ("indexed", "system", ""),
        ("submitted", "dora", "admin"),
        ("sent_back", "fred", "admin"),
        ("described", "dora", "admin"),
        ("submitted", "dora", "admin"),
        ("approved", "fred", "admin"),
        ("effective", "system", ""),
        ("rescheduled", "fred", "admin"),
        ("disabled", "dora", "admin"),
        ("unapproved", "fred", "admin"),
        ("archived", "dora", "admin"),
        ("restored", "dora", "admin"),
    ]
    payloads = {one.kind.partition(".")[2]: one.payload for one in events}
    assert payloads["uploaded"]["sha256"] == version.sha256
    assert payloads["described"]["changes"] == {"publisher": ["", "Ward 3"], "population": ["", "adults"]}
    assert payloads["approved"]["alone_as_operator"] is False
    assert payloads["unapproved"]["note"] == "Two hours are too long."
    assert "close the gate" not in json.dumps([one.payload for one in events])


def test_a_step_that_cannot_be_recorded_is_not_taken(
    cast: Cast, data_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    version = services.take_in(document("garden"), filename="garden.pdf", actor="dora")

    def broken(*_: Any, **__: Any) -> None:
        raise RuntimeError("no audit trail")

    monkeypatch.setattr("portal.guidelines.signals.record", broken)
    with pytest.raises(RuntimeError):
        knowledge.submit(version.pk, actor="dora")
    with pytest.raises(RuntimeError):
        services.take_in(document("kitchen"), filename="kitchen.pdf", actor="dora")
    version.refresh_from_db()
    assert (version.state, GuidelineVersion.objects.count()) == ("draft", 1)


def test_the_clock_is_recorded(cast: Cast, data_folder: Path) -> None:
    version = take_in("garden", approve=True)
    GuidelineVersion.objects.filter(pk=version.pk).update(expires_at=timezone.now() - timedelta(seconds=1))
    tasks.bring_up_to_date()
    tasks.bring_up_to_date()
    assert [(one.kind, one.actor.name) for one in history(version.guideline_id)[:1]] == [
        ("guideline.expired", "system")
    ]
    approved = next(one for one in history(version.guideline_id) if one.kind == "guideline.approved")
    assert approved.payload["alone_as_operator"] is True


def test_departments_of_people_are_recorded_once(cast: Cast) -> None:
    ward = knowledge.add_department("Ward 3", actor="dora")
    set_departments(cast.anna, [ward], actor="dora")  # type: ignore[arg-type]
    set_departments(cast.anna, [ward], actor="dora")  # type: ignore[arg-type]
    assert departments_of(cast.anna) == (ward.pk,)  # type: ignore[arg-type]
    assert [one.username for one in ward.people.all()] == ["anna"]
    found = Event.objects.filter(kind="user.departments_changed")
    assert [(one.subject, one.actor_role, one.payload) for one in found] == [
        (code_of("anna"), "admin", {"before": [], "after": ["Ward 3"]})
    ]
    knowledge.rename_department(ward.pk, "Ward 4", actor="dora")
    knowledge.remove_department(ward.pk, actor="dora")
    kinds = Event.objects.filter(subject=str(ward.pk)).order_by("seq").values_list("kind", flat=True)
    assert list(kinds) == ["department.added", "department.renamed", "department.removed"]
    assert departments_of(cast.anna) == ()  # type: ignore[arg-type]
    last = Event.objects.filter(kind="user.departments_changed", subject=code_of("anna")).latest("seq")
    assert (last.actor.name, last.payload) == ("dora", {"before": ["Ward 4"], "after": []})


def test_a_removed_department_is_in_the_history_of_its_guidelines(cast: Cast, data_folder: Path) -> None:
    wards = [knowledge.add_department(name, actor="dora") for name in ("Ward 3", "Ward 4")]
    guideline = take_in("garden", departments=wards).guideline
    knowledge.remove_department(wards[0].pk, actor="dora")
    last = Event.objects.filter(subject=str(guideline.pk)).latest("seq")
    assert (last.kind, last.actor.name) == ("guideline.described", "dora")
    assert last.payload["changes"] == {"departments": [["Ward 3", "Ward 4"], ["Ward 4"]]}


@pytest.mark.django_db(transaction=True)
def test_one_file_uploaded_by_two_at_the_same_moment(cast: Cast, data_folder: Path) -> None:
    said: list[str] = []

    def upload() -> None:
        try:
            said.append(services.take_in(document("garden"), filename="garden.pdf", actor="dora").label)
        except knowledge.DuplicateDocument as error:
            said.append(str(error))

    at_once(2, upload)
    assert sorted(said) == ["v1", "“garden.pdf” is in the library already: it is “Visits in the garden”, version 1."]
    assert (Guideline.objects.count(), Event.objects.filter(kind="guideline.uploaded").count()) == (1, 1)


@pytest.mark.django_db(transaction=True)
def test_two_people_decide_at_the_same_moment(cast: Cast, data_folder: Path) -> None:
    version = take_in("garden")
    knowledge.submit(version.pk, actor="dora")
    said: list[str] = []

    def decide() -> None:
        try:
            said.append(knowledge.approve(version.pk, actor="fred").state)
        except knowledge.NotPossible as error:
            said.append(error.code)

    at_once(3, decide)
    assert sorted(said) == ["effective", "not_from_here", "not_from_here"]
    assert Event.objects.filter(kind="guideline.approved").count() == 1


# --- from the terminal


def ingest(*arguments: str) -> dict[str, Any]:
    out = io.StringIO()
    call_command("ingest", *arguments, "--json", stdout=out)
    return json.loads(out.getvalue())["files"][0]  # type: ignore[no-any-return]


def test_ingest_makes_drafts_unless_it_approves(cast: Cast, data_folder: Path, tmp_path: Path) -> None:
    for place in PLACES:
        (tmp_path / f"{place}.pdf").write_bytes(document(place).getvalue())
    assert ingest(str(tmp_path / "garden.pdf"))["state"] == "indexed, draft"
    with pytest.raises(CommandError, match="There is no department Ward 3"):
        ingest(str(tmp_path / "kitchen.pdf"), "--department", "Ward 3", "--approve")
    ward, emergency = (Department.objects.create(name=name) for name in ("Ward 3", "Emergency"))
    options = ("--department", "ward 3", "--department", "Emergency", "--publisher", "CH", "--approve")
    done = ingest(str(tmp_path / "kitchen.pdf"), *options)
    assert done["state"] == "indexed, effective"
    guideline = Guideline.objects.get(pk=done["guideline"])
    assert (set(guideline.departments.all()), guideline.publisher) == ({ward, emergency}, "CH")
    assert GuidelineVersion.objects.get(guideline=guideline).origin == "command"


# --- who sees which


@dataclass(frozen=True)
class House:
    """An open guideline and two restricted ones; anna is in ward A, bela in ward B, carla in none."""

    people: dict[str, User]
    versions: dict[str, GuidelineVersion]
    departments: dict[str, Department]


@pytest.fixture
def house(cast: Cast, data_folder: Path) -> House:
    wards = {name: Department.objects.create(name=name) for name in ("A", "B")}
    versions = {
        "garden": take_in("garden", approve=True),
        "workshop": take_in("workshop", approve=True, departments=[wards["A"]]),
        "kitchen": take_in("kitchen", approve=True, departments=[wards["B"]]),
    }
    people = {name: getattr(cast, name) for name in ("anna", "bela", "dora", "emil")}
    people["carla"] = User.objects.create_user("carla", role="clinician")
    people["terminal"] = User.objects.create_user("terminal", role="clinician")
    people["anna"].departments.set([wards["A"]])
    people["bela"].departments.set([wards["B"]])
    people["dora"].departments.set([])
    people["emil"].departments.set([wards["A"], wards["B"]])
    return House(people, versions, wards)


SEES = {
    "anna": {"garden", "workshop"},
    "bela": {"garden", "kitchen"},
    "carla": {"garden"},
    "terminal": {"garden"},
}


def ask(person: User) -> Turn:
    start = TurnStart(uuid.uuid4(), QUESTION, Effort.LOW)
    turn = start_turn(person, uuid.uuid4(), start, queue=False)
    assert retrieve_passages(turn.id)
    Turn.objects.filter(pk=turn.pk).update(state=State.CANCELLED, finished_at=timezone.now())  # nobody answers here
    turn.refresh_from_db()
    return turn


def found(turn: Turn) -> set[str]:
    quotes = " ".join(" ".join(one["quote"].split()) for one in turn.passages)
    return {place for place, text in PLACES.items() if text.split(".")[0] in quotes}


def signed_in(person: User) -> Client:
    client = Client()
    client.force_login(person)
    return client


@pytest.mark.usefixtures("living_workers")
def test_what_is_found_for_whom(house: House) -> None:
    assert {name: found(ask(house.people[name])) for name in SEES} == SEES
    house.people["anna"].departments.set([house.departments["B"]])  # from the next question on
    assert found(ask(house.people["anna"])) == {"garden", "kitchen"}


def test_pages_are_shown_to_those_who_may_ask_about_them(house: House) -> None:
    """Administrators see every page, clinicians those that answer them, compliance officers none."""
    shown = {
        name: {place for place, version in house.versions.items() if status(person, version) == 200}
        for name, person in house.people.items()
    }
    assert shown == SEES | {"dora": set(PLACES), "emil": set()}
    garden = house.versions["garden"]
    assert {name: status(person, garden) for name, person in house.people.items() if name in {"emil", "carla"}} == {
        "emil": 403, "carla": 200,
    }  # fmt: skip
    assert status(house.people["carla"], house.versions["kitchen"]) == 404
    knowledge.set_enabled(garden.guideline_id, False, actor="dora")
    assert (status(house.people["carla"], garden), status(house.people["dora"], garden)) == (404, 200)
    knowledge.set_enabled(garden.guideline_id, True, actor="dora")
    knowledge.archive(garden.pk, actor="dora")
    assert status(house.people["carla"], garden) == 404


def status(person: User, version: GuidelineVersion) -> int:
    return signed_in(person).get(reverse("guidelines:page_image", args=[version.pk, 1])).status_code


CLOSED = "This guideline is for other departments by now: its words are not shown."


def passages_of(turn: Turn) -> list[dict[str, Any]]:
    """The passages of a turn that has ended, as the socket tells them."""
    told = stored.events(Turn.objects.get(pk=turn.pk))
    return next(list(one["passages"]) for one in told if one["type"] == "turn.passages")


@pytest.mark.usefixtures("living_workers")
def test_a_citation_opens_for_its_owner_while_the_guideline_is_for_them(house: House) -> None:
    turn = ask(house.people["anna"])
    marker = next(one["marker"] for one in turn.passages if "workshop is swept" in one["quote"])
    routes = [
        reverse("chat:passage", args=[turn.id, marker]),
        reverse("chat:passage_image", args=[turn.id, marker, 1]),
    ]

    def opens(name: str) -> set[int]:
        client = signed_in(house.people[name])
        return {client.get(route).status_code for route in routes}

    assert {name: opens(name) for name in house.people} == {
        "anna": {200}, "bela": {404}, "carla": {404}, "terminal": {404}, "dora": {403}, "emil": {403},
    }  # fmt: skip
    version = house.versions["workshop"]
    knowledge.unapprove(version.pk, actor="dora", note="Too long.")
    assert opens("anna") == {200}  # an answer keeps pointing to the version that it used
    conversation = reverse("chat:conversation", args=[turn.conversation_id])
    assert "workshop is swept" in signed_in(house.people["anna"]).get(conversation).content.decode()
    set_departments(house.people["anna"], [], actor="dora")
    assert opens("anna") == {404}
    page = signed_in(house.people["anna"]).get(conversation).content.decode()
    assert "workshop is swept" not in page
    assert "for other departments by now" in page
    assert {one["quote"] for one in passages_of(turn) if one["marker"] != marker}.isdisjoint({CLOSED})
    assert next(one["quote"] for one in passages_of(turn) if one["marker"] == marker) == CLOSED
    set_departments(house.people["anna"], [house.departments["A"]], actor="dora")
    house.versions["kitchen"].guideline.departments.set([house.departments["A"]])
    knowledge.join(version.pk, house.versions["kitchen"].guideline_id, actor="dora")
    house.versions["kitchen"].guideline.departments.set([house.departments["B"]])
    assert opens("anna") == {404}  # it is a version of a guideline for others by now


@pytest.mark.django_db
def test_what_another_worker_reads_is_left_to_it(settings: Any, tmp_path: Path) -> None:
    knowledge.close()
    settings.HAVRE_DATA_DIR = tmp_path
    first, second = (
        knowledge.add_version(io.BytesIO(f"# Round {n}\n\nThe round begins at {n}.".encode()), filename=f"{n}.md")
        for n in (7, 8)
    )
    with claim(f"ingest-{first.pk}"):
        services.ingest_pending()
    first.refresh_from_db()
    second.refresh_from_db()
    assert (first.ingestion, second.ingestion) == ("pending", "indexed")
    services.ingest_pending()
    first.refresh_from_db()
    assert first.ingestion == "indexed"
    knowledge.close()
