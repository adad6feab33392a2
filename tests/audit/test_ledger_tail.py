"""The end of the ledger, which no checkpoint is over yet: whoever cuts it off is not forgotten, and switches nothing
off."""

import io
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from django.core.management import call_command
from django.db import connection, transaction
from django.db.models import Value

from portal import doctor
from portal.audit import (
    _pushed,
    _rows,
    _triggers,
    integrity,
    keys,
    rotation,
    sealing,
    services,
    tasks,
    verifier,
    verifying,
)
from portal.audit.models import Actor, Checkpoint, Event, Head
from portal.audit.services import record
from tests.audit import conftest

SEALED, LAST = 3, 7


def write(times: int = 1) -> Event:
    with transaction.atomic():
        for _ in range(times):
            event = record("x.happened", actor="system")
    return event


@pytest.fixture
def ledger(db: None, audit_key: Path) -> None:
    write(SEALED)
    sealing.seal("minute")
    write(LAST - SEALED)


@pytest.fixture
def earlier_head(ledger: None) -> dict[str, Any]:
    """The head's row, as somebody kept it, before three more events."""
    kept = Head.objects.values("last_seq", "last_at", "mark").get()
    write(3)
    return dict(kept)


def cut(after: int, **head: Any) -> None:
    Event.objects.filter(seq__gt=after).delete()
    if head:
        Head.objects.update(**head)


def insert_one() -> None:
    forged = Event.objects.get(seq=LAST)
    forged.seq = LAST + 1
    forged.leaf = services.leaf_of(forged)
    forged.save(force_insert=True)


DAMAGE: dict[str, tuple[Callable[[], Any], int, int]] = {
    # what is done, the number of the next event, the newest that is there
    "the last event": (lambda: cut(LAST - 1), LAST + 1, LAST - 1),
    "some": (lambda: cut(4), LAST + 1, 4),
    "with the head's number": (lambda: cut(4, last_seq=4), 5, 4),
    "all that no checkpoint is over": (lambda: cut(SEALED, last_seq=SEALED), SEALED + 1, SEALED),
    "the head's number alone": (lambda: Head.objects.update(last_seq=5), LAST + 1, LAST),
    "the head's mark": (lambda: Head.objects.update(mark=b"m" * 32), LAST + 1, LAST),
    "the head's mark is gone": (lambda: Head.objects.update(mark=None), LAST + 1, LAST),
    "the head's mark is a word": (lambda: Head.objects.update(mark=Value("word")), LAST + 1, LAST),
    "the head": (lambda: Head.objects.all().delete(), LAST + 1, LAST),
    "one more event": (insert_one, LAST + 2, LAST + 1),
    "the last event's hash": (lambda: Event.objects.filter(seq=LAST).update(leaf=b"l" * 32), LAST + 1, LAST),
}


if connection.vendor == "postgresql":
    del DAMAGE["the head's mark is a word"]  # a column of bytes holds none


@pytest.mark.usefixtures("ledger", "without_triggers")
@pytest.mark.parametrize("damage", DAMAGE)
def test_what_was_done_to_the_end_is_recorded_once_and_recording_goes_on(damage: str) -> None:
    do, number, newest = DAMAGE[damage]
    before = Head.objects.get()
    do()
    head = Head.objects.first() or Head(last_seq=0)
    said = {
        "last_seq": head.last_seq,
        "last_at": services.moment(head.last_at) if head.last_at else None,
        "mark": _rows.as_bytes(head.mark).hex(),
        "newest": newest,
    }
    assert [one.what for one in verifying.verify().findings]
    conftest.now(connection)
    _triggers.install(connection)  # which let the ledger go on
    assert write().seq == number + 1
    write(2)
    told = Event.objects.filter(kind=services.TAIL_MISSING)
    assert [(one.seq, one.actor_id, one.payload) for one in told] == [(number, "system", said)]
    assert Event.objects.count() == Event.objects.filter(seq__lte=newest).count() + 4
    assert before.last_seq == LAST
    for _ in range(2):
        found = verifying.verify().findings
        assert ("tail.missing", number) in [(one.what, one.first) for one in found]


@pytest.mark.usefixtures("ledger", "without_triggers")
def test_a_cut_end_is_told_everywhere_and_sealing_goes_on_over_what_is_left() -> None:
    cut(4, last_seq=4)
    with pytest.raises(sealing.Tampered, match="the last event"):
        sealing.seal("minute")
    tasks.seal_minute()  # which records that
    assert list(Event.objects.filter(seq__gt=4).order_by("seq").values_list("kind", flat=True)) == [
        services.TAIL_MISSING,
        "audit.sealing_refused",
    ]
    tasks.seal_minute()
    assert Checkpoint.objects.count() == 2 and Head.objects.get().last_seq == 6
    assert [(one.what, one.first, one.last) for one in verifying.verify().findings] == [("tail.missing", 5, 5)]
    tasks.verify()
    assert integrity.look().level == integrity.WRONG
    assert any("event 5" in one.said for one in integrity.look().signs if one.level == integrity.WRONG)
    errors = [one.message for one in conftest.said_by_doctor() if one.level == doctor.ERROR]
    assert any("event 5" in one for one in errors)


