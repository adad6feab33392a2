"""The only way into the audit trail."""

import hashlib
import secrets
from collections.abc import Mapping
from datetime import timedelta
from typing import Any

from django.db import transaction
from django.utils import timezone

from portal.audit import _ending, _readable, _rows, keys
from portal.audit._canonical import entry_of, moment, plain
from portal.audit._merkle import leaf_hash
from portal.audit._people import refuse_who_left
from portal.audit.models import Actor, Event, Head

NOBODY = frozenset({"system", "anonymous", "folder", "samples"})
"""Names under which no person acts: their own codes."""

TAIL_MISSING = "audit.tail_missing"
"""The event by which the ledger goes on where its end was not the one that the head was marked behind."""

CLOCK_WENT_BACK = "clock.went_back"
CLOCK_MAY_GO_BACK = timedelta(seconds=2)  # several machines of one facility differ by less


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
    what is kept is a code that stands for it. It may be the code itself: whoever carries on what somebody began names
    the code, because a name that was erased meanwhile would be given to somebody new. `payload` holds JSON values, no
    content of conversations and no names: hashes, identifiers, rule names, counts, codes (`code_of`). Raises
    TransactionManagementError outside a transaction, keys.NoAuditKey without the audit key, keys.WrongAuditKey with
    another one than the ledger goes on with, ValueError for what JSON cannot hold and for a code that nobody was given,
    NoSuchPerson for a name that was erased meanwhile.
    """
    event = Event(kind=kind, actor_role=actor_role, subject=plain(subject), payload=plain(payload or {}))
    locked = _locked(actor)
    head, key = locked.head, _key_to_go_on_with(locked)
    event.actor_id = locked.code or code_for(head, key, actor)
    return append(head, key, event)


def code_of(name: str) -> str:
    """The code that stands for a person in the audit trail; a name that has none yet gets one, which is recorded, and a
    code stands for itself. In the caller's transaction. Raises as `record` does."""
    if known := _rows.code_of(name):
        return known
    locked = _locked("")
    return code_for(locked.head, _key_to_go_on_with(locked), name)


def forget(name: str, *, actor: str, actor_role: str = "", payload: Mapping[str, Any] | None = None) -> str:
    """Erase a person's name from the audit trail: the code stays in every event, and nobody can say any more whose it
    was. Recorded as `person.erased`; returns the code. In the caller's transaction. Raises KeyError for a name that has
    none, or that is nobody's (`NOBODY`); as `record` does."""
    locked_head()
    known = Actor.objects.filter(name=name).exclude(name__in=NOBODY).first()
    if known is None:
        raise KeyError(name)
    record("person.erased", actor=actor, actor_role=actor_role, subject=known.code, payload=payload)
    Actor.objects.filter(code=known.code).update(name=None, salt=None)
    return known.code


def is_code(name: str) -> bool:
    """Whether this has the form of a person's code. Nobody may be called so."""
    return _rows.is_code(name) is not None


def commitment(salt: bytes, name: str) -> str:
    """What proves, to whoever has the salt, that a code stands for a name; nobody else learns anything from it."""
    return hashlib.sha256(bytes(salt) + name.encode("utf-8")).hexdigest()


def locked_head() -> Head:
    """The head, locked until the caller's transaction ends: nobody else records meanwhile. Raises
    TransactionManagementError outside a transaction."""
    return _locked("").head


def _locked(name: str) -> _rows.Locked:
    """The head, and the code of a name that has one, or that is one."""
    if not transaction.get_connection().in_atomic_block:
        raise transaction.TransactionManagementError("An event is recorded in the transaction of what it records.")
    if locked := _rows.lock_head(name):
        return locked
    head, _ = Head.objects.select_for_update().get_or_create(pk=1)
    return _rows.Locked(head, None, _rows.newest(head.last_seq))


def key_of(head: Head) -> keys.AuditKey:
    """The audit key, which must be the one that the ledger goes on with. Raises keys.NoAuditKey, keys.WrongAuditKey."""
    key = keys.current()
    if head.public_key not in ("", key.public.hex()):
        raise keys.WrongAuditKey(_readable.public_key_of(head), key)
    return key


def is_whole(head: Head, newest: _rows.Newest, key: keys.AuditKey) -> bool:
    """Whether the newest event is the one that the head was marked behind: none was cut off after it."""
    if not head.last_seq:
        return not newest.seq and head.mark is None
    return newest.seq == head.last_seq and head.last_at is not None and key.has_marked_last(newest.leaf, head.mark)


def _key_to_go_on_with(locked: _rows.Locked) -> keys.AuditKey:
    """The key of the head. Where the end of the ledger is another one than it was, that is recorded first: it must not
    be forgotten with the next event's mark, and must not keep anybody from recording either."""
    head, key = locked.head, key_of(locked.head)
    if is_whole(head, locked.newest, key):
        return key
    newest = _rows.newest(head.last_seq)  # another one had the lock, and has recorded meanwhile
    if not is_whole(head, newest, key):
        said = {"last_seq": head.last_seq, "last_at": moment(head.last_at) if head.last_at else None}
        said |= {"mark": _rows.as_bytes(head.mark).hex(), "newest": newest.seq}
        head.last_seq = _ending.last_number(head, key, key.public)
        append(head, key, Event(kind=TAIL_MISSING, actor_id=code_for(head, key, "system"), payload=said))
    return key


def code_for(head: Head, key: keys.AuditKey, name: str) -> str:
    """As `code_of`, with the head locked already."""
    if known := _rows.code_of(name):
        return known
    if name in NOBODY:
        return Actor.objects.create(code=name, name=name).code
    if is_code(name):
        raise ValueError(f"{name} has the form of a code, and nobody was given it.")
    refuse_who_left(name)
    salt = secrets.token_bytes(32)
    actor = Actor.objects.create(code=f"p-{secrets.token_hex(12)}", name=name, salt=salt)
    named = {"commitment": commitment(salt, name)}
    system = code_for(head, key, "system")
    append(head, key, Event(kind="person.named", actor_id=system, subject=actor.code, payload=named))
    return actor.code


def append(head: Head, key: keys.AuditKey, event: Event) -> Event:
    """Give an event its number, time, hash and mark, and write it. `head` is locked. For `record`, and for the event
    by which another key begins."""
    now = timezone.now()
    if head.last_at and head.last_at - now > CLOCK_MAY_GO_BACK and event.kind != CLOCK_WENT_BACK:
        jump = {"from": moment(head.last_at), "to": moment(now)}
        append(head, key, Event(kind=CLOCK_WENT_BACK, actor_id=code_for(head, key, "system"), payload=jump))
    event.seq, event.at = head.last_seq + 1, now
    event.leaf = leaf_of(event)
    head.last_seq, head.last_at, head.mark = event.seq, now, key.mark_last(event.leaf)
    head.public_key = head.public_key or key.public.hex()
    event.mac = key.mark(event.leaf)
    _rows.append(head, event)
    return event


def leaf_of(event: Event) -> bytes:
    """The hash of an event in the Merkle tree, computed from what its row holds."""
    return leaf_hash(entry_of(event))
