"""Whether the audit trail is what was recorded: every event, mark, checkpoint and name, and where it is not.

Read in the order of events, some at a time; memory stays flat. The key that is trusted is the one in the key's file, or
one that whoever asks brings along.
"""

import math
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from django.db import transaction
from django.db.models import Q, QuerySet

from portal.audit import _names, _readable, _rows, _written, keys, pushing, stored, traits
from portal.audit._findings import Finding
from portal.audit._pushed import Pushed
from portal.audit._readable import MOST_SEQ, NO_VALUES, is_of_a_row
from portal.audit._succession import Succession, succession
from portal.audit._walk import Walk
from portal.audit.models import Checkpoint, Event, Head
from portal.audit.services import record

KIND = "audit.verified"
_MOST_FINDINGS = 1000
_AT_ONCE = 2000
_MOST_TOLD = 20  # rows that say that something was found; newest first

Progress = Callable[[int, int], None]


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a verification saw: how many events and checkpoints, what is wrong (at most 1,000 findings, `more` beyond
    them), and `breaks`: what is no falsification but nobody's word either. `key_id` is the trusted key's; `marks_read`
    False when the secret key was not there to check the marks with."""

    events: int
    checkpoints: int
    findings: tuple[Finding, ...]
    more: int
    breaks: tuple[Finding, ...]
    root: str
    key_id: str
    marks_read: bool
    seconds: float

    @property
    def is_sound(self) -> bool:
        """Whether nothing was found."""
        return not self.findings


@dataclass(frozen=True, slots=True)
class Last:
    """A verification that was recorded. With a `problem` its record is not what was recorded, and says nothing; `at` is
    None where its time is none."""

    at: datetime | None
    seq: int
    events: int = 0
    findings: int = 0
    breaks: int = 0
    first_findings: tuple[str, ...] = ()
    problem: str = ""

    @property
    def first_finding(self) -> str:
        """The first that it found, or nothing."""
        return next(iter(self.first_findings), "")


@dataclass(frozen=True, slots=True)
class Break:
    """A key that was lost and replaced without its signature, by event `seq`. Nobody vouches for events from `first`
    to `last`; there are none where `last` is smaller."""

    at: datetime | None
    seq: int
    first: int
    last: int


def verify(
    *, public_key: bytes | None = None, pushed: Iterable[Pushed] = (), on_progress: Progress | None = None
) -> Outcome:
    """Look at the whole ledger as it is now; what is recorded meanwhile is left to the next time.

    `public_key` is trusted in the place of the key file's, `pushed` are checkpoints that lay elsewhere. Changes
    nothing. Where a value that nobody thought of ends it, that is a finding beside those before it. Raises
    keys.NoAuditKey when there is neither a key nor a `public_key`.
    """
    began = time.monotonic()
    found = _Findings()
    key = _key(public_key, found)
    try:
        outcome = _look(key, public_key, pushed, on_progress, found)
        return replace(outcome, seconds=time.monotonic() - began)
    except (*NO_VALUES, LookupError) as error:
        if not is_of_a_row(error):
            raise
        message = f"the verification broke off, and what it did not reach is not known ({type(error).__name__})"
        found.first(Finding("verification", message))
        key_id = keys.id_of(public_key) if public_key else key.key_id if key else ""
        return Outcome(0, 0, tuple(found.kept), found.more, (), "", key_id, key is not None, time.monotonic() - began)


def _look(
    key: keys.AuditKey | None,
    public_key: bytes | None,
    pushed: Iterable[Pushed],
    on_progress: Progress | None,
    found: "_Findings",
) -> Outcome:
    last_checkpoint = Checkpoint.objects.filter(number__lte=MOST_SEQ).values_list("number", flat=True).first() or 0
    head = _readable.head() or Head(last_seq=0)  # after it: a checkpoint is over what is there
    trusted = key.public if key else _readable.public_key_of(head)
    history = succession(str(head.ledger), trusted, _readable.replacements(head.last_seq))
    found.add(*history.findings)
    if public_key:
        found.add(*history.vouches(public_key))
    if head.public_key not in ("", trusted.hex()):
        found.add(Finding("key.other", "the ledger goes on with another key than the one in the audit key's file"))
    elsewhere = _Elsewhere(str(head.ledger), history, pushed, found)
    walk = Walk(str(head.ledger), history, key, found.add)
    for number, checkpoint in _checkpoints(last_checkpoint):
        elsewhere.compare(number, checkpoint)
        if checkpoint is None:
            walk.cannot_read(number)
        elif (size := walk.expects(checkpoint)) is not None:
            _read_events(walk, size, head.last_seq, on_progress)
            walk.reach(checkpoint)
    _read_events(walk, None, head.last_seq, on_progress)
    walk.end(head)
    _check_head(key, found)
    _check_sent(found)
    elsewhere.end(last_checkpoint, head.last_seq)
    found.add(*_names.check(walk, head.last_seq))
    return Outcome(
        events=walk.events,
        checkpoints=walk.checkpoints,
        findings=tuple(found.kept),
        more=found.more,
        breaks=history.breaks,
        root=walk.root().hex(),
        key_id=keys.id_of(public_key or trusted),
        marks_read=key is not None,
        seconds=0.0,
    )


def keep(outcome: Outcome, *, actor: str, actor_role: str = "") -> None:
    """Record what a verification found, as the last one. Raises as `record` does."""
    payload = {
        "events": outcome.events,
        "checkpoints": outcome.checkpoints,
        "findings": len(outcome.findings) + outcome.more,
        "breaks": len(outcome.breaks),
        "first_findings": [str(one) for one in outcome.findings[:5]],
        "root": outcome.root,
        "key": outcome.key_id,
        "seconds": round(outcome.seconds, 3),
    }
    with transaction.atomic():
        record(KIND, actor=actor, actor_role=actor_role, payload=payload)


def last() -> Last | None:
    """The newest verification, or None: there was none."""
    return next(_recorded(_kept()[:1]), None)


def last_found() -> Last | None:
    """The newest verification that found something. What it found does not heal by itself: where the next one finds
    nothing, somebody put it right, the true key came back, or what the trail was compared with was wrong."""
    found = _kept().filter(traits.readable(Q(payload__findings__gt=0)))
    return next((one for one in _recorded(found[:_MOST_TOLD]) if one.findings), None)


def breaks() -> list[Break]:
    """Where the audit key was lost, oldest first, as far as the key that the ledger goes on with vouches for it."""
    head = _readable.head()
    if head is None or not (public := _readable.public_key_of(head)):
        return []
    replaced = _readable.replacements(head.last_seq)
    lost = [one.last or 0 for one in succession(str(head.ledger), public, replaced).breaks]
    rows = stored.rows(lost, stored.Marks()) if lost else []
    return [Break(one.at, one.seq, *_unvouched(one.payload)) for one in rows]


def _unvouched(said: Mapping[str, Any]) -> tuple[int, int]:
    """The first and the last event that nobody vouches for; none where the row is not what was recorded any more."""
    first, last = said.get("unvouched", (1, 0))
    return int(first), int(last)


def _kept() -> QuerySet[Event, int]:
    return Event.objects.filter(kind=KIND, seq__lte=MOST_SEQ).order_by("-seq").values_list("seq", flat=True)


def _recorded(seqs: Iterable[int]) -> Iterator[Last]:
    """What was recorded under these numbers, newest first."""
    numbers = sorted(one for one in seqs if type(one) is int)
    for row in reversed(stored.rows(numbers, stored.Marks()) if numbers else []):
        said = row.payload
        events, findings, breaks = (said.get(name) for name in ("events", "findings", "breaks"))
        if row.problem or not (type(events) is type(findings) is type(breaks) is int):
            yield Last(row.at, row.seq, problem=row.problem or stored.CHANGED)
        else:
            first = tuple(map(str, said.get("first_findings") or ()))
            yield Last(row.at, row.seq, events, findings, breaks, first)


class _Findings:
    """What was found so far; a ledger that is wrong everywhere does not fill the memory."""

    def __init__(self) -> None:
        self.kept: list[Finding] = []
        self.more = 0

    def first(self, one: Finding) -> None:
        """Add one before the others."""
        self.kept.insert(0, one)

    def add(self, *found: Finding) -> None:
        room = _MOST_FINDINGS - len(self.kept)
        self.kept += found[:room]
        self.more += max(0, len(found) - room)


class _Elsewhere:
    """The checkpoints that lay elsewhere, against those of the ledger. Kept as hashes, 100 bytes each."""

    def __init__(self, ledger: str, history: Succession, pushed: Iterable[Pushed], found: _Findings) -> None:
        self._found = found
        self._expected: dict[int, tuple[bytes, int]] = {}
        for one in pushed:
            if one.ledger != ledger:
                self._add("pushed.ledger", f"{one.where} is a checkpoint of another audit trail", one.number)
            elif not any(keys.has_signed(era.public, one.body, one.signature) for era in history.eras):
                self._add("pushed.signature", f"{one.where} is signed by no key of this audit trail", one.number)
            elif self._expected.get(one.number, (one.digest,))[0] != one.digest:
                self._add("pushed.twice", f"{one.where} is another checkpoint with the same number", one.number)
            else:
                self._expected[one.number] = (one.digest, one.tree_size)

    def _add(self, what: str, message: str, number: int) -> None:
        self._found.add(Finding(what, message, checkpoint=number))

    def compare(self, number: int, checkpoint: Checkpoint | None) -> None:
        """The ledger's own checkpoint with this number; None: its row cannot be read."""
        expected = self._expected.pop(number, None)
        body = checkpoint.body.encode("utf-8", errors="replace") if checkpoint else b""
        if expected and expected[0] != Pushed("", 0, 0, "", body, b"").digest:
            self._add("pushed.differs", "another checkpoint with this number was sent elsewhere", number)

    def end(self, last_checkpoint: int, last_seq: int) -> None:
        """What was sent elsewhere and is not here."""
        gone = sorted(self._expected)
        beyond = [number for number in gone if number > last_checkpoint]
        for number in gone[: len(gone) - len(beyond)]:
            self._add("pushed.missing", "it was sent elsewhere and is not here", number)
        if beyond:
            size = max(self._expected[number][1] for number in beyond)
            numbers = f"checkpoints {beyond[0]} to {beyond[-1]} were sent elsewhere and are not here"
            if size > last_seq:
                message = f"the end of the audit trail was cut off: {numbers}"
                self._found.add(Finding("tail.cut", message, last_seq + 1, size, beyond[0]))
            else:
                self._add("checkpoint.missing", numbers, beyond[0])


