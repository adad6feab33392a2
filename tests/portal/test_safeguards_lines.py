"""What a facility may write into a draft: phrases, lines and regions, and what is said of those it may not."""

from datetime import date

import pytest

from guardrails import hotlines
from guardrails.releases import AdditionError
from portal.accounts.models import User
from portal.safeguards import drafting, releasing, selectors
from portal.safeguards.problems import sentence
from tests.conftest import Cast
from tests.portal.test_safeguards import WORD, few_cases, own_folder, second, tried_out

__all__ = ["few_cases", "own_folder", "second"]  # fixtures


@pytest.mark.parametrize(
    ("phrase", "says"),
    [
        ("", "at least one word"),
        ("   ", "at least one word"),
        ("!!! ...", "at least one word"),
        ("SI", "too short"),
        ("a\nb cde", "line break"),
        ("mot " * 13, "at most 12 words"),
        ("x" * 200, "at most 120 characters"),
        ("Plan tournesol", "in the draft already"),
        ("Oui. Non. Peut-être", "never be found"),
    ],
)
def test_a_phrase_that_cannot_be_taken_says_why(cast: Cast, phrase: str, says: str) -> None:
    drafting.start(cast.dora)
    drafting.add_phrase(cast.dora, WORD, "fr", "third_person_emergency")
    with pytest.raises(AdditionError) as refused:
        drafting.add_phrase(cast.dora, phrase, "fr", "third_person_emergency")
    assert says in sentence(refused.value)


def test_a_phrase_that_is_everywhere_is_called_too_broad(cast: Cast) -> None:
    drafting.start(cast.dora)
    assert any("Too broad" in one for one in drafting.add_phrase(cast.dora, "patient", "fr", "first_person_crisis"))
    assert drafting.add_phrase(cast.dora, "plan tournesol", "fr", "first_person_crisis") == []


@pytest.mark.parametrize(
    ("field", "value", "says"),
    [
        ("name", "", "a name"),
        ("phone", "call me", "not a telephone number"),
        ("phone", "1", "not a telephone number"),
        ("phone", "", "telephone number, a number for text"),
        ("url", "javascript:alert(1)", "not a web address"),
        ("checked_on", date(2999, 1, 1), "future"),
        ("region", "France", "country code"),
        ("region", "F1", "country code"),
        ("languages", ["french"], "two-letter"),
        ("audience", "everyone", "whom the line is for"),
    ],
)
def test_a_line_that_cannot_be_taken_says_why(cast: Cast, field: str, value: object, says: str) -> None:
    drafting.start(cast.dora)
    line = {"name": "Psychiatre de garde", "phone": "4521", "audience": "staff", "languages": ["fr"], field: value}
    with pytest.raises(AdditionError) as refused:
        drafting.add_hotline(cast.dora, line)
    assert says in sentence(refused.value)


def test_own_lines_and_regions_are_shown_once_released(cast: Cast, second: User) -> None:
    drafting.start(cast.dora)
    drafting.add_hotline(cast.dora, {"name": "Psychiatre de garde", "phone": "4521", "audience": "staff"})
    drafting.add_hotline(cast.dora, {"name": "Sécurité", "phone": "4000", "audience": "emergency"})
    with pytest.raises(AdditionError):
        drafting.set_regions(cast.dora, ["ZZ"])
    drafting.set_regions(cast.dora, ["FR", "BE"])
    tried_out(cast.dora)
    releasing.ask_for_release(cast.dora)
    releasing.release(second)
    lines = hotlines("FR", "fr")
    phones = [line.phone for line in lines]
    assert [line.phone for line in lines if line.audience == "staff"][:2] == ["4521", "0 805 23 23 36"]
    assert next(line.phone for line in lines if line.audience == "emergency") == "4000"
    assert phones[0] == "3114"
    assert {"0800 32 123", "15"} <= set(phones)
    assert {line.name for line in selectors.lines_to_check()} >= {"Psychiatre de garde", "Sécurité"}
