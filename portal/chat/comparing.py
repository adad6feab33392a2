"""What is kept of a turn, held against what its events committed to: what is sealed, byte by byte, which needs no key
and no reason, and its words once they are opened."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any

from django.utils import timezone

from portal import vault
from portal.audit.stored import Row
from portal.chat import sealed
from portal.chat.erasing import ERASED
from portal.chat.facts import LATE, mapping, mappings, number, said
from portal.chat.models import Piece, Turn
from portal.chat.showing import Shown, open_piece

_COMMITTED = {
    "question": ("asked", "question"),
    "passages": ("found", "proof"),
    "answer": ("said", "answer"),
    "citations": ("said", "citations"),
    "notices": ("said", "notices_proof"),
    "thoughts": ("reasoning", "reasoning"),
}
"""The words of a turn: the column that they lie in, and where its events commit to them."""
_PARTLY_COMMITTED = frozenset({"said", "reasoning"})  # by earlier versions


class Fit(StrEnum):
    """How something that is kept fits what was recorded of it: `RECORDED`: it is that; `OTHER`: it is something else;
    `REMOVED`: recorded, and no longer there; `NEVER`: there, and never recorded; `UNPROVEN`: the event that commits to
    it is itself not what was recorded; `UNKNOWN`: from a version of Havre that recorded no commitments; `NOTHING`:
    there neither is nor was any; `ERASED`: it went when the conversation was erased."""

    RECORDED = "recorded"
    OTHER = "other"
    REMOVED = "removed"
    NEVER = "never"
    UNPROVEN = "unproven"
    UNKNOWN = "unknown"
    NOTHING = "nothing"
    ERASED = "erased"

    @property
    def is_wrong(self) -> bool:
        """Whether nobody honest would have left it so."""
        return self in {Fit.OTHER, Fit.REMOVED, Fit.NEVER, Fit.UNPROVEN}


@dataclass(frozen=True, slots=True)
class Commitment:
    """What an event says of something sealed: the SHA-256 of the sealed bytes, and the commitment to the words.
    `is_wrong` where the event is not what was recorded."""

    sealed_sha256: str
    words: str
    is_wrong: bool


@dataclass(frozen=True, slots=True)
class Announced:
    """A piece of an answer as its event has it: when it was shown, and how many characters."""

    commitment: Commitment
    at: datetime
    characters: int


@dataclass(frozen=True, slots=True)
class Committed:
    """What the events of a turn commit to: words by their names, columns by theirs, pieces by attempt and number.
    `wrong` is the numbers of the events that are not what was recorded; `is_old` where the question was recorded by a
    version without commitments; `is_earlier` by one that did not commit to all that it kept as answer and reasoning;
    `is_erased` where its conversation was, according to an event that stands."""

    words: Mapping[str, Commitment]
    columns: Mapping[str, Commitment]
    pieces: Mapping[tuple[int, int], Announced]
    wrong: frozenset[int]
    is_old: bool
    is_earlier: bool
    is_erased: bool

    def unrecorded(self, column: str = "") -> Fit:
        """How something fits that is there without a commitment, in this column or as a piece."""
        if self.is_old or (self.is_earlier and not self.wrong and column in _PARTLY_COMMITTED):
            return Fit.UNKNOWN
        return Fit.UNPROVEN if self.wrong else Fit.NEVER


@dataclass(frozen=True, slots=True)
class Word:
    """Words that were sealed, and how they fit; None where they cannot be opened."""

    text: Any
    fit: Fit


@dataclass(frozen=True, slots=True)
class ShownPiece:
    """A piece of an answer that was shown, and how it fits. `text` is None as long as it is not opened, where it is not
    there any more, and where it cannot be opened."""

    attempt: int
    number: int
    at: datetime
    characters: int
    fit: Fit
    text: str | None = None


def committed(events: Iterable[Row], wrong: frozenset[int]) -> Committed:
    """What these events of a turn commit to, in their order; `wrong` is the numbers of those that are not what was
    recorded."""
    words: dict[str, Commitment] = {}
    columns: dict[str, Commitment] = {}
    pieces: dict[tuple[int, int], Announced] = {}
    opening: Row | None = None
    is_erased = False
    for event in events:
        payload, is_wrong = said(event), event.seq in wrong
        if event.kind in ("turn.started", LATE):
            opening = event
        elif event.kind == "turn.shown" and not event.problem:
            place = (number(payload.get("attempt")), number(payload.get("piece")))
            pieces[place] = Announced(
                _commitment(payload, is_wrong), event.at or timezone.now(), number(payload.get("characters"))
            )
        elif event.kind == "conversation.erased" and not is_wrong:
            is_erased = True
        for name, (column, key) in _COMMITTED.items():
            if "commitment" in (given := mapping(payload.get(key))):
                words[name] = columns[column] = _commitment(given, is_wrong)
    if opening is None or opening.seq in wrong:
        return Committed(words, columns, pieces, wrong, False, False, is_erased)
    is_old = opening.kind != LATE and not (words or pieces)
    is_earlier = "verdict" in said(opening) and "card_sha256" not in said(opening)
    return Committed(words, columns, pieces, wrong, is_old, is_earlier, is_erased)


def _commitment(given: Mapping[str, Any], is_wrong: bool) -> Commitment:
    return Commitment(str(given.get("sealed_sha256", "")), str(given.get("commitment", "")), is_wrong)


def closed(turn: Turn, name: str, known: Committed) -> Fit:
    """How a text of a turn fits, without opening it: the sealed bytes against their hash. What lies in the same column
    counts with it."""
    fit = _column(turn, _COMMITTED[name][0], known)
    return Fit.NOTHING if name not in known.words and fit in {Fit.RECORDED, Fit.ERASED} else fit


def _column(turn: Turn, column: str, known: Committed) -> Fit:
    raw = vault.raw(getattr(turn, column))
    is_there = raw not in (b"", ERASED)
    expected = known.columns.get(column)
    if expected is None:
        return known.unrecorded(column) if is_there else Fit.NOTHING
    if not is_there:
        return Fit.ERASED if known.is_erased else Fit.REMOVED
    if expected.is_wrong:
        return Fit.UNPROVEN
    return Fit.RECORDED if sealed.fingerprint(raw) == expected.sealed_sha256 else Fit.OTHER


def opened(turn: Turn, name: str, known: Committed) -> Word:
    """A text of a turn and how it fits. The key of its conversation opens."""
    column = _column(turn, _COMMITTED[name][0], known)
    try:
        text = sealed.open_reasoning(turn) if name == "thoughts" else getattr(turn, name)
        return Word(text, _fit(text, _salt_of(turn, name), known.words.get(name), column))
    except (vault.VaultError, ValueError):
        if column is Fit.REMOVED and name not in known.words:
            return Word(None, Fit.NOTHING)
        return Word(None, column if column.is_wrong else Fit.OTHER)


def _salt_of(turn: Turn, name: str) -> str:
    try:
        return sealed.salt_of(turn, name)
    except (KeyError, vault.Unreadable):  # nothing is there, or it was sealed before there were salts
        return ""


def _fit(text: Any, salt: str, expected: Commitment | None, column: Fit) -> Fit:
    if expected is None:
        return column if text else Fit.NOTHING
    if expected.is_wrong:
        return Fit.UNPROVEN
    if salt and sealed.commitment(salt, text) == expected.words:
        return Fit.RECORDED
    return Fit.OTHER if text else Fit.REMOVED


def rows_of(word: Word) -> Word:
    """The same for words that are a list of mappings, whatever somebody made of it."""
    return Word(mappings(word.text), word.fit)


def matched(turn: Turn, known: Committed) -> Word:
    """The words that the rules matched: they were sealed with the question, as one."""
    try:
        return Word(tuple(map(str, turn.matched)), _column(turn, "asked", known))
    except (vault.VaultError, ValueError, TypeError):
        return Word(None, Fit.OTHER)


def pieces(turn: Turn | None, known: Committed, *, is_open: bool) -> list[ShownPiece]:
    """What was shown of an answer, piece by piece: everything that was recorded, and whatever else is kept."""
    rows = {(one.attempt, one.number): one for one in Piece.objects.filter(turn=turn)} if turn else {}
    return [_piece(turn, place, rows.get(place), known, is_open) for place in sorted({*known.pieces, *rows})]


def _piece(turn: Turn | None, place: tuple[int, int], row: Piece | None, known: Committed, is_open: bool) -> ShownPiece:
    expected = known.pieces.get(place)
    read = _open(turn, row) if turn and row and is_open else None
    if row is None:
        fit = Fit.ERASED if known.is_erased else Fit.REMOVED
    elif expected is None:
        fit = known.unrecorded()
    else:
        fit = _piece_fit(row, read, expected.commitment)
    at = expected.at if expected else row.at if row else timezone.now()
    return ShownPiece(*place, at, expected.characters if expected else 0, fit, read.text if read else None)


def _piece_fit(row: Piece, read: Shown | None, expected: Commitment) -> Fit:
    if expected.is_wrong:
        return Fit.UNPROVEN
    if sealed.fingerprint(row.words) != expected.sealed_sha256:
        return Fit.OTHER
    is_other = read is not None and sealed.commitment(read.salt, read.text) != expected.words
    return Fit.OTHER if is_other else Fit.RECORDED


def _open(turn: Turn, row: Piece) -> Shown | None:
    try:
        return open_piece(turn, row)
    except (vault.VaultError, ValueError):
        return None


def sealed_bytes(turn: Turn) -> list[bytes]:
    """What is kept sealed of a turn: its columns, without those that are empty or were erased."""
    columns = sorted({column for column, _key in _COMMITTED.values()})
    kept = [vault.raw(getattr(turn, column)) for column in columns]
    return [one for one in kept if one not in (b"", ERASED)]
