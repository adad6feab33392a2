"""The audit key is exchanged while others seal, exchange it too, or the clock is set back."""

import threading
import time
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from django.db import connection, transaction

from portal.audit import keys, rotation, sealing, services, verifying
from portal.audit.models import Checkpoint, Event
from portal.audit.services import record


def write(times: int = 2) -> None:
    with transaction.atomic():
        for _ in range(times):
            record("x.happened", actor="system")


def apart(work: Callable[[], Any]) -> tuple[threading.Thread, list[BaseException]]:
    """The work on a connection of its own, begun; and what it raised."""
    raised: list[BaseException] = []

    def run() -> None:
        try:
            work()
        except BaseException as error:  # for whoever joins
            raised.append(error)
        finally:
            connection.close()

    thread = threading.Thread(target=run)
    thread.start()
    return thread, raised


def until_somebody_waits() -> None:
    """Come back when a connection waits for a lock of another one."""
    ends = time.monotonic() + 60
    while time.monotonic() < ends:
        with connection.cursor() as cursor:
            cursor.execute("SELECT 1 FROM pg_locks WHERE NOT granted")
            if cursor.fetchone():
                return
    pytest.fail("nobody waits")


@pytest.mark.skipif(connection.vendor != "postgresql", reason="on SQLite one transaction writes at a time")
@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("lost", [False, True])
def test_an_exchange_waits_for_the_checkpoint_that_is_on_its_way(
    lost: bool, audit_key: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write()
    sealing.seal("minute")
    write()
    under_way, go_on, seal = threading.Event(), threading.Event(), sealing._Tail.seal

    def slowly(self: Any, reason: str, *others: Any) -> Checkpoint:
        if reason == "minute" and not under_way.is_set():
            under_way.set()
            assert go_on.wait(60)
        return seal(self, reason, *others)

    monkeypatch.setattr(sealing._Tail, "seal", slowly)
    sealer, not_sealed = apart(lambda: sealing.seal("minute"))
    assert under_way.wait(60)
    if lost:
        audit_key.unlink()
    exchange = rotation.replace_lost if lost else rotation.replace
    exchanger, not_exchanged = apart(lambda: exchange(actor="system", reason="each year"))
    until_somebody_waits()
    go_on.set()
    for thread in (sealer, exchanger):
        thread.join(60)
    assert not_sealed == not_exchanged == []
    write()
    sealing.seal("minute")
    outcome = verifying.verify()
    assert outcome.findings == () and outcome.checkpoints == 4
    said = Event.objects.get(kind="audit.key_replaced").payload
    assert said["last_checkpoint"] == (2 if lost else 3)
    assert not lost or said["unvouched"] == [5, 4]


@pytest.mark.parametrize("lost", [False, True])
def test_a_clock_behind_the_newest_checkpoint_is_told_of_by_the_right_key(
    lost: bool, db: None, audit_key: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = services.timezone.now

    def hours_ago(hours: int) -> None:
        monkeypatch.setattr(services.timezone, "now", lambda: real() - timedelta(hours=hours))

    hours_ago(2)
    write()
    hours_ago(0)
    sealing.seal("minute")
    hours_ago(1)  # later than the last event
    if lost:
        audit_key.unlink()
        rotation.replace_lost(actor="system", reason="gone")
    else:
        rotation.replace(actor="system", reason="each year")
    write()
    sealing.seal("minute")
    assert verifying.verify().findings == ()
    assert Event.objects.filter(kind="clock.went_back").count() == 1


def test_two_exchanges_at_once_do_not_take_each_others_key(db: None, audit_key: Path) -> None:
    write()
    with keys.exchanged() as first:
        with pytest.raises(keys.NoAuditKey, match="another exchange"), keys.exchanged():
            pass
        first.put()
        assert keys.current().public == first.new.public
    with keys.exchanged() as again:  # and afterwards it is free
        assert again.new.public != first.new.public
