"""Verification: whatever was done to a ledger is found where it was done, and an honest one raises no alarm."""

import io
import json
import random
from pathlib import Path
from typing import Any

import pytest
from django.core.management import CommandError, call_command
from django.db import transaction

from portal.audit import _pushed, _sending, _succession, clock, keys, rotation, sealing, services, verifying
from portal.audit._findings import Finding
from portal.audit.models import Actor, Checkpoint, Event
from portal.audit.services import forget
from tests.audit.attacks import EVERY
from tests.audit.conftest import KINDS, PEOPLE, name_people, rolled_back, write
from tests.audit.mutations import Touched


def pushed_elsewhere() -> list[_pushed.Pushed]:
    lines = [_sending.as_text(one).encode() for one in Checkpoint.objects.order_by("number")]
    return [one for one in (_pushed._parsed("", line) for line in lines) if one]


def is_located(findings: tuple[Finding, ...], touched: Touched) -> bool:
    """Whether some finding is at a place that was touched. A falsification of everything is found anywhere."""
    if not touched.events | touched.checkpoints | touched.codes:
        return bool(findings)
    for one in findings:
        events = set(range(one.first, (one.last or one.first) + 1)) if one.first is not None else set()
        if events & touched.events or one.checkpoint in touched.checkpoints:
            return True
        if any(one.message.startswith(code) for code in touched.codes):
            return True
    return False


def falsify(seed: int, elsewhere: list[_pushed.Pushed]) -> tuple[Touched, verifying.Outcome]:
    rng = random.Random(seed)
    touched = EVERY[seed % len(EVERY)](rng)
    return touched, verifying.verify(pushed=elsewhere)


def check_mutations(seeds: range) -> None:
    print(f"falsifications {seeds.start} to {seeds.stop - 1}")
    elsewhere = pushed_elsewhere()
    assert verifying.verify(pushed=elsewhere).findings == ()
    missed = []
    for seed in seeds:
        touched, outcome = rolled_back(lambda seed=seed: falsify(seed, elsewhere))
        if not is_located(outcome.findings, touched):
            missed.append((seed, touched, outcome.findings[:5]))
    assert not missed
    assert verifying.verify(pushed=elsewhere).findings == ()


@pytest.mark.usefixtures("full_ledger", "without_triggers")
def test_falsifications_are_found_where_they_are() -> None:
    """Each kind some times; others each time."""
    first = random.SystemRandom().randrange(10**6)
    check_mutations(range(first, first + 6 * len(EVERY)))


@pytest.mark.soak
@pytest.mark.usefixtures("full_ledger", "without_triggers")
def test_a_thousand_falsifications_are_found_where_they_are() -> None:
    check_mutations(range(1000))


def honest(seed: int, key: Path, monkeypatch: pytest.MonkeyPatch) -> verifying.Outcome:
    """A ledger of any history that is honest."""
    rng = random.Random(seed)
    lost = 0
    name_people()
    for _ in range(rng.randrange(1, 8)):
        write(rng, rng.randrange(6))
        match rng.randrange(8):
            case 0 | 1 | 2:
                sealing.seal("minute")
            case 3:
                rotation.replace(actor="system", reason="")
            case 4:
                key.unlink()
                rotation.replace_lost(actor="terminal:root", reason="gone")
                lost += 1
            case 5:
                if there := sorted(one.name or "" for one in Actor.objects.filter(name__in=PEOPLE)):
                    with transaction.atomic():
                        forget(rng.choice(there), actor="system")
            case 6:
                with monkeypatch.context() as patched:
                    earlier = services.timezone.now() - services.CLOCK_MAY_GO_BACK * rng.randrange(1, 9)
                    patched.setattr(services.timezone, "now", lambda earlier=earlier: earlier)
                    write(rng, 2)
                    sealing.seal("minute")
            case _:
                clock.watch()
    pushed = pushed_elsewhere()
    outcome = verifying.verify(pushed=pushed)
    assert len(outcome.breaks) == lost
    return outcome


