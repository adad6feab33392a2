"""Whether the audit trail is sound, at a glance, and verifications that an officer asks for."""

from datetime import timedelta
from typing import Any

import pytest
from django.db import connection, transaction
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from portal.audit import _triggers, integrity, sealing, tasks, verifying
from portal.audit.integrity import ATTENTION, GOOD, NOTE, WRONG
from portal.audit.models import Checkpoint, Event
from portal.audit.services import record
from tests.audit.conftest import said_by_doctor
from tests.conftest import Cast


@pytest.fixture
def officer(client: Client, cast: Cast) -> Client:
    client.force_login(cast.emil)
    return client


@pytest.fixture
def sound(db: None, valkey_server: str) -> None:
    """An audit trail that is sealed and verified."""
    make(5)
    sealing.seal("minute")
    tasks.verify()


def make(number: int) -> list[Event]:
    with transaction.atomic():
        return [record("x.happened", actor="system", payload={"n": one}) for one in range(number)]


def levels() -> dict[str, str]:
    return {one.part: one.level for one in integrity.look().signs}


def spoil(what: Any) -> None:
    _triggers.remove(connection)
    what()
    _triggers.install(connection)


def test_a_sound_ledger_is_green_in_word_and_shape(officer: Client, sound: None) -> None:
    found = integrity.look()
    assert (found.level, found.headline) == (GOOD, "The audit trail is whole.")
    assert levels() == {"Recording": GOOD, "Checkpoints": GOOD, "Verification": GOOD, "Copies elsewhere": NOTE}
    page = officer.get(reverse("audit:integrity")).content.decode()
    assert "verdict--good" in page and "<circle" in page and "In order" in page
    assert bytes(found.checkpoint.root).hex() in page and found.key_id in page  # type: ignore[union-attr]


def test_what_is_wrong_is_one_sentence_with_what_to_do(officer: Client, sound: None) -> None:
    spoil(lambda: Event.objects.filter(seq=3).update(payload={"n": 99}))
    tasks.verify()
    found = integrity.look()
    assert found.level == WRONG and "not what was recorded" in found.headline
    assert any("event 3" in one for one in found.findings)
    page = officer.get(reverse("audit:integrity")).content.decode()
    assert "verdict--wrong" in page and "Something is wrong" in page and "export the bundle as evidence" in page
    assert "event 3" in page


@pytest.mark.parametrize(
    "change",
    [
        {"payload": {"events": 5, "checkpoints": 1, "findings": 0, "breaks": 0, "first_findings": []}},
        {"payload": {}},
        {"payload": []},
        {"at": timezone.now()},
        {"mac": b"m" * 32},
    ],
)
def test_a_verification_whose_record_was_changed_says_nothing(
    change: dict[str, Any], officer: Client, sound: None
) -> None:
    """Who makes its findings none is not believed until the next night."""
    spoil(lambda: Event.objects.filter(seq=3).update(payload={"n": 99}))
    tasks.verify()
    spoil(lambda: Event.objects.filter(pk=verifying.last().seq).update(**change))  # type: ignore[union-attr]
    found = integrity.look()
    assert levels()["Verification"] == found.level == WRONG and "is not what was recorded" in found.headline
    assert "is not what was recorded" in officer.get(reverse("audit:integrity")).content.decode()
    assert any(one.level == "error" and "record" in one.message for one in said_by_doctor())


TRIGGERS = {
    "dropped": {
        "sqlite": ["DROP TRIGGER audit_event_update"],
        "postgresql": ["DROP TRIGGER audit_event_update ON audit_event"],
    },
    "another one": {
        "sqlite": [
            "DROP TRIGGER audit_event_update",
            "CREATE TRIGGER audit_event_update BEFORE UPDATE ON audit_event BEGIN SELECT 1; END",
        ],
        "postgresql": [
            "CREATE OR REPLACE FUNCTION audit_event_update() RETURNS trigger LANGUAGE plpgsql "
            "AS $$ BEGIN RETURN NEW; END $$"
        ],
    },
    "switched off": {"postgresql": ["ALTER TABLE audit_event DISABLE TRIGGER audit_event_update"]},
}


@pytest.mark.parametrize("how", [one for one in TRIGGERS if connection.vendor in TRIGGERS[one]])
def test_who_takes_a_trigger_away_is_told_of(how: str, sound: None) -> None:
    assert not any("triggers" in one.message for one in said_by_doctor())
    with connection.cursor() as cursor:
        if connection.vendor == "postgresql":
            cursor.execute("SET CONSTRAINTS ALL IMMEDIATE")
        for statement in TRIGGERS[how][connection.vendor]:
            cursor.execute(statement)
    found = integrity.look()
    assert found.level == WRONG and "(audit_event_update)" in found.headline
    assert any(one.level == "error" and "(audit_event_update)" in one.message for one in said_by_doctor())


