"""Which of the candidates are shown: each passage says something that those before it do not, neighbours are one
passage, and no document takes all the places while another one has something to say."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal

from knowledge._analysis import HEADING, TITLE
from knowledge.models import Chunk

NEAR_DUPLICATE = 0.8  # of the words of two chunks, shared
NEIGHBOUR = 0.85  # of the score of a chunk that is shown, with which the chunk beside it is shown with it
LONGEST_PASSAGE = 2600  # characters that neighbours may have together
SHARE_OF_ONE = 0.6  # of the places, for one document …
OTHERS = 0.8  # … while another one has a chunk with this share of the score

Outcome = Literal["shown", "merged", "near_duplicate", "same_document", "below"]


@dataclass(frozen=True, slots=True)
class Scored:
    """A chunk with its scores, each 0 to 1, and the stems that it has."""

    chunk: Chunk
    score: float
    lexical: float
    dense: float
    coverage: float
    terms: str

    @property
    def words(self) -> frozenset[str]:
        """The stems of its text."""
        return frozenset(word for word in self.terms.split() if not word.startswith((HEADING, TITLE)))


@dataclass(slots=True)
class Choice:
    """One passage to be: its best chunk, and the neighbours on its page that go with it."""

    best: Scored
    members: list[Scored] = field(default_factory=list)

    @property
    def chunks(self) -> list[Chunk]:
        """The chunks of the passage in the order of the document."""
        return sorted((one.chunk for one in [self.best, *self.members]), key=lambda chunk: chunk.ordinal)

    def takes(self, one: Scored) -> bool:
        """Whether a chunk stands right before or after this passage, and is good and short enough to go with it."""
        chunks = self.chunks
        beside = one.chunk.ordinal in (chunks[0].ordinal - 1, chunks[-1].ordinal + 1)
        length = sum(len(chunk.text) for chunk in chunks) + len(one.chunk.text)
        best = self.best.chunk
        # A citation names one page: chunks of another one stay passages of their own.
        same = (one.chunk.version_id, one.chunk.page) == (best.version_id, best.page)
        same = same and all(chunk.last_page == chunk.page for chunk in (*chunks, one.chunk))
        return same and beside and one.score >= NEIGHBOUR * self.best.score and length <= LONGEST_PASSAGE


def choose(ranked: Sequence[Scored], limit: int) -> tuple[list[Choice], dict[int, Outcome]]:
    """At most `limit` passages out of candidates in order of their scores, and what became of each candidate, by the
    chunk's number."""
    chosen: list[Choice] = []
    words: list[frozenset[str]] = []  # of all that is shown
    outcomes: dict[int, Outcome] = {}
    documents: Counter[object] = Counter()
    most = max(1, round(limit * SHARE_OF_ONE))
    waiting: list[Scored] = []

    def show(one: Scored) -> None:
        chosen.append(Choice(one))
        words.append(one.words)
        outcomes[one.chunk.pk] = "shown"
        documents[one.chunk.version.guideline_id] += 1

    for one in ranked:
        while waiting and len(chosen) < limit and one.score < OTHERS * waiting[0].score:
            show(waiting.pop(0))  # nobody else comes near it
        host = next((choice for choice in chosen if choice.takes(one)), None)
        if len(chosen) >= limit and host is None:
            outcomes[one.chunk.pk] = "below"
        elif any(_alike(one.words, other) for other in words):
            outcomes[one.chunk.pk] = "near_duplicate"
        elif host:
            host.members.append(one)
            words.append(one.words)
            outcomes[one.chunk.pk] = "merged"
        elif limit > 1 and documents[one.chunk.version.guideline_id] >= most:
            waiting.append(one)
            outcomes[one.chunk.pk] = "same_document"
        else:
            show(one)
    for one in waiting[: limit - len(chosen)]:
        show(one)
    chosen.sort(key=lambda choice: (-choice.best.score, choice.best.chunk.pk))
    return chosen, outcomes


def _alike(a: frozenset[str], b: frozenset[str]) -> bool:
    either = a | b
    return bool(either) and len(a & b) / len(either) >= NEAR_DUPLICATE
