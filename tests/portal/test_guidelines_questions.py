"""The facility's own set of questions: asked, removed and brought back, carried out as a file and back in."""

import json
import logging
from datetime import timedelta
from typing import Any

import pytest
from django.core.files.uploadedfile import SimpleUploadedFile
from django.test import Client
from django.urls import reverse
from django.utils import timezone
from hypothesis import given
from hypothesis import strategies as st

import knowledge
from knowledge.models import Chunk, Guideline, Question, Trial
from portal.audit.models import Event
from portal.guidelines import questions, tasks
from tests.conftest import Cast, at_once
from tests.knowledge.versions import State, make
from tests.portal.bench import ASKED, Library, case_of, tried

pytestmark = pytest.mark.django_db


@pytest.fixture
def lithium(db: None) -> Guideline:
    """A guideline that has not been read."""
    return Guideline.objects.get_or_create(title="Lithium")[0]


def test_each_outcome(library: Library) -> None:
    plan, lithium = library["plan"], library["lithium"]
    steps = Chunk.objects.filter(version=plan).order_by("ordinal")[0]
    right = case_of(lithium)
    wrong = case_of(lithium, "Who tends the roses in the garden of the hospital?", quote="roses are red, said the poem")
    off_topic = case_of(plan, "xyzzy plugh", quote=steps.text)
    questions.ask_waiting()
    outcomes = {one.pk: (one.outcome, one.rank) for one in Question.objects.all()}
    assert outcomes[right.pk][1] == 1
    assert outcomes[wrong.pk] == ("gone", None)
    assert outcomes[off_topic.pk][0] in {"uncovered", "not_found"}
    knowledge.set_enabled(lithium.guideline_id, False, actor="dora")
    Question.objects.update(wanted_at=timezone.now())
    questions.ask_waiting()
    right.refresh_from_db()
    assert (right.outcome, right.rank) == ("silent", None)


def test_what_is_crowded_out_is_not_found(library: Library, settings: Any) -> None:
    settings.HAVRE_PASSAGES = 1
    case = case_of(library["plan"], ASKED, quote=library["plan"].chunks.order_by("ordinal")[0].text)
    questions.ask_waiting()
    case.refresh_from_db()
    assert case.outcome == "not_found"
    assert case.rank is None or case.rank > 1


def test_a_case_survives_a_version_that_is_cut_elsewhere(library: Library) -> None:
    kept = "each change of the dose. Tell the person about thirst and tremor."
    whole = library["lithium"].chunks.get().text.replace("each change of the dose.", kept)
    case = case_of(library["lithium"], quote=whole)
    questions.ask_waiting()
    case.refresh_from_db()
    assert case.rank == 1


def test_asking_never_stops_for_one_that_fails(library: Library, monkeypatch: pytest.MonkeyPatch) -> None:
    first, second = case_of(library["lithium"]), case_of(library["lithium"], "Lithium level after the last dose?")
    real = knowledge.explain

    def sometimes(text: str, **more: Any) -> Any:
        if text == first.text:
            raise knowledge.IndexUnavailable("index_failed", reason="disk")
        return real(text, **more)

    monkeypatch.setattr(knowledge, "explain", sometimes, raising=False)
    questions.ask_waiting()
    assert [one.outcome for one in (first, second) if one.refresh_from_db() is None] == ["failed", second.outcome]
    assert second.rank == 1
    assert not questions.waiting().exists()


def test_a_case_changed_while_it_is_asked_is_asked_again(library: Library, monkeypatch: pytest.MonkeyPatch) -> None:
    case = case_of(library["lithium"])
    real, calls = knowledge.explain, []

    def slow(text: str, **more: Any) -> Any:
        calls.append(text)
        if len(calls) == 1:
            Question.objects.filter(pk=case.pk).update(wanted_at=timezone.now())
        return real(text, **more)

    monkeypatch.setattr(knowledge, "explain", slow, raising=False)
    questions.ask_waiting()
    assert len(calls) == 2


def test_a_removal_can_be_undone_for_a_month(admin: Client, library: Library) -> None:
    case = case_of(library["lithium"])
    response = admin.post(reverse("guidelines:remove_case", args=[case.pk]), follow=True)
    page = response.content.decode()
    assert reverse("guidelines:keep_case", args=[case.pk]) in page
    assert "No question yet" in page and "Removed lately" in page
    assert not questions.waiting().exists()
    admin.post(reverse("guidelines:keep_case", args=[case.pk]))
    assert questions.questions().get().pk == case.pk
    assert questions.waiting().exists()
    kinds = list(
        Event.objects.filter(kind__startswith="guideline.case_").order_by("seq").values_list("kind", flat=True)
    )
    assert kinds == ["guideline.case_removed", "guideline.case_restored"]
    admin.post(reverse("guidelines:remove_case", args=[case.pk]))
    questions.forget_old()
    assert Question.objects.exists()
    Question.objects.update(withdrawn_at=timezone.now() - timedelta(days=31))
    questions.forget_old()
    assert not Question.objects.exists()


