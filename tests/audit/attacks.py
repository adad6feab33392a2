"""Falsifications by somebody who knows how Havre works, and lets it go on afterwards: handovers between keys that never
were, ends that are cut off, people who are given other names. Each says which events or checkpoints it touched."""

import random
from collections.abc import Callable
from copy import copy
from typing import Any

from django.db import transaction

from portal.audit import _succession, keys, sealing
from portal.audit.models import Actor, Checkpoint, Event, Head
from portal.audit.services import commitment, leaf_of, record
from tests.audit.mutations import MUTATIONS, Touched, another_key

ERASED = "bela"
_REPLACED = "audit.key_replaced"


def _goes_on(rng: random.Random) -> set[int]:
    """Havre records and seals as if nothing had happened; the numbers of what it recorded."""
    before = set(Event.objects.values_list("seq", flat=True))
    for _ in range(rng.choice([0, 1, 3])):
        with transaction.atomic():
            record("turn.started", actor="system")
    if rng.random() < 0.5:
        try:
            sealing.seal("minute")
        except sealing.Tampered:
            pass
    return set(Event.objects.values_list("seq", flat=True)) - before


def _put(event: Event, marker: keys.AuditKey) -> None:
    event.leaf = leaf_of(event)
    event.mac = marker.mark(event.leaf)
    Event.objects.filter(seq=event.seq).delete()
    event.save(force_insert=True)


def _handover(
    old: bytes, new: bytes, last: int, says: Callable[[bytes], bytes], takes: Callable[[bytes], bytes]
) -> dict[str, Any]:
    ledger = str(Head.objects.get().ledger)
    return {
        "old": old.hex(),
        "new": new.hex(),
        "last_checkpoint": last,
        "signature": says(_succession.statement(ledger, old, new, last)).hex(),
        "accepted": takes(_succession.acceptance(ledger, old, new, last)).hex(),
        "reason": "each year",
    }


def hand_over(rng: random.Random) -> Touched:
    """An event by which a key takes over that nobody endorsed, or one that the wrong one did; in the place of another
    event, or as the last one."""
    own, other, present = another_key(), another_key(), keys.current()
    last = Checkpoint.objects.count()
    match how := rng.randrange(5):
        case 0:  # the present key's word is made up
            said = _handover(present.public, own.public, last, lambda _: rng.randbytes(64), own.sign_off)
        case 1:  # it is an attacker's
            said = _handover(present.public, own.public, last, own.sign_off, own.sign_off)
        case 2:  # of a third key, which was never there
            said = _handover(other.public, own.public, last, other.sign_off, own.sign_off)
        case 3:  # an attacker's own key was there before: it signs what is older
            said = _handover(own.public, present.public, rng.randrange(last), own.sign_off, own.sign_off)
        case _:  # the attacker's word was for something else
            said = _handover(present.public, own.public, last, own.sign_off, lambda _: own.sign_off(b"something else"))
    event = copy(Event.objects.order_by("-seq")[0])
    event.kind, event.actor_id, event.payload = _REPLACED, "system", said
    event.seq = rng.choice([event.seq + 1, event.seq, rng.randrange(2, event.seq)])
    _put(event, own)
    if event.seq > Head.objects.get().last_seq:
        Head.objects.update(last_seq=event.seq, mark=own.mark_last(event.leaf))
    if rng.random() < 0.5:
        Head.objects.update(public_key=own.public.hex())
        return Touched(f"hand over {how}, head", {event.seq})
    return Touched(f"hand over {how}", {event.seq} | _goes_on(rng))


def change_handover(rng: random.Random) -> Touched:
    """What the old key said of the end of its time is changed: to cover more, or less, or to vouch for nothing."""
    event = Event.objects.get(kind=_REPLACED)
    said, own = dict(event.payload), another_key()
    match how := rng.randrange(6):
        case 0:
            said["last_checkpoint"] += rng.choice([-1, 1, 3])
        case 1:
            said["accepted"] = own.sign_off(b"").hex()
        case 2:
            said["signature"], said["accepted"] = said["accepted"], said["signature"]
        case 3:
            said["old"] = own.public.hex()
        case 4:  # the key was lost, and nobody vouches for what an attacker wants to change
            del said["signature"]
            said |= {"lost": True, "unvouched": [1, event.seq]}
        case _:
            old, new = (bytes.fromhex(said[which]) for which in ("old", "new"))
            last, unvouched = said["last_checkpoint"], [1, event.seq]
            taken = _succession.acceptance(str(Head.objects.get().ledger), old, new, last, unvouched)
            said |= {"lost": True, "unvouched": unvouched, "accepted": own.sign_off(taken).hex()}
    event.payload = said
    _put(event, own)
    return Touched(f"change handover {how}", {event.seq} | (_goes_on(rng) if rng.random() < 0.3 else set()))


