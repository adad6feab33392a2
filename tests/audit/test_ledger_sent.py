"""What was sent elsewhere and is not here any more: the end was cut off after it had been sent."""

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
from django.db import connection, transaction

from portal import doctor
from portal.audit import _pushed, _sending, _triggers, integrity, keys, pushing, sealing, services, verifying
from portal.audit._sending import Item, thinned
from portal.audit.models import Actor, Checkpoint, Delivery, Event, Head
from portal.audit.services import record
from tests.audit import conftest


class Elsewhere:
    """Two places that take everything."""

    def __init__(self) -> None:
        self.events: list[int] = []
        self.checkpoints: list[str] = []
        self.proofs: set[tuple[int, bytes]] = set()

    def places(self) -> list[pushing.Place]:
        events = pushing.Place(pushing.EVENTS, "tcp://siem", self._take_events)
        return [events, pushing.Place(pushing.CHECKPOINTS, "tcp://siem", self._take_checkpoints)]

    def _take_events(self, some: Sequence[Item]) -> None:
        self.events += [one.number for one in some]
        self.proofs |= {(one.number, one.proof) for one in some}

    def _take_checkpoints(self, some: Sequence[Item]) -> None:
        self.checkpoints += [json.loads(one.text)["body"] for one in some]


@pytest.fixture
def elsewhere(db: None, audit_key: Path, monkeypatch: pytest.MonkeyPatch) -> Elsewhere:
    """Eight events and three checkpoints, all of them sent; the triggers are away."""
    there = Elsewhere()
    monkeypatch.setattr(pushing, "places", there.places)
    for _ in range(3):
        write(2)
        sealing.seal("minute")
    write(2)
    pushing.push()
    assert there.events == list(range(1, 9)) and len(there.checkpoints) == 3
    conftest.now(connection)
    return there


def write(times: int = 1) -> None:
    with transaction.atomic():
        for _ in range(times):
            record("x.happened", actor="system")


def as_it_was(after: int) -> Callable[[], None]:
    """What follows an event is gone, and the head is as it was then."""

    def work() -> None:
        leaf = bytes(Event.objects.get(seq=after).leaf)
        Event.objects.filter(seq__gt=after).delete()
        Checkpoint.objects.filter(tree_size__gt=after).delete()
        Head.objects.update(last_seq=after, mark=keys.current().mark_last(leaf))

    return work


def told() -> list[dict[str, Any]]:
    return [one.payload for one in Event.objects.filter(kind=services.TAIL_MISSING).order_by("seq")]


@pytest.mark.parametrize("then", [0, 1, 6])
def test_an_end_that_is_gone_after_it_was_sent_is_a_finding_for_ever(then: int, elsewhere: Elsewhere) -> None:
    """Whether what came in its place has the same numbers already or not."""
    as_it_was(6)()
    if then:
        write(then)
    sealing.seal("minute")
    found = [one for one in verifying.verify().findings if one.what == "tail.cut"]
    assert found and (found[0].first or 0) <= 8 <= (found[0].last or 0)
    assert pushing.lags()[0].is_ahead
    assert any("what arrived there last" in one.said for one in integrity.look().signs if one.level == integrity.WRONG)
    assert any(
        "what arrived there last" in one.message for one in conftest.said_by_doctor() if one.level == doctor.ERROR
    )
    _triggers.install(connection)
    pushing.push()
    pushing.push()
    assert {"place": "events", "sent": 8, "newest": min(6 + then, 7)} in told()
    assert not any(lag.is_ahead or lag.waiting for lag in pushing.lags())
    number = Event.objects.get(kind=services.TAIL_MISSING, payload__place="events").seq
    assert elsewhere.events[-1] >= number
    assert "tail.missing" in [one.what for one in verifying.verify().findings]
    before = list(told())
    write()
    pushing.push()
    assert told() == before


def test_checkpoints_that_came_in_the_place_of_others_are_sent_too(elsewhere: Elsewhere) -> None:
    Checkpoint.objects.filter(number=3).delete()
    sealing.seal("minute")  # has the same number
    assert "tail.cut" in [one.what for one in verifying.verify().findings]
    pushing.push()
    assert [json.loads(one)["number"] for one in elsewhere.checkpoints] == [1, 2, 3, 3]
    assert len(set(elsewhere.checkpoints)) == 4
    assert told() == [{"place": "checkpoints", "sent": 3, "newest": 2}]


