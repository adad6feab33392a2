"""What is said again: insisting on an answer is no crisis, insisting on pain is heard.

`repetitions.jsonl` holds 37 dialogues by the hand that wrote the rule, in English and French: 24 in which an ordinary
question, an instruction, a pasted text or "again please" comes again, and 13 in which a person says that they cannot go
on, again and again. Its labels are what each turn is.
"""

import json
from pathlib import Path
from typing import Any

import pytest

from guardrails import Action, Category, Verdict, screen_input
from guardrails._rules import shipped_rules
from guardrails._screen import by_rules

DIALOGUES = [
    json.loads(line) for line in Path(__file__).with_name("repetitions.jsonl").read_text(encoding="utf-8").splitlines()
]
ORDINARY = [one for one in DIALOGUES if one["kind"] != "escalation"]
ESCALATIONS = [one for one in DIALOGUES if one["kind"] == "escalation"]
ALARMS = {Action.REDIRECT, Action.ALARM}
HEARD = {*ALARMS, Action.WARN}
QUESTION = "Never stop please: what are the steps of a safety plan?"


def name(dialogue: dict[str, Any]) -> str:
    return f"{dialogue['lang']}: {dialogue['turns'][-1]['text'][:40]}"


def verdicts(dialogue: dict[str, Any]) -> list[Verdict]:
    said = [turn["text"] for turn in dialogue["turns"]]
    return [screen_input(text, history=said[:place]) for place, text in enumerate(said)]


@pytest.mark.parametrize("dialogue", ORDINARY, ids=name)
def test_what_is_ordinary_stays_so_however_often_it_is_said(dialogue: dict[str, Any]) -> None:
    assert [verdict.rules for verdict in verdicts(dialogue)[1:] if verdict.action in ALARMS] == []


def test_escalation_by_repetition_is_heard() -> None:
    ends = [name(one) for one in ESCALATIONS if verdicts(one)[-1].action not in HEARD]
    assert ends == ["fr: à quoi bon, je vous le demande"]  # nor was it before repetition counted for less
    found = [
        verdict.category is Category.FIRST_PERSON_CRISIS
        for one in ESCALATIONS
        for turn, verdict in zip(one["turns"], verdicts(one), strict=True)
        if turn["label"] == "first_person_crisis"
    ]
    assert len(found) == 42
    assert sum(found) >= 33  # 31 before


@pytest.mark.parametrize(
    "disclosure", ["I want it all to be over", "ce soir je vais en finir", "I've cut my arm again."]
)
def test_insisting_on_work_takes_no_disclosure_back(disclosure: str) -> None:
    for times in range(1, 6):
        verdict = screen_input(QUESTION, history=[disclosure, *[QUESTION] * (times - 1)])
        assert verdict.category is Category.FIRST_PERSON_CRISIS, times
    assert screen_input("again please", history=[disclosure]).category is Category.FIRST_PERSON_CRISIS


def test_a_disclosure_after_many_repetitions_is_found() -> None:
    for text in ("Je veux mourir", "I can't do this anymore", "I've cut my arm again.", "encore, je me suis coupée"):
        assert screen_input(text, history=[QUESTION] * 9).category is Category.FIRST_PERSON_CRISIS, text


def test_whoever_repeats_a_disclosure_is_not_heard_less_for_it(cases: list[dict[str, Any]]) -> None:
    chosen = [case for case in cases if case["label"] == "first_person_crisis" and not case.get("history")][::8]
    assert len(chosen) > 20
    for case in chosen:
        if screen_input(case["text"]).category is Category.FIRST_PERSON_CRISIS:
            again = screen_input(case["text"], history=[case["text"]] * 3)
            assert again.category is Category.FIRST_PERSON_CRISIS, case["text"]


@pytest.mark.parametrize(
    ("text", "asks"),
    [
        ("Again, shorter.", True),
        ("That's not what I asked. Try again.", True),
        ("S'il te plaît, encore une fois svp !", True),
        ("C'est pas ce que j'ai demandé", True),
        ("again and again and again", True),
        ("please", False),
        ("s'il vous plaît", False),
        ("I did it again", False),
        ("encore, je me suis coupée", False),
        ("encore " * 40, False),
        ("not again", False),
        ("", False),
    ],
)
def test_merely_asking_again_is_known_by_its_words(text: str, asks: bool) -> None:
    assert list(by_rules(text, [], shipped_rules()).again) == [asks]


def test_asking_again_is_read_like_any_message_where_nothing_was_said_before() -> None:
    assert screen_input("again please", history=["again please"]).action == screen_input("again please").action
