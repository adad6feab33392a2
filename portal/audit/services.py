"""The only way into the audit trail."""

import hashlib
import secrets
from collections.abc import Mapping
from datetime import timedelta
from typing import Any

from django.db import transaction
from django.utils import timezone

from portal.audit import keys
from portal.audit._canonical import entry, moment, plain
from portal.audit._merkle import leaf_hash
from portal.audit.models import Actor, Event, Head

NOBODY = frozenset({"system", "anonymous", "folder", "samples"})
"""Names under which no person acts: their own codes."""

_CLOCK_WENT_BACK = "clock.went_back"
_CLOCK_MAY_GO_BACK = timedelta(seconds=2)  # several machines of one facility differ by less


def record(
    kind: str,
    *,
    actor: str,
    subject: str = "",
    actor_role: str = "",
    payload: Mapping[str, Any] | None = None,
) -> Event:
    """Append one event, in the caller's transaction: it is there if and only if what it records is.

    `kind` is past tense and dotted ("turn.completed"). `actor` is a sign-in name, "terminal:<name>" or one of `NOBODY`;
    what is kept is a code that stands for it. `payload` holds JSON values, no content of conversations and no names:
    hashes, identifiers, rule names, counts, codes (`code_of`). Raises TransactionManagementError outside a
    transaction, keys.NoAuditKey without the audit key, ValueError for what JSON cannot hold.
    """
    head, key = _locked_head(), keys.current()
    event = Event(kind=kind, actor_id=_code(head, key, actor), actor_role=actor_role, subject=plain(subject))
    event.payload = plain(payload or {})
    return _append(head, key, event)


def code_of(name: str) -> str:
    """The code that stands for a person in the audit trail; a name that has none yet gets one, which is recorded. In
    the caller's transaction. Raises as `record` does."""
    return _code(_locked_head(), keys.current(), name)


def commitment(salt: bytes, name: str) -> str:
    """What proves, to whoever has the salt, that a code stands for a name; nobody else learns anything from it."""
    return hashlib.sha256(bytes(salt) + name.encode("utf-8")).hexdigest()


def _locked_head() -> Head:
    if not transaction.get_connection().in_atomic_block:
        raise transaction.TransactionManagementError("An event is recorded in the transaction of what it records.")
    return Head.objects.select_for_update().get_or_create(pk=1)[0]


def _code(head: Head, key: keys.AuditKey, name: str) -> str:
    known = Actor.objects.filter(name=name).values_list("code", flat=True).first()
    if known:
        return known
    if name in NOBODY:
        return Actor.objects.create(code=name, name=name).code
    salt = secrets.token_bytes(32)
    actor = Actor.objects.create(code=f"p-{secrets.token_hex(12)}", name=name, salt=salt)
    named = {"commitment": commitment(salt, name)}
    system = _code(head, key, "system")
    _append(head, key, Event(kind="person.named", actor_id=system, subject=actor.code, payload=named))
    return actor.code


def _append(head: Head, key: keys.AuditKey, event: Event) -> Event:
    """Give an event its number, time, hash and mark, and write it."""
    now = timezone.now()
    if head.last_at and now < head.last_at - _CLOCK_MAY_GO_BACK and event.kind != _CLOCK_WENT_BACK:
        jump = {"from": moment(head.last_at), "to": moment(now)}
        _append(head, key, Event(kind=_CLOCK_WENT_BACK, actor_id=_code(head, key, "system"), payload=jump))
    head.last_seq, head.last_at = head.last_seq + 1, now
    head.save(update_fields=["last_seq", "last_at"])
    event.seq, event.at = head.last_seq, now
    event.leaf = leaf_of(event)
    event.mac = key.mark(event.leaf)
    event.save(force_insert=True)
    return event


def leaf_of(event: Event) -> bytes:
    """The hash of an event in the Merkle tree, computed from what its row holds."""
    return leaf_hash(
        entry(
            seq=event.seq,
            at=event.at,
            kind=event.kind,
            actor=event.actor_id,
            actor_role=event.actor_role,
            subject=event.subject,
            payload=event.payload,
        )
    )
