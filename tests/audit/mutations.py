"""A thousand ways to falsify a ledger, for whoever owns the database and not the audit key. Each says which events or
checkpoints it touched; the triggers must be away."""

import random
import uuid
from collections.abc import Callable
from copy import copy
from dataclasses import dataclass, field
from datetime import timedelta

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from portal.audit import keys, sealing
from portal.audit._canonical import canonical
from portal.audit._merkle import Frontier
from portal.audit.models import Actor, Checkpoint, Event, Head
from portal.audit.services import leaf_of


@dataclass
class Touched:
    """Where the ledger was falsified: numbers of events, of checkpoints, codes of people; none: everywhere."""

    what: str
    events: set[int] = field(default_factory=set)
    checkpoints: set[int] = field(default_factory=set)
    codes: set[str] = field(default_factory=set)


def another_key() -> keys.AuditKey:
    """An attacker's own key."""
    private = Ed25519PrivateKey.generate()
    public = private.public_key().public_bytes_raw()
    return keys.AuditKey(private, b"m" * 32, public, keys.id_of(public))


def _events() -> list[Event]:
    return list(Event.objects.order_by("seq"))


def _write(events: list[Event], *, head: bool = True) -> None:
    Event.objects.all().delete()
    Event.objects.bulk_create(events)
    if head:
        Head.objects.update(last_seq=max((event.seq for event in events), default=0))


def _forge(event: Event, how: int) -> None:
    """0: as it is; 1: with the hash that belongs to it; 2: and with a mark of another key."""
    if how >= 1:
        event.leaf = leaf_of(event)
    if how >= 2:
        event.mac = another_key().mark(event.leaf)


def _change(event: Event, rng: random.Random) -> None:
    match rng.randrange(6):
        case 0:
            event.kind += "x"
        case 1:
            event.at += timedelta(microseconds=1)
        case 2:
            event.actor_id = "system" if event.actor_id != "system" else "anonymous"
        case 3:
            event.actor_role = "admin"
        case 4:
            event.subject = "somebody else"
        case _:
            event.payload = {**event.payload, "n": 1.5}


def edit(rng: random.Random) -> Touched:
    Actor.objects.get_or_create(code="anonymous", defaults={"name": "anonymous"})
    event = rng.choice(_events())
    _change(event, rng)
    _forge(event, how := rng.randrange(3))
    event.save(force_update=True)
    return Touched(f"edit {how}", {event.seq})


def edit_hash(rng: random.Random) -> Touched:
    event = rng.choice(_events())
    event.leaf = rng.randbytes(rng.choice([32, 32, 31, 0]))
    event.save(force_update=True)
    return Touched("hash", {event.seq})


def edit_mark(rng: random.Random) -> Touched:
    """Of the present key: those of keys before it are vouched for by their last checkpoint."""
    since = Event.objects.get(kind="audit.key_replaced").seq
    event = rng.choice([one for one in _events() if one.seq > since])
    event.mac = rng.randbytes(32)
    event.save(force_update=True)
    return Touched("mark", {event.seq})


def delete(rng: random.Random) -> Touched:
    events = _events()
    first = rng.randrange(len(events))
    gone = events[first : first + rng.choice([1, 1, 2, 5, 20])]
    Event.objects.filter(seq__in=[one.seq for one in gone]).delete()
    return Touched("delete", {one.seq for one in gone})


def delete_and_close_up(rng: random.Random) -> Touched:
    events = _events()
    first, how = rng.randrange(len(events) - 1), rng.randrange(3)
    kept = events[:first] + events[first + 1 :]
    for number, event in enumerate(kept, 1):
        if event.seq != number:
            event.seq = number
            _forge(event, how)
    _write(kept)
    return Touched(f"delete, close up {how}", set(range(first + 1, len(events) + 1)))


def insert(rng: random.Random) -> Touched:
    events = _events()
    place, how = rng.randrange(len(events) + 1), rng.randrange(3)
    new = copy(events[rng.randrange(len(events))])
    events.insert(place, new)
    for number, event in enumerate(events, 1):
        if number > place:
            event.seq = number
            _forge(event, max(how, 1 if event is new else 0))
    _write(events)
    return Touched(f"insert {how}", set(range(place + 1, len(events) + 1)))


