"""Events as their rows are today, whatever somebody did to a row meanwhile: one that is not what was recorded is read
as well, as text, and says what is wrong with it. A ledger that was falsified is evidence, and must be readable."""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.db import connection
from django.db.models import Q

from portal.audit import _readable, _written, keys
from portal.audit._canonical import canonical, entry_of, moment
from portal.audit._merkle import HASH_BYTES, leaf_hash
from portal.audit._readable import NO_VALUES
from portal.audit._succession import Succession, succession
from portal.audit.models import Checkpoint, Event, Head

CHANGED = "it was changed after it was recorded"
FORGED = "it was not recorded by this installation"
UNREADABLE = "its row cannot be read"

_AT_ONCE = 1000
_LONGEST = 200_000  # characters of a value of such a row: nobody fills the memory with one
_TEXTS = ("at", "kind", "actor_id", "actor_role", "subject", "payload")
_HASHES = ("leaf", "mac")
_BYTES = frozenset({*_HASHES, "salt", "signature"})
_YEARS = range(1970, 9000)  # which every time zone and calendar can tell


@dataclass(frozen=True, slots=True)
class Row:
    """One row of the ledger. `line` is the canonical JSON of the event, whose hash behind a zero byte is `leaf`.

    With a `problem` it is not what was recorded: then `values` are those of the row as text, `line` is an object that
    holds them ("row"), the problem and the hash that stands there, `payload` is empty, because nothing that it says is
    believed, `leaf` is empty where it is no hash, and `at` is None where it is no time."""

    seq: int
    at: datetime | None
    kind: str
    actor_id: str
    actor_role: str
    subject: str
    payload: Mapping[str, Any]
    leaf: bytes
    line: bytes
    problem: str = ""
    values: Mapping[str, str | None] | None = None

    @property
    def when(self) -> str:
        """The time as events have it, or what stands in its place."""
        return moment(self.at) if self.at else (self.values or {}).get("at") or ""


class Marks:
    """What the marks of events are checked with: the present key, for the events since it took over. `history` is whose
    the ledger was when, as far as its events say."""

    def __init__(self) -> None:
        head = _readable.head() or Head(last_seq=0)
        self._key: keys.AuditKey | None = None
        try:
            self._key = keys.current()
        except keys.NoAuditKey:
            pass
        trusted = self._key.public if self._key else _readable.public_key_of(head)
        replaced = _readable.replacements()
        self.history: Succession = succession(str(head.ledger), trusted, replaced)
        self._after = self.history.marked_after
        if len(self.history.eras) > 1:  # by a number that whoever moved the row chose
            self._after = min(self._after, _first_sealed(self.history))
        elif self.history.findings:  # or another key was there before, and somebody changed how it handed over
            sealed = _first_sealed(self.history)
            self._after = max((seq for seq, _ in replaced if seq <= sealed), default=0)

    def judge(self, seq: int) -> bool:
        """Whether the event with this number has to bear the present key's mark, and the key is there to tell."""
        return self._key is not None and seq > self._after

    def fit(self, event: Event, leaf: bytes) -> bool:
        """Whether the event with this hash was recorded by whoever has the key, as far as that can be said."""
        if self._key is None or event.seq <= self._after:
            return True
        return self._key.has_marked(leaf, bytes(event.mac))


def _first_sealed(history: Succession) -> int:
    """How many events the first checkpoint is over that the present key signed: whatever a change of the key says,
    that key marked all that came later. Where it signed none, all behind the last checkpoint of its predecessor."""
    present = history.eras[-1].public
    since = 1 if len(history.eras) == 1 else (history.eras[-2].last_checkpoint or 0) + 1
    newest = _readable.value_of(Checkpoint.objects.order_by("-number"), "number")
    low, high = since, newest if type(newest) is int else 0
    found: int | None = None
    while low <= high:
        middle = low if found is None and low == since else (low + high) // 2
        size = _signed_size(middle, present)
        if size is None:
            low = middle + 1
        else:
            found, high = size, middle - 1
    if found is None and len(history.eras) > 1:
        found = _signed_size(since - 1, history.eras[-2].public)
    if found is None:
        sizes = Checkpoint.objects.filter(number__lt=since) if len(history.eras) > 1 else Checkpoint.objects.all()
        size = _readable.value_of(sizes.order_by("-number"), "tree_size")
        found = size if type(size) is int else 0
    return found


def _signed_size(number: int, public: bytes) -> int | None:
    """How many events this checkpoint is over; None where this key did not sign it."""
    found = next(_readable.each(Checkpoint.objects.filter(number=number), 1), None)
    checkpoint = _readable.checkpoint(found)
    if checkpoint is None:
        return None
    body = checkpoint.body.encode("utf-8", errors="replace")
    if not keys.has_signed(public, body, bytes(checkpoint.signature)):
        return None
    said = json.loads(body)
    return int(said["tree_size"]) if said["number"] == number else None


def rows(seqs: Sequence[int], marks: Marks) -> list[Row]:
    """The rows with these numbers, in their order; one that has gone is left out. Raises DatabaseError where nothing
    can be read."""
    pages = (seqs[start : start + _AT_ONCE] for start in range(0, len(seqs), _AT_ONCE))
    return [row for page in pages for row in _page(page, marks)]


