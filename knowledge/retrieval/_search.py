"""Finding the passages of the guidelines that answer a question: by meaning (Chroma) and by words (SQL), put together
by score."""

import logging
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Literal
from uuid import UUID

from knowledge import selectors
from knowledge._analysis import guess_language
from knowledge._errors import IndexLocked, IndexUnavailable
from knowledge._types import Candidate, Explanation, Passage, Removed, Retrieval
from knowledge.indexing import _sync
from knowledge.indexing._embedder import Embedder
from knowledge.indexing._vectors import VectorIndex
from knowledge.models import Chunk, Embedding
from knowledge.retrieval import _fusion, _lexical
from knowledge.retrieval._choosing import Choice, Outcome, Scored, choose
from knowledge.retrieval._postings import Library, library
from knowledge.retrieval._questions import complete

logger = logging.getLogger(__name__)
CANDIDATES = 100  # of each kind
LONGEST_QUERY = 4000  # characters; the embedder reads far fewer
SHOWN_CANDIDATES = 40  # in an explanation
LEAST_REMOVED = 0.3  # of score, for what filters took away to be worth a word


@dataclass(frozen=True, slots=True)
class Question:
    """A question being answered: its words, its vector where there is an embedder, and who may answer."""

    text: str
    language: str
    told: str  # its language; empty when that cannot be told and `language` is only supposed
    embedder: Embedder | None
    vector: bytes
    library: Library
    words: _lexical.LexicalQuery

    @property
    def kind(self) -> str:
        return self.embedder.kind if self.embedder else "words"


def retrieve(
    query: str,
    *,
    limit: int = 5,
    language: str | None = None,
    history: Sequence[str] = (),
    departments: Collection[UUID] | None = None,
) -> Retrieval:
    """The passages that answer `query`, best first, from effective versions of enabled guidelines only.

    `language` is that of the question (found out when not given; passages in every language are searched). `history`
    is the earlier questions of the conversation, oldest first. `departments` is those of the person who asks: what is
    for other departments is not found (None: asked without regard to departments). Without an embedder words alone
    answer; while the index cannot be asked, words find what is compared. Raises IndexLocked.
    """
    text = completed(query, history)
    if not text or limit < 1:
        return Retrieval((), False, text)
    question = prepared(text, language)
    answering = selectors.answering_ids(departments)
    ranked = _ranked(question, answering)
    chosen, _ = choose(ranked, limit)
    confidence = _confidence(question, chosen)
    covered = confidence >= _fusion.threshold(question.kind)
    embedder = question.embedder.id if question.embedder else ""
    return Retrieval(tuple(_passage(choice) for choice in chosen), covered, text, confidence, embedder)


def explain(
    query: str,
    *,
    limit: int = 5,
    language: str | None = None,
    history: Sequence[str] = (),
    departments: Collection[UUID] | None = None,
) -> Explanation:
    """What `retrieve` answers to the same arguments, with the best candidates' scores and what became of them, and what
    the filters took away. Raises the same errors."""
    text = completed(query, history)
    question = prepared(text, language)
    answering = selectors.answering_ids(departments)
    ranked = _ranked(question, answering) if text and limit > 0 else []
    chosen, outcomes = choose(ranked, max(limit, 0))
    confidence = _confidence(question, chosen)
    least = chosen[-1].best.score if len(chosen) >= limit > 0 else 0.0
    others = _away(question, answering) if text and limit > 0 else []
    shown = [one for at, one in enumerate(ranked) if at < SHOWN_CANDIDATES or outcomes[one.chunk.pk] != "below"]
    return Explanation(
        query=text,
        language=question.language,
        embedder=question.embedder.id if question.embedder else "",
        covered=confidence >= _fusion.threshold(question.kind),
        confidence=confidence,
        threshold=_fusion.threshold(question.kind),
        passages=tuple(_passage(choice) for choice in chosen),
        candidates=tuple(_candidate(one, outcomes[one.chunk.pk]) for one in shown),
        removed=_removed([one for one in others if one.score >= max(least, LEAST_REMOVED)][:limit]),
    )


def rank(query: str, *, language: str | None = None) -> list[Scored]:
    """All candidates for a question that stands alone, best first, as `retrieve` has them before it chooses."""
    answering = selectors.answering_ids()
    return _ranked(prepared(query.strip()[:LONGEST_QUERY], language), answering)


def completed(query: str, history: Sequence[str]) -> str:
    """What is searched for: a question, completed from the conversation where it cannot stand alone."""
    return complete(query.strip()[:LONGEST_QUERY], [text[:LONGEST_QUERY] for text in history])


def prepared(text: str, language: str | None) -> Question:
    """A question ready to be compared with texts: its vector where there is an embedder, its words weighed."""
    told = language or guess_language(text)
    language = told or "en"
    embedder, held = _sync.embedder_now(), library()
    vector = embedder.embed_query(text) if embedder and text else b""
    words = _lexical.prepare(text, (language, "en", "fr"), held)
    return Question(text, language, told, embedder, vector, held, words)


def _index(question: Question) -> VectorIndex | None:
    """The index that answers. None without an embedder, or when another index has taken its place at this moment."""
    index = _sync.open_index() if question.embedder else None
    return index if index and question.embedder and index.embedder == question.embedder.id else None


