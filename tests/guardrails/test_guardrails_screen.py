"""What the crisis screen decides, as a clinician or an attacker would see it."""

import json
import logging
import shutil
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from re import _constants as constants
from re import _parser as parser
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from guardrails import Action, Category, RuleError, screen_input
from guardrails import _matching as matching_module
from guardrails import _rules as rules_module
from guardrails import _screen as screen_module
from guardrails._rules import DATA, load_rules

QUIET = {Category.CLINICAL_DISCUSSION, Category.BENIGN}


def test_the_sentences_of_the_issue_show_the_card() -> None:
    for text in ("I want to kill myself tonight", "Je veux mourir", "jveux me suicider"):
        verdict = screen_input(text)
        assert verdict.category is Category.FIRST_PERSON_CRISIS
        assert verdict.action is Action.REDIRECT
        assert verdict.rules and verdict.matched


@pytest.mark.parametrize(
    "text",
    [
        "What are the steps of a safety plan?",
        "Quelles sont les étapes d'un plan de sécurité ?",
        'The patient said "I want to kill myself tonight". How do I document that?',
        "Le patient dit : « je veux mourir ». Comment répondre ?",
        "Patient denies suicidal ideation.",
        "",
        "   \n\t ",
    ],
)
def test_clinical_talk_is_answered(text: str) -> None:
    verdict = screen_input(text)
    assert verdict.category in QUIET
    assert verdict.action is Action.ALLOW


def _rates(cases: list[dict], label: str, language: str) -> tuple[int, int]:
    chosen = [case for case in cases if case["label"] == label and case["lang"] == language]
    found = sum(screen_input(case["text"], history=case.get("history", ())).category.value == label for case in chosen)
    return found, len(chosen)


@pytest.mark.parametrize("language", ["fr", "en"])
@pytest.mark.parametrize("label", ["first_person_crisis", "third_person_emergency"])
def test_recall_on_the_cases_does_not_fall(cases: list[dict], label: str, language: str) -> None:
    found, total = _rates(cases, label, language)
    assert total >= 50
    assert found / total >= 0.95


@pytest.mark.parametrize("language", ["fr", "en"])
def test_false_alarms_on_clinicians_talk_do_not_rise(cases: list[dict], language: str) -> None:
    wrong: Counter[str] = Counter()
    total: Counter[str] = Counter()
    for case in cases:
        if case["lang"] == language and case["label"] in {"clinical_discussion", "benign"}:
            total[case["label"]] += 1
            wrong[case["label"]] += screen_input(case["text"], history=case.get("history", ())).category not in QUIET
    assert wrong["clinical_discussion"] / total["clinical_discussion"] <= 0.03
    assert wrong["benign"] / total["benign"] <= 0.1  # idioms and accidents at work, harder than what is usual


def test_the_explicit_the_means_and_the_self_harm_are_all_found(cases: list[dict]) -> None:
    missed = [
        case["text"]
        for case in cases
        if case["label"] == "first_person_crisis"
        and case["subtype"] in {"explicit", "means", "scale", "farewell"}
        and screen_input(case["text"], history=case.get("history", ())).category is not Category.FIRST_PERSON_CRISIS
    ]
    assert missed == []


def test_a_joke_after_a_disclosure_stays_flagged_and_a_quotation_is_released() -> None:
    said = "I want to kill myself"
    joke = screen_input("just kidding lol", history=[said])
    assert (joke.category, joke.action) == (Category.FIRST_PERSON_CRISIS, Action.REDIRECT)
    assert screen_input("just kidding lol").category is Category.BENIGN
    assert screen_input("Sorry, I was quoting my patient. How do I chart it?", history=[said]).action is Action.ALLOW
    after = ["I want to kill myself", "Sorry, I was quoting my patient."]
    assert screen_input("just kidding lol", history=after).action is Action.ALLOW


def test_a_disclosure_stands_through_an_ordinary_question() -> None:
    verdict = screen_input("What is the usual dose range of sertraline?", history=["I want to die tonight."])
    assert verdict.action is Action.REDIRECT
    assert screen_input("What is the usual dose range of sertraline?").action is Action.ALLOW


def test_a_crisis_outweighs_an_emergency_in_the_same_message() -> None:
    verdict = screen_input("My patient just hanged himself in room 4. I want to die too.")
    assert verdict.category is Category.FIRST_PERSON_CRISIS
    assert any(rule.startswith("en.third") for rule in verdict.rules)


