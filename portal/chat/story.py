"""One turn's whole story, for a compliance officer: what is known of it without a word of it, and, once a reason was
given and recorded, its words. What it tells is what was recorded; what is kept is held against that, and whatever does
not fit is said first."""

import uuid
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from django.db import DataError, transaction
from django.utils.translation import gettext as _

from portal.accounts.models import User
from portal.audit import stored
from portal.audit.models import Event, Head
from portal.audit.proving import Proof, Standing, damaged, proofs
from portal.audit.services import record
from portal.audit.stored import Row
from portal.audit.telling import Line, lines
from portal.chat import checking, comparing, gaps, sealed, showing
from portal.chat.comparing import Committed, Fit, ShownPiece, Word
from portal.chat.facts import ENDINGS, LATE, Facts, Source, every, facts, hashes, last, said, sources
from portal.chat.models import ACTIVE, Turn
from portal.vault import VaultError

READ = "conversation.read"
_VERIFICATION = (checking.OPENED, checking.CHECKED, checking.WITHDRAWN)
_MOST_BETWEEN = 1_000  # events between the first and the last of a story that are looked at: a third of a second
_TRIES = 3


class NotReadable(Exception):
    """The words cannot be read; the text is a sentence for the person who wants to."""


@dataclass(frozen=True, slots=True)
class Step:
    """An event of the story and how it stands in the ledger."""

    line: Line
    proof: Proof


@dataclass(frozen=True, slots=True)
class Kept:
    """How what is kept of a turn fits what was recorded, without opening it."""

    question: Fit
    passages: Fit
    answer: Fit
    thoughts: Fit


@dataclass(frozen=True, slots=True)
class Story:
    """What is known of a turn without its words. `turn` is its row, None where it is gone. `asked` is the event of the
    question, `ended` the one that ended it, `erased` that of its erasure; `card` is the hotline card and `message` the
    sentence in the place of an answer, where they are what was recorded; `prompts` those by which a model was asked,
    `shown` the pieces that were, `checks` what its reader did to verify it, `readings` who read it with which reason.
    `findings` is what does not fit, in sentences."""

    turn_id: uuid.UUID
    turn: Turn | None
    known: Committed
    card: Mapping[str, Any] | None
    message: str
    asked: Line | None
    ended: Line | None
    erased: Line | None
    facts: Facts
    kept: Kept
    sources: tuple[Source, ...]
    prompts: tuple[Line, ...]
    shown: tuple[ShownPiece, ...]
    checks: tuple[Line, ...]
    readings: tuple[Line, ...]
    steps: tuple[Step, ...]
    findings: tuple[str, ...]

    @property
    def standing(self) -> Standing:
        """How the story stands as a whole: as its worst event does, and wrong where something does not fit."""
        worst = (Standing.WRONG, Standing.WAITING, Standing.SEALED)
        there = {one.proof.standing for one in self.steps}
        if self.findings:
            return Standing.WRONG
        return next((one for one in worst if one in there), Standing.PROVEN)

    @property
    def is_verified(self) -> bool:
        """Whether the person who asked says that the answer was checked, and did not take that back."""
        told = [one.event for one in self.checks if one.event.kind != checking.OPENED]
        return bool(told) and told[-1].kind == checking.CHECKED and told[-1].seq not in self.known.wrong

    @property
    def is_running(self) -> bool:
        """Whether the question still waits for its answer."""
        return self.turn is not None and self.turn.state in ACTIVE and self.ended is None

    @property
    def is_late(self) -> bool:
        """Whether it is a hotline card that was shown while nothing could be written down."""
        return self.asked is not None and self.asked.event.kind == LATE

    @property
    def model_card(self) -> str:
        """The SHA-256 by which the card of the model is found; empty where it has none."""
        return next((one.model for one in (step.line for step in reversed(self.steps)) if one.model), "")

    @property
    def may_open(self) -> bool:
        """Whether there is something to read."""
        return self.turn is not None and not self.known.is_erased


@dataclass(frozen=True, slots=True)
class Opened:
    """The words of a turn, and how each of them fits."""

    question: Word
    matched: Word
    passages: Word
    answer: Word
    notices: Word
    thoughts: Word
    pieces: tuple[ShownPiece, ...]


