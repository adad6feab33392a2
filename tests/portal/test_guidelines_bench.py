"""The test bench: a question explained as the worker found it, and what should have been found instead."""

import json
import logging
from datetime import timedelta
from typing import Any

import pytest
from django.test import Client
from django.urls import reverse
from django.utils import timezone

import knowledge
from knowledge import selectors
from knowledge.models import Department, GuidelineVersion, Question, Trial
from portal.audit.models import Event
from portal.guidelines import tasks, trials
from tests.portal.bench import ASKED, Library, page_of, tried

pytestmark = pytest.mark.django_db

# --- a question --------------------------------------------------------------------------------------------------


def test_a_question_is_explained(admin: Client, library: Library) -> None:
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
    admin: Client, library: Library, hide: str, sentence: str
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


def test_what_says_the_same_is_said_to_be_left_out(admin: Client, library: Library) -> None:
    trial = tried(admin, "How often are white blood cells counted under clozapine?")
    assert "near_duplicate" in {one["outcome"] for one in trial.result["candidates"]}
    assert "Says nearly the same as a passage that is shown." in page_of(admin, trial)


def test_a_question_is_completed_from_the_conversation(admin: Client, library: Library) -> None:
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


def test_without_a_broker_the_question_waits_for_the_clock(admin: Client, library: Library, dead_valkey: None) -> None:
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
def test_the_library_is_searched_for_words(admin: Client, library: Library, words: str, found: int) -> None:
    page = page_of(admin, Trial.objects.create(question="?", asked_by="dora"), words=words)
    assert page.count('class="bench-row"') == found
    assert ("No passage has all these words" in page) == (not found and bool(words))


def test_words_are_found_in_versions_that_do_not_answer_and_after_those_that_do(
    library: Library,
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


def test_a_case_is_made_asked_and_found(admin: Client, library: Library) -> None:
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
    assert (event.subject, event.actor.name) == (str(chunk.version.guideline_id), "dora")


@pytest.mark.parametrize("chunk", ["", "x", "-1", "99999999", "9" * 30])
def test_a_passage_that_is_not_there_is_no_case(admin: Client, library: Library, chunk: str) -> None:
    trial = Trial.objects.create(question=ASKED, asked_by="dora")
    response = admin.post(reverse("guidelines:add_case", args=[trial.pk]), {"chunk": chunk}, follow=True)
    assert "no longer in the library" in response.content.decode()
    assert not Question.objects.exists()


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
