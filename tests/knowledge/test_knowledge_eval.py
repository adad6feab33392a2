"""Measuring retrieval: the measures themselves, collections that cannot be read, and a whole measurement."""

import json
import subprocess
import sys
from math import log2
from pathlib import Path

import pytest

from knowledge import KnowledgeError, Retrieval
from knowledge.models import Guideline
from knowledge.retrieval import _measuring
from knowledge.retrieval._measuring import ahead, ndcg, read_collection, scores, take_in

DOCUMENTS = [
    ("d1", "Safety plan", "A safety plan has six steps. The patient keeps the original."),
    ("d2", "", "Le plan de sécurité est rédigé avant la sortie."),
    ("d3", "Seclusion", "Seclusion ends as soon as the danger has passed. A nurse looks in every fifteen minutes."),
    ("d4", "Visits", "Visits last two hours in the afternoon."),
    ("d5", "Kitchen", "Meals are served at noon."),
]
QUESTIONS = [
    ("q1", "How many steps has a safety plan?"),
    ("q2", "When does seclusion end?"),
    ("q3", "Quand rédiger le plan ?"),
]
JUDGED = [("q1", "d1", 2), ("q1", "d2", 1), ("q2", "d3", 1), ("q3", "d2", 1), ("q9", "d5", 1), ("q2", "d4", 0)]


@pytest.fixture
def collection(tmp_path: Path) -> Path:
    """A collection in the layout of BEIR."""
    folder = tmp_path / "collection"
    (folder / "qrels").mkdir(parents=True)
    rows = [{"_id": number, "title": title, "text": text} for number, title, text in DOCUMENTS]
    (folder / "corpus.jsonl").write_text("\n".join(map(json.dumps, rows)), "utf-8")
    asked = [json.dumps({"_id": number, "text": text}) for number, text in QUESTIONS]
    (folder / "queries.jsonl").write_text("\n".join(asked), "utf-8")
    judged = "".join(f"{question}\t{document}\t{grade}\n" for question, document, grade in JUDGED)
    (folder / "qrels" / "test.tsv").write_text("query-id\tcorpus-id\tscore\n" + judged, "utf-8")
    return folder


@pytest.mark.parametrize(
    ("ranking", "grades", "expected"),
    [
        (["a", "b"], {"a": 1}, 1.0),
        (["b", "a"], {"a": 1}, 1 / log2(3)),
        (["b", "c"], {"a": 1}, 0.0),
        ([], {"a": 1}, 0.0),
        (["b", "a"], {"a": 2, "b": 1}, (1 + 2 / log2(3)) / (2 + 1 / log2(3))),
        (["a"], {"a": 1, "b": 1}, 1 / (1 + 1 / log2(3))),
        ([*"bcdefghijk", "a"], {"a": 1}, 0.0),  # the eleventh
    ],
)
def test_ndcg_is_that_of_trec_eval(ranking: list[str], grades: dict[str, int], expected: float) -> None:
    assert ndcg(ranking, grades) == pytest.approx(expected)


def test_scores_are_means_over_questions() -> None:
    found = scores({"q1": ["a"], "q2": ["x", "b"]}, {"q1": {"a": 1}, "q2": {"b": 1, "c": 1}})
    assert found["recall@5"] == 0.75
    assert 0.5 < found["ndcg@10"] < 1


def test_a_difference_comes_with_how_sure_it_is() -> None:
    relevant = {f"q{number}": {"a": 1} for number in range(40)}
    good, bad = (dict.fromkeys(relevant, ranking) for ranking in (["a", "b"], ["b", "a"]))
    better = ahead(good, bad, relevant)
    assert better["ahead"] == pytest.approx(1 - 1 / log2(3), abs=1e-4)
    assert better["interval"] == [better["ahead"]] * 2  # the same for every question
    mixed = {question: (good if number % 2 else bad)[question] for number, question in enumerate(relevant)}
    turned = {question: (bad if number % 2 else good)[question] for number, question in enumerate(relevant)}
    even = ahead(mixed, turned, relevant)
    assert even["ahead"] == 0.0
    assert even["interval"][0] < 0 < even["interval"][1]


@pytest.mark.django_db
def test_a_question_is_asked_without_the_documents_that_answer_it(
    collection: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number, title, _ in DOCUMENTS:
        Guideline.objects.create(title=title or number, publisher=number)
    seen: list[tuple[str, set[str]]] = []

    def answer(text: str) -> Retrieval:
        there = set(Guideline.objects.filter(enabled=True).values_list("publisher", flat=True))
        seen.append((text, there))
        sure = {"q1": 0.9, "q2": 0.3, "q3": 0.8}[dict(map(reversed, QUESTIONS))[text]]
        if len(there) < len(DOCUMENTS):
            sure -= 0.35
        return Retrieval((), sure >= 0.5, text, sure)

    monkeypatch.setattr(_measuring, "retrieve", answer)
    found = _measuring.coverage(read_collection(collection))
    everything = {number for number, _, _ in DOCUMENTS}
    without = [everything - there for _, there in seen]
    assert without == [set(), {"d1", "d2"}, set(), {"d3"}, set(), {"d2"}]
    assert found == {"answered": 0.6667, "unanswered": 0.3333, "unanswered_at_90": 0.6667}
    assert not Guideline.objects.filter(enabled=False).exists()


def test_reading_a_collection(collection: Path) -> None:
    found = read_collection(collection)
    assert found.documents[0] == DOCUMENTS[0]
    assert dict(found.questions) == dict(QUESTIONS)
    assert found.relevant["q1"] == {"d1": 2, "d2": 1}
    assert found.relevant["q2"] == {"d3": 1}  # a grade of 0 is none


@pytest.mark.parametrize("damage", ["corpus.jsonl", "queries.jsonl", "qrels/test.tsv"])
@pytest.mark.parametrize("content", [None, "", "nonsense x y"])
def test_what_is_no_collection_is_said(collection: Path, damage: str, content: str | None) -> None:
    (collection / damage).unlink() if content is None else (collection / damage).write_text(content, "utf-8")
    with pytest.raises(KnowledgeError) as caught:
        read_collection(collection)
    assert caught.value.code == "collection"


@pytest.mark.django_db
def test_a_library_with_guidelines_is_never_measured_in(collection: Path) -> None:
    Guideline.objects.create(title="Ours")
    with pytest.raises(KnowledgeError):
        take_in(read_collection(collection), lambda done, total: None)
    assert Guideline.objects.count() == 1


def test_the_command_measures_in_a_library_of_its_own(collection: Path) -> None:
    command = [sys.executable, "manage.py", "eval_retrieval", str(collection), "--json", "--compare", "--covered"]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=300)
    assert done.returncode == 0, done.stderr
    result = json.loads(done.stdout)
    assert (result["documents"], result["chunks"], result["questions"]) == (5, 5, 3)
    assert result["ndcg@10"] > 0.9
    assert result["recall@5"] == 1.0
    assert {"recall@20", "index_seconds", "query_ms_p50", "query_ms_p95"} <= set(result)
    assert set(result["compare"]) == {"bm25", "bm25_stemmed", "dense", "min_max"}
    for one in result["compare"].values():
        assert 0 <= one["ndcg@10"] <= 1
        assert one["ahead"] == pytest.approx(result["ndcg@10"] - one["ndcg@10"], abs=2e-4)
        assert one["interval"][0] <= one["ahead"] <= one["interval"][1]
    assert result["covered"]["answered"] == 1.0
    assert result["covered"]["unanswered"] < 1.0