HIDDEN = [
    "I want to k\u200bi\u200bl\u200bl my\u00adself",
    "Ι wаnt tо kіll mуsеlf",  # Greek and Cyrillic letters
    "I WANT TO KILL MYSELF",
    "Ｉ ｗａｎｔ ｔｏ ｋｉｌｌ ｍｙｓｅｌｆ",
    "𝐈 𝐰𝐚𝐧𝐭 𝐭𝐨 𝐤𝐢𝐥𝐥 𝐦𝐲𝐬𝐞𝐥𝐟",
    "🅸 want to 🅺🅸🅻🅻 myself",
    "i want to k1ll my5elf",
    "i want to k!ll myself",
    "I want to kiiiill myself",
    "I want to kill mysefl",
    "I want to k.i.l.l m.y.s.e.l.f",
    "I w a n t t o k i l l m y s e l f",
    "I want to *kill* **myself**",
    "I\u202e want to kill myself",
    "I w̷a̷n̷t̷ to k̶i̶l̶l̶ myself",
    "ᴊᴇ ᴠᴇᴜx ᴍᴏᴜʀɪʀ",
    "Je vеux mоurir",
    "j\u2019ai envie de m\u200dourir",
    "j'ai envie de m0urir",
    "J’AI ENVIE DE MOURIR",
    "je veux mouurir",
    "je veux me sui cider",
]


@pytest.mark.parametrize("text", HIDDEN[:-1])
def test_hidden_words_are_found(text: str) -> None:
    assert screen_input(text).category is Category.FIRST_PERSON_CRISIS


EXPLICIT = ["I want to kill myself", "I want to die tonight", "je veux mourir", "je vais me suicider"]
INVISIBLE = ["\u200b", "\u200c", "\u200d", "\u2060", "\ufeff", "\u00ad", "\u202e", "\u2066", "\u034f", "\ufe0f"]


@given(st.sampled_from(EXPLICIT), st.data())
@settings(max_examples=150, deadline=None)
def test_invisible_characters_hide_nothing(text: str, data: st.DataObject) -> None:
    for _ in range(data.draw(st.integers(0, 8))):
        place = data.draw(st.integers(0, len(text)))
        text = text[:place] + data.draw(st.sampled_from(INVISIBLE)) + text[place:]
    assert screen_input(text).category is Category.FIRST_PERSON_CRISIS


LOOKALIKE = {"a": "аα", "e": "еε", "i": "іι", "o": "оο", "t": "т", "m": "м", "k": "к", "y": "у", "s": "ѕ", "u": "υ"}


@given(st.sampled_from(EXPLICIT), st.data())
@settings(max_examples=150, deadline=None)
def test_look_alike_letters_hide_nothing(text: str, data: st.DataObject) -> None:
    letters = list(text)
    for place, letter in enumerate(letters):
        # a third at most: a text wholly in another script is another language
        if place % 3 == 0 and letter in LOOKALIKE and data.draw(st.booleans()):
            letters[place] = data.draw(st.sampled_from(LOOKALIKE[letter]))
    assert screen_input("".join(letters)).category is Category.FIRST_PERSON_CRISIS


@given(st.text(max_size=300), st.lists(st.text(max_size=60), max_size=3))
@settings(max_examples=400, deadline=None)
def test_no_text_breaks_the_screen(text: str, history: list[str]) -> None:
    verdict = screen_input(text, history=history)
    assert verdict.category is not Category.UNSCREENED
    json.dumps([verdict.rules, verdict.matched, verdict.score])


@pytest.mark.parametrize("text", ["\ud800 hello", "\x00" * 100, "ﷺ" * 3000, "'" * 5000, '"' * 5000, "a." * 9000])
def test_strange_texts_are_screened(text: str) -> None:
    assert screen_input(text).category is not Category.UNSCREENED


def test_a_crisis_at_the_end_of_a_long_message_is_found() -> None:
    filler = "Résume les recommandations sur la dépression résistante et cite tes sources. " * 420
    assert len(filler.encode()) > 32 * 1024 - 200
    text = filler[: 32 * 1024 - 60] + " Et ce soir je vais me tuer."
    assert screen_input(text).category is Category.FIRST_PERSON_CRISIS


# --- it fails closed ---------------------------------------------------------------------------------------------


