"""Erasing: the key of a conversation is destroyed, or a person's name, and every proof of the audit trail still holds.

Of a conversation nothing is left but what events hold anyway: that it was, when, which rules spoke. Its key goes, and
with it every copy of its words, wherever backups of the database lie that do not hold the key; the sealed columns are
emptied besides. Of a person all conversations go, the sessions and the sign-in; in every table the code by which the
audit trail knows them stands in the place of the name, and there nobody can say any more whose code it is.

    NotErased          a sentence for whoever wanted it: held, running, the last administrator, gone already
"""

import logging
import uuid
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.apps import apps
from django.db import DatabaseError, connection, transaction
from django.db.models import BinaryField, Case, Count, Max, Min, Q, QuerySet, Value, When
from django.utils import timezone
from django.utils.translation import gettext as _

from portal.accounts.models import NEVER_LAST, RESERVED, User
from portal.accounts.selectors import is_last_with_role
from portal.accounts.sessions import announce_end, end_sessions
from portal.audit.models import Actor, Event
from portal.audit.services import NOBODY, code_of, forget, is_code, locked_head, record
from portal.chat import attested, events, late, rescue
from portal.chat.keeping import Hold
from portal.chat.models import ACTIVE, Conversation, ConversationKey, Piece, Turn
from portal.database import patience

logger = logging.getLogger(__name__)

ERASED = b"\x00"
"""What stands in a sealed column whose words were erased: reading it says so."""

SEALED = ("asked", "found", "said", "reasoning")

NAMES = (
    ("knowledge.Opening", "asked_by"),
    ("knowledge.GuidelineVersion", "uploaded_by"),
    ("knowledge.GuidelineVersion", "submitted_by"),
    ("knowledge.GuidelineVersion", "approved_by"),
    ("knowledge.Question", "added_by"),
    ("safeguards.RuleRelease", "requested_by"),
    ("safeguards.RuleRelease", "released_by"),
    ("safeguards.LabelledCase", "added_by"),
    ("modelcards.Trial", "asked_by"),
)
"""Where sign-in names stand beside accounts and the audit trail; the code takes their place."""

_DELETED = (("knowledge.Trial", "asked_by"),)  # what somebody tried in the test bench goes with them

Target = Conversation | User

_AT_ONCE = 20  # conversations
_WAIT_FOR_READERS_SECONDS = 0.3


class NotErased(Exception):
    """Nothing was erased; the text says why."""


@dataclass(frozen=True, slots=True)
class By:
    """Who erases and why: a sign-in name, "terminal:<name>" or "system"; the role; a reason without names, which the
    audit trail keeps."""

    actor: str
    role: str = ""
    reason: str = ""


@dataclass(frozen=True, slots=True)
class Extent:
    """What there is to erase: conversations that still have their words, their turns, pieces of answers that were
    shown, and the times of the first and the last question."""

    conversations: int
    turns: int
    pieces: int
    first: datetime | None
    last: datetime | None


def extent_of(target: Target) -> Extent:
    """What erasing would erase."""
    found = _conversations(target)
    turns = Turn.objects.filter(conversation__in=found).order_by()
    counted = turns.aggregate(number=Count("id"), first=Min("created_at"), last=Max("created_at"))
    pieces = Piece.objects.filter(turn__in=turns).count()
    return Extent(found.count(), counted["number"], pieces, counted["first"], counted["last"])


def refusal(target: Target) -> str:
    """Why this cannot be erased, in a sentence; empty where it can."""
    if isinstance(target, Conversation):
        if target.erased_at:
            return _("This conversation was erased already.")
        if held(conversation_id=target.pk, owner_id=target.owner_id):
            return _("A legal hold is on this conversation or its person: lift it first.")
        return _refusal_of_events(target)
    return _refusal_of_person(target)


def held(*, conversation_id: uuid.UUID | None = None, owner_id: int) -> bool:
    """Whether a legal hold is on this conversation or its owner, by the rows of holds; without a conversation, on
    anything of the owner."""
    holds = Hold.objects.filter(lifted_at=None)
    if conversation_id:
        of_conversation = holds.filter(conversation_id=conversation_id)
    else:
        of_conversation = holds.filter(conversation__owner_id=owner_id)
    return holds.filter(person_id=owner_id).exists() or of_conversation.exists()


