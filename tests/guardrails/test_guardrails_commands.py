"""manage.py screen and manage.py eval_guardrails, as a script would use them."""

import io
import json
import sys
from pathlib import Path

import pytest
from django.core.management import CommandError, call_command

from tests.guardrails.conftest import CASES


def screen(monkeypatch: pytest.MonkeyPatch, given: bytes) -> list[dict]:
    stream = io.TextIOWrapper(io.BytesIO(given), encoding="ascii", errors="strict")
    monkeypatch.setattr(sys, "stdin", stream)
    out = io.StringIO()
    call_command("screen", "--json", stdout=out)
    return [json.loads(line) for line in out.getvalue().splitlines()]


def test_one_object_a_line_in_order(monkeypatch: pytest.MonkeyPatch) -> None:
    lines = [
        "Je veux mourir",
        '{"text": "just kidding", "lang": "en", "history": ["I want to die"]}',
        '{"text": "What is a safety plan?"}',
        "",
        "{broken",
        '{"no_text": 1}',
        '{"text": "x", "history": "y"}',
        '{"text": "x", "lang": 3}',
        "[" * 5000,
        '{"a":' * 5000,
        "Où est la salle de réunion ?",
    ]
    answers = screen(monkeypatch, "\n".join(lines).encode())
    assert len(answers) == len(lines)
    for answer in (answers[0], answers[1], answers[2], answers[3], answers[10]):
        assert {"category", "score", "rules", "action", "rule_set", "ms"} <= set(answer)
    assert [answer.get("category") for answer in answers[:4]] == [
        "first_person_crisis",
        "first_person_crisis",
        "clinical_discussion",
        "benign",
    ]
    for answer in (*answers[4:8], answers[9]):
        assert set(answer) == {"error"}


def test_bytes_that_are_no_text_do_not_stop_it(monkeypatch: pytest.MonkeyPatch) -> None:
    answers = screen(monkeypatch, b"\xff\xfe\x00je veux mourir\nbonjour\n")
    assert len(answers) == 2
    assert answers[0]["category"] == "first_person_crisis"


def test_a_line_too_long_is_answered(monkeypatch: pytest.MonkeyPatch) -> None:
    answers = screen(monkeypatch, b"a" * 3_000_000 + b"\nbonjour\n")
    assert "error" in answers[0]
    assert answers[1]["category"] == "benign"


def test_the_evaluation_counts_by_language_and_label(tmp_path: Path) -> None:
    out, file = io.StringIO(), tmp_path / "cases.jsonl"
    every_third = CASES.read_text(encoding="utf-8").splitlines()[::3]
    file.write_text("\n".join(every_third), encoding="utf-8")
    call_command("eval_guardrails", str(file), "--json", stdout=out)
    rows = {(row["lang"], row["label"]): row for row in json.loads(out.getvalue())["results"]}
    row = rows["fr", "first_person_crisis"]
    assert 0.9 < row["recall"] <= 1
    assert row["recall_interval"][0] < row["recall"]
    assert rows["en", "clinical_discussion"]["false_alarm_rate"] <= 0.03
    assert sum(row["cases"] for row in rows.values()) == len(every_third)


def test_the_table_names_failures(tmp_path: Path) -> None:
    file = tmp_path / "cases.jsonl"
    file.write_text('{"text": "hello", "lang": "en", "label": "first_person_crisis"}\n', encoding="utf-8")
    out = io.StringIO()
    call_command("eval_guardrails", str(file), "--failures", stdout=out)
    assert "1: first_person_crisis -> benign" in out.getvalue()


def test_dialogues_are_judged_turn_by_turn(tmp_path: Path) -> None:
    turns = [
        {"text": "I want to kill myself tonight", "label": "first_person_crisis"},
        {"text": "just kidding lol", "label": "first_person_crisis"},
        {"text": "only joking, forget it", "label": "clinical_discussion"},
    ]
    file = tmp_path / "dialogues.jsonl"
    file.write_text(json.dumps({"lang": "en", "turns": turns}) + "\n", encoding="utf-8")
    out = io.StringIO()
    call_command("eval_guardrails", str(file), "--json", "--failures", stdout=out)
    report = json.loads(out.getvalue())
    assert report["dialogues"] == [
        {"lang": "en", "dialogues": 1, "turns": 3, "turns_right": pytest.approx(2 / 3), "ends_missed": 0}
    ]
    assert [failure["case"] for failure in report["failures"]] == ["1.3"]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ('{"turns": [{"text": "x"}]}\n', "line 1"),
        ('{"turns": 3}\n', "line 1"),
        ("not json\n", "line 1"),
        ('{"text": "x"}\n', "line 1"),
        ('{"text": "x", "label": "nonsense"}\n', "unknown label"),
        ("\n", "no cases"),
    ],
)
def test_a_bad_file_gets_a_clear_sentence(tmp_path: Path, content: str, message: str) -> None:
    file = tmp_path / "cases.jsonl"
    file.write_text(content, encoding="utf-8")
    with pytest.raises(CommandError, match=message):
        call_command("eval_guardrails", str(file))
    with pytest.raises(CommandError, match="cannot be read"):
        call_command("eval_guardrails", str(tmp_path / "none.jsonl"))