def test_what_was_recorded_since_a_cut_is_sent_also_under_numbers_that_were(elsewhere: Elsewhere) -> None:
    Event.objects.filter(seq__gt=6).delete()
    Head.objects.update(last_seq=6)
    write(4)  # 7 says that the end is missing
    pushing.push()
    assert elsewhere.events[8:12] == [7, 8, 9, 10]


def test_without_the_key_it_waits_until_it_can_be_recorded(elsewhere: Elsewhere, audit_key: Path) -> None:
    as_it_was(6)()
    seed = audit_key.read_bytes()
    audit_key.unlink()
    pushing.push()
    assert pushing.lags()[0].is_ahead and told() == []
    audit_key.write_bytes(seed)
    pushing.push()
    assert not pushing.lags()[0].is_ahead and told() == [{"place": "events", "sent": 8, "newest": 6}]


def test_a_worker_that_was_too_slow_records_nothing_of_it(elsewhere: Elsewhere) -> None:
    as_it_was(6)()
    held = pushing._take(elsewhere.places()[0])
    gone = pushing.gone()[0]
    Delivery.objects.update(held_until=services.timezone.now())  # another one has taken over
    assert held and not pushing._go_back(held, gone) and told() == []


def test_a_place_that_is_sent_to_no_more_still_tells(elsewhere: Elsewhere, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pushing, "places", lambda: [])
    as_it_was(6)()
    assert {one.what for one in verifying.verify().findings} == {"tail.cut"}


