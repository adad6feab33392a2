"""The words of a conversation at rest: sealed, and opened in this one place.

Each conversation has a key of its own (`ConversationKey`), itself sealed with the installation's master key, which lies
outside the database. Without that row everything of the conversation is gone for good, wherever copies of it lie.

A row keeps its words in a few columns (`asked`, `found`, `said` … of a turn), each a JSON object sealed as one. Code
reads and writes them as plain attributes (`turn.question`); they are opened when they are first read, with the key that
is fetched with the row (`WITH_KEY`) and kept no longer than it. `save` seals what was changed; an UPDATE is given what
`columns` makes of plain values.

With each column lies a random salt. What the audit trail gets of a text is the hash of what was sealed and a
commitment, HMAC-SHA256(salt, text): whoever may open the text can prove it against the trail, and
after erasure nobody can.
"""

import hashlib
import hmac
import json
import secrets
import uuid
from collections.abc import Mapping
from typing import Any, Protocol

import rfc8785
from django.apps import apps
from django.core.exceptions import ObjectDoesNotExist
from django.db import models, transaction

from portal import vault

WITH_KEY = ("conversation__owner", "conversation__key")
"""What a query for turns fetches with them (`select_related`), where their words are read."""

_SALT = "salt"
_COLUMNS = {
    "question": "asked",
    "matched": "asked",
    "passages": "found",
    "answer": "said",
    "citations": "said",
    "notices": "said",
    "thoughts": "reasoning",
}
_PURPOSES = {"reasoning": "thoughts"}  # under its own name lies what was sealed before it had a salt


class Erased(vault.VaultError):
    """The conversation's key was destroyed: what was sealed with it cannot be read by anybody."""


class _Turn(Protocol):
    id: uuid.UUID
    conversation: Any


class HoldsSealed(models.Model):
    """A row with sealed columns; `value` makes the attributes that read and write them."""

    class Meta:
        abstract = True

    def save(self, *args: Any, **kwargs: Any) -> None:
        """Write the row with what was changed, sealed. Its conversation gets a key when it has none yet. Raises Erased,
        VaultError."""
        opened = _opened(self)
        changed = [column for column, values in opened.items() if values.pop("", False)]
        with transaction.atomic(using=kwargs.get("using")):
            for column in changed:
                setattr(self, column, _seal(self, column, opened[column], new_key=True))
            super().save(*args, **kwargs)
            _keep_new_key(self)

    def refresh_from_db(self, *args: Any, **kwargs: Any) -> None:
        """Read the row again; what was opened of it is forgotten."""
        super().refresh_from_db(*args, **kwargs)
        _opened(self).clear()


def value(column: str, name: str, kind: type) -> property:
    """An attribute of a row that lies in a sealed column; `kind()` where nothing was written. Reading it raises Erased,
    and VaultError where it cannot be opened."""

    def read(row: HoldsSealed) -> Any:
        return _values(row, column).get(name, kind())

    def write(row: HoldsSealed, given: Any) -> None:
        _values(row, column).update({name: given, "": True})

    return property(read, write)


def columns(turn: _Turn, values: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, dict[str, str]]]:
    """Plain values of a turn as an UPDATE takes them, sealed where they are words; and, by their names, what the audit
    trail gets of those words: the SHA-256 of what was sealed, and the commitment. Raises Erased, VaultError."""
    row = {name: one for name, one in values.items() if name not in _COLUMNS}
    words = {name: one for name, one in values.items() if name in _COLUMNS}
    proofs = {}
    for column in dict.fromkeys(_COLUMNS[name] for name in words):
        new = {name: one for name, one in words.items() if _COLUMNS[name] == column}
        merged = {name: one for name, one in (_values(turn, column) | new).items() if name}
        row[column] = _seal(turn, column, merged)
        _opened(turn)[column] = merged
        setattr(turn, column, row[column])
        for name, one in new.items():
            proofs[name] = {
                "sealed_sha256": fingerprint(row[column]),
                "commitment": commitment(merged[_SALT], one),
            }
    if "passages" in words:
        row["passage_versions"] = versions_of(words["passages"])
    return row, proofs


def proof(turn: _Turn, name: str) -> dict[str, str]:
    """What the audit trail has of a text of a saved turn, made from its row. Raises Erased, VaultError."""
    column = _COLUMNS[name]
    values = _values(turn, column)
    sealed = fingerprint(getattr(turn, column))
    return {"sealed_sha256": sealed, "commitment": commitment(values[_SALT], values.get(name))}


