"""One score out of meaning and words, and how sure it is that the best passage answers. What is measured about each
embedder stands here; docs/retrieval.md says how it was measured."""

from dataclasses import dataclass
from math import exp

from knowledge.retrieval._lexical import Match

MUCH = 30.0  # BM25 of a chunk with all the words of a usual question


@dataclass(frozen=True, slots=True)
class Weights:
    """What a kind of embedder's similarities are worth beside words.

    Cosines between `floor` (texts that have nothing in common) and `ceiling` become 0 to 1. A unit of BM25 is worth
    `words` of cosine, all of the question's words being there `coverage`, all the BM25 that there could be `share`; in
    questions of another language than English these are worth `elsewhere` times as much.
    """

    floor: float
    ceiling: float
    words: float
    coverage: float
    share: float = 0.0
    elsewhere: float = 1.0


WEIGHTS = {
    "e5": Weights(0.74, 0.94, 0.0010, 0.03),
    # MiniLM learnt English; in other languages words say more than it does
    "minilm": Weights(0.15, 0.85, 0.0, 0.05, 0.45, 3.5),
    "other": Weights(0.15, 0.85, 0.0, 0.05, 0.35),
    "words": Weights(0.0, 1.0, 0.0, 0.3, 1.0),
}


@dataclass(frozen=True, slots=True)
class Confidence:
    """A logistic curve over the scores of the best chunk: the probability that it answers the question. A question
    counts as covered from `threshold` on."""

    start: float
    score: float
    dense: float
    coverage: float
    threshold: float = 0.5


CONFIDENCE = {
    "e5": Confidence(-6.04, 4.09, 3.35, 5.73),
    "minilm": Confidence(-4.4, 5.03, 4.35, 3.42),
    "other": Confidence(-4.4, 5.03, 4.35, 3.42),
    "words": Confidence(-3.03, 4.01, 0.0, 5.14),
}

# for a best chunk in another language than the question: hardly any of its words stand there, and cosines are lower
ACROSS = CONFIDENCE | {
    "e5": Confidence(-6.0, 5.56, 5.57, 4.42),
    "minilm": Confidence(-4.1, 5.03, 4.35, 3.42),
}


def fused(kind: str, language: str, cosine: float, words: Match) -> float:
    """The score that candidates of one question are put in order by; about 0 to 1."""
    weights = WEIGHTS[kind]
    more = 1.0 if language == "en" else weights.elsewhere
    value = weights.words * words.bm25 + weights.coverage * words.coverage + weights.share * words.share
    most = weights.words * MUCH + weights.coverage + weights.share
    return (cosine + more * value - weights.floor) / (weights.ceiling + more * most - weights.floor)


def closeness(kind: str, cosine: float) -> float:
    """A cosine as 0 to 1, the same for all questions."""
    weights = WEIGHTS[kind]
    return min(max((cosine - weights.floor) / (weights.ceiling - weights.floor), 0.0), 1.0)


def confidence(kind: str, across: bool, score: float, dense: float, coverage: float) -> float:
    """The probability that a question is answered whose best chunk has these scores; `across`: in another language."""
    curve = (ACROSS if across else CONFIDENCE)[kind]
    height = curve.start + curve.score * score + curve.dense * dense + curve.coverage * coverage
    return 1.0 / (1.0 + exp(-height))


def threshold(kind: str) -> float:
    """The confidence from which a question counts as covered."""
    return CONFIDENCE[kind].threshold
