"""The audit key: replaced, lost, mistaken; and the clock beside it."""

import io
import json
import os
import time
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from django.core.management import CommandError, call_command
from django.db import DatabaseError, connection, transaction

from portal import doctor, vault
from portal.accounts.models import Role, User
from portal.audit import _succession, _triggers, clock, keys, rotation, sealing, services, tasks, verifying
from portal.audit.models import Actor, Checkpoint, Event, Head
from portal.audit.services import forget, record
from tests.audit import conftest


def write(times: int = 3) -> None:
    with transaction.atomic():
        for _ in range(times):
            record("x.happened", actor="anna")


@pytest.fixture
def ledger(db: None, audit_key: Path) -> Path:
    write()
    sealing.seal("minute")
    write()
    return audit_key


def command(*arguments: str) -> dict[str, Any]:
    out = io.StringIO()
    call_command("audit_key", *arguments, "--json", stdout=out, stderr=io.StringIO())
    shown: dict[str, Any] = json.loads(out.getvalue())
    return shown


def worst() -> tuple[str, str]:
    order = [doctor.OK, doctor.WARNING, doctor.ERROR]
    one = max(conftest.said_by_doctor(), key=lambda one: order.index(one.level))
    return one.level, one.message


def test_the_old_key_hands_over_to_the_new_one(ledger: Path) -> None:
    ledger.chmod(0o640)  # whoever may read it goes on reading it
    before, seed = command(), ledger.read_bytes()
    assert before["public_key"] == keys.current().public.hex()
    said = command("--new", "--reason", "each year")
    assert said["old_public_key"] == before["public_key"] != said["public_key"] == keys.current().public.hex()
    assert ledger.read_bytes() != seed and ledger.stat().st_mode & 0o777 == 0o640
    assert [one.name for one in ledger.parent.iterdir()] == [ledger.name]  # the old one is nowhere any more
    last = Checkpoint.objects.order_by("-number").first()
    assert last and sealing.claims(last)["key"] == before["key_id"] and last.tree_size == said["event"]
    write()
    sealing.seal("minute")
    assert Checkpoint.objects.values_list("number", flat=True).first() == 3
    outcome = verifying.verify(public_key=bytes.fromhex(before["public_key"]))
    assert outcome.findings == outcome.breaks == ()


def test_a_lost_key_is_a_break_that_everybody_sees(ledger: Path) -> None:
    old = keys.current().public
    ledger.unlink()
    with pytest.raises(keys.NoAuditKey), transaction.atomic():
        record("x.happened", actor="anna")
    assert worst()[0] == "error" and "no question is answered" in worst()[1]
    for arguments, said in ((["--new"], "cannot be read"), (["--new", "--lost"], "--reason"), (["--lost"], "--new")):
        with pytest.raises(CommandError, match=said):
            command(*arguments)
    command("--new", "--lost", "--reason", "the disk broke")
    write()
    sealing.seal("minute")
    outcome = verifying.verify()
    assert outcome.findings == ()
    assert [(one.what, one.first, one.message) for one in outcome.breaks] == [
        (
            "key.lost",
            5,
            "the audit key was lost and replaced without its signature: events 5 to 7 are vouched for by no key",
        )
    ]
    assert [one.what for one in verifying.verify(public_key=old).findings] == ["key.not_signed_off"]


def test_a_key_that_is_there_is_not_lost(ledger: Path) -> None:
    before = ledger.read_bytes()
    with pytest.raises(CommandError, match="without --lost"):
        command("--new", "--lost", "--reason", "a whim")
    assert ledger.read_bytes() == before
    write()
    sealing.seal("minute")
    assert verifying.verify().findings == ()


def test_another_key_in_the_file_is_noticed_at_the_next_event(ledger: Path) -> None:
    right, aside = ledger.read_bytes(), Event.objects.count()
    ledger.unlink()
    vault.make_key(ledger)
    for work in (write, lambda: sealing.seal("minute"), lambda: rotation.replace(actor="system", reason="")):
        with pytest.raises(keys.WrongAuditKey):
            work()
    assert Event.objects.count() == aside
    assert "another key" in worst()[1]
    assert "key.other" in {one.what for one in verifying.verify().findings}
    ledger.write_bytes(right)  # its copy comes back
    write()
    sealing.seal("minute")
    assert verifying.verify().findings == ()