def reorder(rng: random.Random) -> Touched:
    events, how = _events(), rng.randrange(3)
    one, other = rng.sample(range(len(events)), 2)
    events[one], events[other] = events[other], events[one]
    for place in (one, other):
        events[place].seq = place + 1
        _forge(events[place], how)
    _write(events)
    return Touched(f"reorder {how}", {one + 1, other + 1})


def truncate(rng: random.Random) -> Touched:
    """Events alone; the head too; checkpoints too, which only those that lie elsewhere can tell."""
    events, how = _events(), rng.randrange(3)
    sealed = list(Checkpoint.objects.order_by("number").values_list("number", "tree_size"))
    cut = rng.randrange(1, len(events)) if how < 2 else rng.choice(sealed[:-1])[1]
    if how == 2:
        cut = min(cut, sealed[-2][1])
    _write(events[:cut], head=how > 0)
    touched = Touched(f"truncate {how}", set(range(cut + 1, len(events) + 1)))
    if how == 2:
        touched.checkpoints = {number for number, size in sealed if size > cut}
        Checkpoint.objects.filter(tree_size__gt=cut).delete()
        if cut < Event.objects.filter(kind="audit.key_replaced").count():
            raise AssertionError
    return touched


def append(rng: random.Random) -> Touched:
    """More events at the end, or where none can be."""
    event, how = _events()[-1], rng.randrange(3)
    event.seq = rng.choice([event.seq + 1, event.seq + 3, 0, -4])
    _forge(event, how)
    event.save(force_insert=True)
    if rng.random() < 0.5:
        Head.objects.update(last_seq=max(event.seq, 1))
        return Touched(f"append {how}, head")
    return Touched(f"append {how}", {event.seq})


def splice(rng: random.Random) -> Touched:
    """Events of another ledger in the place of some."""
    events = _events()
    first = rng.randrange(len(events))
    there = events[first : first + rng.choice([1, 3, 12])]
    key = another_key()
    for event in there:
        event.subject, event.payload = str(uuid.UUID(int=rng.getrandbits(128))), {"from": "elsewhere"}
        event.leaf = leaf_of(event)
        event.mac = key.mark(event.leaf)
    _write(events)
    return Touched("splice", {one.seq for one in there})


def _sign_again(checkpoint: Checkpoint, signer: keys.AuditKey, **other: object) -> None:
    body = canonical({**sealing.claims(checkpoint), **other})
    checkpoint.body, checkpoint.signature = body.decode(), signer.sign(body)


def sign_again(rng: random.Random) -> Touched:
    key, all_of_them = another_key(), list(Checkpoint.objects.order_by("number"))
    chosen = rng.choice([all_of_them, [rng.choice(all_of_them)], all_of_them[-2:]])
    for one in chosen:
        _sign_again(one, key, **({"key": key.key_id} if rng.random() < 0.5 else {}))
        one.save(force_update=True)
    if rng.random() < 0.3:
        Head.objects.update(public_key=key.public.hex())
    return Touched("sign again", checkpoints={one.number for one in chosen})


def edit_checkpoint(rng: random.Random) -> Touched:
    one = rng.choice(list(Checkpoint.objects.order_by("number")))
    match rng.randrange(7):
        case 0:
            one.tree_size += rng.choice([-1, 1, 1000])
        case 1:
            one.root = rng.randbytes(32)
        case 2:
            one.frontier = rng.randbytes(len(bytes(one.frontier))) + rng.choice([b"", b"x" * 32])
        case 3:
            one.at += timedelta(seconds=1)
        case 4:
            one.body = one.body.replace('"minute"', '"export"') if '"minute"' in one.body else one.body + " "
        case 5:
            one.signature = rng.randbytes(rng.choice([64, 64, 10]))
        case _:
            one.body = rng.choice(["", "{}", "nonsense", one.body[:-5]])
    one.save(force_update=True)
    return Touched("checkpoint", checkpoints={one.number})


def delete_checkpoint(rng: random.Random) -> Touched:
    numbers = list(Checkpoint.objects.order_by("number").values_list("number", flat=True))
    first = rng.randrange(len(numbers))
    gone = set(numbers[first : first + rng.choice([1, 2])])
    Checkpoint.objects.filter(number__in=gone).delete()
    return Touched("delete checkpoint", checkpoints=gone)


