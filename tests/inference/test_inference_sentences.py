"""What inference tells people: every code has a text, every text gets its values, what was kept can be read again."""

import ast
import re
from dataclasses import asdict
from pathlib import Path

import pytest

import inference
from inference import TEXTS, InferenceError, ModelNotFound, Sentence, Size, Smoke, sentence_from
from inference._models import _smoke_from
from inference._sentences import say

_ERRORS = {one.__name__ for one in (InferenceError, *InferenceError.__subclasses__())}


def _said() -> list[tuple[str, set[str]]]:
    """Every code that the package says, with the names of the values that it gives."""
    found = []
    for path in Path(inference.__file__).parent.glob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if not isinstance(node, ast.Call) or not isinstance(node.func, ast.Name) or not node.args:
                continue
            first = node.args[0]
            if node.func.id not in {"say", *_ERRORS} or not isinstance(first, ast.Constant):
                continue
            if isinstance(first.value, str) and " " not in first.value:  # a text with spaces is written out
                found.append((first.value, {one.arg or "" for one in node.keywords}))
    return found


def test_every_code_that_is_said_has_a_text_and_gives_the_values_that_it_wants() -> None:
    said = _said()
    assert len(said) > 50
    for code, values in said:
        assert code in TEXTS, code
        assert values == set(re.findall(r"%\((\w+)\)s", TEXTS[code])), code


def test_every_text_is_said_somewhere() -> None:
    places = {f"place_{one}{later}" for one in ("gpu", "gpu_and_cpu", "cpu") for later in ("", "_later")}
    assert set(TEXTS) - {code for code, _ in _said()} == places | {"place_nowhere"}


def test_an_error_is_a_sentence_with_its_values_apart() -> None:
    error = ModelNotFound("unknown_model", name="x", known="y")
    assert str(error) == "There is no model called x here. Known: y."
    assert error.said == Sentence("unknown_model", {"name": "x", "known": "y"})
    assert str(InferenceError("Written out, with 100 %.")) == "Written out, with 100 %."


@pytest.mark.parametrize(
    "said",
    [
        Sentence(),
        Sentence("no_answer"),
        say("ended", exit=-9),
        say("too_much_memory", most=Size(3 << 30)),
        say("not_activated", name="x", problem=say("too_slow", seconds=3)),
    ],
)
def test_what_is_kept_is_read_again(said: Sentence) -> None:
    assert sentence_from(said.row()) == said
    smoke = Smoke("2026-01-01T00:00:00+00:00", problem=said, note=say("tried_small"), tokens=3)
    assert _smoke_from(asdict(smoke)) == smoke and smoke.passed is not bool(said)


def test_what_an_older_version_kept_is_shown_as_it_is() -> None:
    assert str(sentence_from("It gave no answer.")) == "It gave no answer."
    old = _smoke_from({"at": "2026-01-01T00:00:00+00:00", "problem": "", "note": "Tried in small."})
    assert old.passed and str(old.note) == "Tried in small."


@pytest.mark.parametrize(
    "row", [None, 3, [], {}, {"code": 3, "values": {}}, {"code": "ended", "values": []}, {"code": "ended"}]
)
def test_what_is_no_sentence_says_nothing(row: object) -> None:
    assert sentence_from(row) == Sentence()


@pytest.mark.parametrize("values", [{}, {"other": 1}, {"exit": {"bytes": "x"}}, {"exit": ["x"]}])
def test_values_that_do_not_fit_break_no_page(values: dict[str, object]) -> None:
    assert str(sentence_from({"code": "ended", "values": values})).startswith("The engine ended")
