"""Checkpoints: signed statements of how long the audit trail is and what its root is, also when nothing happened."""

import json
from collections import Counter
from collections.abc import Iterator
from datetime import datetime
from typing import Any

from django.db import transaction
from django.utils import timezone

from portal.audit import _readable, _rows, _written, keys
from portal.audit._canonical import FORMAT, canonical, moment
from portal.audit._merkle import HASH_BYTES, Frontier
from portal.audit._readable import NO_VALUES, is_of_a_row
from portal.audit._succession import succession
from portal.audit.models import Checkpoint, Event, Head
from portal.audit.services import CLOCK_MAY_GO_BACK, CLOCK_WENT_BACK, is_whole, key_of, leaf_of, record
from portal.database import one_at_a_time

_EVENTS_AT_ONCE = 2000
_NOTHING = b"\x00" * HASH_BYTES  # in the tree, where an event is missing for which nobody can vouch


class Tampered(Exception):
    """An event, or the newest checkpoint, is not what was recorded: nothing is sealed over it. `seq` is the first such
    event, or the last one under that checkpoint."""

    def __init__(self, seq: int, why: str, what: str = "") -> None:
        super().__init__(f"{what or f'event {seq}'}: {why}")
        self.seq = seq


def seal(reason: str, *, unmarked_up_to: int = 0) -> Checkpoint:
    """Append a checkpoint over all events that are committed. `reason` says why now ("minute", "export").

    Every new event is checked first, most of them before anybody has to wait for this. Those up to `unmarked_up_to` are
    sealed as they are, and those of them that are missing as nothing: nobody has the key that they were marked with,
    and the event by which another took over says so. Raises Tampered when an event was changed or not recorded by
    this installation, keys.NoAuditKey without the audit key or with another one.
    """
    while True:
        before = _newest()
        now = tell_of_the_clock(before)
        tail = _Tail(before, key_of(_head()))
        tail.take(unmarked_up_to)
        tail.read()
        with transaction.atomic():
            newest, head = hold(), _head()
            if (newest.number if newest else 0) == (before.number if before else 0) and tail.is_marked_by(key_of(head)):
                tail.read(head.last_seq)  # what was recorded meanwhile
                _check_end(head, key_of(head))
                return tail.seal(reason, head, max(now, timezone.now()))


def hold() -> Checkpoint | None:
    """Let nobody else seal until the caller's transaction ends; returns the newest checkpoint. Whoever also locks the
    head does so afterwards. Raises Tampered where its row cannot be read."""
    one_at_a_time("audit seal")
    return _newest()


def _newest() -> Checkpoint | None:
    number, row = _readable.newest_checkpoint()
    if number and row is None:
        covers = _readable.value_of(Checkpoint.objects.filter(number=number), "tree_size")
        raise Tampered(covers if type(covers) is int else 0, "its row cannot be read", what=f"checkpoint {number}")
    return row


def _head() -> Head:
    return _readable.head() or Head.objects.get_or_create(pk=1)[0]


def _check_end(head: Head, key: keys.AuditKey) -> None:
    """The event that the head counts as the last one is the one that it was marked behind. Raises Tampered."""
    leaf = Event.objects.filter(seq=head.last_seq).values_list("leaf", flat=True).first()
    if not is_whole(head, _rows.Newest(head.last_seq, _rows.as_bytes(leaf)) if leaf else _rows.Newest(), key):
        raise Tampered(head.last_seq, "it is not the last event that was recorded: what followed was cut off")


def claims(checkpoint: Checkpoint) -> dict[str, Any]:
    """What was signed, as values."""
    found: dict[str, Any] = json.loads(checkpoint.body)
    return found


class _Tail:
    """The events since a checkpoint, checked one after another."""

    def __init__(self, before: Checkpoint | None, key: keys.AuditKey) -> None:
        self._tree = _tree_of(before, key) if before else Frontier()
        self._number = before.number + 1 if before else 1
        self._key = key
        self._counts: Counter[str] = Counter()

    def is_marked_by(self, key: keys.AuditKey) -> bool:
        """Whether this key is the one that the events are checked with; it may have been replaced a moment ago."""
        return key.public == self._key.public

    def take(self, until: int) -> None:
        """Go on to this number, with what is there."""
        for kind, leaf in _as_they_are(self._tree.size, until):
            self._tree.append(leaf)
            if kind is not None:
                self._counts[kind] += 1

    def read(self, at_least: int = 0) -> None:
        """Go on to the newest event, or further than number `at_least`. Raises Tampered."""
        for event in _after(self._tree.size):
            self._check(event)
            self._tree.append(bytes(event.leaf))
            self._counts[event.kind] += 1
        if self._tree.size < at_least:
            raise Tampered(self._tree.size + 1, "it is missing")

    def _check(self, event: Event) -> None:
        if event.seq != self._tree.size + 1:
            raise Tampered(self._tree.size + 1, "it is missing")
        try:
            leaf, mac = bytes(event.leaf), bytes(event.mac)
            as_recorded = leaf_of(event) == leaf and _written.is_as_written(event)
        except NO_VALUES as error:  # a value that nothing here would have written
            raise Tampered(event.seq, "it was changed") from error
        if not as_recorded:
            raise Tampered(event.seq, "it was changed")
        if not self._key.has_marked(leaf, mac):
            raise Tampered(event.seq, "it was not recorded by this installation, or with another audit key")

    def seal(self, reason: str, head: Head, now: datetime) -> Checkpoint:
        """The checkpoint, written."""
        root = self._tree.root()
        body = canonical(
            {
                "v": FORMAT,
                "ledger": str(head.ledger),
                "number": self._number,
                "at": moment(now),
                "tree_size": self._tree.size,
                "root": root.hex(),
                "counts": dict(self._counts),
                "reason": reason,
                "key": self._key.key_id,
            }
        )
        checkpoint = Checkpoint(
            number=self._number,
            at=now,
            tree_size=self._tree.size,
            root=root,
            frontier=self._tree.packed(),
            body=body.decode(),
            signature=self._key.sign(body),
        )
        checkpoint.save(force_insert=True)
        return checkpoint


