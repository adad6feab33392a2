"""A walk through the ledger: events one after another, and at each checkpoint what it says of those before it.

Where something is wrong the walk goes on: from the next checkpoint whose signature is good, with the subtrees that it
kept, so that damage is found where it is and nowhere else.
"""

import json
from collections import Counter
from collections.abc import Callable
from datetime import datetime
from typing import Any

from portal.audit import _written, keys
from portal.audit._canonical import canonical, moment
from portal.audit._findings import Finding
from portal.audit._merkle import HASH_BYTES, Frontier
from portal.audit._rows import as_bytes
from portal.audit._succession import Succession
from portal.audit.models import Checkpoint, Event, Head
from portal.audit.services import CLOCK_MAY_GO_BACK, CLOCK_WENT_BACK, TAIL_MISSING, leaf_of

_NO_LEAF = b"\x00" * HASH_BYTES


class Walk:
    """Sees events and checkpoints in order and tells `tell` what is wrong."""

    def __init__(
        self, ledger: str, history: Succession, key: keys.AuditKey | None, tell: Callable[[Finding], None]
    ) -> None:
        self._ledger, self._history, self._key, self._tell = ledger, history, key, tell
        self._tree = Frontier()
        self._trust = True  # the tree is the one over what was recorded
        self._damaged = False  # something was found since the last good checkpoint
        self._counts: Counter[str] = Counter()
        self._last_at: datetime | None = None
        self._clock_went_back = False  # since the last checkpoint
        self._counts_known = True  # no checkpoint since the last good one is missing
        self._good: tuple[int, datetime] | None = None  # size and time of the last good checkpoint
        self._said: dict[str, Any] = {}
        self._next_number = 1
        self.seen_to: int | None = None  # number of the last row that was read
        self._next = 1
        self.events = self.checkpoints = 0
        self.named: dict[str, tuple[int, str]] = {}  # code: event, commitment
        self.erased: set[str] = set()
        self.codes: dict[str, int] = {}  # code: its first event
        self._ends: list[int] = []  # first and last event that say that the end was cut off, and how many do

    def root(self) -> bytes:
        """The root over what was seen."""
        return self._tree.root()

    # --- events ---

    def wants(self, until: int) -> bool:
        """Whether events up to this number are still to be seen."""
        return self._next <= until or self.seen_to is None

    def see(self, seq: int, event: Event | None, leaf: object) -> None:
        """The next row, and the hash in it; None: it is one that no database would have written."""
        self.seen_to = seq
        self.events += 1
        if type(seq) is not int or seq < self._next:
            self._found("event.number", "it has a number that no event has", seq, seq)
            return
        self._skip_to(seq)
        self._next = seq + 1
        if event is None:
            self._found("event.changed", "its row cannot be read", seq, seq)
        else:
            self._check(event)
        there = as_bytes(leaf)
        self._tree.append(there if len(there) == HASH_BYTES else _NO_LEAF)
        if event is None:
            return
        self._counts[event.kind] += 1
        self._remember(event)

    def close(self, until: int) -> None:
        """There are no more rows up to this number."""
        self._skip_to(until + 1)

    def _skip_to(self, seq: int) -> None:
        """Rows are missing before this one."""
        if seq > self._next:
            self._found("event.missing", "missing", self._next, seq - 1)
            self._trust = False
            self._next = seq

    def _check(self, event: Event) -> None:
        try:
            leaf = leaf_of(event) if _written.is_as_written(event) else b""
        except (ValueError, TypeError, AttributeError, OverflowError, RecursionError):
            leaf = b""
        if leaf != bytes(event.leaf):
            self._found("event.changed", "it was changed after it was recorded", event.seq, event.seq)
        elif event.seq > self._history.marked_after and self._key and not self._key.has_marked(leaf, bytes(event.mac)):
            self._found("event.forged", "it was not recorded by this installation", event.seq, event.seq)
        elif self._last_at and self._last_at - event.at > CLOCK_MAY_GO_BACK and event.kind != CLOCK_WENT_BACK:
            self._found("event.time", "it is older than the one before it", event.seq, event.seq)
        self._last_at = event.at

    def _remember(self, event: Event) -> None:
        self.codes.setdefault(event.actor_id, event.seq)
        if event.kind == "person.named":
            if event.subject in self.named:
                self._found("name", f"{event.subject} was given to two people", event.seq, event.seq)
            said = event.payload.get("commitment", "") if isinstance(event.payload, dict) else ""
            self.named.setdefault(event.subject, (event.seq, said))
        elif event.kind == "person.erased":
            self.erased.add(event.subject)
        elif event.kind == CLOCK_WENT_BACK:
            self._clock_went_back = True
        elif event.kind == TAIL_MISSING:
            first, _, count = self._ends or (event.seq, 0, 0)
            self._ends = [first, event.seq, count + 1]

    # --- checkpoints ---

    def cannot_read(self, number: int) -> None:
        """The next checkpoint: its row has values that no database would have written."""
        self._count(number)
        self._tell(Finding("checkpoint.changed", "its row cannot be read", checkpoint=number))
        self._counts_known = False

    def expects(self, checkpoint: Checkpoint) -> int | None:
        """How many events this checkpoint is over, by its signature; None: it is not to be trusted, which was told."""
        self._count(checkpoint.number)
        said = self._signed(checkpoint)
        if said is None:
            self._counts_known = False
            return None
        self._said = said
        return int(said["tree_size"])

    def _count(self, number: int) -> None:
        """Checkpoints follow one another."""
        self.checkpoints += 1
        if number != self._next_number:
            first, last = self._next_number, number - 1
            gone = f"checkpoints {first} to {last} are missing" if last > first else "it is missing"
            if number < first:
                gone = "it has a number that no checkpoint has"
            self._tell(Finding("checkpoint.missing", gone, checkpoint=min(first, number)))
            self._counts_known = False
        self._next_number = max(self._next_number, number + 1)

    def _signed(self, checkpoint: Checkpoint) -> dict[str, Any] | None:
        """What was signed, when it was, and by the key of its time; the columns beside it say the same."""
        number, body = checkpoint.number, checkpoint.body.encode("utf-8", errors="replace")
        public = self._history.key_for(number)
        if not keys.has_signed(public, body, bytes(checkpoint.signature)):
            self._tell(Finding("checkpoint.signature", "it is not signed by the audit key", checkpoint=number))
            return None
        said: dict[str, Any] = json.loads(body)
        wrong = ""
        if said["ledger"] != self._ledger:
            wrong = "it is another audit trail's"
        elif said["number"] != number or said["key"] != keys.id_of(public) or canonical(said) != body:
            wrong = "it was signed as another one"
        elif self._good and said["tree_size"] < self._good[0]:
            wrong = "it is over fewer events than the one before it"
        if wrong:
            self._tell(Finding("checkpoint.changed", wrong, checkpoint=number))
            return None
        columns = (checkpoint.tree_size, bytes(checkpoint.root).hex(), moment(checkpoint.at))
        if columns != (said["tree_size"], said["root"], said["at"]):
            self._tell(Finding("checkpoint.changed", "its row is not what was signed", checkpoint=number))
        return said

    def reach(self, checkpoint: Checkpoint) -> None:
        """All events that a good checkpoint is over were seen."""
        said, number = self._said, checkpoint.number
        first = self._good[0] + 1 if self._good else 1
        at = datetime.fromisoformat(said["at"])
        kept = self._kept(checkpoint)
        if self._root_tells(first) and (not self._trust or self._tree.root().hex() != said["root"]):
            size = said["tree_size"]
            message = "these are not the events that were recorded: their root is not the one that was signed"
            if self._damaged:
                message = "beside what is wrong here others may have been changed: the root is not the signed one"
            self._tell(Finding("root", message, first, max(first, size), number))
        elif not self._damaged and self._counts_known and dict(self._counts) != said["counts"]:
            self._tell(Finding("checkpoint.counts", "it counts other events than there are", checkpoint=number))
        if self._good and at < self._good[1] - CLOCK_MAY_GO_BACK and not self._clock_went_back:
            self._tell(Finding("checkpoint.time", "it is older than the one before it", checkpoint=number))
        if kept is not None:
            self._tree, self._trust = kept, True
            self._next = max(self._next, kept.size + 1)
        self._good = (said["tree_size"], at)
        self._counts, self._damaged, self._clock_went_back, self._counts_known = Counter(), False, False, True

    def _root_tells(self, first: int) -> bool:
        """Whether the root of the events from `first` on says something that is not known yet: a row that was changed
        keeps its hash, so that others show beside it; those that bear the present key's mark show by themselves."""
        return not self._damaged or self._key is None or first <= self._history.marked_after

    def _kept(self, checkpoint: Checkpoint) -> Frontier | None:
        """The tree that the checkpoint kept, when it is the one that was signed."""
        try:
            kept = Frontier(self._said["tree_size"], bytes(checkpoint.frontier))
        except ValueError:
            kept = None
        if kept is None or kept.root().hex() != self._said["root"]:
            message = "the subtrees that it keeps are not those of its root"
            self._tell(Finding("checkpoint.changed", message, checkpoint=checkpoint.number))
            return None
        return kept

    def end(self, head: Head) -> None:
        """Everything was seen."""
        if self._good and self._good[0] > head.last_seq:
            message = "checkpoints are over more events than the audit trail counts"
            self._found("head", message, head.last_seq + 1, self._good[0])
        if self._ends:  # one finding, behind the others: they are told with each verification, and hide no new one
            first, last, count = self._ends
            message = "when this was recorded, the end of the audit trail was found cut off or changed"
            if count > 1:
                message = f"{count} of these say that the end of the audit trail was found cut off or changed"
            self._tell(Finding("tail.missing", message, first, last))

    def _found(self, what: str, message: str, first: int, last: int) -> None:
        self._damaged = True
        self._tell(Finding(what, message, first, last))
