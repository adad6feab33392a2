"""Starting turns: steps 2 and 3, in the web process."""

import logging
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from copy import copy
from dataclasses import asdict, dataclass, replace
from typing import Literal

from django.conf import settings
from django.db import DatabaseError, IntegrityError, transaction
from django.utils import timezone
from django.utils.translation import get_language
from django.utils.translation import gettext as _

import guardrails
from guardrails import Action, Category, Verdict
from portal import parts, vault
from portal.accounts.models import User
from portal.audit.services import record
from portal.chat import dispatch, events, late, sealed, selectors, showing, stored, waiting
from portal.chat.access import NotAllowed, conversation_of, may_chat
from portal.chat.failures import message
from portal.chat.models import Conversation, Quotation, State, Turn
from portal.chat.protocol import FrameError, TurnStart
from portal.chat.turn import fail_unheld, hand_over_unheld
from portal.database import one_at_a_time, patience
from portal.parts import Parts

logger = logging.getLogger(__name__)

_TITLE_CHARACTERS = 80
_PATIENCE_SECONDS = 3.0  # whoever asks is told within five that nothing can be written down


class NotRecorded(Exception):
    """The turn could not be written down (disk full, database read-only). `turn` is not saved: it carries the hotline
    card of a crisis, which is shown even so, or the failure to tell the person."""

    def __init__(self, turn: Turn) -> None:
        super().__init__("the turn could not be written down")
        self.turn = turn


@dataclass(frozen=True, slots=True)
class _Screened:
    """A question and what the screen said of it. `turn_id` is given, so that a card that is shown before its record is
    written belongs to the same turn. `present` is what was alive when it came; a crisis waits
    for no look."""

    start: TurnStart
    conversation_id: uuid.UUID
    turn_id: uuid.UUID
    verdict: Verdict
    language: str
    present: Parts | None = None


def start_turn(
    user: User, conversation_id: uuid.UUID, start: TurnStart, *, turn_id: uuid.UUID | None = None, queue: bool = True
) -> Turn:
    """Screen a question, write it down with its audit record, and queue it; a crisis ends here with its card.

    `queue` False leaves a turn that wants an answer to the caller (`manage.py ask`). Idempotent by `client_ref`. Needs
    neither Valkey nor workers to screen; without them the turn fails at once with a sentence. Raises FrameError
    (rate_limited) when the person asks too much at once, NotAllowed when the conversation is somebody else's,
    NotRecorded when the database does not take the turn, or what the person wrote cannot be sealed.
    """
    history: list[str] = []
    given = turn_id or uuid.uuid4()
    try:
        if known := _already_started(user, conversation_id, start):
            return known
        history = selectors.earlier_questions(conversation_id)
        screened = _screen(conversation_id, start, given, history)
        if screened.verdict.action != Action.REDIRECT:
            screened = replace(screened, present=parts.look())
        with patience(_PATIENCE_SECONDS):
            turn = _write_once(user, screened)
    except (DatabaseError, vault.VaultError) as error:
        logger.error("turn not recorded: %s", type(error).__name__)
        turn = unwritten(user.pk, conversation_id, start, given, history=history, code=_why(error))
        raise NotRecorded(turn) from error
    with _left_to_the_rescue(turn):
        _publish_beginning(turn)
    if turn.is_active and queue and screened.present:
        with _left_to_the_rescue(turn):
            _queue(turn, screened.present)
            turn.refresh_from_db()
    return turn


def unrecorded(
    conversation_id: uuid.UUID, start: TurnStart, turn_id: uuid.UUID, history: list[str] | None = None
) -> Turn:
    """The turn as it stands in memory, without a look at the database: the card if there is one."""
    screened = _screen(conversation_id, start, turn_id, history or [])
    turn = _turn(screened)
    turn.created_at = timezone.now()
    _decide(turn, screened.verdict, refusal=None)
    return turn


def unwritten(
    person: int,
    conversation_id: uuid.UUID,
    start: TurnStart,
    turn_id: uuid.UUID,
    *,
    history: list[str] | None = None,
    code: str = "not_recorded",
) -> Turn:
    """The same where nothing can be written: what would have been answered fails with the sentence of `code`. A card is
    shown all the same; it is kept, and its record follows."""
    turn = unrecorded(conversation_id, start, turn_id, history)
    _fail(turn, code)
    if turn.card:
        late.keep(turn, person)
    return turn


def keep_card(person: int, turn: Turn) -> None:
    """Keep a turn from memory whose card is about to be shown while it is still being written down: should that come to
    nothing, or this process end, the record follows. Never raises."""
    kept = copy(turn)
    _fail(kept, "not_recorded")
    late.keep(kept, person)


