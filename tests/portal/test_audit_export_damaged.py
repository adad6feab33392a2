"""A ledger that somebody changed is evidence: whatever stands in its rows, every format has all of them and says which
are not what was recorded, and the verifier names them."""

import csv
import io
import json
import random
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import jsonschema
import pypdfium2
import pytest
from django.db import connection, transaction
from django.test import Client
from django.urls import reverse

from portal.audit import _triggers, sealing, stored, verifier, verifying
from portal.audit.exporting import FORMATS, Asker, Selection, begin, events, write_file
from portal.audit.models import Event
from portal.audit.services import leaf_of, record
from portal.audit.tasks import seal_minute
from tests.conftest import Cast
from tests.portal.test_audit_export_forms import READERS
from tests.portal.test_audit_fhir import SCHEMA

VALIDATOR = jsonschema.Draft6Validator(SCHEMA)
POSTGRESQL = connection.vendor == "postgresql"
TURN = "00000000-5d7e-4a60-a3c8-0b2d8f0f4c11"


def happen() -> None:
    for number in range(12):
        with transaction.atomic():
            verdict = {"category": "benign", "action": ("allow", "redirect")[number % 2], "rules": ["r.one"]}
            who = ("anna", "bela")[number % 2]
            payload = {"conversation": TURN, "verdict": verdict, "é": 0.5}
            record(
                "turn.started", actor=who, actor_role="clinician", subject=f"{number:08d}{TURN[8:]}", payload=payload
            )
        if number % 4 == 3:
            sealing.seal("minute")


def _set(column: str, value: Any, how: str = "%s") -> Callable[[int], None]:
    def damage(seq: int) -> None:
        with connection.cursor() as cursor:
            cursor.execute(f"UPDATE audit_event SET {column} = {how} WHERE seq = %s", [value, seq])

    return damage


def _hash_fits(seq: int) -> None:
    """Changed together with its hash, for which no key is needed."""
    event = Event.objects.get(seq=seq)
    event.payload = {"verdict": [], "groundedness": "x"}
    event.leaf = leaf_of(event)
    event.save(force_update=True)


JSON = {
    "no mapping": '["x"]',
    "null": "null",
    "a huge number": '{"n": 1%s}' % ("0" * 400),
    "a number that is not exact": '{"n": 12345678901234567890}',
    "no end of digits": '{"n": %s}' % ("9" * 6000),
    "half a character": '{"n": "\\ud800"}' if not POSTGRESQL else '{"n": "x"}',
    "another verdict": '{"verdict": {"action": "redirect", "category": "x", "rules": [["y"]]}}',
    "deep": '{"n": %s}' % ("[" * 3000 + "]" * 3000),
}
DAMAGES = {
    f"payload: {name}": _set("payload", text, "%s::jsonb" if POSTGRESQL else "%s") for name, text in JSON.items()
}
DAMAGES |= {
    "kind": _set("kind", "<b>\x1b[2J\u2028" + "k" * 40),
    "subject": _set("subject", "=cmd|' /C calc'!A0"),
    "role": _set("actor_role", "admin"),
    "time": _set("at", "2026-01-01 00:00:00+00"),
    "a time before all times": _set("at", "0001-01-01 00:00:00+00"),
    "no hash": _set("leaf", b""),
    "another hash": _set("leaf", b"x" * 32),
    "another mark": _set("mac", b"x" * 32),
    "with its hash": _hash_fits,
}
if POSTGRESQL:
    DAMAGES["a time that no program tells"] = _set("at", "infinity")
else:  # keeps whatever it is given
    DAMAGES |= {
        "no JSON": _set("payload", "{"),
        "not a number": _set("payload", '{"n": NaN}'),
        "bytes for JSON": _set("payload", b"\xff\xfe"),
        "a number for JSON": _set("payload", 7),
        "no text": _set("payload", "ff", "CAST(x'fffe' AS TEXT)||%s"),
        "a kind that is no text": _set("kind", "ff", "CAST(x'fffe' AS TEXT)||%s"),
        "a kind of bytes": _set("kind", b"\x00\xff"),
        "a subject that is a number": _set("subject", 5),
        "no time": _set("at", "yesterday"),
        "a day that is none": _set("at", "2026-02-31 00:00:00"),
        "a time of bytes": _set("at", b"\x00"),
        "a hash of text": _set("leaf", "ab" * 32),
        "a mark of text": _set("mac", "zz"),
    }


@pytest.fixture
def without_triggers(db: None) -> Iterator[None]:
    """As whoever owns the database sees it: nothing is refused."""
    happen()
    _triggers.remove(connection)
    with connection.cursor() as cursor:
        if not POSTGRESQL:
            cursor.execute("PRAGMA ignore_check_constraints = ON")
        yield
        if not POSTGRESQL:
            cursor.execute("PRAGMA ignore_check_constraints = OFF")


def exported(folder: Path, selection: Selection) -> tuple[dict[str, list[int]], dict[str, int], int]:
    """The numbers in each format that lists them, and each one's count, of the events before the first export."""
    found, counts, last = {}, {}, 0
    for form in FORMATS:
        order = begin(form, selection, Asker("emil", "compliance"))
        last = last or order.number
        outcome = write_file(order, folder / form, lambda done, total: None)
        counts[form] = outcome.count - len(events(selection, outcome.up_to).filter(seq__gte=last))
        if form in READERS:
            found[form] = [seq for seq in READERS[form]((folder / form).read_bytes()) if seq < last]
    return found, counts, last


