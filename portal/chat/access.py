"""The one way to a conversation or a turn on behalf of a person: their own, and only as a clinician; the story of
somebody else's, and only as a compliance officer."""

import uuid
from typing import Any

from django.contrib.auth.models import AnonymousUser

from portal.accounts.models import Role, User
from portal.audit.models import Event
from portal.chat import sealed
from portal.chat.models import Conversation, Turn
from portal.chat.reading import reading


class NotAllowed(Exception):
    """The object is somebody else's or does not exist: the two are not told apart."""


def conversation_of(user: User | AnonymousUser, conversation_id: uuid.UUID) -> Conversation | None:
    """The person's conversation with this id; None when nobody has used the id yet (it may become theirs).

    Raises NotAllowed when it is somebody else's.
    """
    conversation = Conversation.objects.filter(pk=conversation_id).first()
    if conversation is None:
        return None
    if not may_chat(user) or conversation.owner_id != user.pk:
        raise NotAllowed
    return conversation


def turn_of(user: User | AnonymousUser, turn_id: uuid.UUID) -> Turn:
    """The person's turn with this id. Raises NotAllowed when there is none."""
    turns = Turn.objects.select_related(*sealed.WITH_KEY)
    turn = turns.filter(pk=turn_id, conversation__owner_id=user.pk).first()
    if turn is None or not may_chat(user):
        raise NotAllowed
    return turn


def passage_of(user: User | AnonymousUser, turn_id: uuid.UUID, marker: int) -> tuple[Turn, dict[str, Any]]:
    """The passage that the person's turn cites as [marker], and the turn.

    Raises NotAllowed where the turn is not theirs, has no such passage, or the passage may not be read any more.
    """
    turn = turn_of(user, turn_id)
    passage = reading(turn).passage(marker)
    if passage is None:
        raise NotAllowed
    return turn, passage


def check_story(user: User | AnonymousUser, turn_id: uuid.UUID) -> None:
    """Let a compliance officer at the story of a turn and its words, also where only its events are left. Raises
    NotAllowed for everybody else, and for the person who asked, whatever their role is by now."""
    if not (isinstance(user, User) and user.is_active and user.role == Role.COMPLIANCE):
        raise NotAllowed
    is_own = Turn.objects.filter(pk=turn_id, conversation__owner_id=user.pk).exists()
    asked = Event.objects.filter(subject=str(turn_id), kind__in=("turn.started", "crisis.shown"))
    if is_own or asked.filter(actor__name=user.username).exists():
        raise NotAllowed


def may_chat(user: User | AnonymousUser) -> bool:
    """Whether this person may use the chat at all."""
    return isinstance(user, User) and user.is_active and user.role == Role.CLINICIAN
