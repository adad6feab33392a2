"""One turn's whole story, for a compliance officer: what is known of it without a word of it, and, once a reason was
given and recorded, its words, each compared with what the audit trail has of them."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.db import transaction
from django.db.models import Q
from django.utils.translation import gettext as _

from knowledge.models import GuidelineVersion
from portal.accounts.models import User
from portal.audit.models import Event
from portal.audit.proving import Proof, Standing, proofs
from portal.audit.services import record
from portal.audit.telling import Line, lines
from portal.chat import sealed, showing
from portal.chat.models import Turn
from portal.vault import VaultError

READ = "conversation.read"
_ENDINGS = ("turn.completed", "turn.cancelled", "turn.failed", "turn.refused", "turn.redirected")
_COMMITTED = {"question": "question", "passages": "proof", "answer": "answer", "thoughts": "reasoning"}
"""The words of a turn, and where its events have their commitment."""
_VERIFICATION = ("turn.source_opened", "turn.verified", "turn.verification_withdrawn")


class NotReadable(Exception):
    """The words cannot be read; the text is a sentence for the person who wants to."""


@dataclass(frozen=True, slots=True)
class Source:
    """A passage that was found, as the audit trail knows it: no words of it. `title` is the guideline's as it is called
    now; empty where it is no longer in the library."""

    marker: int
    title: str
    guideline_id: str
    version_id: str
    version: str
    page: str
    score: float | None
    is_cited: bool


@dataclass(frozen=True, slots=True)
class Step:
    """An event of the story and how it stands in the ledger."""

    line: Line
    proof: Proof


@dataclass(frozen=True, slots=True)
class Story:
    """What is known of a turn without its words. `asked` is the event of the question, `ended` the one that ended it,
    `prompts` those by which a model was asked, `shown` one for each piece that was shown, `checks` what its reader did
    to verify it, `readings` who read it with which reason."""

    turn: Turn
    asked: Line | None
    ended: Line | None
    sources: tuple[Source, ...]
    prompts: tuple[Line, ...]
    shown: tuple[Line, ...]
    checks: tuple[Line, ...]
    readings: tuple[Line, ...]
    steps: tuple[Step, ...]

    @property
    def standing(self) -> Standing:
        """How the story stands as a whole: as its worst event does."""
        worst = (Standing.WRONG, Standing.WAITING, Standing.SEALED)
        there = {one.proof.standing for one in self.steps}
        return next((one for one in worst if one in there), Standing.PROVEN)

    @property
    def is_verified(self) -> bool:
        """Whether the person who asked says that the answer was checked, and did not take that back."""
        said = [one.event.kind for one in self.checks if one.event.kind != "turn.source_opened"]
        return bool(said) and said[-1] == "turn.verified"


@dataclass(frozen=True, slots=True)
class Word:
    """Words that were sealed. `fits` says whether they are those that the audit trail committed to; None where it did
    not: an earlier version of Havre."""

    text: Any
    fits: bool | None


@dataclass(frozen=True, slots=True)
class Piece:
    """A piece of the answer as it was shown."""

    attempt: int
    number: int
    at: datetime
    text: str
    fits: bool


@dataclass(frozen=True, slots=True)
class Opened:
    """The words of a turn."""

    question: Word
    matched: tuple[str, ...]
    passages: tuple[dict[str, Any], ...]
    passages_fit: bool | None
    answer: Word
    notices: tuple[dict[str, str], ...]
    pieces: tuple[Piece, ...]
    thoughts: Word


def story(turn: Turn) -> Story:
    """What the audit trail and the row have of a turn, and how each of its events stands."""
    events = list(Event.objects.filter(Q(subject=str(turn.id)) | _of_conversation(turn)).order_by("seq"))
    told = lines(events)
    standing = proofs(events)
    return Story(
        turn=turn,
        asked=_last(told, "turn.started"),
        ended=_last(told, *_ENDINGS),
        sources=tuple(_sources(told)),
        prompts=_all(told, "turn.prompted"),
        shown=_all(told, "turn.shown"),
        checks=_all(told, *_VERIFICATION),
        readings=_all(told, READ, "turn.reasoning_read"),
        steps=tuple(Step(one, standing[one.event.seq]) for one in told),
    )


def times_read(user: User, turn: Turn) -> int:
    """How often this person has read this turn, or tried to."""
    return Event.objects.filter(kind=READ, subject=str(turn.id), actor__name=user.username).count()


def read(user: User, turn: Turn, reason: str) -> Opened:
    """The words of a turn, after the reading is written into the audit trail; so is one that fails. Raises NotReadable,
    and what `record` raises: then nothing was opened for anybody."""
    problem: object = None
    opened, outcome = None, "read"
    try:
        opened = _open(turn)
    except sealed.Erased:
        outcome, problem = "erased", _("It was erased: the key of this conversation no longer exists.")
    except VaultError:
        outcome = "unreadable"
        problem = _("It cannot be opened with this installation's master key. Please tell your IT department.")
    payload = {"conversation": str(turn.conversation_id), "reason": reason, "outcome": outcome}
    with transaction.atomic():
        what = {"opened": _what(opened)} if opened else {}
        record(READ, actor=user.username, actor_role=user.role, subject=str(turn.id), payload=payload | what)
    if opened is None:
        raise NotReadable(str(problem))
    return opened


def _of_conversation(turn: Turn) -> Q:
    return Q(subject=str(turn.conversation_id), kind__in=["conversation.erased"])


def _what(opened: Opened) -> list[str]:
    """What there was to read: never a word of it."""
    there = {
        "question": opened.question.text,
        "matched": opened.matched,
        "passages": opened.passages,
        "answer": opened.answer.text,
        "shown": opened.pieces,
        "notices": opened.notices,
        "reasoning": opened.thoughts.text,
    }
    return [name for name, value in there.items() if value]


def _open(turn: Turn) -> Opened:
    """Everything sealed of a turn. Raises sealed.Erased, VaultError."""
    if turn.conversation.erased_at:
        raise sealed.Erased("The key of this conversation no longer exists.")
    said: dict[str, dict[str, Any]] = {}
    for payload in Event.objects.filter(subject=str(turn.id)).order_by("seq").values_list("payload", flat=True):
        for name, key in _COMMITTED.items():
            if isinstance(given := payload.get(key), dict) and "commitment" in given:
                said[name] = given
    thoughts = sealed.open_reasoning(turn)
    return Opened(
        question=Word(turn.question, _fits(turn, "question", said)),
        matched=tuple(map(str, turn.matched)),
        passages=tuple(turn.passages),
        passages_fit=_fits(turn, "passages", said),
        answer=Word(turn.answer, _fits(turn, "answer", said)),
        notices=tuple(turn.notices),
        pieces=tuple(_pieces(turn)),
        thoughts=Word(thoughts, _fits(turn, "thoughts", said)),
    )


def _fits(turn: Turn, name: str, said: dict[str, dict[str, Any]]) -> bool | None:
    if name not in said:
        return None
    try:
        return bool(sealed.commitment(sealed.salt_of(turn, name), getattr(turn, name)) == said[name]["commitment"])
    except KeyError:
        return False


def _pieces(turn: Turn) -> Iterable[Piece]:
    committed = {
        (payload.get("attempt"), payload.get("piece")): payload.get("commitment")
        for payload in Event.objects.filter(subject=str(turn.id), kind="turn.shown").values_list("payload", flat=True)
    }
    for one in showing.pieces(turn):
        fits = committed.get((one.attempt, one.number)) == sealed.commitment(one.salt, one.text)
        yield Piece(one.attempt, one.number, one.at, one.text, fits)


def _sources(told: list[Line]) -> Iterable[Source]:
    found = _last(told, "turn.passages")
    ended = _last(told, *_ENDINGS)
    passages = found.event.payload.get("passages", []) if found else []
    cited = set(_dict(ended.event.payload.get("citations")).get("markers", [])) if ended else set()
    versions = {one["version_id"] for one in passages if "version_id" in one}
    titles = {
        str(key): title
        for key, title in GuidelineVersion.objects.filter(pk__in=versions).values_list("pk", "guideline__title")
    }
    for one in passages:
        yield Source(
            marker=one.get("marker", 0),
            title=titles.get(one.get("version_id", ""), ""),
            guideline_id=one.get("guideline_id", ""),
            version_id=one.get("version_id", ""),
            version=str(one.get("version", "")),
            page="" if one.get("page") is None else str(one["page"]),
            score=one.get("score"),
            is_cited=one.get("marker") in cited,
        )


def _dict(value: Any) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


def _all(told: list[Line], *kinds: str) -> tuple[Line, ...]:
    return tuple(one for one in told if one.event.kind in kinds)


def _last(told: list[Line], *kinds: str) -> Line | None:

    return next((one for one in reversed(told) if one.event.kind in kinds), None)