def _fail(turn: Turn, code: str) -> None:
    if turn.is_active:
        turn.state, turn.finished_at = State.FAILED, timezone.now()
        turn.failure_code, turn.failure_message = code, message(code, turn.language)


def _why(error: Exception) -> str:
    if isinstance(error, sealed.Erased):
        return "erased"
    return "key_missing" if isinstance(error, vault.VaultError) else "not_recorded"


def _screen(conversation_id: uuid.UUID, start: TurnStart, turn_id: uuid.UUID, history: list[str]) -> _Screened:
    verdict = guardrails.screen_input(start.text, history=history)
    language = guardrails.detect_language(start.text) or (get_language() or settings.LANGUAGE_CODE)[:2]
    return _Screened(start, conversation_id, turn_id, verdict, language)


def _already_started(user: User, conversation_id: uuid.UUID, start: TurnStart) -> Turn | None:
    conversation = conversation_of(user, conversation_id)
    return conversation.turns.filter(client_ref=start.client_ref).first() if conversation else None


def _write_once(user: User, screened: _Screened) -> Turn:
    """Write the turn, or find it written: the same frame may come through two sockets at once."""
    try:
        with transaction.atomic():
            person = _held(user)
            return _write(person, screened, refusal=_haste(person, screened.verdict))
    except (IntegrityError, FrameError) as error:
        if known := _already_started(user, screened.conversation_id, screened.start):
            return known
        if isinstance(error, FrameError) or screened.verdict.action == Action.REDIRECT:
            raise  # a crisis never waits for another turn: the database refused it for another reason
    busy = ("busy", _("An answer is still being written. Wait for it, or stop it."))
    if screened.verdict.action != Action.ALARM:
        raise FrameError("rate_limited", busy[1])
    with transaction.atomic():
        return _write(_held(user), screened, refusal=busy)


def _held(user: User) -> User:
    """The person as they are now, which nobody changes until the transaction ends: since their session was checked the
    account may have been closed, or erased with everything that is theirs."""
    person = User.objects.select_for_update().filter(pk=user.pk).first()
    if person is None:
        raise NotAllowed
    return person


def _haste(user: User, verdict: Verdict) -> tuple[str, str] | None:
    """Why this person has to wait, if so. A crisis never waits; a reported emergency gets its card, and the reason
    instead of an answer; everything else is refused as FrameError. The person's row is held, so that several sockets at
    once do not all find that nothing runs."""
    if verdict.action == Action.REDIRECT or not may_chat(user):
        return None
    if selectors.running_turns(user).exists():
        reason = _("An answer is still being written. Wait for it, or stop it.")
    elif selectors.recent_starts(user) >= settings.HAVRE_TURNS_PER_MINUTE:
        reason = _("These are many questions in a minute. Please wait a moment.")
    else:
        return None
    if verdict.action == Action.ALARM:
        return "busy", reason
    raise FrameError("rate_limited", reason)


def _turn(screened: _Screened) -> Turn:
    turn = Turn(
        id=screened.turn_id,
        conversation_id=screened.conversation_id,
        client_ref=screened.start.client_ref,
        language=screened.language,
        effort=screened.start.effort.value,
        quotation=Quotation.ASKED if screened.start.answer == "quotation" else "",
        verdict={name: one for name, one in asdict(screened.verdict).items() if name != "matched"},
    )
    turn.question, turn.matched = screened.start.text, list(screened.verdict.matched)
    return turn


def _write(user: User, screened: _Screened, refusal: tuple[str, str] | None) -> Turn:
    """Write the turn of a person who is held."""
    if not may_chat(user):
        return _show_only(user, screened, _("You may not ask questions here any more."))
    text = screened.start.text
    # what somebody wrote in a crisis does not stand in a list on the screen
    title = "" if screened.verdict.action == Action.REDIRECT else text[:_TITLE_CHARACTERS]
    conversation, created = Conversation.objects.get_or_create(pk=screened.conversation_id, defaults={"owner": user})
    if not created:
        conversation_of(user, screened.conversation_id)  # it may have become somebody else's a moment ago
    if conversation.erased_at:
        return _show_only(user, screened, message("erased", screened.language))
    if title and not conversation.titled:
        conversation.title = title
    conversation.save(update_fields=["titled", "updated_at"])
    turn = _turn(screened)
    turn.conversation = conversation
    if screened.present:
        refusal = refusal or _admit(turn, screened.present)
    turn.enqueued_at = timezone.now()
    _decide(turn, screened.verdict, refusal)
    turn.save(force_insert=True)
    _record(user, turn, screened.verdict)
    return turn


