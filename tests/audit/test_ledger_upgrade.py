"""A database from before the ledger becomes one. (An empty one is what every test begins with.)"""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from django.core.management.base import CommandError
from django.db import connection, transaction
from django.db.migrations.executor import MigrationExecutor

from portal.audit import _triggers, keys, sealing, verifying
from portal.audit.models import Actor, Event, Head
from portal.audit.services import record

NAMES = ("anna", "system", "dora", "anonymous", "terminal:root", "zoé 🙂")


def migrate(*targets: tuple[str, str | None]) -> Any:
    executor = MigrationExecutor(connection)
    return executor.migrate(list(targets)).apps


@pytest.fixture
def old_database(transactional_db: None, audit_key: Any) -> Iterator[Any]:
    yield migrate(("audit", "0001_initial"))
    migrate(*MigrationExecutor(connection).loader.graph.leaf_nodes())


def test_the_events_that_were_there_stay_and_are_verified(old_database: Any) -> None:
    then = datetime(2026, 3, 1, 12, tzinfo=UTC)
    rows = [
        {
            "seq": number,
            "at": then + timedelta(seconds=number, microseconds=number * 7919),
            "kind": ("user.created", "turn.started", "session.started")[number % 3],
            "actor": NAMES[number % len(NAMES)],
            "actor_role": "",
            "subject": NAMES[(number * 5) % len(NAMES)] if number % 3 != 1 else "b1d2",
            "payload": {"n": number, "x": number / 7, "w": 3.0, "é": ["ü\u2028", {"deep": None}], "tiny": 1e-9},
        }
        for number in range(1, 41)
    ]
    with transaction.atomic():
        old_database.get_model("audit", "Event").objects.bulk_create(
            [old_database.get_model("audit", "Event")(**row) for row in rows]
        )
        old_database.get_model("audit", "Head").objects.create(pk=1, last_seq=40)
    migrate(*MigrationExecutor(connection).loader.graph.leaf_nodes())
    assert verifying.verify().findings == ()
    for row in rows:
        event = Event.objects.select_related("actor").get(seq=row["seq"])
        assert (event.at, event.kind, event.actor.name, event.payload) == (
            *(row["at"], row["kind"], row["actor"]),
            row["payload"],
        )
        assert event.actor_id in {"system", "anonymous"} or event.actor_id.startswith("p-")
        if event.kind != "turn.started":
            assert Actor.objects.get(code=event.subject).name == row["subject"]
    with transaction.atomic():
        record("x.happened", actor="anna")
    sealing.seal("minute")
    outcome = verifying.verify()
    assert outcome.findings == () and outcome.events == 40 + 4 + 1 and outcome.checkpoints == 1


@pytest.fixture
def recorded(transactional_db: None, audit_key: Path) -> Iterator[Path]:
    """A ledger of three events; returns the key's file."""
    with transaction.atomic():
        for _ in range(3):
            record("x.happened", actor="system")
    yield audit_key
    migrate(*MigrationExecutor(connection).loader.graph.leaf_nodes())


@pytest.mark.parametrize("before", ["0006_exports", "0010_ends_far_away"])
@pytest.mark.parametrize("key", ["none", "another"])
def test_an_end_is_marked_with_the_ledgers_own_key_or_the_upgrade_stops(before: str, key: str, recorded: Path) -> None:
    """Otherwise the next event would tell for ever of an end that nobody cut off."""
    migrate(("audit", before))
    _triggers.remove(connection)
    if before != "0006_exports":
        Head.objects.update(mark=None)
    _triggers.install(connection)
    kept = recorded.read_bytes()
    recorded.unlink()
    if key == "another":
        keys.make()
    with pytest.raises(CommandError, match="key"):
        migrate(*MigrationExecutor(connection).loader.graph.leaf_nodes())
    recorded.unlink(missing_ok=True)
    recorded.write_bytes(kept)
    recorded.chmod(0o600)
    migrate(*MigrationExecutor(connection).loader.graph.leaf_nodes())
    with transaction.atomic():
        assert record("x.happened", actor="system").seq == 4
    assert verifying.verify().findings == ()


def test_an_end_that_was_cut_off_before_the_upgrade_is_told_of(recorded: Path) -> None:
    migrate(("audit", "0010_ends_far_away"))
    _triggers.remove(connection)
    Head.objects.update(mark=None)
    Event.objects.filter(seq=3).delete()
    _triggers.install(connection)
    migrate(*MigrationExecutor(connection).loader.graph.leaf_nodes())
    with transaction.atomic():
        record("x.happened", actor="system")
    assert "tail.missing" in [one.what for one in verifying.verify().findings]
