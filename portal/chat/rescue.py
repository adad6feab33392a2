"""Stopping turns, and bringing back those that a lost worker, a broken engine or a lost message left behind."""

import uuid
from collections.abc import Mapping
from contextlib import suppress
from datetime import timedelta
from typing import Any

from django.conf import settings
from django.db import transaction
from django.db.models import F, QuerySet
from django.utils import timezone

from portal import parts
from portal.accounts.models import User
from portal.audit.services import record
from portal.chat import dispatch, events, quoting
from portal.chat.access import turn_of
from portal.chat.models import ACTIVE, Quotation, State, Turn
from portal.chat.stored import queued
from portal.chat.turn import end, end_unheld, fail_unheld, held, requeued, unheld
from portal.chat.writing import UNWRITABLE

_GIVEN_UP_SECONDS = 60  # after its lease, while the workers that could take it stay away


class NotWritten(Exception):
    """That a turn is to stop could not be written down. `stops` where its model was asked to, and does."""

    def __init__(self, stops: bool) -> None:
        super().__init__("the wish to stop could not be written down")
        self.stops = stops


def cancel_turn(user: User, turn_id: uuid.UUID) -> None:
    """Stop a turn and keep what was shown. One that waits or is being looked up ends here; a generating one is ended
    by its worker within a second, or, if that worker is lost, by the socket that watches (`end_stopped`). Does nothing
    to a turn that has ended. Raises NotAllowed, and NotWritten when the person's wish cannot be written down."""
    _stop(turn_of(user, turn_id), actor=user.username, actor_role=user.role)


def stop_left(user_pk: int) -> None:
    """Stop whatever runs for a person of whom no page is open any more. It ends as if the person had stopped it, with
    the code "left"."""
    for turn in Turn.objects.filter(conversation__owner_id=user_pk, state__in=ACTIVE):
        _stop(turn, code="left", actor="system")


def _stop(turn: Turn, code: str = "", **actor: str) -> None:
    """The worker is asked first, so that a database which is held does not keep a model talking."""
    is_asked = events.ask_to_stop(turn.id)
    try:
        with transaction.atomic():
            running = Turn.objects.filter(pk=turn.pk, state__in=ACTIVE, cancel_requested=False)
            if not running.update(cancel_requested=True, failure_code=code):
                return
            record(
                "turn.stop_asked",
                subject=str(turn.id),
                payload={"conversation": str(turn.conversation_id)} | ({"code": code} if code else {}),
                **actor,
            )
    except UNWRITABLE as error:
        raise NotWritten(is_asked and turn.state == State.GENERATING) from error
    with suppress(*UNWRITABLE):  # it is written down that it is to end, and the next one who looks ends it
        end(turn.id, State.CANCELLED, among=(State.QUEUED, State.RETRIEVING))


def end_stopped(turn_id: uuid.UUID) -> None:
    """End a turn that somebody stopped and whose worker does not; whoever holds it loses it."""
    end(turn_id, State.CANCELLED, among=ACTIVE)


def rescue_turn(turn: Turn) -> None:
    """Bring an abandoned turn back: queue it once more, have the guidelines quoted, or end it with a reason. Safe to
    call at any time by anybody: a turn whose lease holds is left alone, and of two that rescue at once one does."""
    now = timezone.now()
    if turn.cancel_requested:
        end_unheld(turn.id, State.CANCELLED)
        return
    lost = turn.lease_until is not None
    if lost and events.is_at_work(turn.id, turn.attempt):
        return  # and will write it down as soon as the database takes anything
    overdue = now - turn.created_at > timedelta(seconds=2 * settings.HAVRE_TURN_DEADLINE_SECONDS)
    overdue = overdue or turn.created_at > turn.no_claim_ends_after()  # the clock was set back
    given_up = turn.lease_until is None or now - turn.lease_until > timedelta(seconds=_GIVEN_UP_SECONDS)
    present = parts.look()
    is_for_model = not turn.quotation
    if code := present.failure_code():
        if overdue or given_up:
            fail_unheld(turn, code)
    elif is_for_model and (reason := present.without_model()):
        if overdue or given_up:
            quoting.quote_unheld(turn, Quotation(reason))
    elif is_for_model and turn.covered is not None and lost and turn.recoveries >= 1:
        quoting.quote_unheld(turn, Quotation.MODEL_DOWN)  # a turn lost while it was searched for would be lost again
    elif lost and turn.recoveries >= 1:
        fail_unheld(turn, "worker_lost")
    elif is_for_model and overdue:
        quoting.quote_unheld(turn, Quotation.BUSY)
    elif overdue:
        fail_unheld(turn, "deadline")
    elif lost:
        _begin_again(turn)
    else:
        _send_again(turn)


def begin_broken_off_again(turn: Turn, code: str, spent: Mapping[str, Any]) -> bool:
    """Have a turn answered once more whose engine broke off in the worker that holds it, and which then loses it. It
    counts like a lost worker: False for a turn that was begun again before, or that somebody stopped, and the caller
    still has it. `code` is why, `spent` what the record tells of the work on it so far."""
    turns = held(turn).filter(recoveries=0, cancel_requested=False)
    return _again(turn, turns, "turn.broken_off", {"code": code, **spent})


def _begin_again(turn: Turn) -> None:
    """The worker is lost: what it wrote is taken back, and it loses the turn if it still lives."""
    _again(turn, _untouched(turn), "turn.requeued", {})


def _again(turn: Turn, turns: QuerySet[Turn], kind: str, payload: Mapping[str, Any]) -> bool:
    with transaction.atomic():
        if not turns.update(recoveries=F("recoveries") + 1, **requeued()):
            return False
        record(
            kind,
            actor="system",
            subject=str(turn.id),
            payload={"conversation": str(turn.conversation_id), "attempt": turn.attempt + 1, **payload},
        )
    events.publish(turn.id, queued(turn))
    dispatch.go_on(turn)
    return True


def _send_again(turn: Turn) -> None:
    """Nobody holds the turn, so its message may be lost. If it only waits, the second message finds it taken."""
    if _untouched(turn).update(enqueued_at=timezone.now()):
        dispatch.go_on(turn)


def _untouched(turn: Turn) -> QuerySet[Turn]:
    """The turn, if it is still as it was read and nobody holds it."""
    same = Turn.objects.filter(pk=turn.pk, attempt=turn.attempt, enqueued_at=turn.enqueued_at, state__in=ACTIVE)
    same = same.filter(cancel_requested=False)  # somebody stopped it meanwhile: the next rescue ends it
    return same.filter(unheld())
