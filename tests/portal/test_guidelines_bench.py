"""The test bench: a question explained as the worker found it, and the facility's own set of questions."""

import io
import json
import logging
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest
from django.core.files.uploadedfile import SimpleUploadedFile
from django.db import transaction
from django.test import Client, override_settings
from django.urls import reverse
from django.utils import timezone
from hypothesis import given
from hypothesis import strategies as st

import knowledge
from knowledge import selectors
from knowledge.models import Chunk, Department, Guideline, GuidelineVersion, Question, Trial
from portal.audit.models import Event
from portal.guidelines import questions, tasks, trials
from tests.conftest import Cast

pytestmark = pytest.mark.django_db
PLAN = """# Safety plan

## Steps

A safety plan is written together with the person. First write down the warning signs that a crisis may be developing,
then what the person can do alone, then the people who can help.

## Follow-up

Read the plan again at every contact and telephone the person within seven days of discharge.
"""
LITHIUM = """# Lithium

## Monitoring

Measure the lithium level twelve hours after the last dose, one week after each change of the dose.
"""
CLOZAPINE = """# Clozapine

Count the white blood cells every week for eighteen weeks, then every month as long as clozapine is taken. Stop it and
call the haematologist when the neutrophils fall below one thousand.
"""
TWIN = CLOZAPINE.replace("# Clozapine", "# Clozapine on the ward")
ASKED = "When is the lithium level measured?"


