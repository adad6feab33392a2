"""The sample guidelines answer the questions a newcomer asks, in French and English, on the right page."""

import sys
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

import knowledge
from knowledge import _analysis
from knowledge._analysis import guess_language, query_terms, terms
from knowledge.models import GuidelineVersion, Page
from knowledge.retrieval._questions import complete

pytestmark = pytest.mark.django_db

QUESTIONS = [
    ("What are the steps of a safety plan?", "Safety plan", 2, "Step 6 is to make the surroundings safer."),
    ("safety plan steps", "Safety plan", 2, "A safety plan has six steps"),
    ("When should a safety plan be written?", "Safety plan", 1, "before discharge at the latest"),
    ("When do we call the patient after discharge?", "Safety plan", 3, "within 72 hours"),
    ("Who can staff call when they are burdened?", "Safety plan", 3, "Soins aux Professionnels"),
    ("How is panic disorder treated?", "Panic Disorder", None, "treat"),
    ("symptoms of generalized anxiety disorder", "Generalized Anxiety", None, "anxiety"),
    ("What is dialectical behavior therapy?", "Borderline", None, "DBT"),
    ("Quelles sont les étapes d'un plan de sécurité ?", "Plan de sécurité", 2, "L'étape 6 est de rendre"),
    ("etapes du plan de securite", "Plan de sécurité", 2, "Un plan de sécurité comporte six étapes"),
    ("Quand faut-il rédiger un plan de sécurité ?", "Plan de sécurité", 1, "au plus tard avant la sortie"),
    ("Sous quel délai rappeler le patient après la sortie ?", "Plan de sécurité", 3, "dans les 72 heures"),
    ("Qui peut demander une hospitalisation sans consentement ?", "Hospitalisation pour", None, "demandée"),
    ("Quel est le rôle du juge des libertés et de la détention ?", "Hospitalisation pour", None, "JLD"),
    ("Le patient hospitalisé peut-il choisir son médecin ?", "Hospitalisation", None, "médecin"),
]  # fmt: skip


@pytest.mark.parametrize(("question", "document", "page", "words"), QUESTIONS, ids=[q[0][:40] for q in QUESTIONS])
def test_first_passage(sample_library: Any, question: str, document: str, page: int | None, words: str) -> None:
    result = knowledge.retrieve(question)
    first = result.passages[0]
    assert first.document.startswith(document)
    assert words in first.text
    if page:
        assert first.page == page
    assert first.text in Page.objects.get(version=first.version_id, number=first.page or 1).text
    assert [p.score for p in result.passages] == sorted((p.score for p in result.passages), reverse=True)
    assert len({p.chunk_id for p in result.passages}) == len(result.passages) <= 5


@pytest.mark.parametrize(
    "question", ["What are the steps of a safety plan?", "Quelles sont les étapes d'un plan de sécurité ?"]
)
def test_all_six_steps_stand_in_one_passage(sample_library: Any, question: str) -> None:
    result = knowledge.retrieve(question)
    assert result.covered
    assert [str(step) in result.passages[0].text for step in range(1, 7)] == [True] * 6


@pytest.mark.parametrize(
    "question",
    ["How do I reset my printer?",
     "amoxicillin dose for otitis in children", "lithium toxicity monitoring", "hello",
     "Quelle est la capitale de l'Australie ?", "recette de la tarte aux pommes", "posologie de la clozapine",
     "bonjour"],
)  # fmt: skip
def test_what_the_guidelines_do_not_cover_is_said(sample_library: Any, question: str) -> None:
    assert not knowledge.retrieve(question).covered


def test_follow_up_question_is_completed_from_the_conversation(sample_library: Any) -> None:
    history = ["What are the symptoms of panic disorder?", "and how is it treated?"]
    result = knowledge.retrieve("and with medication?", history=history)
    assert result.query == "What are the symptoms of panic disorder? and with medication?"
    assert result.passages[0].document.startswith("Panic Disorder")


@pytest.mark.parametrize(
    ("query", "history", "expected"),
    [
        ("and for adolescents?", ["How is depression treated?"], "How is depression treated? and for adolescents?"),
        ("Et pour les ados ?", ["Comment traiter un TOC ?"], "Comment traiter un TOC ? Et pour les ados ?"),
        ("Who signs it?", ["What is a safety plan?", "and then?"], "What is a safety plan? Who signs it?"),
        ("How is panic disorder treated?", ["What is a safety plan?"], "How is panic disorder treated?"),
        ("and for adolescents?", [], "and for adolescents?"),
        ("?", ["What is a safety plan?"], "What is a safety plan? ?"),
    ],
)  # fmt: skip
def test_completing_questions(query: str, history: list[str], expected: str) -> None:
    assert complete(query, history) == expected