def story(turn_id: uuid.UUID) -> Story | None:
    """What the audit trail and the database have of a turn; None where neither knows of it."""
    for _again in range(_TRIES):
        turn = _row(turn_id)
        events = _events(turn_id, turn)
        if turn is None and not events:
            return None
        found = _story(turn_id, turn, events)
        if len(events) == len(_events(turn_id, turn)):  # nothing was written meanwhile
            break
    return found


def _row(turn_id: uuid.UUID) -> Turn | None:
    """The row of a turn; None also where somebody left values in it that are none of their kind."""
    try:
        return Turn.objects.select_related(*sealed.WITH_KEY).filter(pk=turn_id).first()
    except (ValueError, TypeError, AttributeError, OverflowError, DataError):
        return None


def times_read(user: User, turn_id: uuid.UUID) -> int:
    """How often this person has read this turn, or tried to."""
    return Event.objects.filter(kind=READ, subject=str(turn_id), actor__name=user.username).count()


def read(user: User, found: Story, reason: str) -> Opened:
    """The words of a turn, after the reading is written into the audit trail; so is one that fails. Raises NotReadable,
    and what `record` raises: then nothing was opened for anybody."""
    problem: object = None
    opened, outcome = None, "read"
    try:
        opened = _open(found)
    except sealed.Erased:
        outcome, problem = _gone(found)
    except VaultError:
        outcome = "unreadable"
        problem = _("It cannot be opened with this installation's master key. Please tell your IT department.")
    payload = {"conversation": found.facts.conversation, "reason": reason, "outcome": outcome}
    with transaction.atomic():
        what = {"opened": _what(opened)} if opened else {}
        record(READ, actor=user.username, actor_role=user.role, subject=str(found.turn_id), payload=payload | what)
    if opened is None:
        raise NotReadable(str(problem))
    return opened


def _gone(found: Story) -> tuple[str, str]:
    if found.known.is_erased:
        return "erased", _("It was erased: the key of this conversation no longer exists.")
    return "key_gone", _(
        "The key of this conversation no longer exists, and the audit trail knows of no erasure. Please tell your IT "
        "department: a backup may still hold it."
    )


def _what(opened: Opened) -> list[str]:
    """What there was to read: never a word of it."""
    there = {
        "question": opened.question.text,
        "matched": opened.matched.text,
        "passages": opened.passages.text,
        "answer": opened.answer.text,
        "shown": any(one.text for one in opened.pieces),
        "notices": opened.notices.text,
        "reasoning": opened.thoughts.text,
    }
    return [name for name, value in there.items() if value]


def _open(found: Story) -> Opened:
    """Everything sealed of a turn. Raises sealed.Erased, VaultError."""
    turn, known = found.turn, found.known
    if turn is None:
        raise sealed.Erased("The row is gone.")
    sealed.unlock(turn)
    words = {name: comparing.opened(turn, name, known) for name in ("question", "answer", "thoughts")}
    rows = {name: comparing.rows_of(comparing.opened(turn, name, known)) for name in ("passages", "notices")}
    pieces = comparing.pieces(turn, known, is_open=True)
    return Opened(matched=comparing.matched(turn, known), pieces=tuple(pieces), **words, **rows)


def _events(turn_id: uuid.UUID, turn: Turn | None) -> list[Row]:
    """The events of a turn, and that of the erasure of its conversation: the one that it is in, and was."""
    marks = stored.Marks()
    mine = Event.objects.filter(subject=str(turn_id)).order_by("seq").values_list("seq", flat=True)
    events = stored.rows(list(mine), marks)
    talks = {str(said(one).get("conversation", "")) for one in events} | (
        {str(turn.conversation_id)} if turn else set()
    )
    erasures = Event.objects.filter(kind="conversation.erased", subject__in=talks - {""}).order_by("seq")
    found = [*events, *stored.rows(list(erasures.values_list("seq", flat=True)), marks)]
    return sorted(found, key=lambda one: one.seq)


