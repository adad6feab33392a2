"""Whether every code in the audit trail stands for whom it was given to."""

from collections.abc import Iterator

from portal.audit import _readable
from portal.audit._findings import Finding
from portal.audit._walk import Walk
from portal.audit.models import Actor, Event
from portal.audit.services import NOBODY, commitment

_AT_ONCE = 2000


def check(walk: Walk, last_seq: int) -> Iterator[Finding]:
    """What is wrong with the names: every code stands for whom it was given to, or for somebody who was erased with a
    record of it. The walk has seen the events up to `last_seq`."""
    later = Event.objects.filter(seq__gt=last_seq, kind__in=["person.named", "person.erased"])
    there = set()
    unread = 0
    for actor in _actors():
        if actor is None or not isinstance(actor.code, str):
            unread += 1
            continue
        there.add(actor.code)
        if (said := _wrong_with(actor, walk)) and not later.filter(subject=actor.code).exists():
            seq = walk.named.get(actor.code, (None, ""))[0]
            yield Finding("name", f"{actor.code}: {said}", seq, seq)
    if unread:
        yield Finding("name", f"rows of the list of names cannot be read ({unread})")
    for code, seq in sorted(walk.codes.items()):
        if code not in there:
            yield Finding("name", f"{code}: the code is not in the list of names, or its row cannot be read", seq, seq)
        elif code not in NOBODY and code not in walk.named:
            yield Finding("name", f"{code}: no event gave it to anybody", seq, seq)


def _actors() -> Iterator[Actor | None]:
    """Everybody, some at a time; None for a row that cannot be read."""
    after = ""
    while True:
        rows = list(_readable.each(Actor.objects.filter(code__gt=after).order_by("code"), _AT_ONCE))
        yield from rows
        codes = [row.code for row in rows if row and isinstance(row.code, str)]
        if len(rows) < _AT_ONCE or not codes:
            return
        after = codes[-1]


def _wrong_with(actor: Actor, walk: Walk) -> str:
    name, salt = actor.name, actor.salt
    if actor.code in NOBODY:
        return "" if name == actor.code else "it stands for itself alone"
    if actor.code not in walk.named:
        return "no event gave it to anybody"
    if name is None or salt is None:
        return _wrong_with_nobody(actor, walk)
    if not isinstance(name, str) or not isinstance(salt, bytes | memoryview):
        return "name and salt are none"
    if commitment(bytes(salt), name) != walk.named[actor.code][1]:
        return "it was given to somebody else than the name that stands there"
    return "the name was erased, and is there again" if actor.code in walk.erased else ""


def _wrong_with_nobody(actor: Actor, walk: Walk) -> str:
    if actor.name is not None or actor.salt is not None:
        return "name and salt are erased together or not at all"
    return "" if actor.code in walk.erased else "the name was erased without a record"
