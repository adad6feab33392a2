"""Values that no database would take from Havre, in every column: whoever leaves one switches nothing off, hides
nothing else, and is found."""

from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from django.db import connection, transaction

from portal.audit import _triggers, integrity, keys, sealing, tasks, verifying
from portal.audit.models import Checkpoint, Event
from portal.audit.services import leaf_of, record
from tests.audit import conftest

DEEP = "[" * 3000 + "]" * 3000
LAST = "(SELECT last_seq FROM audit_head)"
NEWEST = "(SELECT max(number) FROM audit_checkpoint)"
REWRITTEN = 12
PUT = "INSERT INTO audit_event (seq, at, kind, actor_id, actor_role, subject, payload, leaf, mac)"
COPY = "at, kind, actor_id, actor_role, subject, payload, leaf, mac FROM audit_event WHERE seq = 3"


def event(column: str, value: str, where: str = "seq = 10") -> str:
    return f"UPDATE audit_event SET {column} = {value} WHERE {where}"


def checkpoint(column: str, value: str, number: str = "3") -> str:
    return f"UPDATE audit_checkpoint SET {column} = {value} WHERE number = {number}"


EVERYWHERE = {
    "a payload too deep": event("payload", f"'{DEEP}'"),
    "the last payload too deep": event("payload", f"'{DEEP}'", f"seq = {LAST}"),
    "a handover too deep": event("payload", f"'{DEEP}'", "kind = 'audit.key_replaced'"),
    "a handover that is a list": event("payload", "'[1]'", "kind = 'audit.key_replaced'"),
    "a handover of huge numbers": event(
        "payload",
        '\'{"old": "00", "new": "00", "last_checkpoint": 99999999999999999999, "accepted": "", '
        '"lost": true, "unvouched": [1, 99999999999999999999]}\'',
        "kind = 'audit.key_replaced'",
    ),
    "a verification of nothing": event("payload", "'{}'", "kind = 'audit.verified'"),
    "a verification that is a list": event("payload", "'[]'", "kind = 'audit.verified'"),
    "a verification too deep": event("payload", f"'{DEEP}'", "kind = 'audit.verified'"),
    "a time before all": event("at", "'0001-01-01 00:00:00+00:00'"),
    "a signed body that is a list": checkpoint("body", "'[]'"),
    "the newest body too deep": checkpoint("body", f"'{DEEP}'", NEWEST),
    "the last number there is": f"{PUT} SELECT 9223372036854775807, {COPY}",
    "a number that JSON has not": f"{PUT} SELECT 9007199254740992, {COPY}",
    "a number far away": f"{PUT} SELECT 1000000000000000, {COPY}",
    "a number that is less than none": f"{PUT} SELECT -7, {COPY}",
    "the head's number far away": "UPDATE audit_head SET last_seq = 1000000000000000",
    "the head's last number there is": "UPDATE audit_head SET last_seq = 9223372036854775807",
}
ON_SQLITE = {
    "a payload of bytes": event("payload", "X'ff'"),
    "a subject that is no text": event("subject", "CAST(X'ff' AS TEXT)"),
    "a kind of bytes": event("kind", "X'ff'"),
    "the last subject that is no text": event("subject", "CAST(X'ff' AS TEXT)", f"seq = {LAST}"),
    "a word for a time": event("at", "'yesterday'"),
    "a word for a number": f"{PUT} SELECT 'abc', {COPY}",
    "half a number": f"{PUT} SELECT {LAST} + 0.5, {COPY}",
    "a handover of bytes": event("payload", "X'ff'", "kind = 'audit.key_replaced'"),
    "a word for a checkpoint's time": checkpoint("at", "'x'"),
    "a body of bytes": checkpoint("body", "X'ff'"),
    "a signature that is text": checkpoint("signature", "'x'"),
    "a root that is text": checkpoint("root", "'x'"),
    "subtrees that are text": checkpoint("frontier", "'x'"),
    "the newest signature is text": checkpoint("signature", "'x'", NEWEST),
    "a salt that is text": "UPDATE audit_actor SET salt = 'x' WHERE name = 'anna'",
    "a name that is no text": "UPDATE audit_actor SET name = CAST(X'ff' AS TEXT) WHERE name = 'anna'",
    "a name of bytes": "UPDATE audit_actor SET name = X'ff' WHERE name = 'anna'",
    "a code that is no text": "INSERT INTO audit_actor (code, name, salt) VALUES (CAST(X'70ff' AS TEXT), 'x', NULL)",
    "the head's mark is text": "UPDATE audit_head SET mark = 'x'",
    "the head's time is a word": "UPDATE audit_head SET last_at = 'x'",
    "the head's number is a word": "UPDATE audit_head SET last_seq = 'x'",
    "the ledger's name is a word": "UPDATE audit_head SET ledger = 'x'",
}
ON_POSTGRESQL = {
    "a time without end": event("at", "'infinity'"),
    "a time before Christ": event("at", "'0044-03-15 BC'"),
    "the last time without end": event("at", "'infinity'", f"seq = {LAST}"),
    "a checkpoint's time without end": checkpoint("at", "'infinity'"),
    "the newest checkpoint's time without end": checkpoint("at", "'infinity'", NEWEST),
    "a verification's time without end": event("at", "'infinity'", "kind = 'audit.verified'"),
    "the head's time without end": "UPDATE audit_head SET last_at = 'infinity'",
}
DAMAGE = EVERYWHERE | (ON_POSTGRESQL if connection.vendor == "postgresql" else ON_SQLITE)