@pytest.mark.parametrize("seed", range(4))
def test_whatever_stands_in_rows_is_exported_named_and_found(without_triggers: None, tmp_path: Path, seed: int) -> None:
    chance = random.Random(seed)
    seqs = list(Event.objects.filter(kind="turn.started").order_by("seq").values_list("seq", flat=True))
    names = sorted(DAMAGES)[seed::4]
    touched = dict(zip(chance.sample(seqs, len(names)), names, strict=True))
    for seq, name in touched.items():
        DAMAGES[name](seq)
    found, counts, last = exported(tmp_path, Selection())
    expected = list(range(1, last))
    assert found == dict.fromkeys(found, expected), touched
    assert set(counts.values()) == {len(expected)}, counts
    said = {name: _problems(tmp_path / name, name) for name in ("jsonl", "csv", "fhir")}
    assert said == {form: set(touched) for form in said}, touched
    report = verifier.verify(tmp_path / "bundle")
    located = {int(hit) for one in report.findings for hit in re.findall(r"^event (\d+)$", one.where)}
    assert located >= set(touched), (touched, report.findings)
    pdf = " ".join(page.get_textpage().get_text_range() for page in pypdfium2.PdfDocument(tmp_path / "pdf"))
    assert f"{len(touched)} rows of the audit trail are not what was recorded" in re.sub(r"\s+", " ", pdf)


def _problems(file: Path, form: str) -> set[int]:
    content = file.read_text("utf-8-sig")
    if form == "csv":
        return {int(row["seq"]) for row in csv.DictReader(io.StringIO(content, newline="")) if row["problem"]}
    lines = [json.loads(line) for line in content.split("\n") if line]
    if form == "jsonl":
        assert all(isinstance(one["event"]["row"]["payload"], str) for one in lines if "problem" in one)
        return {one["event"]["seq"] for one in lines if "problem" in one}
    for one in lines:
        VALIDATOR.validate(one)
    wrong = [one for one in lines if one["outcome"] == "12" and "not what was recorded" in one["outcomeDesc"]]
    return {
        int(detail["valueString"]) for one in wrong for detail in one["entity"][-1]["detail"] if detail["type"] == "seq"
    }


@pytest.mark.parametrize(
    "selection",
    [
        *(Selection(conversation=TURN), Selection(verdict="redirect"), Selection(rule="r.one"), Selection(model="m")),
        *(Selection(kind="turn"), Selection(actor="anna"), Selection(document=TURN)),
    ],
    ids=lambda one: next(iter(one.filters())),
)
def test_a_row_that_was_changed_is_in_nobodys_way(without_triggers: None, tmp_path: Path, selection: Selection) -> None:
    seqs = iter(Event.objects.filter(kind="turn.started").order_by("seq").values_list("seq", flat=True))
    for name in sorted(DAMAGES)[-8:]:
        DAMAGES[name](next(seqs))
    found, counts, _last = exported(tmp_path, selection)
    assert len({tuple(one) for one in found.values()}) == 1
    assert set(counts.values()) == {len(found["jsonl"])}


def test_names_and_checkpoints_that_were_changed_are_exported_too(without_triggers: None, tmp_path: Path) -> None:
    with connection.cursor() as cursor:
        cursor.execute("UPDATE audit_checkpoint SET body = %s, signature = %s WHERE number = 2", ["{", b"x"])
        cursor.execute("UPDATE audit_actor SET salt = %s WHERE name = 'anna'", [b"y"])
        if not POSTGRESQL:
            cursor.execute("UPDATE audit_actor SET name = CAST(x'ff' AS TEXT) WHERE name = 'bela'")
            cursor.execute("UPDATE audit_checkpoint SET at = 'x', tree_size = 'x' WHERE number = 1")
    found, _counts, last = exported(tmp_path, Selection())
    assert set(map(tuple, found.values())) == {tuple(range(1, last))}
    findings = [f"{one.where}: {one.what}" for one in verifier.verify(tmp_path / "bundle").findings]
    assert any("checkpoints.jsonl" in one for one in findings), findings


def test_the_pages_show_rows_that_were_changed(without_triggers: None, client: Client, cast: Cast) -> None:
    seqs = list(Event.objects.filter(kind="turn.started").order_by("seq").values_list("seq", flat=True))
    for seq, name in zip(seqs, sorted(DAMAGES, key=lambda one: (len(one), one)), strict=False):
        DAMAGES[name](seq)
    client.force_login(cast.emil)
    page = client.get(reverse("audit:index"))
    assert page.status_code == 200
    assert [one.event.seq for one in page.context["lines"] if one.event.problem] == seqs[::-1]
    assert page.content.decode().count("not what was recorded") >= len(seqs)
    for query in ({"verdict": "redirect"}, {"conversation": TURN}, {"rule": "r.one"}, {"kind": "turn"}):
        assert client.get(reverse("audit:index"), query).status_code == 200
    assert client.get(reverse("audit:activity")).status_code == 200


def test_an_honest_row_has_no_problem(db: None) -> None:
    happen()
    numbers = list(Event.objects.order_by("seq").values_list("seq", flat=True))
    read = stored.rows(numbers, stored.Marks())
    assert [one.seq for one in read] == numbers
    assert not [one for one in read if one.problem]


@pytest.mark.parametrize("name", sorted(DAMAGES))
def test_every_such_row_is_found_by_a_verification_and_nothing_is_sealed_over_it(
    without_triggers: None, name: str
) -> None:
    with transaction.atomic():
        seq = record("x.happened", actor="system", payload={"n": 1}).seq
    DAMAGES[name](seq)
    found = [one for one in verifying.verify().findings if one.first and one.first <= seq <= (one.last or 0)]
    assert found
    seal_minute()
    assert Event.objects.get(kind="audit.sealing_refused").payload["event"] == seq
