"""The one way to a conversation or a turn on behalf of a person: their own, and only as a clinician."""

import uuid

from django.contrib.auth.models import AnonymousUser

from portal.accounts.models import Role, User
from portal.chat.models import Conversation, Turn


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
    turn = Turn.objects.select_related("conversation").filter(pk=turn_id, conversation__owner_id=user.pk).first()
    if turn is None or not may_chat(user):
        raise NotAllowed
    return turn


def may_chat(user: User | AnonymousUser) -> bool:
    """Whether this person may use the chat at all."""
    return isinstance(user, User) and user.is_active and user.role == Role.CLINICIAN
