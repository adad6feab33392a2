"""On SQLite a row can mean the same to Python and be filed elsewhere by SQL: that is a change as well."""

from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from django.db import connection, transaction

from portal.audit import _triggers, sealing, selectors, stored, verifying
from portal.audit.exporting import Selection
from portal.audit.models import Event
from portal.audit.services import record
from tests.audit import conftest

pytestmark = pytest.mark.skipif("connection.vendor != 'sqlite'", reason="PostgreSQL has one form of each value")


def other_day(event: Event) -> str:
    return f"{event.at + timedelta(hours=23, minutes=59):%Y-%m-%d %H:%M:%S.%f}+23:59"


def twice(payload: str) -> str:
    return '{"conversation": "x", ' + payload[1:]


FILED = {
    "the time of another day": ("at", lambda event, text: other_day(event)),
    "a T in the time": ("at", lambda event, text: text.replace(" ", "T")),
    "a time in UTC": ("at", lambda event, text: f"{text}+00:00"),
    "a name that occurs twice": ("payload", lambda event, text: twice(text)),
    "a name that occurs twice, within": (
        "payload",
        lambda event, text: text.replace('"verdict": {', '"verdict": {"action": 1, '),
    ),
}


@pytest.fixture
def event(db: None, audit_key: Path, monkeypatch: pytest.MonkeyPatch) -> Event:
    """An event of a question, not sealed yet; the triggers are away."""
    verdict = {"category": "crisis", "action": "redirect", "rules": []}
    with transaction.atomic():
        told = record("turn.started", actor="system", subject="x", payload={"conversation": "c", "verdict": verdict})
    conftest.now(connection)
    return told


def refile(event: Event, what: str) -> None:
    column, other = FILED[what]
    with connection.cursor() as cursor:
        cursor.execute(f"SELECT {column} || '' FROM audit_event WHERE seq = %s", [event.seq])
        text = cursor.fetchone()[0]
        assert other(event, text) != text
        cursor.execute(f"UPDATE audit_event SET {column} = %s WHERE seq = %s", [other(event, text), event.seq])


@pytest.mark.parametrize("what", FILED)
def test_a_row_that_is_filed_elsewhere_was_changed(event: Event, what: str) -> None:
    refile(event, what)
    read = Event.objects.get(seq=event.seq)
    assert (read.at, read.payload) == (event.at, event.payload), "for Python it means the same"
    assert stored.rows([event.seq], stored.Marks())[0].problem == stored.CHANGED
    assert [(one.what, one.first) for one in verifying.verify().findings] == [("event.changed", event.seq)]
    with pytest.raises(sealing.Tampered):
        sealing.seal("minute")


def test_the_row_was_in_nobodys_search(event: Event) -> None:
    """What it is that somebody would do it for."""
    today = Selection(first_day=event.at.date(), last_day=event.at.date())
    assert selectors.search(today).count == 1
    refile(event, "the time of another day")
    assert selectors.search(today).count == 0


def test_as_it_is_written_it_is_as_it_was_written(full_ledger: Any, without_triggers: None) -> None:
    """Names outside ASCII, numbers of each sort, spaces that a tool for moving a database left: no alarm."""
    with connection.cursor() as cursor:
        cursor.execute("UPDATE audit_event SET payload = replace(payload, ': ', ':') WHERE seq % 2 = 0")
    assert verifying.verify().findings == ()
    numbers = list(Event.objects.order_by("seq").values_list("seq", flat=True))
    assert not any(row.problem for row in stored.rows(numbers, stored.Marks()))
    _triggers.install(connection)
    sealing.seal("minute")
