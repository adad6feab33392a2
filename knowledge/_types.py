"""The values that cross the border of knowledge: frozen, typed, without behaviour."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal
from uuid import UUID


@dataclass(frozen=True, slots=True)
class Passage:
    """A piece of a guideline that was found for a question.

    `text` stands word for word in its document (`selectors.source_text`): from character `start` of the text of page
    `page` to `end` of that of `last_page`. Pages are numbers of the PDF file, counted from 1 (None in formats without
    pages), `page_label` is what is printed on the first. `score` is 0 to 1, comparable
    between questions; `lexical` (words) and `dense` (meaning) are the two it was made of, each 0 to 1. Neighbouring
    chunks that were found together are one passage: `chunk_ids` names them in the order of the document, `chunk_id` the
    best of them.
    """

    chunk_id: int
    version_id: UUID
    guideline_id: UUID
    document: str  # the guideline's title
    version: str  # "v2"
    page: int | None
    last_page: int | None
    start: int
    end: int
    page_label: str
    heading: str  # path of headings, joined with " › "
    text: str
    score: float
    language: str
    chunk_ids: tuple[int, ...] = ()
    lexical: float = 0.0
    dense: float = 0.0


@dataclass(frozen=True, slots=True)
class Retrieval:
    """What the library has to say on a question, best passage first.

    `covered` is False when nothing in the guidelines is close enough to answer; the nearest passages are still given.
    `query` is what was searched for: the question, completed from the conversation where it could not stand alone.
    `confidence` is the probability, 0 to 1, that the first passages answer it, and `embedder` the model whose vectors
    were compared, empty where words alone answered.
    """

    passages: tuple[Passage, ...]
    covered: bool
    query: str
    confidence: float = 0.0
    embedder: str = ""


@dataclass(frozen=True, slots=True)
class Quote:
    """Words of the passage `marker` that answer a question: characters `start` to `end` of its text, whole sentences,
    items or boxes. `score` says how well they answer beside the other quotes of the same question."""

    marker: int
    start: int
    end: int
    score: float


@dataclass(frozen=True, slots=True)
class Candidate:
    """A chunk that was looked at for a question, and what became of it.

    "shown": the best chunk of a passage; "merged": shown as the neighbour of one; "near_duplicate": says what a better
    one says already; "same_document": its document has enough passages among those shown; "below": others were better.
    Scores are those of `Passage`, of the chunk alone.
    """

    chunk_id: int
    guideline_id: UUID
    document: str
    version: str
    page: int | None
    page_label: str
    heading: str
    text: str
    lexical: float
    dense: float
    score: float
    outcome: Literal["shown", "merged", "near_duplicate", "same_document", "below"]


@dataclass(frozen=True, slots=True)
class Removed:
    """What would have been shown but for a filter: it is for other departments, its guideline is switched off, or its
    version is not in force now."""

    guideline_id: UUID
    document: str
    version: str
    page: int | None
    score: float
    reason: Literal["department", "switched_off", "not_in_force"]


@dataclass(frozen=True, slots=True)
class Explanation:
    """How a question was answered, for the person who looks after the library: `Retrieval` with everything that led to
    it. From a `confidence` of `threshold` on it counts as covered. `candidates` are in order of their scores,
    `passages` among them; `removed` likewise."""

    query: str
    language: str
    embedder: str
    covered: bool
    confidence: float
    threshold: float
    passages: tuple[Passage, ...]
    candidates: tuple[Candidate, ...]
    removed: tuple[Removed, ...]


@dataclass(frozen=True, slots=True)
class Progress:
    """How far an ingestion is: `done` of `total` pages (parsing) or chunks (embedding, indexing)."""

    version_id: UUID
    title: str
    step: Literal["parsing", "embedding", "indexing", "indexed", "failed"]
    done: int
    total: int
    error: str = ""


OnProgress = Callable[[Progress], None]


@dataclass(frozen=True, slots=True)
class IndexReport:
    """The vector index compared with SQL: chunks that should be there, `missing` ones, `stray` ones, whether it was
    `rebuilt`."""

    expected: int
    missing: int
    stray: int
    unfindable: int
    rebuilt: bool

    @property
    def healthy(self) -> bool:
        """Whether the index, as it is now, agrees with SQL."""
        return self.rebuilt or not (self.missing or self.stray or self.unfindable)
