"""What the page and the doctor say of what was wrong once: it does not go away when somebody puts it right."""

from datetime import timedelta
from pathlib import Path

import pytest
from django.db import connection, transaction

from portal import doctor
from portal.audit import _triggers, integrity, rotation, sealing, services, tasks, verifying
from portal.audit.models import Event
from portal.audit.services import record
from tests.audit import conftest


def write(times: int = 2) -> None:
    with transaction.atomic():
        for _ in range(times):
            record("x.happened", actor="system")


@pytest.fixture
def ledger(db: None, audit_key: Path) -> None:
    write()
    sealing.seal("minute")
    write()


def signs(level: str) -> list[str]:
    return [f"{one.said} {one.to_do}" for one in integrity.look().signs if one.level == level]


def doctors(level: str) -> str:
    return " ".join(one.message for one in conftest.said_by_doctor() if one.level == level)


@pytest.mark.usefixtures("ledger", "without_triggers")
def test_findings_that_went_away_are_remembered(monkeypatch: pytest.MonkeyPatch) -> None:
    Event.objects.filter(seq=3).update(subject="x")
    _triggers.install(connection)
    tasks.seal_minute()
    tasks.verify()
    assert any("found that it is not what was recorded" in one for one in signs(integrity.WRONG))
    conftest.now(connection)
    Event.objects.filter(seq=3).update(subject="")  # nobody could tell from the rows
    _triggers.install(connection)
    tasks.seal_minute()
    tasks.verify()
    assert verifying.verify().findings == () and integrity.look().level == integrity.ATTENTION
    told = signs(integrity.ATTENTION)
    assert len(told) == 2 and "event 3: it was changed" in told[0] and "event 3: it was changed" in told[1]
    assert "event 3: it was changed" in doctors(doctor.WARNING)
    later = services.timezone.now() + integrity._REMEMBERED_FOR + timedelta(days=1)
    monkeypatch.setattr(services.timezone, "now", lambda: later)
    tasks.seal_minute()
    tasks.verify()
    assert integrity.look().level == integrity.GOOD and len(signs(integrity.NOTE)) == 3


@pytest.mark.usefixtures("ledger")
@pytest.mark.parametrize("unsealed", [True, False])
def test_a_lost_key_is_told_of_for_ever(unsealed: bool, audit_key: Path) -> None:
    if not unsealed:
        sealing.seal("minute")
    audit_key.unlink()
    rotation.replace_lost(actor="system", reason="gone")
    for _ in range(2):
        write()
        tasks.seal_minute()
        tasks.verify()
        told = signs(integrity.ATTENTION)
        assert len(told) == 1 and "event 5" in told[0]
        assert ("events 3 to 4" in told[0]) is unsealed
        assert ("events 3 to 4" in doctors(doctor.WARNING)) is unsealed and "event 5" in doctors(doctor.WARNING)
        rotation.replace(actor="system", reason="each year")


@pytest.mark.usefixtures("ledger", "without_triggers")
def test_a_loss_that_never_was_is_no_break() -> None:
    event = Event.objects.get(seq=4)
    event.kind, event.payload = "audit.key_replaced", {"lost": True, "unvouched": ["x"], "old": 1}
    event.save(force_update=True)
    assert verifying.breaks() == [] and not any("lost" in one for one in signs(integrity.ATTENTION))
    integrity.look()
