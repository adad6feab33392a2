"""How single events stand: each against its own hash and mark, and against the signed checkpoint that covers it."""

import pytest
from django.db import connection, transaction
from django.test.utils import CaptureQueriesContext

from portal.audit import _triggers, proving, sealing, stored
from portal.audit.models import Checkpoint, Event
from portal.audit.proving import Proof, Standing
from portal.audit.services import record


def make(number: int) -> list[Event]:
    with transaction.atomic():
        return [record("x.happened", actor="system", payload={"n": one}) for one in range(number)]


def stand(*numbers: int) -> dict[int, Proof]:
    return proving.proofs(stored.rows(sorted(numbers), stored.Marks()))


def test_an_event_is_proven_by_the_checkpoint_that_covers_it(db: None) -> None:
    first = make(3)
    one = sealing.seal("minute")
    second = make(5)
    two = sealing.seal("minute")
    sealing.seal("minute")
    late = make(1)
    found = stand(*(event.seq for event in [*late, *first, *second]))
    assert {found[event.seq].checkpoint for event in first} == {one.number}
    assert {found[event.seq].checkpoint for event in second} == {two.number}
    assert {found[event.seq].standing for event in [*first, *second]} == {Standing.PROVEN}
    assert found[late[0].seq] == proving.Proof(Standing.WAITING)


@pytest.mark.parametrize("is_sealed", [True, False])
def test_many_events_of_one_checkpoint_are_asked_for_as_seldom_as_two(db: None, is_sealed: bool) -> None:
    make(1)
    sealing.seal("minute")
    numbers = [event.seq for event in make(30)]
    if is_sealed:
        sealing.seal("minute")
    asked = []
    for some in (numbers[:2], numbers):
        rows = stored.rows(some, stored.Marks())
        with CaptureQueriesContext(connection) as queries:
            assert set(proving.proofs(rows)) == set(some)
        asked.append(len(queries))
    assert asked[0] == asked[1]


@pytest.mark.parametrize("what", ["payload", "leaf", "neighbour", "signature", "root", "size"])
def test_an_event_that_is_not_what_was_recorded_is_wrong(db: None, what: str) -> None:
    events = make(4)
    checkpoint = sealing.seal("minute")
    _triggers.remove(connection)
    chosen = Event.objects.filter(seq=events[1].seq)
    if what == "payload":
        chosen.update(payload={"n": 99})
    elif what == "leaf":
        chosen.update(leaf=b"\x00" * 32)
    elif what == "neighbour":
        Event.objects.filter(seq=events[2].seq).update(leaf=b"\x00" * 32)
    elif what == "signature":
        Checkpoint.objects.filter(pk=checkpoint.pk).update(signature=b"\x00" * 64)
    elif what == "size":
        Checkpoint.objects.filter(pk=checkpoint.pk).update(tree_size=99)
    else:
        Checkpoint.objects.filter(pk=checkpoint.pk).update(body=checkpoint.body.replace('"root":"', '"root":"0'))
    found = stand(events[1].seq)[events[1].seq]
    assert found.standing is Standing.WRONG
    assert found.is_believed == (what not in ("payload", "leaf")), "its own mark says so, whatever became of others"
    _triggers.install(connection)


def test_a_checkpoint_over_too_many_events_is_left_to_the_full_verification(
    db: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(proving, "_MOST_BETWEEN", 2)
    events = make(4)
    sealing.seal("minute")
    assert stand(events[0].seq)[events[0].seq].standing is Standing.SEALED


def test_what_was_taken_out_or_changed_between_others_is_found(db: None) -> None:
    events = make(6)
    first, last = events[0].seq, events[-1].seq
    assert proving.damaged(first, last) == []
    _triggers.remove(connection)
    Event.objects.filter(seq=events[2].seq).delete()
    Event.objects.filter(seq=events[4].seq).update(subject="another")
    assert proving.damaged(first, last) == [events[2].seq, events[4].seq]
    _triggers.install(connection)