def _key(public_key: bytes | None, found: _Findings) -> keys.AuditKey | None:
    try:
        return keys.current()
    except keys.NoAuditKey as error:
        if public_key is None:
            raise
        found.add(Finding("key.missing", f"{error} The marks of events cannot be checked."))
        return None


def _checkpoints(last: int) -> Iterator[tuple[int, Checkpoint | None]]:
    """Number and row of each; None for one with values that are none of their kind."""
    after: int | None = None
    while True:
        page = Checkpoint.objects.filter(number__lte=last).order_by("number")
        page = page if after is None else page.filter(number__gt=after)
        numbers = list(page.values_list("number", flat=True)[:_AT_ONCE])
        rows = map(_readable.checkpoint, _readable.each(page, len(numbers)) if numbers else [])
        yield from zip(numbers, rows, strict=True)
        if len(numbers) < _AT_ONCE:
            return
        after = numbers[-1]


def _read_events(walk: Walk, size: int | None, last_seq: int, on_progress: Progress | None) -> None:
    """Have the walk see the events up to `size` (None: all that there are)."""
    until = last_seq if size is None else size
    while walk.wants(until):
        page = _written.with_text(Event.objects.filter(seq__lte=until).order_by("seq"))
        if walk.seen_to is not None:
            page = page.filter(seq__gt=walk.seen_to)
        rows = _readable.events(page, _AT_ONCE)
        for seq, event, leaf in rows:
            walk.see(seq, event, leaf)
        if on_progress:
            on_progress(walk.events, last_seq)
        if len(rows) < _AT_ONCE:
            walk.close(until)
            return


