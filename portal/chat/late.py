"""Records that follow: hotline cards that were shown when nothing could be written down."""

import logging
import uuid
from datetime import datetime
from typing import Any

from django.db import DatabaseError, transaction
from django.db.models import Q
from django.utils import timezone

from portal import vault
from portal.accounts.models import User
from portal.audit import stored
from portal.audit.models import Event
from portal.audit.services import record
from portal.chat import sealed, showing, spool
from portal.chat.models import Conversation, Turn
from portal.database import one_at_a_time, patience

logger = logging.getLogger(__name__)

_TRY_SECONDS = 2.0

_KEPT = ("client_ref", "language", "effort", "state", "failure_code", "failure_message", "card", "verdict")
_WORDS = ("question", "matched", "notices")


def keep(turn: Turn, person: int) -> None:
    """Keep a turn with a card that could not be written down. Never raises."""
    values: dict[str, Any] = {name: getattr(turn, name) for name in (*_KEPT, *_WORDS)}
    spool.keep(
        str(turn.pk),
        values
        | {
            "turn": str(turn.pk),
            "client_ref": str(turn.client_ref),
            "conversation": str(turn.conversation_id),
            "person": person,
            "shown_at": turn.created_at.isoformat(),
        },
    )


def keep_beside(turn: Turn) -> None:
    """Keep the card of a turn that is written down already and has it in the place of an answer: before it is shown, so
    that its record follows where the end of the turn, which names it, is never written. Never raises."""
    spool.keep(
        _name_beside(turn),
        {
            "turn": str(turn.pk),
            "attempt": turn.attempt,
            "conversation": str(turn.conversation_id),
            "person": turn.conversation.owner_id,
            "card": turn.card,
            "shown_at": timezone.now().isoformat(),
        },
    )


def drop_beside(turn: Turn) -> None:
    """The end of the turn is written, and names its card. Never raises."""
    spool.drop(_name_beside(turn))


def _name_beside(turn: Turn) -> str:
    return f"{turn.pk}.{turn.attempt}"


def write_down(*, older_than: float = 0.0) -> int:
    """Write down whatever was kept so many seconds ago, if it can be now; returns how many. What cannot be waits for
    the next time, and keeps nothing else waiting."""
    spool.reserve()
    spool.clear()
    return sum(_try(one) is True for one in spool.kept(older_than=older_than))


def write_down_theirs(*, person: int, conversation: uuid.UUID | None = None) -> bool:
    """Write down the cards of this person (in this conversation) and no others; returns whether none of theirs waits
    any more, as far as anybody can tell: without its master key each sealed one may be theirs. Ends with the first that
    cannot be written: nobody waits for one after the other."""
    theirs = (one for one in spool.kept() if _may_be_of(one, person, conversation))
    return all(_try(one) is not None for one in theirs)


def _may_be_of(one: spool.Kept, person: int, conversation: uuid.UUID | None) -> bool:
    try:
        values = one.values()
    except vault.VaultError:
        return True
    if not values or values["person"] != person:
        return False
    return conversation in {None, uuid.UUID(values["conversation"])}


def _try(one: spool.Kept) -> bool | None:
    """Whether it was written down now; False where somebody did meanwhile, None where it still waits."""
    try:
        with patience(_TRY_SECONDS), transaction.atomic():
            done = _write(one)
        spool.done(one)
        return done
    except (DatabaseError, vault.VaultError) as error:
        logger.warning("the record of a hotline card still waits: %s", type(error).__name__)
    except Exception as error:
        logger.error("a hotline card cannot be recorded: %s", type(error).__name__, exc_info=error)
    return None


def record_shown(turn: Turn, owner: User | None, **proof: Any) -> None:
    """Record that a card was shown, in the caller's transaction; `proof` of what was asked, where that is kept."""
    record(
        "crisis.shown",
        actor=owner.username if owner else "system",
        actor_role=owner.role if owner else "",
        subject=str(turn.pk),
        payload={
            "conversation": str(turn.conversation_id),
            "shown_at": turn.created_at.isoformat(),
            "verdict": turn.verdict,
            "state": turn.state,
            "code": turn.failure_code,
            **showing.beside(turn.card, turn.failure_message),
            **proof,
        },
    )


def _write(one: spool.Kept) -> bool:
    """Write one down, in the caller's transaction; False where somebody did meanwhile."""
    one_at_a_time("hotline cards")
    if Event.objects.filter(kind="crisis.shown", subject=one.turn).exists() or not one.is_there():
        return False
    values = one.values()
    turn = _written(one.turn, values)
    if turn or (values and "attempt" in values):
        return _write_beside(one, turn, values)
    if values is None:
        record("crisis.shown", actor="system", subject=one.turn, payload={"shown_at": one.shown_at().isoformat()})
        return True
    owner = User.objects.select_for_update().filter(pk=values["person"]).first()
    at = datetime.fromisoformat(values["shown_at"])
    kept = {name: values[name] for name in _KEPT}
    turn = Turn(id=values["turn"], conversation_id=values["conversation"], created_at=at, finished_at=at, **kept)
    if conversation := _conversation(values, owner):
        turn.conversation = conversation
        for name in _WORDS:
            setattr(turn, name, values[name])
        turn.save(force_insert=True)
        Turn.objects.filter(pk=turn.pk).update(created_at=at)
        turn.created_at = at
        proofs = {"question": sealed.proof(turn, "question")}
        if turn.said:  # sealed as well, also where nothing is said
            proofs["notices_proof"] = sealed.proof(turn, "notices")
        record_shown(turn, owner, **proofs)
    else:
        record_shown(turn, owner)
    return True


def _written(turn_id: str, values: dict[str, Any] | None) -> Turn | None:
    """The turn, held, where it was written after all: with this id, or as the same question that was sent again."""
    found = Q(pk=turn_id)
    if values and "client_ref" in values:
        found |= Q(conversation_id=values["conversation"], client_ref=values["client_ref"])
    return Turn.objects.select_for_update().filter(found).first()


def _write_beside(one: spool.Kept, turn: Turn | None, values: dict[str, Any] | None) -> bool:
    """Record a card of a turn whose question is recorded, and keep it with the turn; False where an event of the turn
    names it already."""
    subject = str(turn.pk) if turn else one.turn
    shown = {"card_sha256": showing.beside(values["card"], "")["card_sha256"]} if values else {}
    told = Event.objects.filter(subject=subject).order_by("seq").values_list("seq", flat=True)
    named = {row.payload.get("card_sha256") for row in stored.rows(list(told), stored.Marks()) if not row.problem}
    is_named = shown["card_sha256"] in named if values else bool(named - {None, ""})
    if is_named:
        return False
    given = values or {"shown_at": one.shown_at().isoformat()}
    if turn and values:
        Turn.objects.filter(pk=turn.pk).update(card=values["card"])
    payload = {name: given[name] for name in ("conversation", "attempt", "shown_at") if name in given} | shown
    record("turn.card_shown", actor="system", subject=subject, payload=payload)
    return True


def _conversation(values: dict[str, Any], owner: User | None) -> Conversation | None:
    """Where the turn is kept, with its words: in the conversation, if it is (still) this person's and was not erased.
    Nothing is kept of somebody whose account is closed, nor brought back of one who was erased."""
    if owner is None or not owner.is_active:
        return None
    conversation = Conversation.objects.filter(pk=values["conversation"]).select_related("key").first()
    if conversation is None:
        return Conversation.objects.create(pk=values["conversation"], owner=owner)
    return conversation if conversation.owner_id == owner.pk and not conversation.erased_at else None