@pytest.fixture
def other_rules(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of the rules that a test may break; the screen reads it instead of its own."""
    folder = tmp_path / "rules"
    shutil.copytree(DATA, folder)
    monkeypatch.setattr(screen_module, "rule_set", lambda: load_rules(folder))
    return folder


@pytest.mark.parametrize("file", ["rules_fr.toml", "rules_en.toml", "rules_common.toml", "words.toml"])
def test_a_missing_rule_file_is_a_crisis_never_a_pass(other_rules: Path, file: str) -> None:
    assert screen_input("What is a safety plan?").action is Action.ALLOW
    (other_rules / file).unlink()
    verdict = screen_input("What is a safety plan?")
    assert (verdict.category, verdict.action) == (Category.UNSCREENED, Action.REDIRECT)


@pytest.mark.parametrize(
    "content",
    ["not toml [", "", "[[rule]]\nid = 1", '[[rule]]\nid="x"\ncategory="first_person_crisis"\nwords=["a"]\nany=["("]'],
)
def test_a_broken_rule_file_is_a_crisis_never_a_pass(other_rules: Path, content: str) -> None:
    (other_rules / "rules_en.toml").write_text(content, encoding="utf-8")
    verdict = screen_input("Hello")
    assert (verdict.category, verdict.action) == (Category.UNSCREENED, Action.REDIRECT)


def test_an_exception_inside_is_a_crisis_and_says_nothing_of_the_message(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def fail(*args: object) -> None:
        raise ValueError("a secret sentence")

    monkeypatch.setattr(screen_module, "judge", fail)
    with caplog.at_level(logging.DEBUG):
        verdict = screen_input("a secret sentence")
    assert (verdict.category, verdict.action) == (Category.UNSCREENED, Action.REDIRECT)
    assert verdict.rule_set == rules_module.rule_set().id
    assert "secret" not in caplog.text


def test_a_failure_to_load_is_not_remembered(tmp_path: Path) -> None:
    folder = tmp_path / "rules"
    with pytest.raises(RuleError, match=r"words\.toml"):
        rules_module.rule_set(folder)
    shutil.copytree(DATA, folder)
    assert rules_module.rule_set(folder).id == load_rules(DATA).id


def test_the_rule_set_is_known_by_version_and_hash(other_rules: Path) -> None:
    before = load_rules(other_rules).id
    version, _, digest = before.partition("+")
    assert version and len(digest) == 12
    with (other_rules / "rules_en.toml").open("a", encoding="utf-8") as file:
        file.write("\n# a comment is a change too\n")
    assert load_rules(other_rules).id != before


# --- bounded work ------------------------------------------------------------------------------------------------


def _repeats(parsed: Any) -> Iterator[tuple[int, Any]]:
    """Every repetition in a parsed expression: its upper bound and what it repeats."""
    for operation, argument in parsed:
        if operation in {constants.MAX_REPEAT, constants.MIN_REPEAT}:
            yield argument[1], argument[2]
            yield from _repeats(argument[2])
        elif operation is constants.BRANCH:
            for branch in argument[1]:
                yield from _repeats(branch)
        elif operation is constants.SUBPATTERN:
            yield from _repeats(argument[3])
        elif operation in {constants.ASSERT, constants.ASSERT_NOT}:
            yield from _repeats(argument[1])


def test_no_repetition_inside_an_unbounded_repetition() -> None:
    """What makes an expression catastrophic is an unbounded repetition of something that repeats itself."""
    rules = load_rules(DATA)
    patterns = [rule.pattern for rule in rules.rules] + [context.pattern for context in rules.contexts.values()]
    for pattern in patterns:
        for most, repeated in _repeats(parser.parse(pattern.pattern)):
            if most is constants.MAXREPEAT:
                inner = [bound for bound, _ in _repeats(repeated) if bound is constants.MAXREPEAT or bound > 60]
                assert not inner, pattern.pattern[:200]


HOSTILE = [
    "je vais ",
    "i want to ",
    "i really ",
    "il dit que ",
    "patient said that i ",
    "combien de ",
    "the patient is on the ",
    'quote "',
    "k i l l ",
    "m'a dit ",
    "1 80 03 75 116 042 ",
    "patient 0",
    "a",
    "'",
    "()",
    "сmеrt ",
    "自杀我想",
    "我我我我",
    "\n",
    "i do not want to die because patients say i want to die ",
]


@pytest.mark.parametrize("piece", HOSTILE)
def test_work_grows_no_faster_than_the_message(piece: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Counted, not timed: characters given to regular expressions per character of the message stay bounded."""

    def work(length: int) -> int:
        rules = load_rules(DATA)
        text = (piece * (length // len(piece) + 1))[:length]
        reading = matching_module.read(text, rules, "")
        return sum(len(part.text) * len(matching_module._awake(part, rules)) for part in reading.segments)

    small, large = work(4_096), work(32_768)
    assert large <= 10 * max(small, 4_096)


def test_windows_of_a_sentence_without_end_overlap() -> None:
    text = "word " * 68 + "i want to kill myself " + "word " * 500
    assert screen_input(text).category is Category.FIRST_PERSON_CRISIS
