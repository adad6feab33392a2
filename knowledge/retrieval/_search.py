"""Finding the passages of the guidelines that answer a question: by meaning (Chroma) and by words (SQL), put together
by score."""

import math
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from uuid import UUID

from knowledge import selectors
from knowledge._analysis import guess_language
from knowledge._types import Candidate, Explanation, Passage, Removed, Retrieval
from knowledge.indexing import _sync
from knowledge.indexing._embedder import get_embedder
from knowledge.models import Chunk, Embedding
from knowledge.retrieval import _lexical
from knowledge.retrieval._choosing import Choice, Outcome, Scored, choose
from knowledge.retrieval._questions import complete

CANDIDATES = 40  # of each kind
LONGEST_QUERY = 4000  # characters; the embedder reads far fewer
DENSE_FLOOR, DENSE_CEILING = 0.15, 0.85  # cosine of MiniLM for texts without and with everything in common
DENSE_WEIGHT = {"en": 0.6}  # MiniLM learnt English; in other languages words say more than it does
DENSE_WEIGHT_ELSEWHERE = 0.3
COVERED = 0.33  # questions on and off the sample guidelines part here (docs/decisions/knowledge-index.md)


@dataclass(frozen=True, slots=True)
class _Search:
    """A question being answered: its scored candidates, best first, whatever filters say of them."""

    query: str
    language: str
    embedder: str
    ranked: tuple[Scored, ...]


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
    for other departments is not found (None: asked without regard to departments).
    Raises IndexLocked, IndexUnavailable, EmbedderUnavailable.
    """
    found = _search(query, language, history)
    answering = set(selectors.answering_versions(departments=departments).values_list("pk", flat=True))
    chosen, _ = choose([one for one in found.ranked if one.chunk.version_id in answering], max(limit, 0))
    passages = tuple(_passage(choice) for choice in chosen)
    confidence = passages[0].score if passages else 0.0
    return Retrieval(passages, confidence >= COVERED, found.query, confidence, found.embedder)


def explain(
    query: str,
    *,
    limit: int = 5,
    language: str | None = None,
    history: Sequence[str] = (),
    departments: Collection[UUID] | None = None,
) -> Explanation:
    """What `retrieve` answers to the same arguments, with every candidate's scores and what became of it, and what the
    filters took away. Raises the same errors."""
    found = _search(query, language, history)
    answering = set(selectors.answering_versions(departments=departments).values_list("pk", flat=True))
    ranked = [one for one in found.ranked if one.chunk.version_id in answering]
    chosen, outcomes = choose(ranked, max(limit, 0))
    passages = tuple(_passage(choice) for choice in chosen)
    confidence = passages[0].score if passages else 0.0
    least = passages[-1].score if len(passages) >= limit else 0.0
    removed = [one for one in found.ranked if one.chunk.version_id not in answering and one.score >= least]
    return Explanation(
        query=found.query,
        language=found.language,
        embedder=found.embedder,
        covered=confidence >= COVERED,
        confidence=confidence,
        threshold=COVERED,
        passages=passages,
        candidates=tuple(_candidate(one, outcomes[one.chunk.pk]) for one in ranked),
        removed=tuple(_removed(one) for one in removed),
    )


def _search(query: str, language: str | None, history: Sequence[str]) -> _Search:
    question = complete(query.strip()[:LONGEST_QUERY], [text[:LONGEST_QUERY] for text in history])
    language = language or guess_language(question, default="en")
    embedder = get_embedder()
    if not question:
        return _Search(question, language, embedder.id, ())
    index = _sync.open_index()
    _sync.sync(index)
    vector = embedder.embed_query(question)
    near = dict(index.search(vector, CANDIDATES))
    languages = tuple(dict.fromkeys((language, "en", "fr")))
    lexical = _lexical.prepare(question, languages, chunks=max(Chunk.objects.count(), 1))
    numbers = list(dict.fromkeys([*near, *_lexical.candidates(lexical, CANDIDATES)]))
    chunks = Chunk.objects.filter(pk__in=numbers).select_related("version__guideline")
    ranked = sorted(_scored(list(chunks), near, vector, lexical, language), key=lambda c: (-c.score, c.chunk.pk))
    return _Search(question, language, embedder.id, tuple(ranked))


def _scored(
    found: Collection[Chunk], near: dict[int, float], vector: bytes, lexical: _lexical.LexicalQuery, language: str
) -> Iterable[Scored]:
    """Candidates with their fused scores."""
    weight = DENSE_WEIGHT.get(language, DENSE_WEIGHT_ELSEWHERE)
    stored = Embedding.objects.filter(
        chunk__in=[chunk for chunk in found if chunk.pk not in near], embedder=get_embedder().id
    )
    vectors = dict(stored.values_list("chunk", "vector"))
    for chunk in found:
        cosine = near[chunk.pk] if chunk.pk in near else _cosine(vector, bytes(vectors.get(chunk.pk, b"")))
        dense = min(max((cosine - DENSE_FLOOR) / (DENSE_CEILING - DENSE_FLOOR), 0.0), 1.0)
        words = lexical.score(chunk.terms, chunk.language)
        # Words of a question in one language say nothing of a passage in another: there meaning decides alone.
        foreign = chunk.language != language and words == 0.0
        score = dense * (0.8 if foreign else weight) + (0.0 if foreign else words * (1 - weight))
        yield Scored(chunk, round(score, 4), round(words, 4), round(dense, 4), frozenset(chunk.terms.split()))


def _cosine(a: bytes, b: bytes) -> float:
    if len(a) != len(b):
        return 0.0
    pairs = zip(memoryview(a).cast("f"), memoryview(b).cast("f"), strict=True)
    return math.fsum(x * y for x, y in pairs)  # both have unit length


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


def _removed(one: Scored) -> Removed:
    chunk, guideline = one.chunk, one.chunk.version.guideline
    reason: str = "not_in_force"
    if not guideline.enabled:
        reason = "switched_off"
    elif selectors.answering_versions().filter(pk=chunk.version_id).exists():
        reason = "department"
    return Removed(guideline.pk, guideline.title, chunk.version.label, chunk.page, one.score, reason)  # type: ignore[arg-type]
