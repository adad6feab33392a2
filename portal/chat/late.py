"""Records that follow: hotline cards that were shown when nothing could be written down."""

import logging
import uuid
from datetime import UTC, datetime
from typing import Any

from django.db import DatabaseError, transaction

from portal import vault
from portal.accounts.models import User
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
        values
        | {
            "turn": str(turn.pk),
            "client_ref": str(turn.client_ref),
            "conversation": str(turn.conversation_id),
            "person": person,
            "shown_at": turn.created_at.isoformat(),
        }
    )


def write_down(*, older_than: float = 0.0) -> int:
    """Write down whatever was kept so many seconds ago, if it can be now; returns how many. What cannot be waits for
    the next time, and keeps nothing else waiting."""
    spool.reserve()
    spool.clear()
    written = 0
    for one in spool.kept(older_than=older_than):
        try:
            with patience(_TRY_SECONDS), transaction.atomic():
                done = _write(one)
            spool.done(one)
            written += done
        except (DatabaseError, vault.VaultError) as error:
            logger.warning("the record of a hotline card still waits: %s", type(error).__name__)
        except Exception as error:
            logger.error("a hotline card cannot be recorded: %s", type(error).__name__, exc_info=error)
    return written


def waits(*, person: int, conversation: uuid.UUID | None = None) -> bool:
    """Whether a card of this person (in this conversation) has not been written down yet, as far as anybody can tell:
    without the master key each sealed one may be theirs."""
    for one in spool.kept():
        try:
            values = one.values()
        except vault.NoKey:
            return True
        if values and values["person"] == person and conversation in {None, uuid.UUID(values["conversation"])}:
            return True
    return False


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
    if Event.objects.filter(kind="crisis.shown", subject=one.path.stem).exists() or not one.is_there():
        return False
    values = one.values()
    if values is None:
        at = datetime.fromtimestamp(one.path.stat().st_mtime, UTC)
        record("crisis.shown", actor="system", subject=one.path.stem, payload={"shown_at": at.isoformat()})
        return True
    if Turn.objects.filter(conversation_id=values["conversation"], client_ref=values["client_ref"]).exists():
        return False  # it was written after all
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


def _conversation(values: dict[str, Any], owner: User | None) -> Conversation | None:
    """Where the turn is kept, with its words: in the conversation, if it is (still) this person's and was not erased.
    Nothing is kept of somebody whose account is closed, nor brought back of one who was erased."""
    if owner is None or not owner.is_active:
        return None
    conversation = Conversation.objects.filter(pk=values["conversation"]).select_related("key").first()
    if conversation is None:
        return Conversation.objects.create(pk=values["conversation"], owner=owner)
    return conversation if conversation.owner_id == owner.pk and not conversation.erased_at else None