def _show_only(person: User, screened: _Screened, reason: str) -> Turn:
    """Where no question is written any more, since the person or the conversation is gone: a card is shown all the same
    and its record says that it was, without a word of what was asked. Raises NotAllowed where there is no card; Erased
    where there is none for a conversation that was erased."""
    turn = _turn(screened)
    turn.created_at = timezone.now()
    _decide(turn, screened.verdict, refusal=("gone", reason))
    if turn.card:
        late.record_shown(turn, person)
        return turn
    if may_chat(person):
        raise sealed.Erased(reason)
    raise NotAllowed


def _admit(turn: Turn, present: Parts) -> tuple[str, str] | None:
    """Give a turn its place in the line before the model. Where too many wait for a slot it is answered with
    quotations, and where too many wait for those, there is a reason to refuse it. Nobody else is let in until this turn
    is written, so that the limits hold."""
    one_at_a_time("admission")
    before = selectors.queue_length()
    if not turn.quotation and before - present.slots >= settings.HAVRE_QUEUE_LIMIT:
        turn.quotation = Quotation.BUSY
    if turn.quotation and selectors.waiting_quotations() >= settings.HAVRE_QUEUE_LIMIT:
        return "queue_full", _("Too many questions are waiting at this moment. Please ask again in a few minutes.")
    if not turn.quotation and not present.without_model():
        turn.position = max(0, before + 1 - present.slots)
    return None


def _record(user: User, turn: Turn, verdict: Verdict) -> None:
    record(
        "turn.started",
        actor=user.username,
        actor_role=user.role,
        subject=str(turn.id),
        payload={
            "conversation": str(turn.conversation_id),
            "question": sealed.proof(turn, "question"),
            "effort": turn.effort,
            "language": turn.language,
            "verdict": turn.verdict,
        }
        | ({"quotation": turn.quotation} if turn.quotation else {})
        | ({"notices_proof": sealed.proof(turn, "notices")} if turn.notices else {})
        | showing.beside(turn.card, turn.failure_message),
    )
    if not turn.is_active:
        payload = {
            "conversation": str(turn.conversation_id),
            "rule": turn.failure_code or ",".join(verdict.rules),
            "category": verdict.category,
        }
        record(f"turn.{turn.state}", actor="system", subject=str(turn.id), payload=payload)


def _decide(turn: Turn, verdict: Verdict, refusal: tuple[str, str] | None) -> None:
    """What the verdict, and then the queue, make of the turn. `refusal` is a code and a sentence."""
    if verdict.action in (Action.REDIRECT, Action.ALARM):
        is_alarm = verdict.action == Action.ALARM
        level: Literal["first_person", "third_party"] = "third_party" if is_alarm else "first_person"
        unscreened = verdict.category == Category.UNSCREENED
        card = guardrails.crisis_card(
            level, region=settings.HAVRE_REGION, language=turn.language, unscreened=unscreened
        )
        turn.card = asdict(card)
    if verdict.action in (Action.REFUSE, Action.WARN):
        notice = guardrails.notice(verdict, turn.language)
        if verdict.action == Action.REFUSE:
            refusal = (notice.rule, notice.message)
        else:
            turn.notices = [{"rule": notice.rule, "message": notice.message}]
    if verdict.action == Action.REDIRECT:
        turn.state, turn.finished_at = State.REDIRECTED, timezone.now()
    elif refusal:
        turn.state, turn.finished_at = State.REFUSED, timezone.now()
        turn.failure_code, turn.failure_message = refusal
    if not turn.is_active:
        turn.quotation = ""  # nothing is quoted beside a hotline card or a refusal


def _publish_beginning(turn: Turn) -> None:
    """The first events of the stream; a turn that has ended already is told from its row (`stored.events`)."""
    if not turn.is_active:
        return
    for event in stored.beginning(turn):
        events.publish(turn.id, event)
    if turn.position:
        events.publish(turn.id, stored.queued(turn, turn.position, waiting.line().wait(turn.position)))


def _queue(turn: Turn, present: Parts) -> None:
    if code := present.failure_code():
        fail_unheld(turn, code)
        return
    if reason := present.without_model():
        with _left_to_the_rescue(turn):  # whoever retrieves looks for a model again
            hand_over_unheld(turn.id, Quotation(reason))
    try:
        dispatch.retrieve(turn.id)
    except dispatch.Undeliverable:
        fail_unheld(turn, "valkey_down")


@contextmanager
def _left_to_the_rescue(turn: Turn) -> Iterator[None]:
    """What comes behind the writing of a turn may fail: it is there, and `recover_turns` takes it further."""
    try:
        yield
    except (DatabaseError, vault.VaultError) as error:
        logger.error("turn %s is written down and left to the rescue: %s", turn.id, type(error).__name__)
