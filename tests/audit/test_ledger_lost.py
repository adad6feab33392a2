"""An audit key that is lost, or said to be: nobody gives up the true one by mistake, and there is a way on."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from django.core.management import CommandError, call_command
from django.db import connection, transaction

from portal.audit import _triggers, integrity, keys, rotation, sealing, verifying
from portal.audit.models import Event, Head
from portal.audit.services import record
from tests.audit.conftest import now
from tests.audit.mutations import another_key


def append(times: int = 1) -> int:
    with transaction.atomic():
        return [record("x.happened", actor="system") for _ in range(times)][-1].seq


@pytest.fixture
def ledger(db: None, audit_key: Path) -> Path:
    """Three events that are sealed, four that are not."""
    append(3)
    sealing.seal("minute")
    append(4)
    return audit_key


def test_the_true_key_is_not_given_up_for_one_that_the_database_names(ledger: Path) -> None:
    true, kept = keys.current(), ledger.read_bytes()
    now(connection)
    Head.objects.update(public_key=another_key().public.hex())
    _triggers.install(connection)
    with pytest.raises(CommandError, match="may be the only proof") as refused:
        call_command("audit_key", "--new", "--lost", "--reason", "doctor spoke of another key")
    assert true.key_id in str(refused.value) and ledger.read_bytes() == kept
    with pytest.raises(CommandError, match="somebody changed the database"):
        call_command("audit_key", "--new", "--reason", "each year")
    assert ledger.read_bytes() == kept and not Event.objects.filter(kind="audit.key_replaced").exists()


def change(seq: int) -> None:
    Event.objects.filter(seq=seq).update(kind="another.one")


DAMAGE: dict[str, tuple[Callable[[], Any], list[int], set[str]]] = {
    "one is missing": (lambda: Event.objects.filter(seq=5).delete(), [5], {"event.missing"}),
    "two are missing": (lambda: Event.objects.filter(seq__in=[4, 6]).delete(), [4, 6], {"event.missing"}),
    "the last one is": (lambda: Event.objects.filter(seq=7).delete(), [7], {"event.missing"}),
    "one was changed": (lambda: change(5), [], {"event.changed"}),
    "one has no hash": (lambda: Event.objects.filter(seq=5).update(leaf=b"x"), [], {"event.changed"}),
    "the head counts less": (lambda: Head.objects.update(last_seq=5), [], set()),
}


@pytest.mark.usefixtures("ledger")
@pytest.mark.parametrize("damage", DAMAGE)
def test_behind_damage_nobody_has_sealed_there_is_a_way_on_without_the_key(damage: str, ledger: Path) -> None:
    do, missing, found = DAMAGE[damage]
    now(connection)
    do()
    _triggers.install(connection)
    ledger.unlink()
    done = rotation.replace_lost(actor="terminal:root", reason="the disk broke")
    said = Event.objects.get(seq=done.seq).payload
    assert (said["unvouched"], said["missing"]) == ([4, 7], missing)
    append(2)
    for _ in range(2):
        sealing.seal("minute")
    outcome = verifying.verify()
    assert {one.what for one in outcome.findings} - {"root"} == found
    assert [(one.what, one.first) for one in outcome.breaks] == [("key.lost", 4)]
    signs = [one.to_do for one in integrity.look().signs if one.part == "Audit key"]
    assert len(signs) == 1 and "rests on this database alone" in signs[0] and "4 to 7" in signs[0]
    now(connection)
    change(2)  # what was sealed before is held against its checkpoint as ever
    assert ("event.changed", 2) in [(one.what, one.first) for one in verifying.verify().findings]
