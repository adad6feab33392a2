"""Means, encouragement and minimising are stopped; clinical talk about them is not: the labelled output_cases.jsonl."""

import json
import re
import time
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from guardrails import OutputScreen, SourcePassage, neutralise

CASES = [
    json.loads(line) for line in (Path(__file__).parent / "output_cases.jsonl").read_text(encoding="utf-8").splitlines()
]


def stopped(text: str, language: str) -> bool:
    screen = OutputScreen((), language=language)
    screen.feed(text + " ")
    screen.finish()
    return screen.stopped


@pytest.mark.parametrize("language", ["fr", "en"])
def test_harm_is_stopped_and_clinical_sentences_are_not(language: str) -> None:
    harmful = [case for case in CASES if case["lang"] == language and case["harmful"]]
    clinical = [case for case in CASES if case["lang"] == language and not case["harmful"]]
    assert len(harmful) >= 75
    assert len(clinical) >= 70
    assert sum(stopped(case["text"], language) for case in harmful) >= 0.95 * len(harmful)
    assert [case["text"] for case in clinical if stopped(case["text"], language)] == []


NASTY = st.text(
    alphabet=st.one_of(st.characters(), st.sampled_from("\u200b\u202e\u2066\u0301аеіо١٢٣[]?<|>.! \n01")), max_size=300
)
PASSAGE = SourcePassage(1, "The patient is seen again within 48 hours. Ne laissez pas la personne seule.")


@given(NASTY)
@settings(max_examples=300, deadline=None)
def test_no_text_breaks_the_screen(text: str) -> None:
    screen = OutputScreen((PASSAGE,), language="fr")
    screen.feed(text)
    screen.finish()
    assert neutralise(neutralise(text).text).text == neutralise(neutralise(neutralise(text).text).text).text


HOSTILE = (
    "a",
    "1 ",
    "0 ",
    "« ",
    "ne pas ",
    "[1]",
    "A1b",
    "<!-- ",
    "é ",
    "\u200b",
    "not ",
    "un sur ",
    "s. ",
    "- ",
    "%41",
)


def patterns() -> Iterator[re.Pattern[str]]:
    for module in (
        "_citations",
        "_drugs",
        "_grounding",
        "_markup",
        "_negation",
        "_output",
        "_passages",
        "_quantities",
        "_sentences",
    ):
        for value in vars(import_module(f"guardrails.{module}")).values():
            if isinstance(value, re.Pattern):
                yield value


def seconds(pattern: re.Pattern[str], text: str) -> float:
    begun = time.process_time()
    for _ in pattern.finditer(text):
        pass
    return time.process_time() - begun


@pytest.mark.parametrize("piece", HOSTILE)
def test_no_expression_explodes_on_hostile_text(piece: str) -> None:
    """Twice the text may take about four times as long, never forty times: 32 KiB stays bounded."""
    for pattern in patterns():
        once, twice = seconds(pattern, (piece * 2000)[:2000]), seconds(pattern, (piece * 4000)[:4000])
        assert twice < 0.05 or twice < 12 * max(once, 0.002), (pattern.pattern[:80], once, twice)
