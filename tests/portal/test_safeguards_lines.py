"""What a facility may write into a draft: phrases, lines and regions, and what is said of those it may not."""

from datetime import date
from typing import Any

import pytest
from django.utils import timezone

from guardrails import hotlines
from guardrails.releases import AdditionError
from portal.accounts.models import User
from portal.audit.models import Event
from portal.safeguards import drafting, releasing, selectors
from portal.safeguards.problems import SafeguardError, sentence
from tests.conftest import Cast
from tests.portal.test_safeguards import WORD, few_cases, own_folder, second, tried_out

__all__ = ["few_cases", "own_folder", "second"]  # fixtures
LINE = {"name": "Psychiatre de garde", "phone": "4521", "audience": "staff", "languages": ["fr"]}


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
    with pytest.raises(AdditionError) as refused:
        drafting.add_hotline(cast.dora, {**LINE, field: value})
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


# --- a line is changed where it stands --------------------------------------------------------------------------------


@pytest.fixture
def keys(cast: Cast) -> list[str]:
    """A draft with two lines."""
    drafting.start(cast.dora)
    drafting.add_hotline(cast.dora, {**LINE, "checked_on": date(2024, 3, 1)})
    drafting.add_hotline(cast.dora, {"name": "Sécurité", "phone": "4000", "audience": "emergency"})
    return [line["key"] for line in lines()]


def lines() -> list[dict[str, Any]]:
    draft = selectors.open_draft()
    assert draft is not None
    return list(draft.content["hotline"])


def posted(**values: str) -> dict[str, str]:
    """What the form sends."""
    return {"name": "Psychiatre de garde", "phone": "4521", "audience": "staff", "languages": "fr", **values}


def test_a_changed_line_keeps_its_place_and_its_key_and_is_shown_once_released(
    cast: Cast, second: User, keys: list[str]
) -> None:
    other = lines()[1]
    drafting.change_hotline(cast.dora, keys[0], {**LINE, "phone": "4599", "languages": ["fr", "en"]})
    changed, untouched = lines()
    assert (changed["key"], changed["phone"], changed["languages"]) == (keys[0], "4599", ["fr", "en"])
    assert changed["checked_on"] is None
    assert untouched == other
    tried_out(cast.dora)
    releasing.ask_for_release(cast.dora)
    releasing.release(second)
    phones = {line.phone for line in hotlines("FR", "fr")}
    assert "4599" in phones
    assert "4521" not in phones


def test_whoever_changed_or_checked_a_line_is_not_a_second_person(cast: Cast, second: User, keys: list[str]) -> None:
    drafting.check_hotline(second, keys[0])
    tried_out(cast.dora)
    releasing.ask_for_release(cast.dora)
    with pytest.raises(SafeguardError, match="second person"):
        releasing.release(second)


def test_the_record_of_a_changed_line_has_its_key_and_no_words(cast: Cast, keys: list[str]) -> None:
    drafting.change_hotline(cast.dora, keys[0], {**LINE, "phone": "4599"})
    drafting.check_hotline(cast.dora, keys[1])
    changed, checked = list(Event.objects.filter(kind="safeguards.draft_changed").order_by("seq"))[-2:]
    assert changed.payload == {"change": "hotline_changed", "key": keys[0]}
    assert checked.payload == {"change": "hotline_changed", "key": keys[1]}


def test_a_change_that_cannot_be_taken_changes_nothing(cast: Cast, keys: list[str]) -> None:
    before = lines()
    with pytest.raises(AdditionError) as refused:
        drafting.change_hotline(cast.dora, keys[0], {**LINE, "phone": "call me"})
    assert "not a telephone number" in sentence(refused.value)
    assert lines() == before


