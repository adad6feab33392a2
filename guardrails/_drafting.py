"""What can be said of a facility's draft before anybody releases it: does a phrase work, is it too broad, what do the
labelled cases say."""

import json
from collections.abc import Sequence
from dataclasses import replace
from functools import lru_cache
from typing import Any

from guardrails._errors import AdditionError
from guardrails._facility import NOT_A_CRISIS, FacilityAdditions, FacilityPhrase
from guardrails._matching import read
from guardrails._phrases import compile_phrase, without_exceptions
from guardrails._releases import make_release, trying
from guardrails._rules import DATA, RuleSet, with_release
from guardrails._screen import screen_input
from guardrails._types import Category

BROAD_SHARE = 0.02
"""A phrase that fires on more than this share of ordinary messages is too broad."""

_QUIET = frozenset({Category.CLINICAL_DISCUSSION.value, Category.BENIGN.value})
_ORDINARY_MESSAGES = 1000


def labelled_cases() -> list[dict[str, Any]]:
    """The shipped labelled messages: text, lang, label, id, and perhaps history and subtype.

    Raises OSError and ValueError where they cannot be read.
    """
    cases: list[dict[str, Any]] = []
    for file in sorted((DATA / "cases").glob("*.jsonl")):
        cases += [json.loads(line) for line in file.read_text(encoding="utf-8").splitlines() if line.strip()]
    return cases


def check_phrase(phrase: FacilityPhrase) -> None:
    """Raises AdditionError (not_found) where the rule made from a phrase would not find the phrase itself."""
    try:
        found = _fires(phrase, phrase.phrase)
    except ValueError as error:
        raise AdditionError("empty", "phrase") from error
    if not found:
        raise AdditionError("not_found", "phrase")


def share_of_ordinary_messages(phrase: FacilityPhrase) -> float:
    """On which share (0 to 1) of the shipped clinical and benign messages the phrase fires."""
    messages = _ordinary_messages()
    return sum(_fires(phrase, text) for text in messages) / len(messages) if messages else 0.0


def silences_a_crisis(phrase: FacilityPhrase) -> bool:
    """Whether an exception, standing alone, is something that the screen calls a crisis or an emergency today."""
    alarms = {Category.FIRST_PERSON_CRISIS, Category.THIRD_PERSON_EMERGENCY}
    if phrase.category != NOT_A_CRISIS:
        return False
    with trying(FacilityAdditions()):
        return screen_input(phrase.phrase).category in alarms


def _fires(phrase: FacilityPhrase, text: str) -> bool:
    rules = _alone(phrase)
    if phrase.category == NOT_A_CRISIS:
        return without_exceptions(text, rules.exceptions, rules.lexicon) != text
    return any(hit.rule.id == phrase.rule_id for hit in read(text, rules, "").hits)


@lru_cache(maxsize=64)
def _alone(phrase: FacilityPhrase) -> RuleSet:
    """A rule set with this one phrase, so that nothing else costs time."""
    # past its cache: the release in force must not be pushed out by phrases that are tried
    full = with_release.__wrapped__(make_release(0, FacilityAdditions(phrases=(phrase,))))
    own = tuple(rule for rule in full.rules if rule.id == phrase.rule_id)
    compiled = compile_phrase(phrase.phrase, full.lexicon)
    return replace(
        full,
        rules=own,
        index={} if compiled.raw or not own else {compiled.wakes: (0,)},
        raw=(0,) if compiled.raw and own else (),
        prefix_lengths=(len(compiled.wakes),),
    )


@lru_cache(maxsize=1)
def _ordinary_messages() -> Sequence[str]:
    texts = [case["text"] for case in labelled_cases() if case["label"] in _QUIET]
    return tuple(texts[:: len(texts) // _ORDINARY_MESSAGES + 1])
