"""Exports of a long audit trail: memory stays flat, and a million events are verified in under a minute.

`make soak`; HAVRE_EVENTS says how many events (500,000 by default), HAVRE_FORMATS which formats.
"""

import json
import os
import random
import subprocess
import sys
import time
import zipfile
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from django.conf import settings

EVENTS = int(os.environ.get("HAVRE_EVENTS", "500000"))
FORMATS = os.environ.get("HAVRE_FORMATS", "jsonl csv bundle fhir pdf").split()
_MOST_MEGABYTES = 300
_MINUTE = 60.0
_SEED = 3


def fill(count: int) -> None:
    """Write honest events, as `record` would, but many at once: with the triggers away."""
    from django.db import connection, transaction

    from portal.audit import _triggers, keys
    from portal.audit.models import Actor, Event, Head
    from portal.audit.services import leaf_of, record

    with transaction.atomic():
        for number in range(50):
            record("session.signed_in", actor=f"person{number}", actor_role="clinician")
    key, chance = keys.current(), random.Random(_SEED)
    people = list(Actor.objects.filter(salt__isnull=False).values_list("code", flat=True))
    first = Head.objects.get().last_seq + 1
    begin = datetime.now(UTC) - timedelta(days=300)
    _triggers.remove(connection)
    for start in range(first, count + 1, 5000):
        page = []
        for seq in range(start, min(start + 5000, count + 1)):
            at = begin + timedelta(days=299) * (seq / count)
            event = Event(seq=seq, at=at, kind="turn.started", actor_id=chance.choice(people), actor_role="clinician")
            turn = f"{seq // 4:032x}"
            event.subject = f"{turn[:8]}-{turn[8:12]}-4{turn[13:16]}-8{turn[17:20]}-{turn[20:]}"
            event.payload = {"conversation": f"c-{seq // 40}", "effort": "low", "language": "en"}
            if seq % 4:
                event.kind, event.actor_id, event.actor_role = "turn.completed", "system", ""
                event.payload |= {"answer_sha256": f"{chance.getrandbits(256):064x}", "groundedness": chance.random()}
                event.payload |= {"model": {"name": f"m{seq % 7}", "sha256": "9" * 64}, "usage": {"tokens": seq % 900}}
            else:
                event.payload["verdict"] = {"category": "benign", "action": "allow", "rules": [], "score": 0.125}
            event.leaf = leaf_of(event)
            event.mac = key.mark(event.leaf)
            page.append(event)
        with transaction.atomic():
            Event.objects.bulk_create(page)
    Head.objects.update(last_seq=count, last_at=datetime.now(UTC), mark=key.mark_last(event.leaf))
    _triggers.install(connection)


def _run(data: Path, *command: str) -> tuple[float, float, str]:
    """Run a command; seconds of processor time (others may be using the machine), peak of memory in megabytes, what it
    said."""
    environment = os.environ | {"HAVRE_DATA_DIR": str(data), "DJANGO_SETTINGS_MODULE": "portal.settings"}
    environment.pop("HAVRE_DATABASE_URL", None)
    process = subprocess.Popen(
        [sys.executable, *command], cwd=settings.BASE_DIR, env=environment, stdout=subprocess.PIPE, text=True
    )
    assert process.stdout
    said = process.stdout.read()
    _, status, used = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    assert process.returncode == 0, said
    return used.ru_utime + used.ru_stime, used.ru_maxrss / 1024, said


@pytest.fixture(scope="module")
def ledger(tmp_path_factory: pytest.TempPathFactory) -> Path:
    data = tmp_path_factory.mktemp("long")
    _run(data, "manage.py", "migrate", "--verbosity", "0")
    seconds, _, _ = _run(data, "-m", "tests.portal.test_audit_export_soak", str(EVENTS))
    print(f"\n{EVENTS:,} events written in {seconds:.0f} s")
    return data


