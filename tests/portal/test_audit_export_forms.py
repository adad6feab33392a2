"""The forms of an export, each read by what would read it."""

import csv
import hashlib
import io
import json
import uuid
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import rfc8785
from django.db import transaction
from hypothesis import given
from hypothesis import strategies as st

from portal.audit import _merkle, verifier
from portal.audit._canonical import canonical
from portal.audit.exporting import FORMATS, Asker, Selection, Unavailable, _left_out, begin, events, write_file
from portal.audit.services import record

_NUMBERS = st.integers(-(2**53) + 1, 2**53 - 1) | st.floats(allow_nan=False, allow_infinity=False)
JSON = st.recursive(
    st.none() | st.booleans() | _NUMBERS | st.text(),
    lambda children: st.lists(children, max_size=4) | st.dictionaries(st.text(max_size=8), children, max_size=4),
    max_leaves=12,
)


@given(JSON)
def test_canonical_json_is_rfc_8785_on_the_fast_road_too(value: Any) -> None:
    assert canonical(value) == rfc8785.dumps(value)


@pytest.mark.parametrize(
    "value", [1e-4, 1e-5, 9.999e-5, 1e15, 1e16, 123456789012345.6, 1e21, 0.1, -0.1, 1.0, -0.0, 5e-324, 1.7e308]
)
def test_canonical_numbers(value: float) -> None:
    assert canonical({"n": [value]}) == rfc8785.dumps({"n": [value]})


def _happen() -> None:
    for place in range(8):
        with transaction.atomic():
            turn = str(uuid.UUID(int=place + 1))
            verdict = {"category": "benign", "action": "allow", "rules": []}
            payload = {"conversation": turn, "verdict": verdict, "é\u2028\U0001f600": [0.1, 1e-7, None]}
            who = ("anna", "bela")[place % 2]
            record("turn.started", actor=who, actor_role="clinician", subject=turn, payload=payload)
            record("turn.completed", actor="system", subject=turn, payload={"model": {"name": "m", "sha256": "9" * 64}})
            record("guideline.uploaded", actor="dora", actor_role="admin", subject=str(uuid.uuid4()))


def _numbers_in_bundle(content: bytes) -> list[int]:
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        return [json.loads(line)["seq"] for line in archive.read("events.jsonl").splitlines()]


def _numbers_in_fhir(content: bytes) -> list[int]:
    found = []
    for line in content.splitlines():
        details = [detail for entity in json.loads(line)["entity"] for detail in entity.get("detail", [])]
        found += [int(detail["valueString"]) for detail in details if detail["type"] == "seq"]
    return found


READERS: dict[str, Callable[[bytes], list[int]]] = {
    "bundle": _numbers_in_bundle,
    "jsonl": lambda content: [json.loads(line)["event"]["seq"] for line in content.splitlines()],
    "csv": lambda content: [int(row["seq"]) for row in csv.DictReader(io.StringIO(content.decode("utf-8-sig")))],
    "fhir": _numbers_in_fhir,
}


@pytest.mark.parametrize(
    "selection",
    [
        Selection(),
        Selection(actor="anna"),
        Selection(model="m", role="clinician"),
        Selection(kind="guideline"),
        Selection(conversation="00000000-0000-0000-0000-000000000003"),
        Selection(actor="nobody"),
    ],
    ids=str,
)
def test_every_format_has_the_same_events(db: None, tmp_path: Path, selection: Selection) -> None:
    _happen()
    last = 0
    found: dict[str, list[int]] = {}
    told: dict[str, int] = {}
    for form in FORMATS:
        try:
            order = begin(form, selection, Asker("emil", "compliance"))
        except Unavailable:
            continue
        last = last or order.number
        outcome = write_file(order, tmp_path / form, lambda done, total: None)
        told[form] = outcome.count - len(events(selection, outcome.up_to).filter(seq__gt=last))
        if form in READERS:
            found[form] = [seq for seq in READERS[form]((tmp_path / form).read_bytes()) if seq <= last]
    expected = list(events(selection, last).values_list("seq", flat=True))
    assert found == dict.fromkeys(found, expected)
    assert {"bundle", "jsonl", "csv"} <= set(found)
    assert set(told.values()) == {len(expected)}, told


def test_a_line_has_the_hash_that_the_ledger_has(db: None, tmp_path: Path) -> None:
    _happen()
    write_file(begin("jsonl", Selection(), Asker("emil")), tmp_path / "x", lambda done, total: None)
    for line in (tmp_path / "x").read_bytes().splitlines():
        whole = json.loads(line)
        inner = line[len(b'{"event":') : line.rindex(b',"leaf":')]
        assert hashlib.sha256(b"\x00" + inner).hexdigest() == whole["leaf"]
        assert whole["actor_name"] in {"anna", "bela", "dora", "emil", "system"}


@given(st.integers(1, 70), st.sets(st.integers(1, 70)), st.sets(st.integers(1, 70)))
def test_what_is_left_out_and_what_is_there_make_the_tree(size: int, kept: set[int], sizes: set[int]) -> None:
    leaves = [hashlib.sha256(bytes([number])).digest() for number in range(size)]
    kept = {one for one in kept if one <= size}
    sizes = {one for one in sizes if one <= size} | {size}
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(_left_out, "_leaves", lambda up_to, still_wanted: iter(leaves))
        parts = list(_left_out.left_out(sorted(kept), size, sorted(sizes), lambda: None))
    tree = verifier.Tree()
    for first, count, root in sorted([*parts, *((number, 1, leaves[number - 1]) for number in kept)]):
        assert first == tree.size + 1
        tree.add(count, root)
        if tree.size in sizes:
            assert tree.root() == _merkle.root_of(leaves[: tree.size]).hex()
            sizes.discard(tree.size)
    assert not sizes
    assert tree.size == size
