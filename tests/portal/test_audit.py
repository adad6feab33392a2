"""The audit trail: one event a change, no gaps, nothing of a conversation's content."""

import json
from io import StringIO
from pathlib import Path

import pytest
from django.core.management import call_command
from django.db import transaction

from portal.audit.models import Event
from portal.audit.services import record
from tests.conftest import at_once


def numbers() -> list[int]:
    return list(Event.objects.order_by("seq").values_list("seq", flat=True))


def test_an_event_is_part_of_the_transaction(db: None) -> None:
    with transaction.atomic():
        record("a.happened", actor="system")
    with pytest.raises(RuntimeError), transaction.atomic():
        record("b.happened", actor="system")
        raise RuntimeError
    with transaction.atomic():
        record("c.happened", actor="system")
    assert list(Event.objects.order_by("seq").values_list("seq", "kind")) == [(1, "a.happened"), (2, "c.happened")]


@pytest.mark.django_db(transaction=True)
def test_no_recording_outside_a_transaction() -> None:
    with pytest.raises(transaction.TransactionManagementError):
        record("a.happened", actor="system")


@pytest.mark.django_db(transaction=True)
def test_many_writers_leave_neither_gaps_nor_twins() -> None:
    def write() -> None:
        for number in range(15):
            with transaction.atomic():
                record("x.happened", actor="system", payload={"n": number})

    at_once(6, write)
    assert numbers() == list(range(1, 91))


def test_the_export_command_writes_every_event_and_its_own(db: None, tmp_path: Path) -> None:
    with transaction.atomic():
        record("a.happened", actor="system")
    file = tmp_path / "audit.jsonl"
    call_command("export_audit", "--format", "jsonl", "-o", str(file), stdout=StringIO())
    kinds = [json.loads(line)["event"]["kind"] for line in file.read_text().splitlines()]
    assert kinds == ["a.happened", "person.named", "audit.exported"]
