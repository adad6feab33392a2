"""Another audit key for the same ledger: handed over by the old key's signature, or after the old one was lost.

The old key seals everything up to its last event in a checkpoint and is then destroyed: from there on that checkpoint
vouches for the events that it marked, and nobody needs the key any more.
"""

from dataclasses import dataclass
from itertools import islice

from django.db import transaction

from portal.audit import _readable, keys, sealing
from portal.audit._canonical import plain
from portal.audit._ending import last_number
from portal.audit._succession import REPLACED, acceptance, statement
from portal.audit.models import Event, Head
from portal.audit.services import append, code_for, key_of, locked_head, record

_MOST_NAMED = 500


class NotLost(Exception):
    """The key is there: it is replaced with its own signature, not given up."""


class StillThere(keys.NoAuditKey):
    """Another key than the one that the head names lies in the file: whose ledger this is has to be found out first."""

    def __init__(self, found: keys.WrongAuditKey) -> None:
        super().__init__(
            f"{found} Which of them is this audit trail's? Whoever changes the database can name a key of his own, "
            "and this one may be the only proof of what was recorded: compare their ids with the one that was written "
            "down, and with what lies elsewhere. Only where the audit trail's key is lost for good, move this one to "
            "where it is kept, and try again."
        )


@dataclass(frozen=True, slots=True)
class Replaced:
    """What an exchange did: both public keys, and the number of the event that tells of it."""

    old: bytes
    new: bytes
    seq: int


def replace(*, actor: str, reason: str) -> Replaced:
    """Put a new key into the key's file, signed off by the one that is there. Raises keys.NoAuditKey when there is
    none, when it is the wrong one, or when the file cannot be written; sealing.Tampered."""
    with keys.exchanged() as exchange, transaction.atomic():
        newest = sealing.hold()  # nobody's checkpoint comes between, and nobody waits crosswise
        key_of(locked_head())
        sealing.tell_of_the_clock(newest)  # the old key's word, before it gives its last
        head = locked_head()
        old, new = key_of(head), exchange.new
        last = (newest.number if newest else 0) + 1
        handed_over = old.sign_off(statement(str(head.ledger), old.public, new.public, last))
        payload = {"old": old.public.hex(), "new": new.public.hex(), "last_checkpoint": last, "reason": reason}
        accepted = new.sign_off(acceptance(str(head.ledger), old.public, new.public, last))
        payload |= {"signature": handed_over.hex(), "accepted": accepted.hex()}
        event = record(REPLACED, actor=actor, payload=payload)
        sealing.seal("key replaced")
        _go_on_with(new, event)
        exchange.put()  # last, and while the head is locked: whoever records next finds the new key everywhere
    return Replaced(old.public, new.public, event.seq)


def replace_lost(*, actor: str, reason: str) -> Replaced:
    """Go on with a new key although the old one is lost. Events that no checkpoint had covered yet are vouched for by
    nobody: the event names them, and which of them are missing, and every verification tells of them. What was sealed
    rests on this database alone. Raises NotLost, StillThere while the file holds any key, keys.NoAuditKey when it
    cannot be written, sealing.Tampered."""
    with keys.exchanged() as exchange, transaction.atomic():
        newest = sealing.hold()
        head = locked_head()
        try:
            key_of(head)
        except keys.WrongAuditKey as error:
            raise StillThere(error) from None
        except keys.NoAuditKey:
            pass
        else:
            raise NotLost
        new = exchange.new
        exchange.put()
        old = _readable.public_key_of(head)
        head.last_seq = last_number(head, None, old)
        unvouched = [newest.tree_size + 1 if newest else 1, head.last_seq]
        last = newest.number if newest else 0
        accepted = new.sign_off(acceptance(str(head.ledger), old, new.public, last, unvouched))
        payload: dict[str, object] = {"old": old.hex(), "new": new.public.hex(), "last_checkpoint": last}
        payload |= {"lost": True, "unvouched": unvouched, "accepted": accepted.hex(), "reason": plain(reason)}
        payload |= {"missing": _missing(*unvouched)}
        event = append(head, new, Event(kind=REPLACED, actor_id=code_for(head, new, actor), payload=payload))
        _go_on_with(new, event)
        sealing.seal("key lost", unmarked_up_to=unvouched[1])
    return Replaced(old, new.public, event.seq)


def _missing(first: int, last: int) -> list[int]:
    """The numbers in this range that no event has, some hundreds at most."""
    there = set(Event.objects.filter(seq__range=(first, last)).order_by().values_list("seq", flat=True))
    return list(islice((seq for seq in range(first, last + 1) if seq not in there), _MOST_NAMED))


def _go_on_with(key: keys.AuditKey, last: Event) -> None:
    Head.objects.filter(pk=1).update(public_key=key.public.hex(), mark=key.mark_last(bytes(last.leaf)))
