"""Whether single events are what was recorded: each against its own hash and mark, and against the signed checkpoint
that covers it. The whole ledger is `verifying`'s."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from portal.audit import keys, sealing, stored
from portal.audit._merkle import Frontier
from portal.audit._succession import Succession
from portal.audit.models import Checkpoint, Event
from portal.audit.stored import Row

_MOST_BETWEEN = 20_000  # events of one checkpoint that a page waits for: about a second
_NO_VALUES = (ValueError, TypeError, KeyError, AttributeError)


class Standing(StrEnum):
    """How an event stands: `PROVEN` by a signed checkpoint, which was computed a moment ago; `SEALED` under one that is
    over too many events for a page; `WAITING` for the next one; `WRONG`: it is not what was recorded."""

    PROVEN = "proven"
    SEALED = "sealed"
    WAITING = "waiting"
    WRONG = "wrong"


@dataclass(frozen=True, slots=True)
class Proof:
    """How one event stands, and the number and time of the checkpoint that covers it. `is_believed` is whether what it
    says is what was recorded, even where the checkpoint does not fit, because others under it were changed."""

    standing: Standing
    is_believed: bool = True
    checkpoint: int | None = None
    sealed_at: datetime | None = None


def proofs(rows: Iterable[Row]) -> dict[int, Proof]:
    """How these events stand, by their numbers. Reads a few rows for each checkpoint that covers some of them."""
    chosen = sorted(rows, key=lambda one: one.seq)
    marks = stored.Marks()
    found: dict[int, Proof] = {}
    covering: Checkpoint | None = None
    standing: Standing | None = None
    for event in chosen:
        if standing is None or (covering and covering.tree_size < event.seq):  # behind one that waits, all wait
            covering = _covering(event.seq)
            standing = _of_checkpoint(covering, marks.history) if covering else Standing.WAITING
        own = Standing.WRONG if event.problem else standing
        is_believed = not event.problem and (marks.judge(event.seq) or own is not Standing.WRONG)
        over = (covering.number, covering.at) if covering else ()
        found[event.seq] = Proof(own, is_believed, *over)
    return found


def damaged(first: int, last: int) -> list[int]:
    """The numbers in this range whose event is missing or is not what was recorded. Reads and computes each of them:
    for a few hundred."""
    numbers = range(first, last + 1)
    whole = {one.seq for one in stored.rows(numbers, stored.Marks()) if not one.problem}
    return [seq for seq in numbers if seq not in whole]


def _covering(seq: int) -> Checkpoint | None:
    """The first checkpoint over this event. Sizes never fall, so twenty looks find it among a million."""
    newest = Checkpoint.objects.order_by("-number").first()
    if newest is None or newest.tree_size < seq:
        return None
    low, high = 1, newest.number
    while low < high:
        middle = (low + high) // 2
        size = Checkpoint.objects.filter(number=middle).values_list("tree_size", flat=True).first()
        low, high = (low, middle) if size is not None and size >= seq else (middle + 1, high)
    return Checkpoint.objects.filter(number=low).first()


def _of_checkpoint(checkpoint: Checkpoint, history: Succession) -> Standing:
    """Whether the checkpoint is signed, and its root the one over the events that are there."""
    public, body = history.key_for(checkpoint.number), checkpoint.body.encode("utf-8", errors="replace")
    if not keys.has_signed(public, body, bytes(checkpoint.signature)):
        return Standing.WRONG
    try:
        said = sealing.claims(checkpoint)
        before = Checkpoint.objects.filter(number=checkpoint.number - 1).first()
        tree = Frontier(before.tree_size, bytes(before.frontier)) if before else Frontier()
        size, root = int(said["tree_size"]), str(said["root"])
        if (size, int(said["number"])) != (checkpoint.tree_size, checkpoint.number):
            return Standing.WRONG
    except _NO_VALUES:
        return Standing.WRONG
    if size - tree.size > _MOST_BETWEEN:
        return Standing.SEALED
    for leaf in _leaves(tree.size, size):
        tree.append(leaf)
    return Standing.PROVEN if tree.size == size and tree.root().hex() == root else Standing.WRONG


def _leaves(after: int, until: int) -> Sequence[bytes]:
    rows = Event.objects.filter(seq__gt=after, seq__lte=until).order_by("seq")
    return [bytes(leaf) for leaf in rows.values_list("leaf", flat=True)]