def lose_key(rng: random.Random) -> Touched:
    """A key that was lost and replaced, as it never happened."""
    own, present = another_key(), keys.current()
    newest = Event.objects.order_by("-seq")[0]
    first, last = sorted(rng.sample(range(1, newest.seq + 1), 2))
    ledger, sealed = str(Head.objects.get().ledger), rng.randrange(Checkpoint.objects.count())
    old, new = rng.choice([(present.public, own.public), (own.public, present.public), (b"\x07" * 32, own.public)])
    taken = _succession.acceptance(ledger, old, new, sealed, [first, last])
    said = {"old": old.hex(), "new": new.hex(), "last_checkpoint": sealed, "lost": True, "unvouched": [first, last]}
    event = copy(newest)
    event.seq, event.kind, event.actor_id = rng.choice([last, newest.seq + 1]), _REPLACED, "system"
    event.payload = said | {"accepted": own.sign_off(taken).hex(), "reason": "the disk broke"}
    _put(event, own)
    Head.objects.update(last_seq=max(newest.seq, event.seq))
    if rng.random() < 0.5:
        Head.objects.update(public_key=own.public.hex())
    return Touched("lose key", {event.seq})


def cut_and_go_on(rng: random.Random) -> Touched:
    """The events that no checkpoint is over are cut off, the head is set back, and Havre goes on."""
    head, sealed = Head.objects.get(), Checkpoint.objects.order_by("-number")[0].tree_size
    after = rng.randrange(sealed, head.last_seq)
    Event.objects.filter(seq__gt=after).delete()
    set_back = rng.random() < 0.7
    if set_back:
        Head.objects.update(last_seq=after)
    cut = set(range(after + 1, head.last_seq + 1))
    with transaction.atomic():
        record("turn.started", actor="system")
    return Touched(f"cut and go on {set_back}", cut | _goes_on(rng))


def set_head_back(rng: random.Random) -> Touched:
    """The head alone; the events stay."""
    head = Head.objects.get()
    back = rng.choice([1, 2, 5, head.last_seq])
    Head.objects.update(last_seq=head.last_seq - back)
    new = _goes_on(rng)
    return Touched("head back", set(range(head.last_seq - back + 1, head.last_seq + 1)) | new)


def cut_checkpoints(rng: random.Random) -> Touched:
    """The last ones; the events stay, and are sealed again perhaps."""
    numbers = sorted(Checkpoint.objects.values_list("number", flat=True))
    gone = set(numbers[-rng.choice([1, 2, 4]) :])
    Checkpoint.objects.filter(number__in=gone).delete()
    return Touched("cut checkpoints", _goes_on(rng), gone)


def old_head(rng: random.Random) -> Touched:
    """Everything is as it was at a checkpoint, with the head's row of then; Havre goes on."""
    kept = list(Checkpoint.objects.order_by("number"))
    since = Event.objects.get(kind=_REPLACED).seq
    then = rng.choice([one for one in kept[:-1] if one.tree_size > since and one.tree_size < kept[-1].tree_size])
    leaf = bytes(Event.objects.get(seq=then.tree_size).leaf)
    last = Head.objects.get().last_seq
    Event.objects.filter(seq__gt=then.tree_size).delete()
    gone = {one.number for one in kept if one.number > then.number}
    if rng.random() < 0.5:
        Checkpoint.objects.filter(number__in=gone).delete()
    Head.objects.update(last_seq=then.tree_size, mark=keys.current().mark_last(leaf))
    new = _goes_on(rng)
    return Touched("old head", set(range(then.tree_size + 1, last + 1)) | new, gone)


def rename(rng: random.Random) -> Touched:
    """A code is given to somebody else, with the commitment that belongs to the new name."""
    one = rng.choice(list(Actor.objects.filter(code__startswith="p-", name__isnull=False)))
    event = Event.objects.get(kind="person.named", subject=one.code)
    one.name, one.salt = "mallory", rng.randbytes(32)
    one.save(force_update=True)
    event.payload = {"commitment": commitment(one.salt, one.name)}
    how = rng.randrange(3)
    if how:
        event.leaf = leaf_of(event)
    if how == 2:
        event.mac = another_key().mark(event.leaf)
    event.save(force_update=True)
    return Touched(f"rename {how}", {event.seq}, codes={one.code})


def forget_quietly(rng: random.Random) -> Touched:
    """A name is erased, and the event that says so is forged or another one's."""
    one = rng.choice(list(Actor.objects.filter(code__startswith="p-", name__isnull=False)))
    Actor.objects.filter(pk=one.pk).update(name=None, salt=None)
    touched = Touched("forget", codes={one.code})
    if rng.random() < 0.5:
        event = Event.objects.get(kind="person.erased")
        event.subject = one.code
        _put(event, another_key())
        touched.events = {event.seq}
    return touched


def bring_back(rng: random.Random) -> Touched:
    """An erased person's name, out of an old copy of the database."""
    code = Event.objects.get(kind="person.erased").subject
    salt = rng.randbytes(32)
    Actor.objects.filter(code=code).update(name=ERASED, salt=salt)
    if rng.random() < 0.5:
        event = Event.objects.get(kind="person.named", subject=code)
        event.payload = {"commitment": commitment(salt, ERASED)}
        event.leaf = leaf_of(event)
        event.save(force_update=True)
    return Touched("bring back", codes={code})


ATTACKS: tuple[Callable[[random.Random], Touched], ...] = (
    *(hand_over, hand_over, change_handover, change_handover, lose_key, cut_and_go_on, cut_and_go_on),
    *(set_head_back, cut_checkpoints, old_head, rename, forget_quietly, bring_back),
)
EVERY = (*MUTATIONS, *ATTACKS)
"""All of them, those of `mutations` too."""