def test_a_removed_case_that_is_added_again_is_back(admin: Client, library: Library) -> None:
    trial, chunk = Trial.objects.create(question=ASKED, asked_by="dora"), library["lithium"].chunks.get()
    for _ in range(2):
        admin.post(reverse("guidelines:add_case", args=[trial.pk]), {"chunk": chunk.pk})
        assert questions.questions().count() == 1
        admin.post(reverse("guidelines:remove_case", args=[Question.objects.get().pk]))
    assert not questions.questions().exists()


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("page", [3, None])
def test_the_same_case_from_several_people_at_once_is_one(cast: Cast, page: int | None) -> None:
    """On PostgreSQL, two transactions that do not see each other's row."""
    version = make(state=State.EFFECTIVE)
    words = {"text": "Four hours at most.", "start": 0, "end": 19, "page": page, "last_page": page}
    chunk = Chunk.objects.create(version=version, ordinal=0, **words)
    trial = Trial.objects.create(question=ASKED, asked_by="dora")
    said: list[str] = []

    def add() -> None:
        browser = Client(raise_request_exception=False)
        browser.force_login(cast.dora)
        answer = browser.post(reverse("guidelines:add_case", args=[trial.pk]), {"chunk": chunk.pk}, follow=True)
        said.append(answer.content.decode())

    at_once(6, add)
    assert Question.objects.count() == 1
    assert sum("This is a case of the question set now" in one for one in said) == 1
    assert sum("This is a case of the question set already." in one for one in said) == 5
    assert Event.objects.filter(kind="guideline.case_added").count() == 1


def test_the_page_counts_and_asks_them_all(admin: Client, library: Library) -> None:
    case_of(library["lithium"], wanted_at=None, outcome="found", rank=2, checked_at=timezone.now())
    case_of(library["plan"], wanted_at=None, outcome="not_found", checked_at=timezone.now())
    page = admin.get(reverse("guidelines:question_set")).content.decode()
    assert "1 of 2 questions find what they should." in page
    assert "Found, place 2" in page and "Not found" in page
    page = admin.post(reverse("guidelines:ask_all"), follow=True).content.decode()
    assert "2 questions are asked again." in page
    assert admin.get(reverse("guidelines:set_state")).json()["waiting"] == 2
    questions.ask_waiting()
    assert admin.get(reverse("guidelines:set_state")).json()["waiting"] == 0


# --- files -------------------------------------------------------------------------------------------------------


def upload(admin: Client, data: bytes) -> str:
    file = SimpleUploadedFile("set.jsonl", data)
    return str(admin.post(reverse("guidelines:import_set"), {"file": file}, follow=True).content.decode())


def test_the_set_leaves_as_a_file_and_comes_back(admin: Client, library: Library) -> None:
    case_of(library["lithium"])
    case_of(library["plan"], "Qui rédige le plan de sécurité ?")
    response = admin.post(reverse("guidelines:export_set"))
    assert 'filename="havre-questions-' in response["Content-Disposition"]
    kept = list(Question.objects.order_by("created_at").values_list("text", "guideline", "page", "quote"))
    assert len(response.content.decode().splitlines()) == len(kept) == 2
    assert "0 questions were added. 2 were there already." in upload(admin, response.content)
    Question.objects.all().delete()
    assert "2 questions were added." in upload(admin, response.content)
    assert list(Question.objects.order_by("created_at").values_list("text", "guideline", "page", "quote")) == kept
    assert questions.waiting().count() == 2


