"""What a passage supports: the labelled pairs of grounding.jsonl, and the notations of numbers."""

import json
from collections import Counter
from fractions import Fraction
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from guardrails import OutputScreen, SourcePassage, sentence_encoder
from guardrails._drugs import drugs
from guardrails._grounding import Evidence, checkable
from guardrails._meaning import Embed
from guardrails._quantities import quantities, stands

PAIRS = [
    json.loads(line) for line in (Path(__file__).parent / "grounding.jsonl").read_text(encoding="utf-8").splitlines()
]
TRUE = {"true_verbatim", "true_paraphrase", "unit_converted"}
CHANGED = {"number_changed", "unit_changed", "drug_swapped"}


@cache
def shares(split: str, *, meaning: bool) -> dict[str, tuple[int, int]]:
    """By kind: (pairs judged right, pairs)."""
    embed: Embed | None = sentence_encoder() if meaning else None
    right: Counter[str] = Counter()
    of: Counter[str] = Counter()
    for pair in PAIRS:
        if pair["split"] == split:
            kind = pair["kind"] if pair["kind"] != "cross_language" else f"cross_{pair['supported']}"
            found = Evidence([SourcePassage(1, pair["passage"])], embed).support(pair["sentence"])
            of[kind] += 1
            right[kind] += bool(found.markers) == pair["supported"]
    return {kind: (right[kind], of[kind]) for kind in of}


def share(split: str, kinds: set[str], *, meaning: bool) -> float:
    found = [shares(split, meaning=meaning)[kind] for kind in kinds]
    return sum(right for right, _ in found) / sum(of for _, of in found)


@pytest.mark.parametrize("split", ["dev", "test"])
@pytest.mark.parametrize(
    ("kinds", "least"), [(CHANGED, 0.99), ({"negation_flipped"}, 0.8), ({"invented"}, 0.85), ({"partly"}, 0.6)]
)
def test_what_the_passage_does_not_say_is_caught_by_words_alone(split: str, kinds: set[str], least: float) -> None:
    assert share(split, kinds, meaning=False) >= least


def test_true_sentences_pass_with_the_encoder_and_false_ones_do_not() -> None:
    assert share("test", TRUE, meaning=True) >= 0.95
    assert share("test", CHANGED, meaning=True) >= 0.99
    assert share("test", {"negation_flipped"}, meaning=True) >= 0.8
    assert share("test", {"invented"}, meaning=True) >= 0.85
    assert share("test", {"cross_True"}, meaning=True) >= 0.8
    assert share("test", {"cross_False"}, meaning=True) >= 0.9


def test_words_alone_are_stricter_but_let_true_sentences_through() -> None:
    assert share("test", TRUE, meaning=False) >= 0.85
    assert share("dev", TRUE, meaning=False) >= 0.85


def test_the_labelled_set_is_what_its_datasheet_says() -> None:
    assert len(PAIRS) >= 700
    assert {pair["source"] for pair in PAIRS if pair["split"] == "dev"}.isdisjoint(
        {pair["source"] for pair in PAIRS if pair["split"] == "test"}
    )
    assert 0.45 <= sum(pair["lang"] == "fr" for pair in PAIRS) / len(PAIRS) <= 0.55
    assert all(pair["supported"] == (pair["kind"] in TRUE) for pair in PAIRS if pair["kind"] != "cross_language")
    assert all(checkable(pair["sentence"]) for pair in PAIRS)


def test_an_encoder_that_fails_leaves_the_words() -> None:
    def broken(texts: Any) -> Any:
        raise OSError

    evidence = Evidence([SourcePassage(1, "The patient is seen again within 48 hours of discharge.")], broken)
    assert evidence.support("After discharge the patient is seen again within 48 hours.").markers == (1,)