def erase(
    target: Target,
    by: By,
    *,
    then: Callable[[Extent], None] = lambda extent: None,
    still: Callable[[], bool] | None = None,
) -> Extent:
    """Erase a conversation, or a person with everything that is theirs. What is being answered is stopped first; where
    `still` is given it is not, and nothing goes that is in use: `still` is asked in each transaction, when nobody can
    change the target any more, whether it is to go.

    A conversation goes in one transaction; so does a person, but for conversations beyond the last few, which go
    before, each with its record: where that is broken off, erasing again goes on. `then` is called in the last
    transaction, with what went. Raises NotErased; keys.NoAuditKey, and DatabaseError when nothing can be written.
    """
    if reason := refusal(target):
        raise NotErased(reason)
    _write_cards_down(target)
    if still is None:
        _stop_running(target)
    extent = extent_of(target)
    name = target.username if isinstance(target, User) else ""
    turns = _erase_most(target, by, still) if isinstance(target, User) else []
    with transaction.atomic():
        _lock(target, still)
        code = code_of(name) if name else ""
        if isinstance(target, User):
            _replace_name(name, code)  # before the audit trail is locked: everybody who acts locks these first
            end_sessions(target.pk)  # each one is read for that, and nobody records meanwhile
        turns += [turn for one in _conversations(target).order_by("pk") for turn in _erase_conversation(one, by)]
        if isinstance(target, User):
            _erase_person(target, code, by)
        then(extent)
    if name:
        _replace_what_came_late(name, code)
    events.forget(turns)
    write_over()
    return extent


def forget_name(name: str, by: By) -> str:
    """Erase the name of somebody who has no account here (any more): whoever ran commands ("terminal:<name>"), or whose
    account's row is gone. Returns the code that stays. Raises NotErased; keys.NoAuditKey, DatabaseError."""
    if reason := refusal_to_forget(name):
        raise NotErased(reason)
    with transaction.atomic():
        code = code_of(name)
        _replace_name(name, code)
        forget(name, actor=by.actor, actor_role=by.role, payload={"reason": by.reason})
    _replace_what_came_late(name, code)
    write_over()
    return code


def refusal_to_forget(name: str) -> str:
    """Why this name cannot be erased by itself, in a sentence; empty where it can."""
    if name in NOBODY or name.casefold() in RESERVED:
        return _("This is nobody's name: Havre uses it itself.")
    if find_person(name):
        return _("This person has an account, which is erased with the name.")
    if not Actor.objects.filter(name=name).exists():
        return _("The audit trail knows nobody who is called so.")
    return ""


def write_over() -> bool:
    """Have SQLite write what was erased over in its file, too: it stands in the log until that is emptied. Returns
    False where somebody reads at this moment, for whom nobody waits long, since all who write wait meanwhile; the clock
    does it again. PostgreSQL: docs/compliance.md."""
    if connection.vendor != "sqlite" or connection.in_atomic_block:
        return True
    try:
        with patience(_WAIT_FOR_READERS_SECONDS), connection.cursor() as cursor:
            cursor.execute("PRAGMA wal_checkpoint(TRUNCATE)")
            return not cursor.fetchone()[0]
    except DatabaseError as error:  # what was erased is erased
        logger.warning("the log of the database could not be emptied: %s", type(error).__name__)
        return False


def forget_again(since: datetime) -> None:
    """Delete once more what was erased since then: its streams, since a worker that lost its turn in that moment may
    have published after that, and Valkey may have been away; and its copy in the database's log, since somebody may
    have read."""
    erased = Conversation.objects.filter(erased_at__gte=since).order_by()
    if turns := list(Turn.objects.filter(conversation__in=erased).order_by().values_list("pk", flat=True)):
        events.forget(turns)
    if Event.objects.filter(kind__in=("conversation.erased", "person.erased"), at__gte=since).exists():
        write_over()


def _write_cards_down(target: Target) -> None:
    """A hotline card that waits for its record is theirs, too: where its words cannot be written down now, and so not
    be erased, nothing is. Raises NotErased."""
    one = {"person": target.pk} if isinstance(target, User) else {"person": target.owner_id, "conversation": target.pk}
    if not late.write_down_theirs(**one):
        text = _("A hotline card that was shown here waits to be written down. Try again in a minute, or ask your IT.")
        raise NotErased(text)


def _conversations(target: Target) -> QuerySet[Conversation]:
    """Those that still have their words."""
    mine = {"owner": target} if isinstance(target, User) else {"pk": target.pk}
    return Conversation.objects.filter(erased_at=None, **mine)


def _lock(target: Target, still: Callable[[], bool] | None) -> None:
    """Let nobody set a hold or start a question until the caller's transaction ends, nor take the role from others who
    have it. Raises NotErased where the target may not be erased by now."""
    locked = Q(pk=target.pk if isinstance(target, User) else target.owner_id)
    if isinstance(target, User) and target.role in NEVER_LAST:
        locked |= Q(role=target.role, is_active=True)
    list(User.objects.select_for_update().filter(locked).order_by("pk").values_list("pk"))
    target.refresh_from_db()
    if reason := refusal(target):
        raise NotErased(reason)
    if still and not still():
        raise NotErased(_("It is in use again, or is kept longer by now."))