def test_a_long_file_is_taken_in_by_pieces_whatever_breaks_its_words(
    admin: Client, lithium: Guideline, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(questions, "_AT_ONCE", 2)
    monkeypatch.setattr(questions, "MOST_LINES", 5)
    for number in range(7):
        quote = f"after\u2028the dose\x85{number}"  # line breaks of a text, not of the file
        Question.objects.create(text=f"When, {number}?", guideline=lithium, quote=quote, added_by="dora")
    file = admin.post(reverse("guidelines:export_set")).content
    Question.objects.all().delete()
    page = upload(admin, file)
    assert "5 questions were added." in page
    assert "more than 5 lines" in page
    assert [one.quote[-1] for one in Question.objects.order_by("text")] == list("01234")
    assert "more than" not in upload(admin, b"\n".join(file.splitlines()[:5]) + b"\n")


GOOD = {"question": ASKED, "guideline": "Lithium", "page": None, "quote": "twelve hours after the last dose"}


@pytest.mark.parametrize(
    ("line", "sentence"),
    [
        ("not json", "Line 2: this is not a JSON object."),
        ("[1]", "Line 2: this is not a JSON object."),
        ("[" * 100_000, "Line 2: this is not a JSON object."),
        ({**GOOD, "question": " "}, "Line 2: “question” is missing."),
        ({**GOOD, "quote": 3}, "Line 2: “quote” is missing."),
        ({**GOOD, "question": "x" * 501}, "Line 2: “question” is longer than 500 characters."),
        ({**GOOD, "quote": "a\0b"}, "Line 2: “quote” has characters that no text has."),
        ({**GOOD, "quote": "\ud800"}, "Line 2: “quote” has characters that no text has."),
        ({**GOOD, "page": "2"}, "Line 2: “page” is not the number of a page."),
        ({**GOOD, "page": True}, "Line 2: “page” is not the number of a page."),
        ({**GOOD, "page": 10**12}, "Line 2: “page” is not the number of a page."),
        ({**GOOD, "guideline": "<b>Lithium</b>"}, "no guideline “&lt;b&gt;Lithium&lt;/b&gt;”"),
        ({**GOOD, "publisher": "Somebody else"}, "Line 2: there is no guideline"),
    ],
)
def test_a_line_that_cannot_be_taken_is_named_and_the_others_are_taken(
    admin: Client, lithium: Guideline, line: str | dict[str, Any], sentence: str
) -> None:
    bad = line if isinstance(line, str) else json.dumps(line)
    page = upload(admin, f"\ufeff{json.dumps(GOOD)}\n{bad}\n\n".encode())
    assert sentence in page
    assert "1 question was added." in page
    assert Question.objects.get().quote == GOOD["quote"]


def test_two_guidelines_of_one_title_take_a_publisher(admin: Client, lithium: Guideline) -> None:
    other = Guideline.objects.create(title="Lithium", publisher="Somebody else")
    assert "name the publisher" in upload(admin, json.dumps(GOOD).encode())
    upload(admin, json.dumps({**GOOD, "publisher": "Somebody else"}).encode())
    assert Question.objects.get().guideline == other


def test_a_file_that_is_none_is_said(admin: Client) -> None:
    assert "No file was chosen." in admin.post(reverse("guidelines:import_set")).content.decode()
    assert "0 questions were added." in upload(admin, b"\xff\xfe\x00binary")


@given(st.text(max_size=200) | st.binary(max_size=200).map(lambda data: data.decode("latin-1")))
def test_any_line_is_taken_or_refused_with_a_sentence(line: str) -> None:
    try:
        questions._row(line)
    except ValueError as error:
        assert str(error)


@given(st.text(max_size=80), st.text(max_size=80))
def test_words_say_themselves_whatever_stands_around_them(words: str, around: str) -> None:
    assert questions.says(f"{around} {words} {around}", words) == bool(questions._words(words))


def test_saying_the_same_takes_most_of_the_words() -> None:
    quote = "Measure the lithium level twelve hours after the last dose, one week after each change of the dose."
    cut = "Measure the lithium level twelve hours after the last dose, one week after each change."
    assert questions.says(quote, cut) and questions.says(cut, quote)
    assert questions.says("LITHIUM:  measure\nthe lithium level", "measure the lithium level")
    assert not questions.says("Measure the level of clozapine every week in the first months.", quote)
    assert not questions.says(quote, "…")


def test_the_trail_has_every_step_and_no_words(
    admin: Client, library: Library, caplog: pytest.LogCaptureFixture
) -> None:
    before = Event.objects.latest("seq").seq if Event.objects.exists() else 0
    with caplog.at_level(logging.DEBUG, logger="portal"):
        trial = tried(admin)
        admin.post(reverse("guidelines:add_case", args=[trial.pk]), {"chunk": library["lithium"].chunks.get().pk})
        admin.post(reverse("guidelines:ask_all"))
        tasks.ask_questions()
        upload(admin, admin.post(reverse("guidelines:export_set")).content)
    events = Event.objects.filter(seq__gt=before).order_by("seq")
    assert [one.kind for one in events] == [
        "guideline.tried",
        "guideline.case_added",
        "guideline.cases_run",
        "guideline.cases_exported",
        "guideline.cases_imported",
    ]
    for said in [*(json.dumps(one.payload) for one in events), *caplog.messages]:
        assert "lithium" not in said.casefold() and "measure" not in said.casefold()