def _near(question: Question, versions: set[UUID], *, away: bool = False) -> dict[int, float]:
    """The chunks of these versions (`away`: of all others that are in the index) that are nearest in meaning, with
    their cosines. None while the index cannot be asked, as when its server is away: those that words find are enough to
    answer, and their vectors stand in SQL. Raises IndexLocked."""
    try:
        index = _index(question)
        if index is None:
            return {}
        if not away:
            _sync.sync(index, versions)
        return dict(index.search(question.vector, CANDIDATES, index.versions - versions if away else versions))
    except IndexLocked:
        raise
    except IndexUnavailable as error:
        logger.error("Passages are found by their words alone: %s", error)
        return {}


def _ranked(question: Question, versions: set[UUID]) -> list[Scored]:
    """The candidates among chunks of these versions, best first."""
    near = _near(question, versions)
    named = _lexical.candidates(question.words, question.library, question.library.of(versions), CANDIDATES)
    # what has changed since the index or the library was read: SQL has the last word
    return [one for one in _scored(question, [*near, *named], near) if one.chunk.version_id in versions]


def _away(question: Question, versions: set[UUID]) -> list[Scored]:
    """The candidates among all other chunks. Those that do not answer now need not be in the vector index, so they are
    found by their words, and by their vectors only when these are in it."""
    named = _lexical.candidates(question.words, question.library, ~question.library.of(versions), CANDIDATES)
    near = _near(question, versions, away=True)
    return [one for one in _scored(question, [*near, *named], near) if one.chunk.version_id not in versions]


def _scored(question: Question, numbers: Sequence[int], near: dict[int, float]) -> list[Scored]:
    """Chunks with their scores, best first. `near` is the cosines that are known already."""
    wanted = list(dict.fromkeys(numbers))
    chunks = Chunk.objects.filter(pk__in=wanted).select_related("version__guideline")
    cosines = near | _cosines(question, [number for number in wanted if number not in near])
    found = []
    for chunk in chunks:
        words, cosine = question.words.score(chunk.terms), cosines.get(chunk.pk, 0.0)
        score = _fusion.fused(question.kind, question.language, cosine, words)
        dense = _fusion.closeness(question.kind, cosine) if question.embedder else 0.0
        found.append(Scored(chunk, _part(score), _part(words.share), _part(dense), words.coverage, chunk.terms))
    return sorted(found, key=lambda one: (-one.score, one.chunk.pk))


def _part(score: float) -> float:
    return round(min(max(score, 0.0), 1.0), 6)


def _cosines(question: Question, numbers: Sequence[int]) -> dict[int, float]:
    """Of chunks that were found by their words alone."""
    import numpy as np

    if not question.embedder or not numbers:
        return {}
    stored = Embedding.objects.filter(chunk__in=numbers, embedder=question.embedder.id).values_list("chunk", "vector")
    rows = [(chunk, bytes(vector)) for chunk, vector in stored if len(vector) == len(question.vector)]
    if not rows:
        return {}
    vectors = np.frombuffer(b"".join(vector for _, vector in rows), "<f4").reshape(len(rows), -1)
    products = vectors @ np.frombuffer(question.vector, "<f4")  # both have unit length
    return {chunk: float(product) for (chunk, _), product in zip(rows, products, strict=True)}


def _confidence(question: Question, chosen: Sequence[Choice]) -> float:
    if not chosen:
        return 0.0
    best = chosen[0].best
    across = bool(question.told) and question.told != best.chunk.language
    return round(_fusion.confidence(question.kind, across, best.score, best.dense, best.coverage), 4)


def _passage(choice: Choice) -> Passage:
    best, chunks = choice.best.chunk, choice.chunks
    first, last = chunks[0], chunks[-1]
    text = best.text
    if len(chunks) > 1:
        text = selectors.source_text(first.version_id, first.page, first.start, last.last_page, last.end)
    return Passage(
        chunk_id=best.pk,
        version_id=best.version_id,
        guideline_id=best.version.guideline_id,
        document=best.version.guideline.title,
        version=best.version.label,
        page=first.page,
        last_page=last.last_page,
        start=first.start,
        end=last.end,
        page_label=first.page_label,
        heading=best.heading,
        text=text,
        score=choice.best.score,
        language=best.language,
        chunk_ids=tuple(chunk.pk for chunk in chunks),
        lexical=choice.best.lexical,
        dense=choice.best.dense,
    )


def _candidate(one: Scored, outcome: Outcome) -> Candidate:
    chunk = one.chunk
    return Candidate(
        chunk_id=chunk.pk,
        guideline_id=chunk.version.guideline_id,
        document=chunk.version.guideline.title,
        version=chunk.version.label,
        page=chunk.page,
        page_label=chunk.page_label,
        heading=chunk.heading,
        text=chunk.text,
        lexical=one.lexical,
        dense=one.dense,
        score=one.score,
        outcome=outcome,
    )


def _removed(others: Sequence[Scored]) -> tuple[Removed, ...]:
    """What the filters took away, each with the filter that did."""
    answering = selectors.answering_ids() if others else set()
    found = []
    for one in others:
        chunk, guideline = one.chunk, one.chunk.version.guideline
        reason: Literal["department", "switched_off", "not_in_force"] = "not_in_force"
        if not guideline.enabled:
            reason = "switched_off"
        elif chunk.version_id in answering:
            reason = "department"
        found.append(Removed(guideline.pk, guideline.title, chunk.version.label, chunk.page, one.score, reason))
    return tuple(found)
