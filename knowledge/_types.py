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
    between questions.
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


@dataclass(frozen=True, slots=True)
class Retrieval:
    """What the library has to say on a question, best passage first.

    `covered` is False when nothing in the guidelines is close enough to answer; the nearest passages are still given.
    `query` is what was searched for: the question, completed from the conversation where it could not stand alone.
    """

    passages: tuple[Passage, ...]
    covered: bool
    query: str


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
