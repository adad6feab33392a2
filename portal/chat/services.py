"""Starting, stopping and rescuing turns. Steps 2 and 3 of a turn happen here, in the web process."""

import logging
import uuid
from dataclasses import asdict
from datetime import timedelta
from typing import Any, Literal

from django.conf import settings
from django.db import DatabaseError, IntegrityError, transaction
from django.utils import timezone
from django.utils.translation import get_language
from django.utils.translation import gettext as _

import guardrails
from guardrails import Action, Category, Verdict
from portal import parts
from portal.accounts.models import User
from portal.audit.services import record
from portal.chat import dispatch, events, selectors, stored
from portal.chat.access import conversation_of, turn_of
from portal.chat.failures import message
from portal.chat.models import ACTIVE, Conversation, State, Turn
from portal.chat.protocol import FrameError, TurnStart
from portal.chat.turn import digest, end_unheld, fail_unheld

logger = logging.getLogger(__name__)

_TITLE_CHARACTERS = 80


class NotRecorded(Exception):
    """The turn could not be written down (disk full, database read-only). `turn` is not saved: it carries the hotline
    card of a crisis, which is shown even so, or the failure to tell the person."""

    def __init__(self, turn: Turn) -> None:
        super().__init__("the turn could not be written down")
        self.turn = turn


def start_turn(user: User, conversation_id: uuid.UUID, start: TurnStart, *, queue: bool = True) -> Turn:
    """Screen a question, write it down with its audit record, and queue it; a crisis ends here with its card.

    `queue` False leaves a turn that wants an answer to the caller (`manage.py ask`). Idempotent by `client_ref`. Needs
    neither Valkey nor workers to screen; without them the turn fails at once with a sentence. Raises FrameError
    (rate_limited) when the person asks too much at once, NotAllowed when the conversation is somebody else's,
    NotRecorded when the database does not take the turn.
    """
    if known := _already_started(user, conversation_id, start):
        return known
    ui_language = (get_language() or settings.LANGUAGE_CODE)[:2]
    verdict = guardrails.screen_input(start.text, history=selectors.earlier_questions(conversation_id))
    language = guardrails.detect_language(start.text) or ui_language
    try:
        if verdict.action != Action.REDIRECT:  # a person in crisis is never told to wait
            _refuse_haste(user)
        with transaction.atomic():
            turn = _write(user, conversation_id, start, verdict, language)
    except (IntegrityError, FrameError) as error:
        # The same frame may have come through two sockets at once; else another question was quicker.
        if known := _already_started(user, conversation_id, start):
            return known
        if isinstance(error, FrameError):
            raise
        raise FrameError("rate_limited", _("An answer is still being written. Wait for it, or stop it.")) from None
    except DatabaseError as error:
        logger.error("turn not recorded: %s", type(error).__name__, exc_info=error)
        raise NotRecorded(_unrecorded(conversation_id, start, verdict, language)) from error
    _publish_beginning(turn)
    if turn.is_active and queue:
        _queue(turn)
        turn.refresh_from_db()
    return turn


def cancel_turn(user: User, turn_id: uuid.UUID) -> None:
    """Stop a turn and keep what was shown. A waiting turn ends here; a generating one is ended by its worker within a
    second. Does nothing to a turn that has ended. Raises NotAllowed."""
    turn = turn_of(user, turn_id)
    if not turn.is_active:
        return
    with transaction.atomic():
        Turn.objects.filter(pk=turn.pk, state__in=ACTIVE).update(cancel_requested=True)
        record("turn.stop_asked", actor=user.username, actor_role=user.role, subject=str(turn.id))
    events.ask_to_stop(turn.id)
    end_unheld(turn.id, State.CANCELLED, answer=events.shown_text(turn.id))


def rescue_turn(turn: Turn) -> None:
    """Bring an abandoned turn back: queue it once more, or end it with a reason. Safe to call at any time by anybody,
    because whoever works on the turn holds a lease."""
    if turn.cancel_requested:
        end_unheld(turn.id, State.CANCELLED, answer=events.shown_text(turn.id))
        return
    present = parts.look()
    overdue = timezone.now() - turn.created_at > timedelta(seconds=2 * settings.HAVRE_TURN_DEADLINE_SECONDS)
    if missing := present.missing():
        if overdue or turn.lease_until is None:
            fail_unheld(turn, f"{missing[0]}_down")
        return
    if turn.lease_until is not None and turn.recoveries >= 1:
        fail_unheld(turn, "worker_lost")
        return
    if overdue:
        fail_unheld(turn, "deadline")
        return
    with transaction.atomic():
        free = Turn.objects.filter(pk=turn.pk, attempt=turn.attempt, state__in=ACTIVE)
        lost = turn.lease_until is not None
        if not free.update(
            lease_until=None,
            recoveries=turn.recoveries + lost,
            state=State.QUEUED,
            enqueued_at=timezone.now(),
        ):
            return
        record("turn.requeued", actor="system", subject=str(turn.id), payload={"worker_lost": lost})
    if lost:
        events.publish(turn.id, queued_event(turn, 0))
    try:
        dispatch.retrieve(turn.id)
    except dispatch.Undeliverable:
        pass  # the next rescue tries again