@pytest.fixture(scope="module")
def documents(
    django_db_setup: None, django_db_blocker: Any, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[dict[str, GuidelineVersion]]:
    """Documents that answer, taken in once for this module and taken out of the database after it."""
    texts = {"plan": PLAN, "lithium": LITHIUM, "clozapine": CLOZAPINE, "twin": TWIN}
    folder = tmp_path_factory.mktemp("library")
    with django_db_blocker.unblock(), override_settings(HAVRE_DATA_DIR=folder), transaction.atomic():
        found = {}
        for name, text in texts.items():
            file = io.BytesIO(text.encode())
            version = knowledge.add_version(file, filename=f"{name}.md", uploaded_by="dora", approve=True)
            found[name] = knowledge.ingest(version.pk)
        yield found
        knowledge.close()
        transaction.set_rollback(True)


@pytest.fixture
def library(db: None, documents: dict[str, GuidelineVersion]) -> dict[str, GuidelineVersion]:
    return {name: GuidelineVersion.objects.get(pk=version.pk) for name, version in documents.items()}


@pytest.fixture
def lithium(db: None) -> Guideline:
    """A guideline that has not been read."""
    return Guideline.objects.get_or_create(title="Lithium")[0]


@pytest.fixture
def admin(client: Client, cast: Cast) -> Client:
    client.force_login(cast.dora)
    return client


def tried(admin: Client, question: str = ASKED, **more: Any) -> Trial:
    """A question asked on the page and worked out by the worker."""
    response = admin.post(reverse("guidelines:ask"), {"question": question, **more})
    assert response.status_code == 302, response.context["form"].errors
    trial = Trial.objects.latest("created_at")
    tasks.try_question(str(trial.pk))
    trial.refresh_from_db()
    return trial


def page_of(admin: Client, trial: Trial, **query: str) -> str:
    response = admin.get(reverse("guidelines:trial", args=[trial.pk]), query)
    assert response.status_code == 200
    return str(response.content.decode())


def case_of(version: GuidelineVersion, text: str = ASKED, **fields: Any) -> Question:
    chunk = version.chunks.first()
    assert chunk is not None
    values = {"page": chunk.page, "quote": chunk.text, "added_by": "dora", "wanted_at": timezone.now(), **fields}
    return Question.objects.create(text=text, guideline=version.guideline, **values)


# --- a question --------------------------------------------------------------------------------------------------


def test_a_question_is_explained(admin: Client, library: dict[str, GuidelineVersion]) -> None:
    trial = tried(admin)
    assert trial.state == Trial.State.DONE, trial.error
    first = trial.result["passages"][0]
    assert first["guideline_id"] == str(library["lithium"].guideline_id)
    assert 0 < first["lexical"] <= 1 and 0 < first["dense"] <= 1
    page = page_of(admin, trial)
    assert "Measure the lithium level twelve hours" in page
    assert f"Confidence {trial.result['confidence']:.2f}; from {trial.result['threshold']:.2f} on" in page
    assert trial.result["embedder"] in page
    assert f'value="{first["score"]:.4f}"' in page
    assert ("Covered</span>" in page) == trial.result["covered"]


@pytest.mark.parametrize(
    ("hide", "sentence"),
    [
        ("departments", "It is for other departments."),
        ("switch", "The guideline is switched off."),
        ("archive", "This version is not in force now."),
    ],
)
def test_what_a_filter_took_away_is_said_with_the_reason(
    admin: Client, library: dict[str, GuidelineVersion], hide: str, sentence: str
) -> None:
    guideline = library["lithium"].guideline
    ward, emergency = (Department.objects.create(name=name) for name in ("Ward", "Emergency"))
    asked_as: dict[str, Any] = {}
    if hide == "departments":
        guideline.departments.set([ward])
        asked_as = {"who": "somebody", "departments": [str(emergency.pk)]}
    elif hide == "switch":
        knowledge.set_enabled(guideline.pk, False, actor="dora")
    else:
        GuidelineVersion.objects.filter(pk=library["lithium"].pk).update(
            expires_at=timezone.now() - timedelta(minutes=1)
        )
    page = page_of(admin, tried(admin, **asked_as))
    assert sentence in page
    assert "Measure the lithium level" not in page
    if hide == "departments":
        assert "as somebody of" in page and "Emergency" in page
        assert sentence not in page_of(admin, tried(admin, who="somebody", departments=[str(ward.pk)]))
        assert sentence in page_of(admin, tried(admin, who="somebody"))  # of no department
        assert sentence not in page_of(admin, tried(admin))


def test_what_says_the_same_is_said_to_be_left_out(admin: Client, library: dict[str, GuidelineVersion]) -> None:
    trial = tried(admin, "How often are white blood cells counted under clozapine?")
    assert "near_duplicate" in {one["outcome"] for one in trial.result["candidates"]}
    assert "Says nearly the same as a passage that is shown." in page_of(admin, trial)


def test_a_question_is_completed_from_the_conversation(admin: Client, library: dict[str, GuidelineVersion]) -> None:
    trial = tried(admin, "and when?", history=f"\n  {ASKED}  \n\n")
    assert trial.history == [ASKED]
    assert ASKED in trial.result["query"] and trial.result["query"] != trial.question
    chunk = library["lithium"].chunks.get()
    admin.post(reverse("guidelines:add_case", args=[trial.pk]), {"chunk": chunk.pk})
    assert Question.objects.get().text == trial.result["query"]


@pytest.mark.parametrize(
    "values",
    [
        {"question": "  "},
        {"question": "x" * 501},
        {"question": "nul\0"},
        {"question": ASKED, "history": "a\n" * 7},
        {"question": ASKED, "history": "x" * 501},
        {"question": ASKED, "who": "everybody"},
        {"question": ASKED, "who": "somebody", "departments": ["99999999-9999-4999-8999-999999999999"]},
    ],
)
def test_what_cannot_be_asked_is_said_on_the_page(admin: Client, values: dict[str, Any]) -> None:
    response = admin.post(reverse("guidelines:ask"), values)
    assert response.status_code == 200
    assert 'class="field__error"' in response.content.decode()
    assert not Trial.objects.exists()


def test_departments_without_as_somebody_of_them_are_pointed_out(admin: Client) -> None:
    ward = Department.objects.create(name="Ward")
    response = admin.post(reverse("guidelines:ask"), {"question": ASKED, "departments": [str(ward.pk)]})
    assert response.status_code == 200
    assert "ask as somebody who belongs to them" in response.content.decode()


# --- the worker --------------------------------------------------------------------------------------------------


def test_without_a_worker_the_page_says_that_the_question_waits(admin: Client) -> None:
    admin.post(reverse("guidelines:ask"), {"question": ASKED})
    trial = Trial.objects.get()
    assert "The guideline service is not running" in page_of(admin, trial)
    state = admin.get(reverse("guidelines:trial_state", args=[trial.pk])).json()
    assert state["waiting"] == 1 and "not running" in state["problem"]


def test_without_a_broker_the_question_waits_for_the_clock(
    admin: Client, library: dict[str, GuidelineVersion], dead_valkey: None
) -> None:
    response = admin.post(reverse("guidelines:ask"), {"question": ASKED})
    assert response.status_code == 302
    tasks.look_after_bench()
    assert Trial.objects.get().state == Trial.State.WAITING  # it may be under way: another worker has half a minute
    Trial.objects.update(created_at=timezone.now() - timedelta(minutes=1))
    tasks.look_after_bench()
    assert Trial.objects.get().state == Trial.State.DONE


def test_with_a_worker_nothing_is_complained_of(admin: Client, living_workers: None) -> None:
    trial = Trial.objects.create(question=ASKED, asked_by="dora")
    assert admin.get(reverse("guidelines:trial_state", args=[trial.pk])).json() == {"waiting": 1, "problem": ""}


@pytest.mark.parametrize(
    ("error", "sentence"),
    [
        (knowledge.EmbedderUnavailable("embedder_missing", folder="/models/e5"), "/models/e5 is missing"),
        (ZeroDivisionError("lithium"), "because of an error in the program"),
    ],
)
def test_a_search_that_fails_is_explained_and_logged_without_the_question(
    admin: Client,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    error: Exception,
    sentence: str,
) -> None:
    def broken(*_: Any, **__: Any) -> None:
        raise error

    monkeypatch.setattr(knowledge, "explain", broken, raising=False)
    with caplog.at_level(logging.INFO):
        trial = tried(admin)
    assert trial.state == Trial.State.FAILED
    assert sentence in page_of(admin, trial)
    assert caplog.messages and not any("lithium" in message for message in caplog.messages)


def test_trials_are_deleted_after_a_month(admin: Client) -> None:
    old, new = (Trial.objects.create(question=ASKED, asked_by="dora", state="done") for _ in range(2))
    Trial.objects.filter(pk=old.pk).update(created_at=timezone.now() - timedelta(days=31))
    tasks.look_after_bench()
    assert list(Trial.objects.values_list("pk", flat=True)) == [new.pk]


# --- this should have been found ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("words", "found"),
    [
        ("telephoning persons seven days", 1),  # other forms of the words
        ("SÉVEN days", 1),
        ("lithium telephone", 0),
        ("the and of", 0),
        ("100%_'\"\\", 0),
        ("", 0),
    ],
)
def test_the_library_is_searched_for_words(
    admin: Client, library: dict[str, GuidelineVersion], words: str, found: int
) -> None:
    page = page_of(admin, Trial.objects.create(question="?", asked_by="dora"), words=words)
    assert page.count('class="bench-row"') == found
    assert ("No passage has all these words" in page) == (not found and bool(words))