def append() -> Event:
    with transaction.atomic():
        return record("x.happened", actor="system")


@pytest.fixture
def damaged(full_ledger: Any, without_triggers: None, tmp_path: Path, settings: Any) -> Callable[[str], None]:
    """A ledger that was verified and sealed, and then got a rewritten event, and the damage."""
    (tmp_path / "drop").mkdir()
    settings.HAVRE_AUDIT_PUSH_FOLDER = str(tmp_path / "drop")
    verifying.keep(verifying.verify(), actor="system")
    sealing.seal("minute")
    append()

    def do(what: str) -> None:
        Event.objects.filter(seq=REWRITTEN).update(kind="another.one")
        with connection.cursor() as cursor:
            if connection.vendor == "sqlite":
                cursor.execute("PRAGMA ignore_check_constraints = ON")
            cursor.execute(DAMAGE[what])

    return do


@pytest.mark.parametrize("what", DAMAGE)
def test_it_is_found_and_hides_nothing_else(what: str, damaged: Callable[[str], None]) -> None:
    damaged(what)
    found = verifying.verify().findings
    assert any(one.what == "event.changed" and one.first == REWRITTEN for one in found)
    assert len([one for one in found if one.first != REWRITTEN]) >= 1
    assert not any(one.what == "verification" for one in found)
    integrity.look()
    conftest.said_by_doctor()
    tasks.seal_minute()  # a refusal at most, which is recorded
    tasks.verify()
    look = integrity.look()
    assert look.last is not None and look.last.findings >= 2 and not look.last.problem
    assert look.level == integrity.WRONG
    assert any(one.level == "error" for one in conftest.said_by_doctor())


@pytest.mark.parametrize("what", DAMAGE)
def test_recording_goes_on_in_the_same_numbers(what: str, damaged: Callable[[str], None]) -> None:
    last = Event.objects.order_by("-seq").values_list("seq", flat=True)[0]
    damaged(what)
    with connection.cursor() as cursor:
        if connection.vendor == "postgresql":
            cursor.execute("SET CONSTRAINTS ALL IMMEDIATE")
    _triggers.install(connection)
    first = append().seq
    assert last < first <= last + 2
    assert append().seq == first + 1


@pytest.mark.parametrize("key", ["zz", "é", "00" * 32])
def test_a_head_of_another_key_is_a_sentence(key: str, full_ledger: Any, without_triggers: None) -> None:
    with connection.cursor() as cursor:
        cursor.execute("UPDATE audit_head SET public_key = %s", [key])
    with pytest.raises(keys.WrongAuditKey):
        append()
    tasks.seal_minute()
    assert integrity.look().level == integrity.WRONG
    assert [one.what for one in verifying.verify().findings] == ["key.other"]
    assert any("another" in one.message for one in conftest.said_by_doctor())


def rewrite(seq: int) -> None:
    """Under an older key, by somebody who knows how hashes are made: no mark tells of it any more, and a root alone."""
    one = Event.objects.get(seq=seq)
    one.payload = {"rewritten": True}
    one.leaf = leaf_of(one)
    one.save(force_update=True)


DECOYS: dict[str, Callable[[int], Any]] = {
    "changed": lambda seq: Event.objects.filter(seq=seq).update(kind="decoy.changed"),
    "unreadable": lambda seq: connection.cursor().execute(event("payload", f"'{DEEP}'", f"seq = {seq}")),
    "its hash": lambda seq: Event.objects.filter(seq=seq).update(leaf=b"l" * 32),
    "missing": lambda seq: Event.objects.filter(seq=seq).delete(),
}


@pytest.mark.parametrize("decoy", DECOYS)
@pytest.mark.parametrize("is_rewritten", [True, False])
def test_nothing_hides_behind_a_crude_change(
    decoy: str, is_rewritten: bool, full_ledger: Any, without_triggers: None
) -> None:
    sizes = list(Checkpoint.objects.order_by("number").values_list("tree_size", flat=True))
    handed_over = Event.objects.get(kind="audit.key_replaced").seq
    first, last = next((a + 1, b) for a, b in pairwise(sizes) if b - a >= 4 and b < handed_over)
    if is_rewritten:
        rewrite(last - 1)
    DECOYS[decoy](first)
    found = {one.what: (one.first, one.last) for one in verifying.verify().findings}
    assert first in [one.first for one in verifying.verify().findings]
    if is_rewritten or decoy in ("its hash", "missing"):  # without the hash nobody can tell
        assert found.pop("root") == (first, last)
    assert len(found) == 1