def queued_event(turn: Turn, position: int) -> dict[str, Any]:
    """ "turn.queued" says that the answer is not begun; a browser that has shown a part of one takes it back."""
    wait = selectors.expected_wait(position)
    return {"type": "turn.queued", "turn": str(turn.id), "position": position, "eta_seconds": wait}


def _unrecorded(conversation_id: uuid.UUID, start: TurnStart, verdict: Verdict, language: str) -> Turn:
    """What a person gets when nothing can be written: the card if there is one, never an answer."""
    turn = Turn(
        conversation_id=conversation_id,
        client_ref=start.client_ref,
        question=start.text,
        effort=start.effort.value,
        language=language,
        created_at=timezone.now(),
    )
    _decide(turn, verdict, full=False)
    if turn.is_active:
        turn.state, turn.finished_at = State.FAILED, timezone.now()
        turn.failure_code, turn.failure_message = "not_recorded", message("not_recorded", language)
    return turn


def _already_started(user: User, conversation_id: uuid.UUID, start: TurnStart) -> Turn | None:
    conversation = conversation_of(user, conversation_id)
    return conversation.turns.filter(client_ref=start.client_ref).first() if conversation else None


def _refuse_haste(user: User) -> None:
    if selectors.running_turns(user).exists():
        raise FrameError("rate_limited", _("An answer is still being written. Wait for it, or stop it."))
    if selectors.recent_starts(user) >= settings.HAVRE_TURNS_PER_MINUTE:
        raise FrameError("rate_limited", _("These are many questions in a minute. Please wait a moment."))


def _write(user: User, conversation_id: uuid.UUID, start: TurnStart, verdict: Verdict, language: str) -> Turn:
    conversation, created = Conversation.objects.get_or_create(
        pk=conversation_id, defaults={"owner": user, "title": start.text[:_TITLE_CHARACTERS]}
    )
    if not created:
        conversation_of(user, conversation_id)  # it may have become somebody else's a moment ago
        conversation.save(update_fields=["updated_at"])
    waiting = selectors.queue_length()
    turn = Turn(
        conversation=conversation,
        client_ref=start.client_ref,
        question=start.text,
        language=language,
        effort=start.effort.value,
        position=max(0, waiting - settings.HAVRE_SLOTS + 1),
        verdict=asdict(verdict),
        enqueued_at=timezone.now(),
    )
    _decide(turn, verdict, full=waiting >= settings.HAVRE_QUEUE_LIMIT)
    turn.save()
    shown = asdict(verdict)
    del shown["matched"]  # words of the person
    record(
        "turn.started",
        actor=user.username,
        actor_role=user.role,
        subject=str(turn.id),
        payload={
            "conversation": str(conversation.id),
            "question_sha256": digest(start.text),
            "effort": turn.effort,
            "language": language,
            "verdict": shown,
        },
    )
    if not turn.is_active:
        record(
            f"turn.{turn.state}",
            actor="system",
            subject=str(turn.id),
            payload={"rule": turn.failure_code or ",".join(verdict.rules), "category": verdict.category},
        )
    return turn


def _decide(turn: Turn, verdict: Verdict, *, full: bool) -> None:
    """What the verdict, and then the queue, make of the turn."""
    if verdict.action in (Action.REDIRECT, Action.ALARM):
        level: Literal["first_person", "third_party"] = (
            "third_party" if verdict.action == Action.ALARM else "first_person"
        )
        unscreened = verdict.category == Category.UNSCREENED
        card = guardrails.crisis_card(
            level, region=settings.HAVRE_REGION, language=turn.language, unscreened=unscreened
        )
        turn.card = asdict(card)
    if verdict.action == Action.REDIRECT:
        turn.state, turn.finished_at = State.REDIRECTED, timezone.now()
    elif verdict.action == Action.REFUSE:
        notice = guardrails.notice(verdict, turn.language)
        turn.state, turn.finished_at = State.REFUSED, timezone.now()
        turn.failure_code, turn.failure_message = notice.rule, notice.message
    elif full:
        turn.state, turn.finished_at = State.REFUSED, timezone.now()
        turn.failure_code = "queue_full"
        turn.failure_message = _("Too many questions are waiting at this moment. Please ask again in a few minutes.")
    elif verdict.action == Action.WARN:
        notice = guardrails.notice(verdict, turn.language)
        turn.notices = [{"rule": notice.rule, "message": notice.message}]


def _publish_beginning(turn: Turn) -> None:
    """The first events of the stream; a turn that has ended already is told from its row (`stored.events`)."""
    if not turn.is_active:
        return
    events.publish(turn.id, stored.accepted(turn))
    if card := stored.crisis(turn):
        events.publish(turn.id, card)
    for notice in stored.notices(turn):
        events.publish(turn.id, notice)
    if turn.position:
        events.publish(turn.id, queued_event(turn, turn.position))


def _queue(turn: Turn) -> None:
    missing = parts.look().missing()
    if missing:
        fail_unheld(turn, f"{missing[0]}_down")
        return
    try:
        dispatch.retrieve(turn.id)
    except dispatch.Undeliverable:
        fail_unheld(turn, "valkey_down")
