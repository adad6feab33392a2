"""Checkpoints: signed statements of how long the audit trail is and what its root is, also when nothing happened."""

import json
from collections import Counter
from collections.abc import Iterator
from typing import Any

from django.db import transaction
from django.utils import timezone

from portal.audit import keys
from portal.audit._canonical import FORMAT, canonical, moment
from portal.audit._merkle import Frontier
from portal.audit.models import Checkpoint, Event, Head
from portal.audit.services import leaf_of

_EVENTS_AT_ONCE = 2000


class Tampered(Exception):
    """An event is not what was recorded: nothing is sealed over it. `seq` is the first such event."""

    def __init__(self, seq: int, why: str) -> None:
        super().__init__(f"event {seq}: {why}")
        self.seq = seq


@transaction.atomic
def seal(reason: str) -> Checkpoint:
    """Append a checkpoint over all events that are committed. `reason` says why now ("minute", "export").

    Every new event is checked first. Raises Tampered when one was changed or not recorded by this installation,
    keys.NoAuditKey without the audit key.
    """
    key = keys.current()
    head = Head.objects.get_or_create(pk=1)[0]
    before = Checkpoint.objects.select_for_update().order_by("-number").first()
    tree = Frontier(before.tree_size, bytes(before.frontier)) if before else Frontier()
    counts: Counter[str] = Counter()
    for event in _after(tree.size):
        _check(event, tree.size + 1, key)
        tree.append(bytes(event.leaf))
        counts[event.kind] += 1
    now = timezone.now()
    body = canonical(
        {
            "v": FORMAT,
            "ledger": str(head.ledger),
            "number": before.number + 1 if before else 1,
            "at": moment(now),
            "tree_size": tree.size,
            "root": tree.root().hex(),
            "counts": dict(counts),
            "reason": reason,
            "key": key.key_id,
        }
    )
    checkpoint = Checkpoint(
        number=before.number + 1 if before else 1,
        at=now,
        tree_size=tree.size,
        root=tree.root(),
        frontier=tree.packed(),
        body=body.decode(),
        signature=key.sign(body),
    )
    checkpoint.save(force_insert=True)
    return checkpoint


def claims(checkpoint: Checkpoint) -> dict[str, Any]:
    """What was signed, as values."""
    found: dict[str, Any] = json.loads(checkpoint.body)
    return found


def _after(seq: int) -> Iterator[Event]:
    return Event.objects.filter(seq__gt=seq).order_by("seq").iterator(chunk_size=_EVENTS_AT_ONCE)


def _check(event: Event, expected: int, key: keys.AuditKey) -> None:
    if event.seq != expected:
        raise Tampered(expected, "it is missing")
    if leaf_of(event) != bytes(event.leaf):
        raise Tampered(event.seq, "it was changed")
    if not key.has_marked(bytes(event.leaf), bytes(event.mac)):
        raise Tampered(event.seq, "it was not recorded by this installation, or with another audit key")