@pytest.mark.usefixtures("without_triggers")
@pytest.mark.parametrize("recorded_after", [0, 1, 5])
def test_a_head_from_before_shows_at_the_checkpoint_that_was_made_since(
    recorded_after: int, earlier_head: dict[str, Any]
) -> None:
    """Everything but the checkpoint is as it was then: nothing in it is wrong."""
    sealing.seal("minute")
    cut(LAST, **earlier_head)
    if recorded_after:
        write(recorded_after)
    assert not Event.objects.filter(kind=services.TAIL_MISSING).exists()
    with pytest.raises(sealing.Tampered, match="checkpoint 2"):
        sealing.seal("minute")
    assert verifying.verify().findings


@pytest.mark.usefixtures("ledger")
def test_an_exchange_of_keys_is_no_damage(audit_key: Path) -> None:
    rotation.replace(actor="system", reason="")
    write()
    audit_key.unlink()
    rotation.replace_lost(actor="system", reason="gone")
    write()
    sealing.seal("minute")
    assert verifying.verify().findings == () and not Event.objects.filter(kind=services.TAIL_MISSING).exists()


@pytest.mark.usefixtures("ledger", "without_triggers")
def test_the_mark_that_the_head_bore_proves_which_event_was_the_last_one() -> None:
    """Where it was sent, it still is."""
    lost = bytes(Event.objects.get(seq=LAST).leaf)
    cut(4, last_seq=4)
    write()
    said = Event.objects.get(kind=services.TAIL_MISSING).payload
    assert keys.current().mark_last(lost).hex() == said["mark"]


@pytest.mark.usefixtures("ledger")
def test_what_was_rolled_back_is_no_damage() -> None:
    with pytest.raises(ZeroDivisionError), transaction.atomic():
        record("x.happened", actor="system")
        raise ZeroDivisionError
    write()
    assert Head.objects.get().last_seq == LAST + 1 and verifying.verify().findings == ()


@pytest.mark.usefixtures("ledger", "without_triggers")
@pytest.mark.parametrize("chosen", [[], ["--kind", "x.happened"]])
def test_a_bundle_tells_of_it_years_later(
    chosen: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Also one that does not hold that event, because others were asked for."""
    cut(4, last_seq=4)
    write()
    bundle = tmp_path / "audit.zip"
    arguments = ["export_audit", "--format", "bundle", *chosen, "-o", str(bundle)]
    call_command(*arguments, stdout=io.StringIO(), stderr=io.StringIO())
    assert verifier.main([str(bundle)]) == 1
    assert "event 5: when it was recorded, the end of the ledger was found cut off" in capsys.readouterr().out


@pytest.mark.usefixtures("without_triggers")
def test_ends_that_were_found_cut_off_hide_nothing_behind_them(
    ledger: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(verifying, "_MOST_FINDINGS", 10)
    monkeypatch.setattr(verifier, "MOST_FINDINGS", 10)
    with transaction.atomic():
        for number in range(12):
            record(services.TAIL_MISSING, actor="system", payload={"place": "x", "sent": number, "newest": number - 1})
        changed = record("x.happened", actor="system").seq
    Event.objects.filter(seq=changed).update(kind="x.never")
    found = verifying.verify().findings
    assert (found[0].what, found[0].first) == ("event.changed", changed)
    assert [(one.first, one.last, one.message[:2]) for one in found[1:]] == [(changed - 12, changed - 1, "12")]
    bundle = tmp_path / "audit.zip"
    call_command("export_audit", "--format", "bundle", "-o", str(bundle), stdout=io.StringIO(), stderr=io.StringIO())
    assert verifier.main([str(bundle)]) == 1
    said = capsys.readouterr().out
    assert f"event {changed}: " in said and f"events {changed - 12} to {changed - 1}: 12 of these say" in said


@pytest.mark.usefixtures("without_triggers")
def test_a_bundle_that_somebody_kept_shows_a_head_from_before(
    earlier_head: dict[str, Any], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The whole database is an old copy: right in itself."""
    bundle = tmp_path / "audit.zip"
    call_command("export_audit", "--format", "bundle", "-o", str(bundle), stdout=io.StringIO(), stderr=io.StringIO())
    Checkpoint.objects.filter(tree_size__gt=LAST).delete()
    cut(LAST, **earlier_head)
    Actor.objects.filter(code__startswith="p-").delete()
    write(2)
    assert verifying.verify().findings == ()
    for place in (bundle, tmp_path / "unpacked" / "checkpoints.jsonl"):
        if place != bundle:
            zipfile.ZipFile(bundle).extractall(place.parent)
        found = verifying.verify(pushed=_pushed.read(place)).findings
        assert ("tail.cut", LAST + 3) in [(one.what, one.first) for one in found]


@pytest.mark.parametrize("damage", ["no member", "cut short", "a byte"])
def test_a_bundle_that_is_none_is_a_sentence(damage: str, tmp_path: Path) -> None:
    path = tmp_path / "audit.zip"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as bundle:
        bundle.writestr("other" if damage == "no member" else "checkpoints.jsonl", '{"signature": ""}\n' * 999)
    content = bytearray(path.read_bytes())
    if damage == "a byte":
        content[60] ^= 255
    path.write_bytes(content[:50] if damage == "cut short" else content)
    with pytest.raises(_pushed.Unusable):
        list(_pushed.read(path))
