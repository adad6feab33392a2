"""The database itself refuses everything but appending through the service, whichever way somebody comes."""

import hashlib
import json
from collections.abc import Callable
from importlib import import_module
from typing import Any

import pytest
from django.db import DatabaseError, connection, transaction
from django.db.migrations import RunPython
from django.utils import timezone

from portal.audit import _triggers, rotation, sealing, verifying
from portal.audit.models import Actor, Checkpoint, Event, Head
from portal.audit.services import forget, record

_COLUMNS = "seq, at, kind, actor_id, actor_role, subject, payload, leaf, mac"
_COPY = f"{_COLUMNS.replace('seq', '{0}', 1)} FROM audit_event WHERE seq = 2"


def sql(statement: str, *values: Any) -> Callable[[], None]:
    def work() -> None:
        with connection.cursor() as cursor:
            cursor.execute(statement, values)

    return work


def new_event(seq: int) -> Event:
    return Event(seq=seq, at=timezone.now(), kind="x.forged", actor_id="system", leaf=b"l" * 32, mac=b"m" * 32)


def new_checkpoint(**other: Any) -> Checkpoint:
    values = {"number": 3, "at": timezone.now(), "tree_size": 4, "root": b"r" * 32, "frontier": b"", "body": "{}"}
    return Checkpoint(**{**values, "signature": b"s" * 64, **other})


INSTALLED_BY = "0010_ends_far_away"
DIGEST = "c5ea099e61e43fe838f0c0d3bb085965ff16bea9616b0372777066f3d6df8513"

REFUSED: dict[str, Callable[[], Any]] = {
    "bulk_create": lambda: Event.objects.bulk_create([new_event(5)]),
    "bulk_create over another": lambda: Event.objects.bulk_create(
        [new_event(2)], update_conflicts=True, update_fields=["kind"], unique_fields=["seq"]
    ),
    "save": lambda: new_event(5).save(force_insert=True),
    "save over another": lambda: new_event(2).save(),
    "update": lambda: Event.objects.filter(seq=2).update(kind="x.other"),
    "delete": lambda: Event.objects.filter(seq=2).delete(),
    "delete the last": lambda: Event.objects.filter(seq=4).delete(),
    "raw insert": sql(f"INSERT INTO audit_event ({_COLUMNS}) SELECT {_COPY.format(5)}"),
    "raw insert before": sql(f"INSERT INTO audit_event ({_COLUMNS}) SELECT {_COPY.format(0)}"),
    "raw update": sql("UPDATE audit_event SET subject = 'x' WHERE seq = 1"),
    "raw update of the number": sql("UPDATE audit_event SET seq = 9 WHERE seq = 4"),
    "raw delete": sql("DELETE FROM audit_event"),
    "head back": sql("UPDATE audit_head SET last_seq = 1"),
    "head ahead": sql("UPDATE audit_head SET last_seq = last_seq + 2"),
    "head without number": sql("UPDATE audit_head SET last_seq = NULL"),
    "head's mark": sql("UPDATE audit_head SET mark = NULL"),
    "head's mark with a number": sql("UPDATE audit_head SET mark = NULL, last_seq = last_seq + 1"),
    "head's ledger": sql("UPDATE audit_head SET ledger = '00000000000000000000000000000000'"),
    "head's key": sql("UPDATE audit_head SET public_key = 'ab'"),
    "head's key with a number": sql(
        "UPDATE audit_head SET public_key = 'ab', last_seq = last_seq + 1, last_at = CURRENT_TIMESTAMP"
    ),
    "head deleted": lambda: Head.objects.all().delete(),
    "another head": lambda: Head.objects.create(last_seq=0),
    "checkpoint update": lambda: Checkpoint.objects.filter(number=1).update(root=b"x" * 32),
    "checkpoint delete": sql("DELETE FROM audit_checkpoint WHERE number = 2"),
    "checkpoint twice": lambda: new_checkpoint(number=2).save(force_insert=True),
    "checkpoint further on": lambda: new_checkpoint(number=5).save(force_insert=True),
    "checkpoint over what is not there": lambda: new_checkpoint(tree_size=99).save(force_insert=True),
    "checkpoint over less": lambda: new_checkpoint(tree_size=1).save(force_insert=True),
    "another name": lambda: Actor.objects.filter(name="anna").update(name="mallory"),
    "another salt": lambda: Actor.objects.filter(name="anna").update(salt=b"x" * 32),
    "a name erased without its event": lambda: Actor.objects.filter(name="anna").update(name=None, salt=None),
    "half a name": lambda: Actor.objects.filter(name="anna").update(salt=None),
    "a name again": lambda: Actor.objects.filter(name=None).update(name="bela"),
    "another code": sql("UPDATE audit_actor SET code = 'p-1', name = NULL, salt = NULL WHERE name = 'anna'"),
    "code deleted": sql("DELETE FROM audit_actor WHERE name IS NULL"),
}
if connection.vendor == "sqlite":
    REFUSED["insert or replace"] = sql(f"INSERT OR REPLACE INTO audit_event ({_COLUMNS}) SELECT {_COPY.format(1)}")
    REFUSED["update or replace"] = sql("UPDATE OR REPLACE audit_event SET seq = 1 WHERE seq = 2")
    REFUSED["replace head"] = sql("INSERT OR REPLACE INTO audit_head SELECT * FROM audit_head")
    REFUSED["replace checkpoint"] = sql("REPLACE INTO audit_checkpoint SELECT * FROM audit_checkpoint WHERE number = 1")
    REFUSED["replace name"] = sql("REPLACE INTO audit_actor (code, name) SELECT code, 'm' FROM audit_actor")