def salt_of(turn: _Turn, name: str) -> str:
    """The salt of a text, in hexadecimal: with it and the text anybody can check the commitment. Raises Erased,
    VaultError."""
    return str(_values(turn, _COLUMNS[name])[_SALT])


def commitment(salt: str, given: Any) -> str:
    """HMAC-SHA256 over a text as UTF-8, or another value as canonical JSON."""
    whole = given.encode("utf-8", errors="replace") if isinstance(given, str) else rfc8785.dumps(given)
    return hmac.digest(bytes.fromhex(salt), whole, "sha256").hex()


def fingerprint(sealed: bytes | memoryview) -> str:
    """The SHA-256 of something sealed."""
    return hashlib.sha256(vault.raw(sealed)).hexdigest()


def versions_of(passages: list[dict[str, Any]]) -> list[str]:
    """The ids of the versions that passages are of: who may read them is asked without opening anything."""
    return sorted({one["version_id"] for one in passages if "version_id" in one})


def open_reasoning(turn: Any) -> str:
    """What the model thought. Empty where nothing was kept. Raises Erased, and VaultError when it cannot be opened."""
    if not turn.reasoning:
        return ""
    try:
        return str(_values(turn, "reasoning").get("thoughts", ""))
    except vault.Unreadable:
        return vault.open(_key(turn.conversation), turn.reasoning, _purpose(turn.id, "reasoning")).decode()


def unlock(turn: Any) -> None:
    """Open the key of a turn's conversation, by which its words are read. Raises Erased, and VaultError where it cannot
    be opened."""
    _key(turn.conversation)


def seal_with(turn: _Turn, whole: bytes, what: str) -> bytes:
    """Seal something of a turn that has a row of its own. Raises Erased, VaultError."""
    return vault.seal(_key(turn.conversation), whole, _purpose(turn.id, what))


def open_with(turn: _Turn, sealed: bytes | memoryview, what: str) -> bytes:
    """What was sealed so. Raises Erased, VaultError."""
    return vault.open(_key(turn.conversation), sealed, _purpose(turn.id, what))


def _opened(row: Any) -> dict[str, dict[str, Any]]:
    known: dict[str, dict[str, Any]] = row.__dict__.setdefault("_opened_columns", {})
    return known


def _values(row: Any, column: str) -> dict[str, Any]:
    known = _opened(row)
    if column not in known:
        sealed = getattr(row, column)
        known[column] = json.loads(vault.open(_key(_conversation(row)), sealed, _of(row, column))) if sealed else {}
    return known[column]


def _seal(row: Any, column: str, values: dict[str, Any], *, new_key: bool = False) -> bytes:
    values.setdefault(_SALT, secrets.token_hex(32))
    return vault.seal(_key(_conversation(row), new=new_key), json.dumps(values).encode(), _of(row, column))


def _conversation(row: Any) -> Any:
    return row.conversation if hasattr(row, "conversation_id") else row


def _key(conversation: Any, *, new: bool = False) -> bytes:
    """The key of a conversation, kept with the object that stands for it; `new` makes one where there was never any."""
    if "_content_key" not in conversation.__dict__:
        try:
            row = conversation.key
        except ObjectDoesNotExist:
            if conversation.erased_at or not new:
                raise Erased("The key of this conversation no longer exists.") from None
            _make_key(conversation)
        else:
            key = vault.open(vault.master_key(), row.wrapped, _purpose(conversation.pk, "key"))
            conversation.__dict__["_content_key"] = key
    kept: bytes = conversation.__dict__["_content_key"]
    return kept


def _make_key(conversation: Any) -> None:
    key = vault.new_key()
    conversation.__dict__["_new_key"] = vault.seal(vault.master_key(), key, _purpose(conversation.pk, "key"))
    conversation.__dict__["_content_key"] = key


def _keep_new_key(row: Any) -> None:
    """Write the key that was made for a conversation, in the transaction of its first words. One that was erased since
    it was read never gets another. Raises Erased."""
    conversation = _conversation(row)
    if wrapped := conversation.__dict__.pop("_new_key", None):
        if type(conversation)._default_manager.filter(pk=conversation.pk, erased_at__isnull=False).exists():
            raise Erased("The key of this conversation no longer exists.")
        keys = apps.get_model("chat", "ConversationKey")._default_manager
        keys.create(conversation=conversation, wrapped=wrapped)


def _of(row: Any, column: str) -> bytes:
    return _purpose(row.pk, _PURPOSES.get(column, column))


def _purpose(owner: uuid.UUID, what: str) -> bytes:
    return f"{owner}:{what}".encode()