MOOD, OCD = "How is depression treated?", "Comment traiter un TOC ?"
PLAN, LIMIT = "What is a safety plan?", "Quels sont les symptômes du trouble borderline ?"
LEANS = [
    (MOOD, "and for adolescents?"),
    (MOOD, "And in pregnancy?"),
    (MOOD, "what about older adults?"),
    (MOOD, "How long does it take to work?"),
    (MOOD, "What are the side effects?"),
    (MOOD, "Which dose?"),
    (MOOD, "Why?"),
    (MOOD, "is it safe with alcohol"),
    (MOOD, "what if the patient refuses"),
    (MOOD, "For how many weeks?"),
    (MOOD, "Can they drink alcohol?"),
    (MOOD, "ok and then?"),
    (PLAN, "Who signs it?"),
    (PLAN, "What are the steps?"),
    (PLAN, "give me an example"),
    (PLAN, "How often is it reviewed?"),
    (PLAN, "and with the family?"),
    (PLAN, "Is this mandatory?"),
    (PLAN, "Who keeps that?"),
    (PLAN, "same for minors?"),
    (PLAN, "explain the third step"),
    (PLAN, "any exceptions?"),
    (PLAN, "Thanks, and on weekends?"),
    (PLAN, "?"),
    (OCD, "Et pour les ados ?"),
    (OCD, "et chez la femme enceinte"),
    (OCD, "Quels effets indésirables ?"),
    (OCD, "Pendant combien de temps ?"),
    (OCD, "à quelle dose ?"),
    (OCD, "Pourquoi ?"),
    (OCD, "Est-ce que ça se guérit ?"),
    (OCD, "et si ça ne marche pas ?"),
    (OCD, "qu'en est-il des personnes âgées ?"),
    (OCD, "Quels sont les risques ?"),
    (OCD, "Et la famille ?"),
    (OCD, "Merci, et en urgence ?"),
    (LIMIT, "Comment le traiter ?"),
    (LIMIT, "Quelle est son évolution ?"),
    (LIMIT, "Quelles en sont les causes ?"),
    (LIMIT, "et le pronostic ?"),
    (LIMIT, "Que dire aux proches ?"),
    (LIMIT, "mais chez les mineurs ?"),
    (LIMIT, "quelles différences ?"),
    (LIMIT, "résume"),
]
STANDS = [
    (MOOD, "How is panic disorder treated?"),
    (MOOD, "What is a safety plan?"),
    (MOOD, "lithium monitoring"),
    (MOOD, "When should a patient in seclusion be observed?"),
    (MOOD, "Is it legal to restrain a voluntary patient?"),
    (MOOD, "Who can request involuntary hospitalisation?"),
    (MOOD, "Are there beds for mothers with babies?"),
    (MOOD, "self-harm in teenagers"),
    (PLAN, "What are the symptoms of borderline personality disorder?"),
    (PLAN, "clozapine blood counts"),
    (PLAN, "What do I do when a patient threatens staff?"),
    (PLAN, "How is suicide risk assessed in the emergency department?"),
    (OCD, "Quelles sont les étapes d'un plan de sécurité ?"),
    (OCD, "Quel est le rôle du juge des libertés et de la détention ?"),
    (OCD, "Que faire en cas de crise suicidaire ?"),
    (OCD, "Faut-il hospitaliser un patient mélancolique ?"),
    (OCD, "Y a-t-il une unité mère-bébé ?"),
    (OCD, "surveillance de la lithiémie"),
    (OCD, "Comment accéder au dossier médical ?"),
    (LIMIT, "Qui peut demander des soins sans consentement ?"),
    (LIMIT, "Comment traiter le trouble panique ?"),
    (LIMIT, "droits du patient hospitalisé"),
    (LIMIT, "Comment évaluer le risque suicidaire ?"),
    (LIMIT, "isolement et contention"),
]


@pytest.mark.parametrize(("earlier", "query"), LEANS, ids=[query for _, query in LEANS])
def test_questions_that_lean_on_what_was_said(earlier: str, query: str) -> None:
    assert complete(query, [earlier]) == f"{earlier} {query}"
    assert complete(query, [earlier, "and then?", "Pourquoi ?"]) == f"{earlier} {query}"
    assert complete(query, []) == query


@pytest.mark.parametrize(("earlier", "query"), STANDS, ids=[query for _, query in STANDS])
def test_questions_that_stand_alone(earlier: str, query: str) -> None:
    assert complete(query, [earlier]) == query


def test_samples_can_be_ingested_again_without_doubling(sample_library: list[GuidelineVersion]) -> None:
    before = [(v.pk, v.chunks.count()) for v in sample_library]
    again = knowledge.ingest_samples()
    assert [(v.pk, v.chunks.count()) for v in again] == before
    assert all((v.ingestion, v.state) == ("indexed", "effective") for v in again)


@pytest.mark.parametrize(
    ("text", "language"),
    [
        ("What are the steps of a safety plan?", "en"),
        ("Quelles sont les étapes d'un plan de sécurité ?", "fr"),
        ("quels criteres pour une hospitalisation", "fr"),
        ("who do I call at night", "en"),
        ("l'isolement", "fr"),
    ],
)
def test_language_of_a_question(text: str, language: str) -> None:
    assert guess_language(text) == language


def test_analysis_sees_through_accents_elision_and_endings() -> None:
    assert terms("L'hospitalisation des patientes", "fr") == terms("hospitalisation patiente", "fr")
    assert set(query_terms("étapes de sécurité", "fr")) == set(terms("une étape sécurité", "fr"))
    assert terms("The treatments of depressed patients", "en") == terms("treatment depressed patient", "en")


def test_analysis_gives_every_thread_its_own_stems() -> None:
    """The knowledge worker answers questions and reads documents in several threads at once."""
    roots = ("hospitalis", "patient", "sécuris", "traitement", "évalu", "surveill", "isol", "contention", "dépress")
    vocabulary = [root + end for root in roots for end in ("ation", "er", "ement", "s", "ant", "es", "eur", "ité")]
    wanted = terms(" ".join(vocabulary), "fr")
    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-5)
    try:
        with ThreadPoolExecutor(4) as pool:
            for _ in range(10):
                _analysis._stem.cache_clear()
                turned = [vocabulary[n * 9 :] + vocabulary[: n * 9] for n in range(8)]
                found = pool.map(lambda some: dict(zip(some, terms(" ".join(some), "fr"), strict=True)), turned)
                assert all([stems[word] for word in vocabulary] == wanted for stems in found)
    finally:
        sys.setswitchinterval(interval)
