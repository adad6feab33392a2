"""What is shown of what was found, and why: neighbours, near-duplicates, documents in turn, filters, no embedder."""

from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from django.utils import timezone

import knowledge
from knowledge import selectors
from knowledge.indexing import _sync
from knowledge.models import Chunk, Department, Guideline, GuidelineVersion
from knowledge.retrieval import _fusion
from knowledge.retrieval._choosing import Scored, choose

pytestmark = pytest.mark.django_db
SECLUSION = (
    "Seclusion ends as soon as the danger has passed. A nurse looks in every fifteen minutes and writes it down."
)
QUESTION = "When does seclusion end?"


def scored(number: int, document: str, score: float, text: str, ordinal: int = 0, page: int = 1) -> Scored:
    """A candidate that is nowhere stored."""
    guideline = GUIDELINES.setdefault(document, Guideline(title=document))
    version = VERSIONS.setdefault(document, GuidelineVersion(guideline=guideline, number=1))
    chunk = Chunk(pk=number, version=version, ordinal=ordinal, page=page, last_page=page, text=text)
    return Scored(chunk, score, score, score, score, text)


GUIDELINES: dict[str, Guideline] = {}
VERSIONS: dict[str, GuidelineVersion] = {}


@pytest.mark.parametrize(
    ("candidates", "limit", "outcomes", "passages"),
    [
        ([("a", 0.9, "x y z", 0, 1), ("b", 0.5, "p q r", 0, 1)], 5, ["shown", "shown"], [(1,), (2,)]),
        # neighbours on one page are one passage, in the document's order
        ([("a", 0.9, "x y z", 4, 1), ("a", 0.85, "p q r", 3, 1)], 5, ["shown", "merged"], [(2, 1)]),
        ([("a", 0.9, "x y", 4, 1), ("a", 0.85, "p q", 3, 1), ("a", 0.8, "m n", 2, 1)], 5,
         ["shown", "merged", "merged"], [(3, 2, 1)]),
        ([("a", 0.9, "x y z", 4, 1), ("a", 0.85, "p q r", 5, 2)], 5, ["shown", "shown"], [(1,), (2,)]),
        ([("a", 0.9, "x y z", 4, 1), ("a", 0.4, "p q r", 5, 1)], 5, ["shown", "shown"], [(1,), (2,)]),
        ([("a", 0.9, "x " * 1000, 4, 1), ("a", 0.89, "p " * 1000, 5, 1)], 5, ["shown", "shown"], [(1,), (2,)]),
        # the same words again
        ([("a", 0.9, "x y z u v", 0, 1), ("b", 0.8, "x y z u v", 0, 1)], 5, ["shown", "near_duplicate"], [(1,)]),
        # three of five places for one document while another comes near, then the next best
        ([*(("a", 0.9 - n / 100, f"w{n}", 2 * n, 1) for n in range(4)), ("b", 0.8, "p", 0, 1), ("c", 0.79, "q", 0, 1)],
         5, ["shown", "shown", "shown", "same_document", "shown", "shown"], [(1,), (2,), (3,), (5,), (6,)]),
        ([*(("a", 0.9 - n / 100, f"w{n}", 2 * n, 1) for n in range(5)), ("b", 0.1, "p", 0, 1)],
         5, ["shown", "shown", "shown", "shown", "shown", "below"], [(1,), (2,), (3,), (4,), (5,)]),
        ([("a", 0.9, "x", 0, 1), ("b", 0.5, "p", 0, 1)], 1, ["shown", "below"], [(1,)]),
        ([], 5, [], []),
    ],
)  # fmt: skip
def test_choosing(
    candidates: list[tuple[str, float, str, int, int]], limit: int, outcomes: list[str], passages: list[tuple[int, ...]]
) -> None:
    ranked = [scored(number, *one) for number, one in enumerate(candidates, start=1)]
    chosen, became = choose(ranked, limit)
    assert [became[one.chunk.pk] for one in ranked] == outcomes
    assert [tuple(chunk.pk for chunk in choice.chunks) for choice in chosen] == passages