def test_a_folder_keeps_what_was_there_first(
    elsewhere: Elsewhere, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    folder = tmp_path / "elsewhere"
    folder.mkdir()
    place = pushing.Place(pushing.CHECKPOINTS, str(folder), pushing._into(folder))
    monkeypatch.setattr(pushing, "places", lambda: [place])
    pushing.push()
    kept = sorted(folder.iterdir())[-1].read_bytes()
    as_it_was(4)()
    write(3)
    sealing.seal("minute")
    pushing.push()
    beside, first = sorted(folder.iterdir())[-2:]
    assert first.read_bytes() == kept and beside.name.startswith(f"{first.stem}-")
    assert json.loads(beside.read_text())["body"] == Checkpoint.objects.get(number=3).body
    assert told() == [{"place": "checkpoints", "sent": 3, "newest": 2}]


def seal(times: int, *, pushes: bool = True) -> None:
    """An event and a checkpoint a minute."""
    for _ in range(times):
        write()
        sealing.seal("minute")
        if pushes:
            pushing.push()
    pushing.push()


def restore(number: int) -> None:
    """A backup that ends with this checkpoint. How far a place has got comes back with it."""
    conftest.now(connection)
    newest = Checkpoint.objects.get(number=number)
    as_it_was(newest.tree_size)()
    Checkpoint.objects.filter(number__gt=number).delete()
    proof = _sending.proof_of_body(newest.body)
    Delivery.objects.update(last=number, proof=proof, landmarks=[[number, proof.hex()]])
    _triggers.install(connection)


@pytest.mark.parametrize("at_once", [False, True])
def test_behind_a_restored_backup_a_folder_is_told_of_once(
    at_once: bool, db: None, audit_key: Path, settings: Any
) -> None:
    """Until they are beyond what lies there, checkpoints meet another one, each minute or all together: one alarm, and
    one more where a backup is restored again."""
    settings.HAVRE_AUDIT_PUSH_FOLDER = str(audit_key.parent)
    seal(9)
    restore(3)
    seal(10, pushes=not at_once)
    assert told() == [{"place": "checkpoints", "sent": 9, "newest": 3}]
    restore(8)
    seal(7, pushes=not at_once)
    first = [] if at_once else [{"place": "checkpoints", "sent": 9, "newest": 3}]  # which lay behind the backup
    assert told() == [*first, {"place": "checkpoints", "sent": 13, "newest": 8 + len(first)}]
    (finding,) = verifying.verify().findings
    assert finding.what == "tail.missing" and ("2 of these" in finding.message) == (not at_once)


def test_behind_a_restored_backup_another_folder_is_no_alarm_and_the_old_one_tells_what_is_missing(
    db: None, audit_key: Path, settings: Any, tmp_path: Path
) -> None:
    settings.HAVRE_AUDIT_PUSH_FOLDER = str(audit_key.parent)
    seal(9)
    restore(3)
    (tmp_path / "another").mkdir()
    settings.HAVRE_AUDIT_PUSH_FOLDER = str(tmp_path / "another")
    seal(4)
    assert len(list((tmp_path / "another").iterdir())) == 7 and told() == []
    assert verifying.verify().findings == () and not any(lag.is_ahead or lag.waiting for lag in pushing.lags())
    found = verifying.verify(pushed=[one for file in audit_key.parent.glob("havre-*") for one in _pushed.read(file)])
    assert {"pushed.differs", "tail.cut"} <= {one.what for one in found.findings}


def test_a_worker_that_knows_no_landmarks_raises_no_alarm(elsewhere: Elsewhere) -> None:
    """One of the version before, beside the new ones in an upgrade: it moves the number alone."""
    _triggers.install(connection)
    write()
    sealing.seal("minute")
    Delivery.objects.filter(what__startswith="events").update(last=9)
    Delivery.objects.filter(what__startswith="checkpoints").update(last=4)
    assert not any(lag.is_ahead for lag in pushing.lags())
    write()
    sealing.seal("minute")
    pushing.push()
    assert told() == [] and verifying.verify().findings == ()
    as_it_was_sent = Delivery.objects.get(what__startswith="checkpoints")
    Delivery.objects.filter(pk=as_it_was_sent.pk).update(proof=b"x" * 32)
    assert [one.last for one in pushing.gone()] == [5], "from then on it is known again"


def test_what_comes_in_the_place_of_a_long_end_is_sent_from_its_beginning(elsewhere: Elsewhere) -> None:
    """Whoever kept the head's row and put it back raises no alarm with the next event: what is recorded since has
    numbers that were sent, and is sent as well."""
    _triggers.install(connection)
    before = Head.objects.values("last_seq", "last_at", "mark").get()
    for _ in range(3):
        write(9)
        sealing.seal("minute")
        pushing.push()
    conftest.now(connection)
    Event.objects.filter(seq__gt=8).delete()
    Checkpoint.objects.filter(number__gt=3).delete()
    Head.objects.update(**before)
    _triggers.install(connection)
    for _ in range(2):
        write(5)
        sealing.seal("minute")
    pushing.push()
    pushing.push()
    here = {(one.seq, bytes(one.leaf)) for one in Event.objects.all()}
    assert here <= elsewhere.proofs
    assert set(Checkpoint.objects.values_list("body", flat=True)) <= set(elsewhere.checkpoints)
    assert elsewhere.events.count(1) == 1, "not everything comes again"
    assert verifying.verify().findings and not any(lag.is_ahead or lag.waiting for lag in pushing.lags())


@pytest.mark.parametrize("landmarks", [[], {}, "x", [[1]], [["1", 2], None, [10**30, "00"]], [[3, "zz"]]])
def test_without_landmarks_everything_is_sent_again(elsewhere: Elsewhere, landmarks: Any) -> None:
    Delivery.objects.update(landmarks=landmarks)
    as_it_was(6)()
    _triggers.install(connection)
    write(1)
    pushing.push()
    assert elsewhere.events[8:16] == list(range(1, 9))


def test_a_name_that_somebody_else_had_is_not_sent(full_ledger: Any, settings: Any) -> None:
    settings.HAVRE_AUDIT_SYSLOG_NAMES = True

    def sent() -> set[Any]:
        return {json.loads(one.text)["actor_name"] for one in _sending.events(0, 1000, 1000)}

    assert {"anna", "dora", "system", None} <= sent(), "bela was erased"
    conftest.now(connection)
    Actor.objects.filter(name="anna").update(name="nobody")
    Actor.objects.filter(name="dora").update(name="anna")
    assert not {"anna", "dora", "nobody"} & sent()


def test_landmarks_are_few_and_one_is_always_near() -> None:
    known: list[tuple[int, str]] = []
    for last in range(500, 400_000, 500):
        known = thinned([*known, *((number, "") for number in range(last - 499, last + 1))])
    newest = known[0][0]
    assert len(known) <= 100 and newest == 399_500
    for back in (1, 10, 100, 1000, 10_000, 100_000, 300_000):
        near = max(number for number, _ in known if number <= newest - back)
        assert newest - near <= 4 * back + 1000


@pytest.mark.parametrize("sends", [True, False])
def test_an_honest_ledger_raises_no_alarm(sends: bool, elsewhere: Elsewhere) -> None:
    _triggers.install(connection)
    for _ in range(3):
        write(3)
        sealing.seal("minute")
        if sends:
            pushing.push()
    Delivery.objects.update(proof=None)  # as it was sent before there were proofs
    assert verifying.verify().findings == () and pushing.gone() == []
