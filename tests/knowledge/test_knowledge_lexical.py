"""Search by words: what is the same word, what the database's index finds, how chunks are scored."""

from collections.abc import Callable
from typing import Any
from uuid import uuid4

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from knowledge._analysis import HEADING, LONGEST_STEM, TITLE, chunk_terms
from knowledge.models import Chunk, GuidelineVersion
from knowledge.retrieval import _lexical, _postings
from knowledge.retrieval._postings import library
from knowledge.retrieval._synonyms import expressions

pytestmark = pytest.mark.django_db


def found(question: str, *languages: str) -> list[str]:
    """The texts of the chunks that have words of a question, best first."""
    held = library()
    query = _lexical.prepare(question, languages or ("en", "fr"), held)
    everything = held.of(set(GuidelineVersion.objects.values_list("pk", flat=True)))
    numbers = _lexical.candidates(query, held, everything, 20)
    chunks = Chunk.objects.in_bulk(numbers)
    return sorted((chunks[n].text for n in numbers), key=lambda text: -query.score(chunks_terms(chunks, text)).bm25)


def chunks_terms(chunks: dict[int, Chunk], text: str) -> str:
    return next(chunk.terms for chunk in chunks.values() if chunk.text == text)


@pytest.mark.parametrize(
    ("question", "text", "language"),
    [
        ("l'évaluation", "Une évaluation est faite.", "fr"),
        ("évaluer les risques", "Evaluation des risques", "fr"),
        ("infirmières", "Une infirmière vient.", "fr"),
        ("postpartum", "post-partum depression", "en"),
        ("post-partum", "postpartum depression", "en"),
        ("50 mg", "Give 50mg in the evening.", "en"),
        ("50mg", "Give 50 mg in the evening.", "en"),
        ("œdème", "un oedeme", "fr"),
        ("SSRI", "Un ISRS est proposé.", "fr"),
        ("ISRS", "Selective serotonin reuptake inhibitors are offered.", "en"),
        ("TS", "après une tentative de suicide", "fr"),
        ("tentative de suicide", "after a suicide attempt", "en"),
        ("BPD", "borderline personality disorders", "en"),
        ("plan de sécurité", "The safety plan is signed.", "en"),
        ("Who may be restrained, and what of seclusion?", "L'isolement est levé.", "fr"),
    ],
)
def test_the_same_word(make_library: Callable[..., Any], question: str, text: str, language: str) -> None:
    make_library((text, language), ("Quelque chose d'autre, something else.", language))
    assert found(question)[:1] == [text]


@pytest.mark.parametrize("question", ["", "?", "the of and", "de la le", "zzzz", "§", "' OR 1=1", '"*" NEAR('])
def test_words_that_say_nothing_find_nothing(make_library: Callable[..., Any], question: str) -> None:
    make_library(("The safety plan is signed.", "en"))
    assert found(question) == []


def test_rare_words_weigh_more_than_common_ones(make_library: Callable[..., Any]) -> None:
    make_library(("patient lithium", "en"), *((f"patient ward {n}", "en") for n in range(20)))
    assert found("patient lithium")[0] == "patient lithium"


def test_title_and_headings_count(make_library: Callable[..., Any]) -> None:
    make_library(("It is signed.", "en"), ("It is read aloud.", "en"), headings=["Safety plan", "Visits"])
    assert found("safety plan") == ["It is signed."]
    terms = chunk_terms("Safety plan", "Steps › First", "Sign it.", "en").split()
    assert terms == ["sign", HEADING + "step", HEADING + "first", TITLE + "safeti", TITLE + "plan"]


def test_a_common_word_is_not_looked_up(make_library: Callable[..., Any], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_postings, "COMMON", 3)
    make_library(*((f"patient room {n}", "en") for n in range(6)), ("patient lithium", "en"))
    held = library()
    assert held.containing("patient") is None
    assert len(held.containing("lithium")) == 1
    assert found("patient lithium") == ["patient lithium"]


def test_what_is_not_indexed_is_not_found_and_what_comes_is(make_library: Callable[..., Any]) -> None:
    make_library(("first lithium", "en"), ingestion="embedding")
    assert found("lithium") == []
    make_library(("second lithium", "en"))
    assert found("lithium") == ["second lithium"]


def test_an_expression_inside_a_longer_one_is_left() -> None:
    assert [(begin, end) for begin, end, _ in expressions(("inhibitor", "suicid", "attempt"))] == [(1, 3)]


@pytest.mark.parametrize(
    ("question", "text", "language"),
    [
        ("trouble panique", "a panic disorder", "en"),
        ("thérapie comportementale dialectique", "dialectical behaviour therapy", "en"),
        ("compulsory admission", "une hospitalisation sous contrainte", "fr"),
    ],
)
def test_the_words_of_an_expression_are_there_where_it_stands_in_other_words(
    make_library: Callable[..., Any], question: str, text: str, language: str
) -> None:
    make_library((text, language), ("Quelque chose d'autre, something else.", language))
    assert _lexical.prepare(question, ("en", "fr"), library()).score(chunk_terms("", "", text, language)).coverage == 1


@given(st.text(max_size=200), st.text(max_size=60), st.sampled_from(["en", "fr", "de", "xx", ""]))
@settings(max_examples=60, deadline=None)
def test_terms_are_words_that_every_database_takes(text: str, heading: str, language: str) -> None:
    """No blanks, quotes or signs in them, which would split a word or mean something in a query."""
    for term in chunk_terms(heading, heading, text, language).split(" "):
        assert term.lstrip(HEADING + TITLE).isalnum() or term == ""
        assert len(term) <= LONGEST_STEM + 1


@pytest.fixture
def make_library(db: None) -> Callable[..., None]:
    """Store chunks as an ingestion would: texts with their languages, each of a guideline of its own."""
    from django.utils import timezone

    from knowledge.models import Guideline

    def make(*texts: tuple[str, str], headings: list[str] | None = None, ingestion: str = "indexed") -> None:
        for number, (text, language) in enumerate(texts):
            guideline = Guideline.objects.create(title=f"Document {uuid4()}", language=language)
            version = GuidelineVersion.objects.create(
                guideline=guideline, number=1, filename="x.txt", media_type="text/plain", sha256=uuid4().hex * 2,
                size=1, ingestion=ingestion, indexed_at=timezone.now() if ingestion == "indexed" else None,
            )  # fmt: skip
            heading = headings[number] if headings else ""
            Chunk.objects.create(
                version=version, ordinal=0, text=text, heading=heading, start=0, end=len(text), language=language,
                terms=chunk_terms("", heading, text, language),
            )  # fmt: skip

    return make
