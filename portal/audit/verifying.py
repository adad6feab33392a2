"""Whether the audit trail is what was recorded: every event, mark, checkpoint and name, and where it is not.

Read in the order of events, some at a time; memory stays flat. The key that is trusted is the one in the key's file, or
one that whoever asks brings along.
"""

import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.db import transaction
from django.db.models import QuerySet

from portal.audit import _rows, keys, pushing
from portal.audit._findings import Finding
from portal.audit._pushed import Pushed
from portal.audit._readable import NO_VALUES, is_of_a_row
from portal.audit._succession import REPLACED, Succession, succession
from portal.audit._walk import Walk
from portal.audit.models import Actor, Checkpoint, Event, Head
from portal.audit.services import NOBODY, commitment, record

KIND = "audit.verified"
_MOST_FINDINGS = 1000
_AT_ONCE = 2000

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
    """The newest verification that was recorded."""

    at: datetime
    seq: int
    events: int
    findings: int
    breaks: int
    first_finding: str


@dataclass(frozen=True, slots=True)
class Break:
    """A key that was lost and replaced without its signature, by event `seq`. Nobody vouches for events from `first`
    to `last`; there are none where `last` is smaller."""

    at: datetime
    seq: int
    first: int
    last: int


def verify(
    *, public_key: bytes | None = None, pushed: Iterable[Pushed] = (), on_progress: Progress | None = None
) -> Outcome:
    """Look at the whole ledger as it is now; what is recorded meanwhile is left to the next time.

    `public_key` is trusted in the place of the key file's, `pushed` are checkpoints that lay elsewhere. Changes
    nothing. Raises keys.NoAuditKey when there is neither a key nor a `public_key`.
    """
    began = time.monotonic()
    found = _Findings()
    key = _key(public_key, found)
    last_checkpoint = Checkpoint.objects.values_list("number", flat=True).first() or 0
    head = Head.objects.filter(pk=1).first() or Head(last_seq=0)  # after it: a checkpoint is over what is there
    trusted = key.public if key else bytes.fromhex(head.public_key)
    history = succession(str(head.ledger), trusted, _replacements(head.last_seq))
    found.add(*history.findings)
    if public_key:
        found.add(*history.vouches(public_key))
    if head.public_key not in ("", trusted.hex()):
        found.add(Finding("key.other", "the ledger goes on with another key than the one in the audit key's file"))
    elsewhere = _Elsewhere(str(head.ledger), history, pushed, found)
    walk = Walk(str(head.ledger), history, key, found.add)
    for checkpoint in _checkpoints(last_checkpoint):
        elsewhere.compare(checkpoint)
        if (size := walk.expects(checkpoint)) is not None:
            _read_events(walk, size, head.last_seq, on_progress)
            walk.reach(checkpoint)
    _read_events(walk, None, head.last_seq, on_progress)
    walk.end(head)
    _check_head(key, found)
    _check_sent(found)
    elsewhere.end(last_checkpoint, head.last_seq)
    _check_names(walk, head.last_seq, found)
    return Outcome(
        events=walk.events,
        checkpoints=walk.checkpoints,
        findings=tuple(found.kept),
        more=found.more,
        breaks=history.breaks,
        root=walk.root().hex(),
        key_id=keys.id_of(public_key or trusted),
        marks_read=key is not None,
        seconds=time.monotonic() - began,
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
    return _told(Event.objects.filter(kind=KIND).order_by("-seq").first())


def last_found() -> Last | None:
    """The newest verification that found something. What it found does not heal by itself: where the next one finds
    nothing, somebody put it right, the true key came back, or what the trail was compared with was wrong."""
    return _told(Event.objects.filter(kind=KIND, payload__findings__gt=0).order_by("-seq").first())


def breaks() -> list[Break]:
    """Where the audit key was lost, oldest first, as far as the key that the ledger goes on with vouches for it."""
    head = Head.objects.filter(pk=1).exclude(public_key="").first()
    if head is None:
        return []
    replaced = _replacements(head.last_seq)
    seqs = [one.last or 0 for one in succession(str(head.ledger), bytes.fromhex(head.public_key), replaced).breaks]
    events = Event.objects.filter(seq__in=seqs).order_by("seq")
    return [Break(one.at, one.seq, *map(int, one.payload["unvouched"])) for one in events]


def _told(event: Event | None) -> Last | None:
    if event is None:
        return None
    said = event.payload
    first = next(iter(said.get("first_findings", [])), "")
    return Last(event.at, event.seq, said["events"], said["findings"], said["breaks"], first)


class _Findings:
    """What was found so far; a ledger that is wrong everywhere does not fill the memory."""

    def __init__(self) -> None:
        self.kept: list[Finding] = []
        self.more = 0

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

    def compare(self, checkpoint: Checkpoint) -> None:
        """The ledger's own checkpoint with this number."""
        expected = self._expected.pop(checkpoint.number, None)
        here = Pushed("", 0, 0, "", checkpoint.body.encode("utf-8", errors="replace"), b"").digest
        if expected and expected[0] != here:
            self._add("pushed.differs", "another checkpoint with this number was sent elsewhere", checkpoint.number)

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


def _replacements(last_seq: int) -> list[tuple[int, dict[str, Any]]]:
    events = Event.objects.filter(kind=REPLACED, seq__lte=last_seq).order_by("seq")
    return list(events.values_list("seq", "payload"))


def _checkpoints(last: int) -> Iterator[Checkpoint]:
    after: int | None = None
    while True:
        page = Checkpoint.objects.filter(number__lte=last).order_by("number")
        rows = list((page if after is None else page.filter(number__gt=after))[:_AT_ONCE])
        yield from rows
        if len(rows) < _AT_ONCE:
            return
        after = rows[-1].number


def _read_events(walk: Walk, size: int | None, last_seq: int, on_progress: Progress | None) -> None:
    """Have the walk see the events up to `size` (None: all that there are)."""
    until = last_seq if size is None else min(size, last_seq)
    while walk.wants(until):
        page = Event.objects.filter(seq__lte=until).order_by("seq")
        if walk.seen_to is not None:
            page = page.filter(seq__gt=walk.seen_to)
        rows = _readable(page[:_AT_ONCE])
        for seq, event in rows:
            walk.see(seq, event)
        if on_progress:
            on_progress(walk.events, last_seq)
        if len(rows) < _AT_ONCE:
            walk.close(until)
            return


def _readable(page: QuerySet[Event]) -> list[tuple[int, Event | None]]:
    """The rows; None for one whose values are none of their kind, as who edits the file of a database may leave it."""
    try:
        return [(event.seq, _whole(event)) for event in page]
    except NO_VALUES as error:
        if not is_of_a_row(error):
            raise
        return [(seq, _alone(seq)) for seq in page.values_list("seq", flat=True)]


def _alone(seq: int) -> Event | None:
    try:
        return _whole(Event.objects.get(seq=seq))
    except NO_VALUES as error:
        if not is_of_a_row(error):
            raise
        return None


def _whole(event: Event) -> Event | None:
    hashes = isinstance(event.leaf, bytes | memoryview) and isinstance(event.mac, bytes | memoryview)
    return event if hashes and isinstance(event.at, datetime) and isinstance(event.kind, str) else None


def _check_head(key: keys.AuditKey | None, found: _Findings) -> None:
    """The head's number is the last event's, and its mark says so. Read in this order, so that what is recorded
    meanwhile is no finding."""
    newest = Event.objects.order_by("-seq").values_list("seq", flat=True).first() or 0
    head = Head.objects.filter(pk=1).first() or Head(last_seq=0)
    if newest > head.last_seq:
        message = f"the audit trail ends with event {head.last_seq} by its own count"
        found.add(Finding("head", message, head.last_seq + 1, newest))
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
    for gone in pushing.gone():
        message = f"{gone.place} was sent further than the audit trail goes, or another one: its end was cut off"
        if gone.what == pushing.EVENTS:
            found.add(Finding("tail.cut", message, gone.newest + 1, gone.last))
        else:
            found.add(Finding("tail.cut", message, checkpoint=gone.newest + 1))


def _check_names(walk: Walk, last_seq: int, found: _Findings) -> None:
    """Every code stands for whom it was given to, or for somebody who was erased with a record of it."""
    later = Event.objects.filter(seq__gt=last_seq, kind__in=["person.named", "person.erased"])
    there = set()
    for actor in Actor.objects.order_by("code").iterator(chunk_size=_AT_ONCE):
        there.add(actor.code)
        if (said := _wrong_with(actor, walk)) and not later.filter(subject=actor.code).exists():
            seq = walk.named.get(actor.code, (None, ""))[0]
            found.add(Finding("name", f"{actor.code}: {said}", seq, seq))
    for code, seq in sorted(walk.codes.items()):
        if code not in there:
            found.add(Finding("name", f"{code}: the code is not in the list of names", seq, seq))
        elif code not in NOBODY and code not in walk.named:
            found.add(Finding("name", f"{code}: no event gave it to anybody", seq, seq))


def _wrong_with(actor: Actor, walk: Walk) -> str:
    if actor.code in NOBODY:
        return "" if actor.name == actor.code else "it stands for itself alone"
    if actor.code not in walk.named:
        return "no event gave it to anybody"
    if actor.name is None and actor.salt is None:
        return "" if actor.code in walk.erased else "the name was erased without a record"
    if actor.name is None or actor.salt is None:
        return "name and salt are erased together or not at all"
    if commitment(bytes(actor.salt), actor.name) != walk.named[actor.code][1]:
        return "it was given to somebody else than the name that stands there"
    return "the name was erased, and is there again" if actor.code in walk.erased else ""