def test_a_line_that_is_gone_or_under_test_is_not_changed(cast: Cast, keys: list[str]) -> None:
    drafting.remove(cast.dora, "hotline", keys[0])
    for key, says in ((keys[0], "removed already"), (keys[1], "Take it back")):
        with pytest.raises(SafeguardError, match=says):
            drafting.change_hotline(cast.dora, key, LINE)
        with pytest.raises(SafeguardError, match=says):
            drafting.check_hotline(cast.dora, key)
        if key == keys[0]:
            tried_out(cast.dora)
    drafting.send_back(cast.dora)
    drafting.undo(cast.dora)
    drafting.change_hotline(cast.dora, keys[0], {**LINE, "phone": "4599"})
    assert [line["phone"] for line in lines()] == ["4599", "4000"]


def test_checked_today_changes_the_day_and_nothing_else(cast: Cast, client: Any, keys: list[str]) -> None:
    client.force_login(cast.dora)
    before = lines()
    assert client.get("/safeguards/draft/").content.decode().count("Checked today") == 2
    response = client.post(f"/safeguards/draft/lines/{keys[0]}/check/")
    assert response["Location"] == f"/safeguards/draft/#line-{keys[0]}"
    assert lines() == [{**before[0], "checked_on": timezone.localdate().isoformat()}, before[1]]
    page = client.get("/safeguards/draft/").content.decode()
    assert f'id="line-{keys[0]}"' in page
    assert page.count("Checked today") == 1  # nothing is left to be said of the first


def test_the_form_of_a_line_holds_what_it_says_and_saves_what_is_typed(
    cast: Cast, client: Any, keys: list[str]
) -> None:
    client.force_login(cast.dora)
    drafting.change_hotline(cast.dora, keys[0], {**LINE, "languages": ["fr", "en"], "checked_on": date(2024, 3, 1)})
    form = client.get(f"/safeguards/draft/lines/{keys[0]}/").context["form"]
    shown = {field.name: field.value() for field in form if field.value()}
    assert shown == {
        "name": "Psychiatre de garde", "phone": "4521", "audience": "staff", "languages": "fr, en",
        "checked_on": "2024-03-01",
    }  # fmt: skip
    before = lines()
    client.post(f"/safeguards/draft/lines/{keys[0]}/change/", shown)
    assert lines() == before
    response = client.post(f"/safeguards/draft/lines/{keys[0]}/change/", {**shown, "hours": "24/7"})
    assert response["Location"] == f"/safeguards/draft/#line-{keys[0]}"
    assert lines() == [{**before[0], "hours": "24/7"}, before[1]]


def test_what_is_wrong_with_a_changed_line_stands_under_its_field(cast: Cast, client: Any, keys: list[str]) -> None:
    client.force_login(cast.dora)
    address = f"/safeguards/draft/lines/{keys[0]}/change/"
    page = client.post(address, posted(phone="call me", hours="nights"), headers={"accept-language": "fr"})
    assert "numéro de téléphone" in page.context["form"].errors["phone"][0]
    assert 'value="call me" inputmode="tel" aria-invalid="true"' in page.content.decode()
    assert 'value="nights"' in page.content.decode()
    drafting.remove(cast.dora, "hotline", keys[0])
    page = client.post(address, posted(phone="4599"), headers={"accept-language": "en"}).content.decode()
    assert "This was removed already." in page
    assert 'value="4599"' in page  # what was typed is not lost


def test_the_form_of_a_line_that_is_gone_leads_back_to_the_draft(cast: Cast, client: Any, keys: list[str]) -> None:
    client.force_login(cast.dora)
    drafting.remove(cast.dora, "hotline", keys[0])
    page = client.get(f"/safeguards/draft/lines/{keys[0]}/", headers={"accept-language": "en"}, follow=True)
    assert page.redirect_chain == [("/safeguards/draft/", 302)]
    assert "This was removed already." in page.content.decode()
    draft = tried_out(cast.dora)
    page = client.get(f"/safeguards/draft/lines/{keys[1]}/", follow=True)
    assert page.redirect_chain[-1] == (f"/safeguards/releases/{draft.pk}/", 302)