@pytest.mark.parametrize("seed", range(6))
def test_an_honest_ledger_raises_no_alarm(
    seed: int, db: None, audit_key: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert honest(seed, audit_key, monkeypatch).findings == ()


@pytest.mark.soak
def test_a_hundred_honest_ledgers_raise_no_alarm(db: None, audit_key: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for seed in range(100, 200):
        assert rolled_back(lambda seed=seed: honest(seed, audit_key, monkeypatch)).findings == (), seed
        audit_key.unlink()
        keys.make()


@pytest.mark.usefixtures("full_ledger", "without_triggers")
def test_one_changed_event_is_the_only_finding() -> None:
    for seq in Event.objects.order_by("seq").values_list("seq", flat=True):

        def change(seq: int = seq) -> tuple[Finding, ...]:
            Event.objects.filter(seq=seq).update(actor_role="nobody")
            return verifying.verify().findings

        assert [(one.what, one.first, one.last) for one in rolled_back(change)] == [("event.changed", seq, seq)]


@pytest.mark.usefixtures("full_ledger", "without_triggers")
def test_damage_in_the_time_of_an_earlier_key_is_found_between_its_checkpoints() -> None:
    event = Event.objects.filter(kind__in=KINDS, seq__lt=Checkpoint.objects.get(number=1).tree_size).first()
    assert event
    event.payload = {"n": 0}
    event.leaf = services.leaf_of(event)
    event.save(force_update=True)
    found = verifying.verify().findings
    first = Checkpoint.objects.get(number=1)
    assert [(one.what, one.first, one.last, one.checkpoint) for one in found] == [("root", 1, first.tree_size, 1)]


def run(*arguments: str) -> tuple[int, str]:
    out = io.StringIO()
    try:
        call_command("verify_audit", *arguments, stdout=out, stderr=io.StringIO())
    except SystemExit as ended:
        return int(ended.code or 0), out.getvalue()
    return 0, out.getvalue()


@pytest.mark.usefixtures("full_ledger")
def test_the_command_says_so_and_leaves_a_record() -> None:
    code, text = run()
    assert code == 0 and "the audit trail is what was recorded" in text
    kept = verifying.last()
    assert kept and (kept.findings, kept.breaks) == (0, 0) and kept.events == kept.seq - 1
    report = json.loads(run("--json")[1])
    assert report["sound"] and report["findings"] == [] and report["events"] == kept.seq


@pytest.mark.usefixtures("full_ledger", "without_triggers")
def test_the_command_ends_with_1_and_says_where() -> None:
    seq = Event.objects.filter(kind__in=KINDS).latest("seq").seq
    Event.objects.filter(seq=seq).update(subject="x")
    code, text = run()
    assert code == 1 and f"event {seq}: it was changed" in text
    kept = verifying.last()
    assert kept and kept.findings == 1 and kept.first_finding.startswith(f"event {seq}")


@pytest.mark.usefixtures("full_ledger", "without_triggers")
def test_a_tail_that_was_cut_shows_against_what_lies_elsewhere(tmp_path: Path) -> None:
    file, folder = tmp_path / "syslog", tmp_path / "folder"
    folder.mkdir()
    lines = [_sending.as_text(one) for one in Checkpoint.objects.order_by("number")]
    file.write_text("".join(f"<110>1 2026-01-01T00:00:00Z h havre - - - {line}\n" for line in ["noise", *lines]))
    for number, line in enumerate(lines):
        (folder / f"{number:04}.json").write_text(line)
    newest = Checkpoint.objects.order_by("-number").first()
    assert newest
    earlier = Checkpoint.objects.get(number=newest.number - 2)
    Event.objects.filter(seq__gt=earlier.tree_size).delete()
    Checkpoint.objects.filter(number__gt=earlier.number).delete()
    services.Head.objects.update(last_seq=earlier.tree_size)
    assert [one.what for one in verifying.verify().findings] == ["tail.cut"]  # the head was marked behind another event
    leaf = bytes(Event.objects.get(seq=earlier.tree_size).leaf)
    services.Head.objects.update(mark=keys.current().mark_last(leaf))  # as an old copy of the whole database has it
    assert verifying.verify().findings == ()  # nothing inside can tell
    for place in (file, folder):
        found = verifying.verify(pushed=_pushed.read(place)).findings
        assert [(one.what, one.first, one.last) for one in found] == [
            ("tail.cut", earlier.tree_size + 1, newest.tree_size)
        ]
    code, text = run("--checkpoints", str(file))
    assert code == 1 and "was cut off" in text
    with pytest.raises(CommandError, match="holds no checkpoint"):
        run("--checkpoints", str(Path(__file__)))


@pytest.mark.usefixtures("full_ledger")
def test_a_key_that_was_got_elsewhere_is_enough() -> None:
    first = bytes.fromhex(Event.objects.get(kind=_succession.REPLACED).payload["old"])
    present = keys.current().public
    for public in (first, present):
        assert verifying.verify(public_key=public).findings == ()
    assert [one.what for one in verifying.verify(public_key=b"\x01" * 32).findings] == ["key.unknown"]
    assert run("--public-key", present.hex())[0] == 0
    assert run("--public-key", "00" * 32)[0] == 1
    with pytest.raises(CommandError, match="64 hexadecimal"):
        run("--public-key", "xyz")


def test_an_empty_ledger_is_sound(db: None, audit_key: Path, settings: Any) -> None:
    assert verifying.verify().findings == ()
    sealing.seal("minute")
    assert verifying.verify().findings == ()


@pytest.mark.usefixtures("full_ledger")
def test_a_bundle_is_checked_by_its_own_verifier(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    bundle = tmp_path / "audit.zip"
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr("sys.stderr", io.StringIO())
        call_command("export_audit", "--format", "bundle", "-o", str(bundle), stdout=io.StringIO())
    pushed = tmp_path / "elsewhere.jsonl"
    pushed.write_text("".join(f"{_sending.as_text(one)}\n" for one in Checkpoint.objects.order_by("number")))
    whole = ["--public-key", keys.current().public.hex(), "--checkpoints", str(pushed)]
    assert run(str(bundle), *whole)[0] == 0, capsys.readouterr().out
    content = bytearray(bundle.read_bytes())
    content[len(content) // 3] ^= 1
    bundle.write_bytes(content)
    assert run(str(bundle))[0] != 0
    assert run(str(bundle), "--public-key", "00" * 32)[0] != 0