def _check_head(key: keys.AuditKey | None, found: _Findings) -> None:
    """The head's number and time are the last event's, and its mark says so. Read in this order, so that what is
    recorded meanwhile is no finding."""
    newest = Event.objects.filter(seq__lte=MOST_SEQ).order_by("-seq").values_list("seq", flat=True).first() or 0
    head = _readable.head() or Head(last_seq=0)
    if newest > head.last_seq:
        message = f"the audit trail ends with event {head.last_seq} by its own count"
        found.add(Finding("head", message, head.last_seq + 1, math.ceil(newest)))
    if Event.objects.exclude(seq__lte=MOST_SEQ).exists():
        found.add(Finding("event.number", "there are rows with numbers that no event has"))
    if head.last_seq and head.last_at is None:
        found.add(Finding("head", "the audit trail does not know when it was written last"))
    leaf = Event.objects.filter(seq=head.last_seq).values_list("leaf", flat=True).first()
    is_its_key = key and head.public_key in ("", key.public.hex())
    cut = head.mark is not None if not head.last_seq else False
    if key and is_its_key and leaf is not None:
        cut = not key.has_marked_last(_rows.as_bytes(leaf), head.mark)
    if cut:
        message = "what followed was cut off: the event before this was not the last one"
        found.add(Finding("tail.cut", message, head.last_seq + 1, head.last_seq + 1))


def _check_sent(found: _Findings) -> None:
    """What was sent elsewhere last is still here."""
    try:
        told = pushing.gone()
    except NO_VALUES as error:
        if not is_of_a_row(error):
            raise
        found.add(Finding("sent", "what is known of what was sent elsewhere cannot be read"))
        return
    for gone in told:
        message = f"{gone.place} was sent further than the audit trail goes, or another one: its end was cut off"
        if gone.what == pushing.EVENTS:
            found.add(Finding("tail.cut", message, gone.newest + 1, gone.last))
        else:
            found.add(Finding("tail.cut", message, checkpoint=gone.newest + 1))