def _tree_of(before: Checkpoint, key: keys.AuditKey) -> Frontier:
    """The tree that a checkpoint ended with. Raises Tampered when the row is not what was signed, or the events are not
    those that it was signed over: those since the checkpoint before it are read again, because that is where somebody
    would put other ones."""
    try:
        said = claims(before)
        tree = Frontier(said["tree_size"], bytes(before.frontier))
        ledger = str(_head().ledger)
        fits = (said["root"], said["number"], said["ledger"]) == (tree.root().hex(), before.number, ledger)
        fits = fits and (before.tree_size, bytes(before.root)) == (tree.size, tree.root())
        public = _key_of(before, key)
        fits = fits and said["key"] == keys.id_of(public)
        fits = fits and keys.has_signed(public, before.body.encode(), bytes(before.signature))
    except (*NO_VALUES, LookupError) as error:
        if not is_of_a_row(error):
            raise
        fits = False
    if not fits:
        raise Tampered(before.tree_size, "it was changed", what=f"checkpoint {before.number}")
    if not _stands_over_its_events(before):
        why = "the events under it are not those that it was made over"
        raise Tampered(before.tree_size, why, what=f"checkpoint {before.number}")
    return tree


def _stands_over_its_events(checkpoint: Checkpoint) -> bool:
    """Whether the events since the checkpoint before lead to its root."""
    before = _readable.each(Checkpoint.objects.filter(number=checkpoint.number - 1).order_by("number"), 1)
    earlier = _readable.checkpoint(next(before, None))
    if earlier is None and checkpoint.number > 1:
        return False
    try:
        tree = Frontier(earlier.tree_size, bytes(earlier.frontier)) if earlier else Frontier()
    except ValueError:
        return False
    for _kind, leaf in _as_they_are(tree.size, checkpoint.tree_size):
        tree.append(leaf)
    return tree.root() == bytes(checkpoint.root)


def _key_of(checkpoint: Checkpoint, present: keys.AuditKey) -> bytes:
    """Whose signature a checkpoint stands under: the present key's, or that of one which handed over to it."""
    return succession(str(_head().ledger), present.public, _readable.replacements()).key_for(checkpoint.number)


def tell_of_the_clock(before: Checkpoint | None) -> datetime:
    """A checkpoint that is earlier than the one before it holds an event that says why. Returns the time. Raises as
    `record` does."""
    now = timezone.now()
    if before and now < before.at - CLOCK_MAY_GO_BACK:
        with transaction.atomic():
            told = Event.objects.filter(kind=CLOCK_WENT_BACK, seq__gt=before.tree_size)
            if not told.exists():
                record(CLOCK_WENT_BACK, actor="system", payload={"from": moment(before.at), "to": moment(now)})
    return now


def _as_they_are(after: int, until: int) -> Iterator[tuple[str | None, bytes]]:
    """Kind and hash of the events from the one behind `after` to `until`; one that is missing has none."""
    following, seen = after + 1, after
    while following <= until and seen < following:
        seen = following  # where nothing but rows without a number are left, it ends
        page = Event.objects.filter(seq__range=(following, until)).order_by("seq")
        for seq, event, leaf in _readable.events(page, _EVENTS_AT_ONCE):
            if type(seq) is not int:
                continue
            yield from [(None, _NOTHING)] * (seq - following)
            there = _rows.as_bytes(leaf)
            yield (event.kind if event else None), (there if len(there) == HASH_BYTES else _NOTHING)
            following = seq + 1
    yield from [(None, _NOTHING)] * (until + 1 - following)


def _after(seq: int) -> Iterator[Event]:
    """The events that follow, some at a time: nothing is held open meanwhile. Raises Tampered for a row that cannot be
    read, behind those before it."""
    while True:
        rest = _written.with_text(Event.objects.filter(seq__gt=seq).order_by("seq"))[:_EVENTS_AT_ONCE]
        try:
            page = list(rest)
        except NO_VALUES as error:
            if not is_of_a_row(error):
                raise
            yield from _one_by_one(list(rest.values_list("seq", flat=True)))
            return
        if not page:
            return
        yield from page
        seq = page[-1].seq


def _one_by_one(seqs: list[int]) -> Iterator[Event]:
    for seq in seqs:
        try:
            event = _written.with_text(Event.objects.all()).get(seq=seq)
        except NO_VALUES as error:
            if not is_of_a_row(error):
                raise
            raise Tampered(seq, "its row cannot be read") from error
        yield event