def test_words_are_found_in_versions_that_do_not_answer_and_after_those_that_do(
    library: dict[str, GuidelineVersion],
) -> None:
    asleep = library["clozapine"]
    knowledge.set_enabled(asleep.guideline_id, False, actor="dora")
    found = selectors.chunks_with_words("neutrophils falling")
    assert [(one.version.guideline.title, one.answers) for one in found] == [  # type: ignore[attr-defined]
        ("Clozapine on the ward", True),
        ("Clozapine", False),
    ]
    knowledge.archive(asleep.pk, actor="dora")
    assert len(selectors.chunks_with_words("neutrophils falling")) == 1


def test_a_case_is_made_asked_and_found(admin: Client, library: dict[str, GuidelineVersion]) -> None:
    trial = tried(admin)
    chunk = library["lithium"].chunks.get()
    for _ in range(2):  # twice is once
        admin.post(reverse("guidelines:add_case", args=[trial.pk]), {"chunk": chunk.pk})
    case = Question.objects.get()
    assert (case.text, case.quote, case.guideline_id, case.added_by) == (
        ASKED,
        chunk.text,
        chunk.version.guideline_id,
        "dora",
    )
    assert "Waiting" in page_of(admin, trial)
    tasks.ask_questions()
    case.refresh_from_db()
    assert (case.rank, case.wanted_at) == (1, None)
    assert case.outcome == ("found" if trial.result["covered"] else "uncovered")
    event = Event.objects.get(kind="guideline.case_added")
    assert (event.subject, event.actor) == (str(chunk.version.guideline_id), "dora")


