"""Marks on pages and in stories: whoever adds, moves or spoils a change of the key switches no mark off."""

from copy import copy
from typing import Any

import pytest
from django.db import connection

from portal.audit import proving, stored
from portal.audit.models import Checkpoint, Event, Head
from portal.audit.proving import Standing
from portal.audit.services import leaf_of

REPLACED = "audit.key_replaced"

pytestmark = pytest.mark.usefixtures("full_ledger", "without_triggers")


def put(event: Event) -> int:
    """As whoever has the database and no key: with a hash of its own, and a mark that is none."""
    event.leaf, event.mac = leaf_of(event), b"m" * 32
    Event.objects.filter(seq=event.seq).delete()
    event.save(force_insert=True)
    return event.seq


def at_the_end(**values: Any) -> int:
    event = copy(Event.objects.order_by("-seq")[0])
    event.seq, event.kind, event.actor_id, event.payload = event.seq + 1, REPLACED, "system", {}
    for name, value in values.items():
        setattr(event, name, value)
    return put(event)


def junk() -> None:
    at_the_end()


def genuine_moved() -> None:
    genuine = Event.objects.get(kind=REPLACED)
    at_the_end(payload=genuine.payload)
    Event.objects.filter(seq=genuine.seq).update(kind="x.happened")


def genuine_spoilt_and_junk() -> None:
    genuine = Event.objects.get(kind=REPLACED)
    Event.objects.filter(seq=genuine.seq).update(payload={"old": "zz"})
    at_the_end()


def no_checkpoint_of_the_key_left() -> None:
    last = Event.objects.get(kind=REPLACED).payload["last_checkpoint"]
    genuine_moved()
    Checkpoint.objects.filter(number__gt=last).delete()


def its_first_checkpoint_unsigned() -> None:
    last = Event.objects.get(kind=REPLACED).payload["last_checkpoint"]
    genuine_moved()
    Checkpoint.objects.filter(number=last + 1).update(signature=b"s" * 64)


def unreadable() -> None:
    seq = at_the_end()
    if connection.vendor == "sqlite":
        with connection.cursor() as cursor:
            cursor.execute("PRAGMA ignore_check_constraints = 1")
            cursor.execute("UPDATE audit_event SET payload = '{' WHERE seq = %s", [seq])
            cursor.execute("PRAGMA ignore_check_constraints = 0")


def numbers_beyond_all() -> None:
    genuine = Event.objects.get(kind=REPLACED).payload
    at_the_end(payload=genuine | {"last_checkpoint": 2**53 - 1})


@pytest.mark.parametrize(
    "switch_off",
    [
        junk,
        genuine_moved,
        genuine_spoilt_and_junk,
        no_checkpoint_of_the_key_left,
        its_first_checkpoint_unsigned,
        unreadable,
        numbers_beyond_all,
    ],
)
def test_no_change_of_the_key_makes_a_forged_event_one_that_was_recorded(switch_off: Any) -> None:
    unsealed = Event.objects.get(seq=Head.objects.get().last_seq - 1)
    sealed = Event.objects.get(seq=Checkpoint.objects.order_by("-number")[0].tree_size)
    for event in (unsealed, sealed):
        event.payload = {"rewritten": True}
        put(event)
    switch_off()
    rows = stored.rows([sealed.seq, unsealed.seq], stored.Marks())
    assert [row.problem for row in rows] == [stored.FORGED, stored.FORGED]
    found = proving.proofs(rows)
    assert {one.standing for one in found.values()} == {Standing.WRONG}
    assert not any(one.is_believed for one in found.values())


def test_events_of_an_older_key_are_not_accused_by_the_present_one() -> None:
    since = Event.objects.get(kind=REPLACED).seq
    older = list(range(1, since + 1))
    assert not any(row.problem for row in stored.rows(older, stored.Marks()))
    junk()
    assert not any(row.problem for row in stored.rows(older, stored.Marks()))
    Event.objects.filter(seq=since).update(payload={"old": "zz"})
    problems = {row.seq: row.problem for row in stored.rows(older, stored.Marks()) if row.problem}
    assert problems == {since: stored.CHANGED}