@pytest.mark.soak
@pytest.mark.parametrize("form", FORMATS)
def test_memory_stays_flat(ledger: Path, form: str) -> None:
    file = ledger / f"export.{form}"
    seconds, megabytes, said = _run(ledger, "manage.py", "export_audit", "--format", form, "-o", str(file), "--force")
    count = int(said.split()[0])
    size = file.stat().st_size / 2**20
    print(f"\n{form}: {count:,} events, {size:.0f} MB, {seconds:.0f} s ({count / seconds:,.0f}/s), {megabytes:.0f} MB")
    assert count >= EVENTS
    assert megabytes < _MOST_MEGABYTES


@pytest.mark.soak
@pytest.mark.parametrize("filters", [(), ("--model", "m3"), ("--kind", "turn.started")])
def test_a_long_bundle_is_verified_within_a_minute_a_million(ledger: Path, filters: tuple[str, ...]) -> None:
    file = ledger / "verified.zip"
    seconds, megabytes, said = _run(
        ledger, "manage.py", "export_audit", "--format", "bundle", "-o", str(file), "--force", *filters
    )
    with zipfile.ZipFile(file) as archive:
        (ledger / "verify.py").write_bytes(archive.read("verify.py"))
    took, memory, report = _run(ledger, "-I", "-S", str(ledger / "verify.py"), str(file), "--json")
    found = json.loads(report)
    print(f"\n{filters}: written in {seconds:.0f} s with {megabytes:.0f} MB; {said.splitlines()[0]}")
    print(f"verified in {took:.1f} s with {memory:.0f} MB: {found['checked']}")
    assert found["verified"]
    assert took < _MINUTE * max(1.0, EVENTS / 1e6)


def be_silent(count: int) -> None:
    """Write honest checkpoints of a time in which nothing happens, one a minute, as `seal` would, but many at once."""
    from django.db import connection, transaction

    from portal.audit import _triggers, keys, sealing
    from portal.audit._canonical import canonical, moment
    from portal.audit.models import Checkpoint

    key, first = keys.current(), sealing.seal("minute")
    said = sealing.claims(first) | {"counts": {}}
    _triggers.remove(connection)
    for start in range(1, count + 1, 5000):
        page = []
        for place in range(start, min(start + 5000, count + 1)):
            at = first.at + timedelta(minutes=place)
            body = canonical(said | {"number": first.number + place, "at": moment(at)})
            one = Checkpoint(number=first.number + place, at=at, tree_size=first.tree_size, root=first.root)
            one.frontier, one.body, one.signature = first.frontier, body.decode(), key.sign(body)
            page.append(one)
        with transaction.atomic():
            Checkpoint.objects.bulk_create(page)
    _triggers.install(connection)


def search() -> None:
    """Say how long searches take, by the index and without it, and what the index costs."""
    from portal.audit import selectors, traits
    from portal.audit.exporting import Selection
    from portal.audit.models import Trait, TraitIndex

    searches: list[dict[str, str]] = [{"conversation": "c-77"}, {"rule": "crisis.a"}, {"verdict": "redirect"}]
    searches += [{"model": "m3"}, {"verdict": "allow"}, {"document": "0" * 64}]
    for is_indexed in (False, True):
        if is_indexed:
            began = time.process_time()
            reached = traits.fill()
            print(f"index up to {reached:,}: {time.process_time() - began:.1f} s, {Trait.objects.count():,} entries")
        else:
            TraitIndex.objects.all().delete()
            Trait.objects.all().delete()
        for chosen in searches:
            began = time.process_time()
            found = selectors.search(Selection(**chosen))  # type: ignore[arg-type]
            print(f"{chosen}: {found.count}{'+' * found.is_more} events, {time.process_time() - began:.3f} s")
    began = time.process_time()
    print(f"compared: {traits.compare()}, {time.process_time() - began:.1f} s")


if __name__ == "__main__":
    import django

    django.setup()
    if "search" in sys.argv:
        search()
    elif "silence" in sys.argv:
        be_silent(int(sys.argv[1]))
    else:
        fill(int(sys.argv[1]))
