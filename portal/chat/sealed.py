"""What is kept of a turn so that few can read it: sealed with the conversation's own key.

The key is a row of its own (`ConversationKey`), sealed with the installation's master key. Without that row everything
that was sealed for the conversation is gone for good.
"""

import hashlib
import logging
import uuid
from collections.abc import Callable

from django.db import IntegrityError, transaction

from portal import vault
from portal.chat.models import ConversationKey, Turn

logger = logging.getLogger(__name__)


class Erased(Exception):
    """The conversation's key was destroyed: what was sealed with it cannot be read by anybody."""


def reasoning_sealer(turn: Turn) -> Callable[[str], bytes | None]:
    """What seals the reasoning of this turn. All that can fail, the database and the master key, is asked for now, so
    that an answer that is finished later is not lost to it. Without a master key reasoning is not kept at all (None, as
    for no reasoning), and the answer does not suffer."""
    try:
        key = _key_for(turn.conversation_id)
    except vault.VaultError as error:
        logger.error("reasoning of turn %s will not be kept: %s", turn.id, error)
        return lambda thoughts: None

    def seal(thoughts: str) -> bytes | None:
        whole = thoughts.encode("utf-8", errors="replace")
        return vault.seal(key, whole, _purpose(turn.id, "reasoning")) if thoughts.strip() else None

    return seal


def open_reasoning(turn: Turn) -> str:
    """What the model thought. Empty where nothing was kept. Raises Erased, and VaultError when it cannot be opened."""
    if not turn.reasoning:
        return ""
    row = ConversationKey.objects.filter(pk=turn.conversation_id).first()
    if row is None:
        raise Erased
    return vault.open(_unwrapped(row), turn.reasoning, _purpose(turn.id, "reasoning")).decode()


def fingerprint(sealed: bytes) -> str:
    """The SHA-256 of something sealed: what the audit trail keeps of it."""
    return hashlib.sha256(sealed).hexdigest()


def _key_for(conversation: uuid.UUID) -> bytes:
    """The conversation's key, made when it is first needed. Raises VaultError."""
    row = ConversationKey.objects.filter(pk=conversation).first()
    if row is None:
        wrapped = vault.seal(vault.master_key(), vault.new_key(), _purpose(conversation, "key"))
        try:
            with transaction.atomic():
                row = ConversationKey.objects.create(conversation_id=conversation, wrapped=wrapped)
        except IntegrityError:  # another worker was faster
            row = ConversationKey.objects.get(pk=conversation)
    return _unwrapped(row)


def _unwrapped(row: ConversationKey) -> bytes:
    return vault.open(vault.master_key(), row.wrapped, _purpose(row.conversation_id, "key"))


def _purpose(owner: uuid.UUID, what: str) -> bytes:
    return f"{owner}:{what}".encode()