@pytest.mark.parametrize("broken", [(sealing, "seal"), (vault, "keep"), (rotation, "_go_on_with")])
def test_an_exchange_that_fails_changes_nothing(
    broken: tuple[Any, str], ledger: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before, events = ledger.read_bytes(), Event.objects.count()

    def fail(*args: Any, **kwargs: Any) -> None:
        if broken[1] != "keep":
            raise DatabaseError("away")
        if ledger.read_bytes() != before:  # the new key has just taken its place
            raise OSError(28, "No space left on device")

    with monkeypatch.context() as patched:
        patched.setattr(*broken, fail)
        with pytest.raises((DatabaseError, keys.NoAuditKey)):
            rotation.replace(actor="system", reason="")
    assert ledger.read_bytes() == before and Event.objects.count() == events
    assert [one.name for one in ledger.parent.iterdir()] == [ledger.name]
    write()
    sealing.seal("minute")
    assert verifying.verify().findings == ()


def test_an_exchange_that_was_cut_short_is_not_forgotten(ledger: Path) -> None:
    """The machine went down between the file and the database."""
    before = ledger.with_name(f".{ledger.name}.before")
    ledger.rename(before)
    vault.make_key(ledger)
    assert "another key" in worst()[1]
    for arguments in (["--new"], ["--new", "--lost", "--reason", "x"]):
        with pytest.raises(CommandError, match=r"was cut short"):
            command(*arguments)
    before.rename(ledger)
    write()
    sealing.seal("minute")
    assert verifying.verify().findings == ()


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_folder_that_cannot_be_written(ledger: Path) -> None:
    ledger.parent.chmod(0o500)
    with pytest.raises(CommandError, match="cannot be written"):
        command("--new")


@pytest.mark.usefixtures("without_triggers")
def test_nothing_is_sealed_over_what_was_changed(ledger: Path) -> None:
    Event.objects.filter(seq=5).update(subject="x")
    _triggers.install(connection)
    for _ in range(3):
        tasks.seal_minute()
    refused = Event.objects.filter(kind="audit.sealing_refused")
    assert [one.payload for one in refused] == [{"event": 5, "why": "event 5: it was changed"}]
    assert Checkpoint.objects.count() == 1
    assert worst() == ("error", "No checkpoint can be made: event 5: it was changed.")
    with pytest.raises(CommandError, match="Nothing was replaced: event 5"):
        command("--new")


@pytest.mark.usefixtures("without_triggers")
@pytest.mark.parametrize("change", [{"frontier": b"x" * 64}, {"frontier": b""}, {"body": "{}"}, {"tree_size": 2}])
def test_nothing_is_sealed_upon_a_checkpoint_that_was_changed(ledger: Path, change: dict[str, Any]) -> None:
    Checkpoint.objects.update(**change)
    with pytest.raises(sealing.Tampered, match=r"checkpoint 1|event"):
        sealing.seal("minute")


@pytest.mark.usefixtures("without_triggers")
def test_a_tail_that_is_missing_is_not_sealed(ledger: Path) -> None:
    Event.objects.filter(seq=7).delete()
    with pytest.raises(sealing.Tampered, match="event 7: it is missing"):
        sealing.seal("minute")


def test_what_the_doctor_says(ledger: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tasks.seal_minute()
    assert worst() == ("warning", "It has never been verified.")
    tasks.verify()
    assert worst()[0] == "ok"
    later = services.timezone.now() + timedelta(minutes=6)
    monkeypatch.setattr(services.timezone, "now", lambda: later)
    assert worst() == ("error", "The last checkpoint is 6 minutes old.")


def test_silence_is_sealed_too(ledger: Path) -> None:
    first, second = sealing.seal("minute"), sealing.seal("minute")
    assert (first.tree_size, bytes(first.root)) == (second.tree_size, bytes(second.root))
    assert second.number == first.number + 1 and sealing.claims(second)["counts"] == {}


def test_who_is_erased_keeps_the_code_and_loses_the_name(ledger: Path) -> None:
    before = Actor.objects.values("name", "salt").get(name="anna")
    with transaction.atomic():
        code = forget("anna", actor="emil", payload={"reason": "art. 17"})
    with pytest.raises(KeyError), transaction.atomic():
        forget("anna", actor="emil")
    with pytest.raises(KeyError), transaction.atomic():
        forget("system", actor="emil")
    assert Event.objects.filter(kind="person.erased", subject=code).count() == 1
    with transaction.atomic():
        _triggers.remove(connection)
        Actor.objects.filter(code=code).update(**before)  # out of an old copy
        assert [str(one) for one in verifying.verify().findings] == [
            f"event 1: {code}: the name was erased, and is there again"
        ]
        transaction.set_rollback(True)
    User.objects.create(username="anna", role=Role.CLINICIAN)
    write(1)  # somebody of the same name is somebody else
    assert Event.objects.latest("seq").actor_id != code
    sealing.seal("minute")
    assert verifying.verify().findings == ()


@pytest.mark.parametrize(
    ("jump", "passed", "recorded"), [(0, 60, 0), (3, 60, 0), (3600, 60, 1), (-90, 5, 1), (7, 9999, 0)]
)
def test_a_clock_that_is_set_is_recorded_once(
    jump: float, passed: float, recorded: int, ledger: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    wall, steady = time.time(), time.clock_gettime(clock._SINCE_START)
    monkeypatch.setattr(clock, "_before", None)
    clock.watch()
    first = clock._before
    monkeypatch.setattr(clock.time, "time", lambda: wall + jump + passed)
    monkeypatch.setattr(clock.time, "clock_gettime", lambda which: steady + passed)
    clock.watch()
    clock.watch()
    monkeypatch.setattr(clock, "_before", first)  # another process sees the same
    clock.watch()
    found = Event.objects.filter(kind="clock.jumped")
    assert found.count() == recorded
    assert all(abs(one.payload["seconds"] - jump) < 1 for one in found)


def test_a_database_that_had_no_key_yet_takes_the_one_that_is_there(db: None, audit_key: Path) -> None:
    Head.objects.get_or_create(pk=1)
    assert Head.objects.get().public_key == ""
    write(1)
    assert Head.objects.get().public_key == keys.current().public.hex()


@pytest.mark.parametrize("value", ['{"n": 99999999999999999999}', '"a word"'])
def test_what_no_ledger_would_hold_is_not_sealed(db: None, audit_key: Path, value: str) -> None:
    write()
    _triggers.remove(connection)
    with connection.cursor() as cursor:
        cursor.execute("UPDATE audit_event SET payload = %s WHERE seq = 2", [value])
    _triggers.install(connection)
    with pytest.raises(sealing.Tampered, match="event 2: it was changed"):
        sealing.seal("minute")


def test_a_key_that_was_never_there_is_not_taken_for_the_one_before(ledger: Path) -> None:
    """Somebody signs all that there was with a key of his own, and says that it handed over to the true one."""
    name, present = str(Head.objects.get().ledger), keys.current()
    own = Ed25519PrivateKey.generate()
    old = own.public_key().public_bytes_raw()
    said = b"havre audit key replaced v1\n"
    payload = {
        "old": old.hex(),
        "new": present.public.hex(),
        "last_checkpoint": 1,
        "signature": own.sign(said + _succession.statement(name, old, present.public, 1)).hex(),
        "accepted": own.sign(said + _succession.acceptance(name, old, present.public, 1)).hex(),
    }
    found = _succession.succession(name, present.public, [(2, payload)])
    assert [one.public for one in found.eras] == [present.public]
    assert [one.what for one in found.findings] == ["key.succession"]


def test_nothing_is_sealed_over_a_checkpoint_under_another_key(ledger: Path) -> None:
    newest = Checkpoint.objects.order_by("-number")[0]
    body = newest.body.replace(keys.current().key_id, "0" * 16)
    _triggers.remove(connection)
    Checkpoint.objects.filter(pk=newest.pk).update(body=body, signature=b"")
    _triggers.install(connection)
    with pytest.raises(sealing.Tampered, match=f"checkpoint {newest.number}"):
        sealing.seal("minute")