def swap_checkpoints(rng: random.Random) -> Touched:
    one, other = rng.sample(list(Checkpoint.objects.order_by("number")), 2)
    for name in ("at", "tree_size", "root", "frontier", "body", "signature"):
        mine, theirs = getattr(one, name), getattr(other, name)
        setattr(one, name, theirs)
        setattr(other, name, mine)
    one.save(force_update=True)
    other.save(force_update=True)
    return Touched("swap checkpoints", checkpoints={one.number, other.number})


def write_all_anew(rng: random.Random) -> Touched:
    """One event changed, and every hash, mark, root and signature made anew with another key."""
    key, events = another_key(), _events()
    _change(events[rng.randrange(len(events))], rng)
    Actor.objects.get_or_create(code="anonymous", defaults={"name": "anonymous"})
    for event in events:
        event.leaf = leaf_of(event)
        event.mac = key.mark(event.leaf)
    _write(events)
    tree = Frontier()
    for one in Checkpoint.objects.order_by("number"):
        for event in events[tree.size : one.tree_size]:
            tree.append(event.leaf)
        one.root, one.frontier = tree.root(), tree.packed()
        _sign_again(one, key, root=tree.root().hex(), key=key.key_id)
        one.save(force_update=True)
    if rng.random() < 0.5:
        Head.objects.update(public_key=key.public.hex())
    return Touched("all anew")


def swap_names(rng: random.Random) -> Touched:
    one, other = rng.sample(list(Actor.objects.filter(code__startswith="p-", name__isnull=False)), 2)
    if rng.random() < 0.5:
        one.salt, other.salt = other.salt, one.salt
    mine, theirs = one.name, other.name
    one.name = None
    one.save(force_update=True)
    other.name = mine
    other.save(force_update=True)
    one.name = theirs
    one.save(force_update=True)
    return Touched("swap names", codes={one.code, other.code})


def edit_name(rng: random.Random) -> Touched:
    one = rng.choice(list(Actor.objects.filter(code__startswith="p-", name__isnull=False)))
    match rng.randrange(4):
        case 0:
            one.name = f"{one.name}x"
        case 1:
            one.salt = rng.randbytes(32)
        case 2:
            one.name = one.salt = None
        case _:
            one.salt = None
    one.save(force_update=True)
    return Touched("name", codes={one.code})


def add_name(rng: random.Random) -> Touched:
    code = f"p-{rng.getrandbits(96):024x}"
    Actor.objects.create(code=code, name="mallory", salt=rng.randbytes(32))
    return Touched("add name", codes={code})


def edit_head(rng: random.Random) -> Touched:
    head = Head.objects.get()
    match rng.randrange(4):
        case 0:
            head.last_seq += rng.choice([1, 7])
        case 1:
            head.last_seq -= rng.choice([1, 3, 30])
        case 2:
            head.ledger = uuid.UUID(int=rng.getrandbits(128))
        case _:
            head.public_key = rng.randbytes(32).hex()
    head.save(force_update=True)
    return Touched("head")


def replace_key(rng: random.Random) -> Touched:
    """An event that hands the ledger over to an attacker's key, signed by that key itself, or as lost."""
    key, events = another_key(), _events()
    place = rng.choice([len(events), rng.randrange(1, len(events))])
    event = copy(events[-1])
    event.kind = "audit.key_replaced"
    old = rng.choice([keys.current().public, rng.randbytes(32)]).hex()
    event.payload = {"old": old, "new": key.public.hex(), "last_checkpoint": rng.randrange(11), "reason": ""}
    lost = {"lost": True, "unvouched": [1, len(events)]}
    event.payload |= rng.choice([lost, {"signature": key.sign_off(b"").hex()}])
    event.seq = place if place < len(events) else place + 1
    event.leaf = leaf_of(event)
    event.mac = key.mark(event.leaf)
    Event.objects.filter(seq=event.seq).delete()
    event.save(force_insert=True)
    Head.objects.update(last_seq=max(len(events), event.seq))
    if rng.random() < 0.5:
        Head.objects.update(public_key=key.public.hex())
    return Touched("replace key", {event.seq})


MUTATIONS: tuple[Callable[[random.Random], Touched], ...] = (
    *(edit, edit, edit_hash, edit_mark, delete, delete_and_close_up, insert, reorder, truncate, append, splice),
    *(sign_again, edit_checkpoint, edit_checkpoint, delete_checkpoint, swap_checkpoints, write_all_anew),
    *(swap_names, edit_name, add_name, edit_head, replace_key),
)