else:
    for table in ("event", "head", "checkpoint", "actor"):
        REFUSED[f"truncate {table}"] = sql(f"TRUNCATE audit_{table} CASCADE")


@pytest.fixture
def ledger(db: None, audit_key: Any) -> None:
    with transaction.atomic():
        record("x.happened", actor="anna")
        record("x.happened", actor="bela")
    sealing.seal("minute")
    sealing.seal("minute")
    assert Event.objects.count() == 4


@pytest.mark.parametrize("way", REFUSED)
def test_only_the_service_writes(way: str, ledger: None) -> None:
    if way in {"a name again", "code deleted"}:
        with transaction.atomic():
            forget("bela", actor="system")
    before = list(Event.objects.values_list("seq", "leaf")), list(Checkpoint.objects.values_list("number", "body"))
    with pytest.raises(DatabaseError), transaction.atomic():
        REFUSED[way]()
    assert (
        list(Event.objects.values_list("seq", "leaf")),
        list(Checkpoint.objects.values_list("number", "body")),
    ) == before
    with transaction.atomic():
        record("x.happened", actor="anna")
    sealing.seal("minute")
    assert verifying.verify().findings == ()


def test_behind_an_exchange_the_head_takes_the_new_key_alone(ledger: None) -> None:
    rotation.replace(actor="system", reason="each year")
    right = Head.objects.get().public_key
    for change in ("public_key = 'ab'", "mark = NULL", "last_at = CURRENT_TIMESTAMP"):
        with pytest.raises(DatabaseError), transaction.atomic():
            sql(f"UPDATE audit_head SET {change}")()
    assert Head.objects.get().public_key == right
    with transaction.atomic():
        record("x.happened", actor="anna")
    assert verifying.verify().findings == ()


def test_triggers_change_with_a_migration_that_installs_them() -> None:
    """They are compared by text: an installation whose triggers are of another version is told that somebody changed
    its database, until a migration has put the new ones in."""
    texts = {vendor: _triggers._statements(vendor) for vendor in ("sqlite", "postgresql")}
    digest = hashlib.sha256(json.dumps(texts).encode()).hexdigest()
    assert digest == DIGEST, (
        "The triggers were changed. Make a migration that calls portal.audit._triggers.install (as "
        f"{INSTALLED_BY} does), then put its name into INSTALLED_BY and {digest} into DIGEST."
    )
    migration = import_module(f"portal.audit.migrations.{INSTALLED_BY}").Migration
    (work,) = [one for one in migration.operations if isinstance(one, RunPython)]
    assert "install" in work.code.__code__.co_names