def _story(turn_id: uuid.UUID, turn: Turn | None, events: Sequence[Row]) -> Story:
    told = lines(events)
    standing = proofs(events)
    wrong = frozenset(seq for seq, one in standing.items() if not one.is_believed)
    known = comparing.committed(events, wrong)
    shown = tuple(comparing.pieces(turn, known, is_open=False))
    asked, ended = last(told, "turn.started", LATE), last(told, *ENDINGS)
    card, message = _beside(turn, events)
    return Story(
        turn_id=turn_id,
        turn=turn,
        known=known,
        card=card,
        message=message,
        asked=asked,
        ended=ended,
        erased=last([one for one in told if one.event.seq not in wrong], "conversation.erased"),
        facts=facts(events, asked, ended),
        kept=_kept(turn, known),
        sources=tuple(sources(told)),
        prompts=every(told, "turn.prompted"),
        shown=shown,
        checks=every(told, *_VERIFICATION),
        readings=every(told, READ, "turn.reasoning_read"),
        steps=tuple(Step(one, standing[one.event.seq]) for one in told),
        findings=(*_doubts(turn_id, standing, events), *_gaps(turn_id, turn, events, known, shown)),
    )


def _doubts(turn_id: uuid.UUID, standing: Mapping[int, Proof], events: Sequence[Row]) -> Iterator[str]:
    """What is wrong with its events in the ledger, and with those between them."""
    if wrong := sorted(seq for seq, one in standing.items() if not one.is_believed):
        yield _("Of its events, these are not what was recorded: %(numbers)s.") % {"numbers": _numbers(wrong)}
    unsealed = {one.checkpoint for one in standing.values() if one.is_believed and one.standing is Standing.WRONG}
    if checkpoints := sorted(one for one in unsealed if one is not None):
        yield _("A checkpoint over them does not fit, or is not signed by this installation: %(numbers)s.") % {
            "numbers": _numbers(checkpoints)
        }
    ours = {one.seq for one in events}
    spans = _spans([one for one in events if one.subject == str(turn_id)])
    if lost := sorted({seq for first, last in spans for seq in damaged(first, last)} - ours):
        yield _(
            "In the meantime other events were recorded that are gone or are not what was recorded: %(numbers)s. They "
            "may have belonged to this story."
        ) % {"numbers": _numbers(lost)}


def _spans(own: Sequence[Row]) -> Iterator[tuple[int, int]]:
    """Where events lay, or may have lain, that belong to a story: between its first and its last; and behind a check
    of the answer, as long as it could be taken back."""
    if own:
        yield own[0].seq, min(own[-1].seq, own[0].seq + _MOST_BETWEEN)
    checks = [one for one in own if one.kind in (checking.CHECKED, checking.WITHDRAWN)]
    if checks and checks[-1].kind == checking.CHECKED and (at := checks[-1].at):
        first, over = checks[-1].seq + 1, at + timedelta(seconds=checking.UNDO_SECONDS)
        later = Event.objects.filter(seq__gte=first, at__gt=over).order_by("seq").values_list("seq", flat=True).first()
        last = later or Head.objects.values_list("last_seq", flat=True).get()
        yield first, min(last, first + _MOST_BETWEEN)


def _gaps(
    turn_id: uuid.UUID, turn: Turn | None, events: Sequence[Row], known: Committed, shown: Sequence[ShownPiece]
) -> Iterator[str]:
    yield from gaps.of_events(turn_id, events, known)
    yield from gaps.of_row(turn_id, turn, events, known)
    yield from gaps.of_people(events)
    yield from gaps.of_words(turn, known, [one.fit for one in shown])
    yield from gaps.of_erasure(turn, events, known)


def _beside(turn: Turn | None, events: Sequence[Row]) -> tuple[Mapping[str, Any] | None, str]:
    """The hotline card, and the sentence in the place of an answer, where the row has them as recorded."""
    if turn is None:
        return None, ""
    shown, told = showing.beside(turn.card, turn.failure_message), hashes(events)
    card = turn.card if shown["card_sha256"] == told.get("card_sha256") else None
    return card, turn.failure_message if shown["message_sha256"] == told.get("message_sha256") else ""


def _numbers(found: Sequence[int]) -> str:
    few = ", ".join(map(str, found[:10]))
    return f"{few} …" if len(found) > 10 else few


def _kept(turn: Turn | None, known: Committed) -> Kept:
    names = ("question", "passages", "answer", "thoughts")
    if turn is None:
        gone = Fit.ERASED if known.is_erased else Fit.REMOVED
        return Kept(**{name: gone if name in known.words else Fit.NOTHING for name in names})
    return Kept(**{name: comparing.closed(turn, name, known) for name in names})
