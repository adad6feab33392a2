"""Means, encouragement and minimising are stopped; clinical talk about them is not: the labelled output_cases.jsonl."""

import json
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