@pytest.mark.parametrize("chunk", ["", "x", "-1", "99999999", "9" * 30])
def test_a_passage_that_is_not_there_is_no_case(
    admin: Client, library: dict[str, GuidelineVersion], chunk: str
) -> None:
    trial = Trial.objects.create(question=ASKED, asked_by="dora")
    response = admin.post(reverse("guidelines:add_case", args=[trial.pk]), {"chunk": chunk}, follow=True)
    assert "no longer in the library" in response.content.decode()
    assert not Question.objects.exists()


# --- the question set --------------------------------------------------------------------------------------------


def test_each_outcome(library: dict[str, GuidelineVersion]) -> None:
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


def test_what_is_crowded_out_is_not_found(library: dict[str, GuidelineVersion], settings: Any) -> None:
    settings.HAVRE_PASSAGES = 1
    case = case_of(library["plan"], ASKED, quote=library["plan"].chunks.order_by("ordinal")[0].text)
    questions.ask_waiting()
    case.refresh_from_db()
    assert case.outcome == "not_found"
    assert case.rank is None or case.rank > 1


def test_a_case_survives_a_version_that_is_cut_elsewhere(library: dict[str, GuidelineVersion]) -> None:
    kept = "each change of the dose. Tell the person about thirst and tremor."
    whole = library["lithium"].chunks.get().text.replace("each change of the dose.", kept)
    case = case_of(library["lithium"], quote=whole)
    questions.ask_waiting()
    case.refresh_from_db()
    assert case.rank == 1


def test_asking_never_stops_for_one_that_fails(
    library: dict[str, GuidelineVersion], monkeypatch: pytest.MonkeyPatch
) -> None:
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


def test_a_case_changed_while_it_is_asked_is_asked_again(
    library: dict[str, GuidelineVersion], monkeypatch: pytest.MonkeyPatch
) -> None:
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


def test_a_removal_can_be_undone_for_a_month(admin: Client, library: dict[str, GuidelineVersion]) -> None:
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


def test_a_removed_case_that_is_added_again_is_back(admin: Client, library: dict[str, GuidelineVersion]) -> None:
    trial, chunk = Trial.objects.create(question=ASKED, asked_by="dora"), library["lithium"].chunks.get()
    for _ in range(2):
        admin.post(reverse("guidelines:add_case", args=[trial.pk]), {"chunk": chunk.pk})
        assert questions.questions().count() == 1
        admin.post(reverse("guidelines:remove_case", args=[Question.objects.get().pk]))
    assert not questions.questions().exists()


def test_the_page_counts_and_asks_them_all(admin: Client, library: dict[str, GuidelineVersion]) -> None:
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


def test_the_set_leaves_as_a_file_and_comes_back(admin: Client, library: dict[str, GuidelineVersion]) -> None:
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


# --- what is kept of it ------------------------------------------------------------------------------------------


def test_the_trail_has_every_step_and_no_words(
    admin: Client, library: dict[str, GuidelineVersion], caplog: pytest.LogCaptureFixture
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


def test_trials_keep_the_beginning_of_what_is_not_shown() -> None:
    one = knowledge.Candidate(
        chunk_id=1, guideline_id=trials.uuid.uuid4(), document="d", version="v1", page=None, page_label="", heading="",
        text="word " * 1000, lexical=0.1, dense=0.2, score=0.3, outcome="below",
    )  # fmt: skip
    kept = trials.as_json(
        knowledge.Explanation("q", "en", "e", False, 0.1, 0.3, passages=(), candidates=(one,), removed=())
    )
    assert len(kept["candidates"][0]["text"]) < 800
    json.dumps(kept)