def test_every_passage_stands_in_its_document(sample_library: Any) -> None:
    merged = 0
    for question in ("What are the steps of a safety plan?", "Quelles sont les étapes d'un plan de sécurité ?",
                     "hospitalisation sans consentement", "panic disorder treatment", "droits du patient"):  # fmt: skip
        found = knowledge.explain(question)
        shown = {chunk for passage in found.passages for chunk in passage.chunk_ids}
        assert shown == {one.chunk_id for one in found.candidates if one.outcome in {"shown", "merged"}}
        for one in found.passages:
            merged += len(one.chunk_ids) > 1
            assert one.text == selectors.source_text(one.version_id, one.page, one.start, one.last_page, one.end)
            assert one.chunk_id in one.chunk_ids
            assert all(Chunk.objects.get(pk=chunk).text in one.text for chunk in one.chunk_ids)
    assert merged


def test_an_explanation_agrees_with_the_answer(sample_library: Any) -> None:
    answer, why = knowledge.retrieve(QUESTION), knowledge.explain(QUESTION)
    assert why.passages == answer.passages
    assert (why.covered, why.confidence, why.embedder) == (answer.covered, answer.confidence, answer.embedder)
    assert why.covered == (why.confidence >= why.threshold)
    scores = [one.score for one in why.candidates]
    assert scores == sorted(scores, reverse=True)
    assert all(0 <= score <= 1 for one in why.candidates for score in (one.score, one.lexical, one.dense))


def test_what_filters_took_away(take_in: Callable[..., GuidelineVersion]) -> None:
    wards, other = Department.objects.create(name="Wards"), Department.objects.create(name="Kitchen")
    take_in("Visits last two hours in the afternoon.", "visits.txt", title="Visits")
    version = take_in(SECLUSION, "seclusion.txt", title="Seclusion")
    guideline = version.guideline
    assert knowledge.explain(QUESTION, departments=[other.pk]).removed == ()
    guideline.departments.add(wards)
    (removed,) = knowledge.explain(QUESTION, departments=[other.pk]).removed
    assert (removed.document, removed.version, removed.reason) == ("Seclusion", "v1", "department")
    assert knowledge.explain(QUESTION, departments=[wards.pk]).passages[0].document == "Seclusion"
    GuidelineVersion.objects.filter(pk=version.pk).update(expires_at=timezone.now() - timedelta(minutes=1))
    assert [one.reason for one in knowledge.explain(QUESTION).removed] == ["not_in_force"]
    Guideline.objects.filter(pk=guideline.pk).update(enabled=False)
    assert [one.reason for one in knowledge.explain(QUESTION).removed] == ["switched_off"]
    assert "Seclusion" not in {one.document for one in knowledge.retrieve(QUESTION).passages}


def test_without_an_embedder_words_answer(
    take_in: Callable[..., GuidelineVersion], monkeypatch: pytest.MonkeyPatch
) -> None:
    take_in("Visits last two hours in the afternoon.", "visits.txt", title="Visits")
    take_in(SECLUSION, "seclusion.txt", title="Seclusion")
    monkeypatch.setattr(_sync, "embedder_now", lambda: None)
    found = knowledge.retrieve(QUESTION)
    assert (found.embedder, found.passages[0].document, found.passages[0].dense) == ("", "Seclusion", 0.0)
    assert found.covered
    assert not knowledge.retrieve("How do I reset my printer?").passages


@pytest.mark.parametrize(
    ("question", "language", "across"),
    [
        ("Quand se termine l'isolement (seclusion) ?", None, True),
        ("When may a patient be put in seclusion?", None, False),
        ("seclusion", None, False),  # too short to tell its language
        ("seclusion", "fr", True),
    ],
)
def test_a_passage_in_another_language_has_a_curve_of_its_own(
    take_in: Callable[..., GuidelineVersion],
    monkeypatch: pytest.MonkeyPatch,
    question: str,
    language: str | None,
    across: bool,
) -> None:
    curves = {"same": replace(_fusion.CONFIDENCE["minilm"], start=-50.0), "across": _fusion.CONFIDENCE["minilm"]}
    monkeypatch.setitem(_fusion.CONFIDENCE, "minilm", curves["same"])
    monkeypatch.setitem(_fusion.ACROSS, "minilm", replace(curves["across"], start=50.0))
    take_in(SECLUSION, "seclusion.txt", title="Seclusion")
    assert knowledge.retrieve(question, language=language).covered is across


@pytest.mark.parametrize("limit", [0, -1])
def test_nothing_asked_for_is_nothing_found(sample_library: Any, limit: int) -> None:
    assert knowledge.retrieve(QUESTION, limit=limit).passages == ()
    assert knowledge.explain("  ").passages == ()