def _page(seqs: Sequence[int], marks: Marks) -> list[Row]:
    found: dict[int, Row] = {}
    problems: dict[int, tuple[str, Event | None]] = {}
    for event in _events(seqs, problems):
        row = row_of(event, marks)
        if row is None or row.problem:
            problems[event.seq] = (row.problem if row else UNREADABLE, event)
        else:
            found[event.seq] = row
    if problems:
        found |= {seq: _damaged(seq, *problems[seq], values) for seq, values in _as_text(sorted(problems)).items()}
    return [found[seq] for seq in seqs if seq in found]


def row_of(event: Event, marks: Marks | None = None) -> Row | None:
    """The row of an event: without its values where it is not what was recorded, and None where it cannot be one."""
    try:
        line = entry_of(event)
        leaf = bytes(event.leaf)
        problem = "" if leaf_hash(line) == leaf and _written.is_as_written(event) else CHANGED
        if not problem and marks and not marks.fit(event, leaf):
            problem = FORGED
    except NO_VALUES:
        return None
    texts = (event.kind, event.actor_id, event.actor_role, event.subject)
    if not all(isinstance(one, str) for one in texts) or not isinstance(event.payload, dict):
        return None
    return Row(event.seq, event.at, *texts, event.payload, leaf, line, problem)


def _events(seqs: Sequence[int], problems: dict[int, tuple[str, Event | None]]) -> Iterator[Event]:
    """Those that can be read; the others are noted. Where some of many cannot, halves are tried."""
    if not seqs:
        return
    whole = seqs[-1] - seqs[0] == len(seqs) - 1
    wanted = Q(seq__range=(seqs[0], seqs[-1])) if whole else Q(seq__in=list(seqs))
    try:
        events = list(_written.with_text(Event.objects.filter(wanted).order_by("seq")))
    except NO_VALUES:
        if len(seqs) == 1:
            problems[seqs[0]] = (UNREADABLE, None)
            return
        middle = len(seqs) // 2
        yield from _events(seqs[:middle], problems)
        yield from _events(seqs[middle:], problems)
        return
    yield from (event for event in events if type(event.seq) is int)  # SQLite keeps whatever it is given


def people(codes: Sequence[str] | None = None) -> Iterator[tuple[str, str, str]]:
    """Code, name and salt (in hexadecimal) of everybody who has a name, or of some (a thousand at most), by their codes
    in order."""
    columns = ", ".join([_column("code"), _column("name"), _column("salt")])
    wanted = f"AND code IN ({', '.join(['%s'] * len(codes))})" if codes is not None else ""
    for code, name, salt in _select(f"{columns} FROM audit_actor WHERE name IS NOT NULL {wanted} ORDER BY code", codes):
        if name:
            yield code or "", name, salt or ""


def checkpoints(numbers: Sequence[int]) -> Iterator[tuple[str, str]]:
    """Body and signature (in hexadecimal) of these checkpoints (a thousand at most), in their order."""
    columns = f"{_column('body')}, {_column('signature')}"
    places = ", ".join(["%s"] * len(numbers))
    for body, signature in _select(
        f"{columns} FROM audit_checkpoint WHERE number IN ({places}) ORDER BY number", numbers
    ):
        yield body or "", signature or ""


def sizes(numbers: Sequence[int]) -> list[int]:
    """How many events these checkpoints (a thousand at most) are over, by their rows."""
    found = Checkpoint.objects.filter(number__in=list(numbers)).order_by().values_list("tree_size", flat=True)
    return [size for size in found if type(size) is int]


def _damaged(seq: int, problem: str, event: Event | None, values: dict[str, str | None]) -> Row:
    at = event.at if event and isinstance(event.at, datetime) and event.at.year in _YEARS else None
    kind, actor, role, subject = (values[name] or "" for name in _TEXTS[1:5])
    stored = values["leaf"] or ""
    leaf = bytes.fromhex(stored) if _is_hash(stored) else b""
    said = {"actor" if name == "actor_id" else name: value for name, value in values.items()}
    line = canonical({"seq": seq, "problem": problem, "leaf": leaf.hex(), "row": said})
    return Row(seq, at, kind, actor, role, subject, {}, leaf, line, problem, values)


def _is_hash(text: str) -> bool:
    return len(text) == 2 * HASH_BYTES and all(one in "0123456789abcdef" for one in text)


def _as_text(seqs: Sequence[int]) -> dict[int, dict[str, str | None]]:
    """Each value of these rows as text, as the database has it; what is no text is written out."""
    names = (*_TEXTS, *_HASHES)
    columns = ", ".join(map(_column, names))
    places = ", ".join(["%s"] * len(seqs))
    found = _select(f"{columns}, seq FROM audit_event WHERE seq IN ({places})", seqs)
    return {int(seq or 0): dict(zip(names, values, strict=True)) for *values, seq in found}


def _select(what: str, values: Sequence[int | str] | None = None) -> list[list[str | None]]:
    """The rows of a query, each value as text."""
    with connection.cursor() as cursor:
        cursor.execute(f"SELECT {what}", list(values or []))
        return [[_text(value) for value in row] for row in cursor.fetchall()]


def _column(name: str) -> str:
    if connection.vendor == "postgresql":
        return f"encode({name}, 'hex')" if name in _BYTES else f"left({name}::text, {_LONGEST})"
    value = f"CASE typeof({name}) WHEN 'blob' THEN lower(hex({name})) ELSE {name} END" if name in _BYTES else name
    return f"substr(CAST({value} AS BLOB), 1, {_LONGEST})"


def _text(value: Any) -> str | None:
    if value is None or isinstance(value, str):
        return value
    if isinstance(value, int):
        return str(value)
    return bytes(value).decode("utf-8", errors="backslashreplace")