def test_a_commit_is_on_disk_before_anything_is_shown() -> None:
    if connection.vendor == "sqlite":
        assert "synchronous=FULL" in connection.settings_dict["OPTIONS"]["init_command"]


@pytest.mark.parametrize("case", ["never verified", "verified long ago", "no checkpoint", "old checkpoint", "no key"])
def test_each_part_says_when_it_is_not_in_order(
    case: str, sound: None, settings: Any, tmp_path: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    old = timezone.now() - timedelta(days=9)
    part, level = {
        "never verified": ("Verification", ATTENTION),
        "verified long ago": ("Verification", ATTENTION),
        "no checkpoint": ("Checkpoints", ATTENTION),
        "old checkpoint": ("Checkpoints", WRONG),
        "no key": ("Recording", WRONG),
    }[case]
    if case == "no key":
        settings.HAVRE_AUDIT_KEY_FILE = tmp_path / "none.key"
    elif case == "never verified":
        spoil(lambda: Event.objects.filter(kind=verifying.KIND).delete())
    elif case == "verified long ago":
        monkeypatch.setattr(integrity, "_VERIFIED_WITHIN", timedelta())
    elif case == "no checkpoint":
        spoil(lambda: Checkpoint.objects.all().delete())
    else:
        spoil(lambda: Checkpoint.objects.update(at=old))
    sign = next(one for one in integrity.look().signs if one.part == part)
    assert sign.level == level and sign.to_do
    assert integrity.look().level == level


def test_a_seal_that_was_refused_is_told(sound: None) -> None:
    make(2)
    spoil(lambda: Event.objects.filter(kind="x.happened").order_by("-seq")[:1].get() and _change_last())
    tasks.seal_minute()
    assert levels()["Checkpoints"] == WRONG


def _change_last() -> None:
    last = Event.objects.order_by("-seq").first()
    assert last
    Event.objects.filter(seq=last.seq).update(payload={"n": 99})


def test_what_waits_to_be_sent_is_told(sound: None, settings: Any, tmp_path: Any) -> None:
    settings.HAVRE_AUDIT_PUSH_FOLDER = str(tmp_path / "not" / "there")
    assert WRONG in {one.level for one in integrity.look().signs if one.part == "Copies elsewhere"}
    settings.HAVRE_AUDIT_PUSH_FOLDER, settings.HAVRE_AUDIT_SYSLOG = "", "gopher://x"
    assert levels()["Copies elsewhere"] == WRONG


@pytest.mark.django_db(transaction=True)
def test_an_officer_has_it_verified_and_both_are_events(
    officer: Client, sound: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    sent: list[int] = []
    monkeypatch.setattr(integrity, "_send", sent.append)
    for _ in range(2):  # twice: the second one finds it under way
        assert officer.post(reverse("audit:verify")).status_code == 302
    asked = Event.objects.get(kind="audit.verification_asked")
    assert (asked.actor.name, sent) == ("emil", [asked.seq])
    assert officer.get(reverse("audit:verify_progress")).json()["running"]
    assert "It waits for a worker" in officer.get(reverse("audit:integrity")).content.decode()
    tasks.verify_asked(asked.seq)
    tasks.verify_asked(asked.seq)  # a message that comes twice
    done = Event.objects.filter(kind=verifying.KIND, seq__gt=asked.seq)
    assert [(one.actor.name, one.payload["findings"]) for one in done] == [("emil", 0)]
    assert officer.get(reverse("audit:verify_progress")).json() == {"running": False}
    assert integrity.ask("emil", "compliance"), "and it can be asked for again"


def test_progress_is_told_while_it_runs_and_forgotten_after(db: None, valkey_server: str) -> None:
    tell = integrity._teller()
    tell(2000, 10_000)
    tell(4000, 10_000)  # too soon to be told
    assert integrity.running() == integrity.Running(2000, 10_000)
    integrity._forget()
    assert integrity.running() is None


def test_a_verification_that_no_worker_takes_can_be_asked_for_again(db: None, valkey_server: str) -> None:
    assert integrity.ask("emil", "compliance")
    spoil(lambda: Event.objects.filter(kind="audit.verification_asked").update(at=timezone.now() - timedelta(hours=1)))
    assert integrity.running() is None


def test_without_valkey_the_page_is_there(client: Client, cast: Cast, dead_valkey: None) -> None:
    client.force_login(cast.emil)
    assert client.get(reverse("audit:integrity")).status_code == 200
