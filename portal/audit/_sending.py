"""What is sent elsewhere: events and checkpoints, each as one line of JSON, whatever somebody did to its row; and the
landmarks by which it is known, when the end was cut off, up to where the audit trail is still the one that was sent."""

import hashlib
import json
import re
import uuid
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

from django.conf import settings

from portal.audit import _rows, naming, stored
from portal.audit.models import Checkpoint, Event

NO_TIME = "-"
_TIME = re.compile(r"[0-9]{4}-[0-9T:.-]{10,30}Z").fullmatch


@dataclass(frozen=True, slots=True)
class Item:
    """An event or a checkpoint that is sent: its number, kind and time (RFC 3339, or `NO_TIME`), the line (ASCII), and
    the hash that tells it from another one with its number. `ledger` is empty where it is no checkpoint, or none that
    can be read."""

    number: int
    kind: str
    at: str
    text: str
    proof: bytes
    ledger: str = ""


def as_text(checkpoint: Checkpoint) -> str:
    """A checkpoint as it is sent: one line of JSON, with what was signed and its signature. ASCII."""
    return json.dumps({"body": checkpoint.body, "signature": bytes(checkpoint.signature).hex()})


def events(after: int, up_to: int, most: int) -> list[Item]:
    """Events with their hashes: what was hashed is the canonical JSON of `event`. One that is not what was recorded has
    its values as text, and what is wrong with it."""
    wanted = Event.objects.filter(seq__gt=after, seq__lte=up_to).order_by("seq")
    leaves = {seq: leaf for seq, leaf in wanted.values_list("seq", "leaf")[:most] if type(seq) is int}
    if not leaves:
        return []
    rows = stored.rows(sorted(leaves), stored.Marks())
    codes = sorted({row.actor_id for row in rows if not row.problem})
    names = naming.names(codes).names if settings.HAVRE_AUDIT_SYSLOG_NAMES else None
    return [_event(row, proof_of_leaf(leaves[row.seq]), names) for row in rows]


def _event(row: stored.Row, proof: bytes, names: Mapping[str, str] | None) -> Item:
    said = json.loads(row.line)
    if row.problem:
        return Item(row.seq, row.kind, NO_TIME, json.dumps(said), proof)
    whole = {"event": said, "leaf": row.leaf.hex()}
    if names is not None:
        whole["actor_name"] = names.get(row.actor_id)
    return Item(row.seq, row.kind, row.when, json.dumps(whole), proof)


def proof_of_leaf(leaf: object) -> bytes:
    """The hash of an event, as its row has it; the same for the same row."""
    return _rows.as_bytes(leaf)[:32]


def checkpoints(after: int, most: int) -> list[Item]:
    """Checkpoints as `as_text` has them; one that cannot be read as text, under names that no reader takes for one."""
    wanted = Checkpoint.objects.filter(number__gt=after).order_by("number").values_list("number", flat=True)
    return list(_checkpoints([number for number in wanted[:most] if type(number) is int]))


def _checkpoints(numbers: list[int]) -> Iterator[Item]:
    found = list(stored.checkpoints(numbers)) if numbers else []
    if len(found) == len(numbers):
        for number, row in zip(numbers, found, strict=True):
            yield _checkpoint(number, *row)
    else:  # somebody takes some away at this moment
        for number in numbers:
            for row in stored.checkpoints([number]):
                yield _checkpoint(number, *row)


def _checkpoint(number: int, body: str, signature: str) -> Item:
    proof = proof_of_body(body)
    try:
        said = json.loads(body)
        ledger, at = str(uuid.UUID(said["ledger"])), said["at"]
        if not _TIME(at):
            raise ValueError("this is no time")
        text = as_text(Checkpoint(body=body, signature=bytes.fromhex(signature)))
    except (ValueError, TypeError, LookupError, AttributeError, RecursionError):
        row = {"text": body, "signed": signature}
        text = json.dumps({"number": number, "problem": stored.UNREADABLE, "row": row})
        return Item(number, "audit.checkpoint", NO_TIME, text, proof)
    return Item(number, "audit.checkpoint", at, text, proof, ledger)


def proof_of_body(body: str) -> bytes:
    """The hash of what was signed."""
    return hashlib.sha256(body.encode("utf-8", errors="replace")).digest()


def thinned(landmarks: Iterable[tuple[int, str]]) -> list[tuple[int, str]]:
    """Of numbers with their hashes those that are kept, newest first: of each distance from the newest that is twice
    the one before, the nearest and the farthest. A hundred at most, and however far back somebody goes, one is near."""
    known = sorted(dict(landmarks).items(), reverse=True)
    by_distance: dict[int, list[tuple[int, str]]] = defaultdict(list)
    for one in known:
        by_distance[(known[0][0] - one[0]).bit_length()].append(one)
    return [one for some in by_distance.values() for one in (some[:1] if len(some) == 1 else (some[0], some[-1]))]