def _erase_most(person: User, by: By, still: Callable[[], bool] | None) -> list[uuid.UUID]:
    """Erase a person's conversations a few at a time, all but the last few: whoever records an event waits for whoever
    erases, and nobody waits long. Returns their turns."""
    found = list(_conversations(person).order_by("pk"))[:-_AT_ONCE]
    turns = []
    for start in range(0, len(found), _AT_ONCE):
        with transaction.atomic():
            _lock(person, still)
            for one in found[start : start + _AT_ONCE]:
                turns += _erase_conversation(one, by)
    return turns


def _stop_running(target: Target) -> None:
    running = Turn.objects.filter(conversation__in=_conversations(target), state__in=ACTIVE)
    for turn in running.order_by().values_list("pk", flat=True):
        events.ask_to_stop(turn)
        rescue.end_stopped(turn)


def _erase_conversation(conversation: Conversation, by: By) -> list[uuid.UUID]:
    """Erase one, in the caller's transaction; returns its turns. Nothing where it was erased meanwhile."""
    if Conversation.objects.select_for_update().get(pk=conversation.pk).erased_at:
        return []
    turns = Turn.objects.filter(conversation=conversation).order_by()
    if turns.filter(state__in=ACTIVE).exists():
        raise NotErased(_("A question is being answered at this moment. Try again in a minute."))
    pieces, _by_model = Piece.objects.filter(turn__in=turns).delete()
    ConversationKey.objects.filter(conversation=conversation).delete()
    emptied: dict[str, Any] = {
        name: Case(When(**{f"{name}__isnull": False}, then=Value(ERASED, output_field=BinaryField())))
        for name in SEALED
    }
    number = turns.update(**emptied)
    titled = Case(When(titled__isnull=False, then=Value(ERASED, output_field=BinaryField())))
    Conversation.objects.filter(pk=conversation.pk).update(titled=titled, erased_at=timezone.now())
    record(
        "conversation.erased",
        actor=by.actor,
        actor_role=by.role,
        subject=str(conversation.pk),
        payload={"conversation": str(conversation.pk), "reason": by.reason, "turns": number, "pieces": pieces},
    )
    return list(turns.values_list("pk", flat=True))


def _refusal_of_person(person: User) -> str:
    if person.username.casefold() in RESERVED:
        return _("This is nobody's name: Havre uses it itself. Erase its conversations one by one.")
    if is_code(person.username) and not person.is_active:
        return _("This person was erased already.")
    if held(owner_id=person.pk):
        return _("A legal hold is on this person or one of their conversations: lift it first.")
    if reason := _refusal_of_events(person):
        return reason
    if is_last_with_role(person):
        return _("This is the last person with this role: give it to somebody else first.")
    return ""


def _refusal_of_events(target: Target) -> str:
    """Why it is kept, whatever the rows of holds say."""
    if not attested.holds_on(target):
        return ""
    return _(
        "The audit trail knows of a legal hold on this that was never lifted, but its row says otherwise: somebody "
        "changed the database. If the hold is to end, set it again and lift it."
    )


def _erase_person(person: User, code: str, by: By) -> None:
    """The sign-in and the name, in the caller's transaction."""
    name = person.username
    person.username, person.is_active, person.last_login = code, False, None
    person.first_name = person.last_name = person.email = ""
    person.set_unusable_password()
    person.save()
    person.departments.clear()
    forget(name, actor=by.actor, actor_role=by.role, payload={"reason": by.reason})
    transaction.on_commit(lambda: announce_end(person.pk))


def _replace_name(name: str, code: str) -> None:
    for model, column in NAMES:
        apps.get_model(model)._default_manager.filter(**{column: name}).update(**{column: code})
    for model, column in _DELETED:
        apps.get_model(model)._default_manager.filter(**{column: name}).delete()
    releases = apps.get_model("safeguards.RuleRelease")._default_manager
    for release in releases.select_for_update().order_by("created_at"):
        if name in release.authors:
            release.authors = [code if one == name else one for one in release.authors]
            release.save(update_fields=["authors"])


def _replace_what_came_late(name: str, code: str) -> None:
    """What somebody began under the name and wrote in the moment of its erasure: it waited behind the erasure for the
    audit trail, as whoever locks that after it waits for them."""
    with transaction.atomic():
        locked_head()
    with transaction.atomic():
        _replace_name(name, code)


def find(text: str) -> Target | None:
    """What somebody means: the id of a conversation or of a question, or a sign-in name, exactly."""
    return find_conversation(text) or find_person(text)


def find_conversation(text: str) -> Conversation | None:
    """The conversation with this id, or with a question that has it."""
    try:
        given = uuid.UUID(text)
    except ValueError:
        return None
    return Conversation.objects.filter(pk=given).first() or Conversation.objects.filter(turns=given).first()


def find_person(name: str) -> User | None:
    """The person with exactly this sign-in name."""
    return User.objects.filter(username=name).first()
