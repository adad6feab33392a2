"""What every format gets, and which formats there are."""

import importlib
from array import array
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import IO, Protocol

from portal.audit import naming, wording
from portal.audit.exporting._selection import Selection, read
from portal.audit.models import Checkpoint
from portal.audit.stored import Row


class Unavailable(Exception):
    """The format cannot be written by this installation; the text says why."""


@dataclass(frozen=True, slots=True)
class About:
    """What a format may tell of the export that it writes.

    `number` is that of the event `audit.exported`, by which the export is known. `up_to` is the number of the last
    event that the ledger had for this export, `count` how many were chosen of them. `checkpoint` is the newest one (it
    covers `up_to` events), None where the ledger cannot be sealed, and then `problem` says why. `names` gives the name
    of a code; an erased person has none, and nobody beside whose code another name stands than was recorded (`wrong`).
    `language` is that of whoever asked, "en" or "fr".
    """

    number: int
    ledger: str
    facility: str
    asked_by: str
    at: datetime
    language: str
    selection: Selection
    up_to: int
    count: int
    checkpoint: Checkpoint | None
    problem: str
    names: Mapping[str, str]
    wrong: frozenset[str] = frozenset()

    def who(self, code: str) -> str:
        """A person's name in words, or a word in its place."""
        return wording.who(code, self.names.get(code), is_wrong=code in self.wrong)

    def problem_of(self, event: Row) -> str:
        """What is wrong with an event or with the names in it; empty where nothing is."""
        return naming.problem_of(event, self.wrong)

    def name_of(self, code: str) -> str:
        """A person's name; the code itself where there is no name (any more), or it stands for no person."""
        return self.names.get(code, code)


class Events:
    """The chosen events, oldest first, also those whose row somebody changed (`Row.problem`). They may be gone through
    more than once; each time they are read anew, and only a thousand are in memory."""

    def __init__(self, seqs: "array[int] | range") -> None:
        self.seqs = seqs

    def __iter__(self) -> Iterator[Row]:
        return read(self.seqs)

    def __len__(self) -> int:
        return len(self.seqs)


class Writer(Protocol):
    """Write `events` to `out`, which can only be written to, and return how many they were. `progress` is called with
    how many are done, every thousand or so, and raises where the export was stopped: let that through. Raises OSError
    as `out` does."""

    def __call__(self, events: Events, out: IO[bytes], about: About, progress: Callable[[int], None]) -> int: ...


@dataclass(frozen=True, slots=True)
class Format:
    """A form of exports: the module that writes it, the ending of its files, their media type."""

    module: str
    suffix: str
    media_type: str


FORMATS = {
    "bundle": Format("portal.audit.exporting._bundle", "zip", "application/zip"),
    "jsonl": Format("portal.audit.exporting._jsonl", "jsonl", "application/x-ndjson"),
    "csv": Format("portal.audit.exporting._csv", "csv", "text/csv"),
    "fhir": Format("portal.audit.exporting._fhir", "ndjson", "application/fhir+ndjson"),
    "pdf": Format("portal.audit.exporting._pdf", "pdf", "application/pdf"),
}


def writer_of(name: str) -> Writer:
    """The function that writes a format. Raises Unavailable."""
    module = FORMATS[name].module
    try:
        write: Writer = importlib.import_module(module).write
    except ImportError as error:
        raise Unavailable(f"Exports as {name} are not installed here ({error.name} is missing).") from error
    return write
