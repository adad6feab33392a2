"""Finding the passages of the guidelines that answer a question: by meaning (Chroma) and by words (SQL), put together
by score."""

import math
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from uuid import UUID

from knowledge import selectors
from knowledge._analysis import guess_language
from knowledge._types import Passage, Retrieval
from knowledge.indexing import _sync
from knowledge.indexing._embedder import get_embedder
from knowledge.models import Chunk, Embedding
from knowledge.retrieval import _lexical
from knowledge.retrieval._questions import complete

CANDIDATES = 40  # of each kind
LONGEST_QUERY = 4000  # characters; the embedder reads far fewer
NEAR_DUPLICATE = 0.8  # of the words of two passages, shared
DENSE_FLOOR, DENSE_CEILING = 0.15, 0.85  # cosine of MiniLM for texts without and with everything in common
DENSE_WEIGHT = {"en": 0.6}  # MiniLM learnt English; in other languages words say more than it does
DENSE_WEIGHT_ELSEWHERE = 0.3
COVERED = 0.33  # questions on and off the sample guidelines part here (docs/decisions/knowledge-index.md)


@dataclass(frozen=True, slots=True)
class _Candidate:
    chunk: Chunk
    score: float
    words: frozenset[str]


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
    question = complete(query.strip()[:LONGEST_QUERY], [text[:LONGEST_QUERY] for text in history])
    if not question or limit < 1:
        return Retrieval((), False, question)
    language = language or guess_language(question, default="en")
    index = _sync.open_index()
    _sync.sync(index)
    vector = get_embedder().embed_query(question)
    near = dict(index.search(vector, CANDIDATES))
    languages = tuple(dict.fromkeys((language, "en", "fr")))
    lexical = _lexical.prepare(question, languages, chunks=max(Chunk.objects.count(), 1))
    numbers = list(dict.fromkeys([*near, *_lexical.candidates(lexical, CANDIDATES)]))
    answering = selectors.answering_versions(departments=departments)
    # the index may know chunks that no longer answer: SQL has the last word
    chunks = Chunk.objects.filter(pk__in=numbers, version__in=answering).select_related("version__guideline")
    ranked = sorted(_scored(list(chunks), near, vector, lexical, language), key=lambda c: (-c.score, c.chunk.pk))
    chosen = _distinct(ranked, limit)
    covered = bool(chosen) and chosen[0].score >= COVERED
    return Retrieval(tuple(_passage(candidate) for candidate in chosen), covered, question)


def _scored(
    found: Collection[Chunk], near: dict[int, float], vector: bytes, lexical: _lexical.LexicalQuery, language: str
) -> Iterable[_Candidate]:
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
        yield _Candidate(chunk, score, frozenset(chunk.terms.split()))


def _cosine(a: bytes, b: bytes) -> float:
    if len(a) != len(b):
        return 0.0
    pairs = zip(memoryview(a).cast("f"), memoryview(b).cast("f"), strict=True)
    return math.fsum(x * y for x, y in pairs)  # both have unit length


def _distinct(ranked: Sequence[_Candidate], limit: int) -> list[_Candidate]:
    """The best candidates, each saying something that those before it do not."""
    chosen: list[_Candidate] = []
    for candidate in ranked:
        if len(chosen) == limit:
            break
        if not any(_alike(candidate.words, other.words) for other in chosen):
            chosen.append(candidate)
    return chosen


def _alike(a: frozenset[str], b: frozenset[str]) -> bool:
    return bool(a | b) and len(a & b) / len(a | b) >= NEAR_DUPLICATE


def _passage(candidate: _Candidate) -> Passage:
    chunk = candidate.chunk
    return Passage(
        chunk_id=chunk.pk,
        version_id=chunk.version_id,
        guideline_id=chunk.version.guideline_id,
        document=chunk.version.guideline.title,
        version=chunk.version.label,
        page=chunk.page,
        last_page=chunk.last_page,
        start=chunk.start,
        end=chunk.end,
        page_label=chunk.page_label,
        heading=chunk.heading,
        text=chunk.text,
        score=round(candidate.score, 4),
        language=chunk.language,
    )