def test_a_reader_that_fails_leaves_the_rules() -> None:
    asked: list[str] = []

    def broken(sentence: str, passage: str) -> float:
        asked.append(sentence)
        raise OSError

    passage = SourcePassage(1, "The patient is seen again within 48 hours of discharge.")
    said = (
        "After discharge the patient is seen again within 48 hours.",
        "After discharge the patient is not seen again within 48 hours.",
        "The garden of the hospital is open to visitors all day.",
    )
    embed = sentence_encoder()
    rules = Evidence([passage], embed)
    failing = Evidence([passage], embed, broken)
    assert [failing.support(one) for one in said] == [rules.support(one) for one in said]
    assert [bool(rules.support(one).markers) for one in said] == [True, False, False]
    assert asked == [said[0]]  # and is not asked again in this answer
    refusing = Evidence([passage], embed, lambda sentence, piece: 0.0)
    assert not refusing.support(said[0]).markers  # while one that works has the last word


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("0,50 mg", "0.5 mg"),
        ("0,5 g", "500 mg"),
        ("24 heures", "1 day"),
        ("48 h", "deux jours"),
        ("1 000 ml", "1 l"),
        ("1,500 cells", "1500 cells"),
        ("bid", "2 fois par jour"),
        ("twice daily", "every 12 hours"),
        ("toutes les 6 heures", "four times a day"),
        ("6 of every 100 people", "6 %"),
        ("un patient sur dix", "10 percent"),
        ("la moitié des patients", "50 %"),
        ("half a year", "6 months"),
        ("deux décennies", "20 years"),
        ("a couple of hours", "2 h"),
        ("four fifths of the personal best", "80 %"),
        ("neuf dixièmes des patients", "90 %"),
        ("un an", "12 mois"),
        ("quarterly", "every 3 months"),
        ("quatre-vingt-dix jours", "90 days"),
        ("soixante et onze ans", "71 years"),
        ("twenty-one days", "three weeks"),
        ("une heure et demie", "90 minutes"),
        ("1h30", "90 min"),
        ("trois quarts d'heure", "45 minutes"),
        ("J7", "jour 7"),
        ("6.8 million", "6,800,000"),
        ("a fortnight and 2 fortnights", "4 weeks and 4 weeks"),
        ("250 µg", "0.25 mg"),
        ("cent vingt mg", "120 mg"),
        ("two hundred and fifty mg", "250 mg"),
        ("weekly", "chaque semaine"),
    ],
)
def test_quantities_have_one_notation(one: str, other: str) -> None:
    left, right = quantities(one), quantities(other)
    assert left
    assert all(stands(wanted, right) for wanted in left if not wanted.implied), (left, right)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("at least 6 hours", "at most 6 hours"),
        ("moins de 15 jours", "plus de 15 jours"),
        ("60 mg", "60 g"),
        ("ne dépasse pas 60 mg", "dépasse 60 mg"),
        ("4 weeks", "1 month"),
        ("0.6 mmol/L", "0.6 mg/L"),
        ("every 4 hours", "every 4 minutes"),
        ("two times a week", "two times a month"),
        ("over 65", "under 65"),
        ("12", "1.2"),
        ("1,5 mg", "15 mg"),
        ("3 derniers mois", "3 derniers jours"),
    ],
)
def test_other_quantities_are_other(one: str, other: str) -> None:
    assert not all(stands(wanted, quantities(other)) for wanted in quantities(one))


def test_bare_and_ambiguous_words_are_no_numbers() -> None:
    assert quantities("une équipe, un jour de plus, la neuve, one of them, le second avis, the 1st visit")[1:] == ()
    assert quantities("neuf jours")[0].value == Fraction(9 * 86400)


def test_medicines_are_known_by_name_brand_and_ending() -> None:
    assert drugs("La fluoxétine, le Prozac et le fluoxetine") == drugs("fluoxetine")
    assert drugs("gabapentine") == drugs("Gabapentin")
    assert drugs("acide valproïque") == drugs("valproate")
    assert len(drugs("brandnewazepam and otheroxetine")) == 2
    assert not drugs("En avril, la semaine prochaine, cholesterol and a cyclone; la patiente est calme")


LITHIUM = [SourcePassage(1, "Lithium is started at 400 mg in the evening. Blood levels are measured after five days.")]


@pytest.mark.parametrize(
    ("answer", "true"),
    [
        ("```\nLithium is started at 4000 mg in the evening.\n```\n", True),
        ("| Medicine | Dose |\n|---|---|\n| Lithium | 4000 mg in the evening |\n", True),
        ("# Lithium: 4000 mg in the evening\n", True),
        ("Lithium is started at 4000 mg in the evening:\n", True),
        # what stands beside the figure here is in no passage either
        ("Why not start lithium at 4000 mg in the evening?", False),
        ("The guidelines do not say more: start lithium at 4000 mg in the evening.", False),
        ("Call 3114 and start lithium at 4000 mg in the evening.", False),
    ],
)
def test_no_form_of_a_sentence_hides_a_figure_from_the_check(answer: str, true: bool) -> None:
    shown, groundedness = checked(answer)
    assert "[?]" in shown
    assert groundedness == 0.0
    if true:
        shown, groundedness = checked(answer.replace("4000", "400"))
        assert "[1]" in shown
        assert groundedness == 1.0


@pytest.mark.parametrize(
    "answer",
    [
        "These are the steps of a safety plan:\n",
        "## What the team does after the discharge\n",
        "| Step | Who does it | Where it is written |\n",
        "The guidelines do not mention olanzapine.",
        "Call 3114, it is free and open 24 hours a day, 7 days a week.",
    ],
)
def test_what_claims_nothing_is_not_marked(answer: str) -> None:
    assert checked(answer) == (answer, None)


def checked(answer: str) -> tuple[str, float | None]:
    """What is shown of an answer, and its groundedness."""
    screen = OutputScreen(LITHIUM, language="en")
    screen.feed(answer)
    end = screen.finish()
    return end.text, end.groundedness
