"""A ledger with everything in it that a ledger can have, under an audit key of the test's own."""

import copy
import random
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from django.db import connection, transaction

from portal.audit import _triggers, keys, rotation, sealing
from portal.audit.models import Actor, Checkpoint, Event, Head
from portal.audit.services import code_of, forget, record
from portal.doctor import _audit
from portal.doctor._findings import Finding

_KEPT: dict[Any, list[Any]] = {}

PEOPLE = ("anna", "bela", "çelik", "dora", "emil", "ümit 🙂")
KINDS = ("turn.started", "turn.completed", "turn.refused", "guideline.uploaded", "session.started", "export.made")


@pytest.fixture
def audit_key(tmp_path: Path, settings: Any) -> Path:
    """A new audit key of this test."""
    settings.HAVRE_AUDIT_KEY_FILE = tmp_path / "keys" / "audit.key"
    keys.make()
    return Path(settings.HAVRE_AUDIT_KEY_FILE)


def write(rng: random.Random, count: int) -> None:
    """Some events, as different from one another as they come, of people who were not erased."""
    there = sorted(Actor.objects.filter(name__in=PEOPLE).values_list("name", flat=True))
    for _ in range(count):
        with transaction.atomic():
            who = rng.choice([*there, "system", "system", "anonymous"])
            subject = code_of(rng.choice(there)) if there and rng.random() < 0.3 else f"{rng.getrandbits(64):016x}"
            payload = {
                "n": rng.randrange(-(2**53) + 1, 2**53),
                "x": rng.choice([rng.random(), 1e-7 * rng.random(), 1e21, 3.0, -0.0]) if rng.random() < 0.5 else None,
                "é\u2028": rng.choice(["", "ünïcödé 🙂", "a\x00b", '"quoted"\n', "\udc80"]),
                "deep": [{"list": [1, [2.5, {"b": True}]]}],
            }
            payload = {name: one for name, one in payload.items() if one != 1e21}
            record(rng.choice(KINDS), actor=who, subject=subject, actor_role="clinician", payload=payload)


def name_people() -> None:
    """Give everybody a code: nobody gets one any more after somebody was erased, unless there is an account."""
    with transaction.atomic():
        for name in PEOPLE:
            code_of(name)


@pytest.fixture
def full_ledger(db: None, audit_key: Path) -> random.Random:
    """Some fifty events under two keys, eight checkpoints, one person erased, events that no checkpoint is over yet.
    Returns the dice. Written once; whoever comes later gets the same rows and the same key."""
    rng = random.Random(7)
    if not _KEPT:
        _write_full_ledger(rng)
        _KEPT.update({model: list(model._default_manager.all()) for model in (Actor, Event, Head, Checkpoint)})
        _KEPT[bytes] = [audit_key.read_bytes()]
        return rng
    now(connection)
    audit_key.write_bytes(_KEPT[bytes][0])
    for model in (Actor, Event, Head, Checkpoint):
        model._default_manager.bulk_create(copy.deepcopy(_KEPT[model]))
    _triggers.install(connection)
    return rng


def _write_full_ledger(rng: random.Random) -> None:
    name_people()
    write(rng, 3)
    sealing.seal("minute")
    sealing.seal("minute")
    write(rng, 6)
    sealing.seal("minute")
    rotation.replace(actor="terminal:root", reason="it was time")
    write(rng, 7)
    sealing.seal("minute")
    with transaction.atomic():
        forget("bela", actor="emil")
    for _ in range(3):
        write(rng, 4)
        sealing.seal("export")
    write(rng, 5)


def said_by_doctor() -> list[Finding]:
    """What `manage.py doctor` says of the audit trail."""
    return list(_audit.look_at_audit_trail(thorough=False))


@pytest.fixture
def without_triggers(db: None) -> Iterator[None]:
    """As whoever owns the database sees it, until the test's transaction is rolled back."""
    now(connection)
    yield


def now(open_connection: Any) -> None:
    """Drop the triggers in this transaction."""
    if open_connection.vendor == "postgresql":
        with open_connection.cursor() as cursor:
            cursor.execute("SET CONSTRAINTS ALL IMMEDIATE")
    _triggers.remove(open_connection)


def rolled_back(work: Callable[[], Any]) -> Any:
    """What the work returns; what it wrote is gone."""
    with transaction.atomic():
        found = work()
        transaction.set_rollback(True)
    return found
