"""Records that follow: hotline cards that were shown when nothing could be written down."""

import logging
from datetime import UTC, datetime
from typing import Any

from django.db import DatabaseError, transaction
from django.utils.dateparse import parse_datetime

from portal import vault
from portal.accounts.models import User
from portal.audit.services import record
from portal.chat import sealed, showing, spool
from portal.chat.models import Conversation, Turn
from portal.database import patience

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


def write_down() -> int:
    """Write down whatever was kept, if it can be now; returns how many. What cannot be waits for the next time."""
    spool.reserve()
    written = 0
    try:
        for one in spool.kept():
            with patience(_TRY_SECONDS), transaction.atomic():
                _write(one)
            spool.done(one)
            written += 1
    except (DatabaseError, vault.VaultError) as error:
        logger.warning("the record of a hotline card still waits: %s", type(error).__name__)
    return written


def _write(one: spool.Kept) -> None:
    values = one.values
    if values is None:
        at = datetime.fromtimestamp(one.path.stat().st_mtime, UTC)
        record("crisis.shown", actor="system", subject=one.path.stem, payload={"shown_at": at.isoformat()})
        return
    if Turn.objects.filter(conversation_id=values["conversation"], client_ref=values["client_ref"]).exists():
        return  # it was written after all
    turn = _turn(values)
    payload: dict[str, Any] = {
        "conversation": values["conversation"],
        "shown_at": values["shown_at"],
        "verdict": turn.verdict,
        "state": turn.state,
        "code": turn.failure_code,
    } | showing.beside(turn.card, turn.failure_message)
    owner = User.objects.filter(pk=values["person"]).first()
    if turn.conversation_id:
        payload["question"] = sealed.proof(turn, "question")
        if turn.notices:
            payload["notices_proof"] = sealed.proof(turn, "notices")
    record(
        "crisis.shown",
        actor=owner.username if owner else "system",
        actor_role=owner.role if owner else "",
        subject=str(turn.pk),
        payload=payload,
    )


def _turn(values: dict[str, Any]) -> Turn:
    """The turn as it was shown; saved where its conversation is (still) this person's and was not erased."""
    at = parse_datetime(values["shown_at"])
    turn = Turn(id=values["turn"], finished_at=at, **{name: values[name] for name in _KEPT})
    for name in _WORDS:
        setattr(turn, name, values[name])
    owner = User.objects.filter(pk=values["person"]).first()
    conversation = Conversation.objects.filter(pk=values["conversation"]).select_related("key").first()
    if owner and conversation is None:
        conversation = Conversation.objects.create(pk=values["conversation"], owner=owner)
    if owner and conversation and conversation.owner_id == owner.pk and not conversation.erased_at:
        turn.conversation = conversation
        turn.save(force_insert=True)
        Turn.objects.filter(pk=turn.pk).update(created_at=at)
    return turn
