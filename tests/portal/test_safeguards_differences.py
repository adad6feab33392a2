"""What the second person reads of a change: each field that differs, and everything of what comes or goes."""

from datetime import date
from typing import Any

import pytest
from django.utils.translation import override

from portal.safeguards import drafting, releasing, selectors
from portal.safeguards.differences import content_differences
from portal.safeguards.models import RuleRelease
from tests.conftest import Cast
from tests.portal.test_safeguards import few_cases, own_folder, tried_out
from tests.portal.test_safeguards_withdrawn import page_of

__all__ = ["few_cases", "own_folder"]  # fixtures
LINE: dict[str, Any] = {"name": "Psychiatre de garde", "phone": "4521", "audience": "staff", "languages": ["fr"]}
WHOLE = {
    **LINE, "sms": "0611", "url": "https://intranet/garde", "hours": "24/7", "languages": ["fr", "en"], "region": "FR",
    "checked_on": date(2026, 3, 1),
}  # fmt: skip

Rows = list[tuple[str, str, list[tuple[str, str, str]]]]


@pytest.fixture
def key(cast: Cast) -> str:
    """A released line and phrase; a draft is open."""
    drafting.start(cast.dora)
    drafting.add_hotline(cast.dora, LINE)
    drafting.add_phrase(cast.dora, "plan tournesol", "fr", "third_person_emergency")
    tried_out(cast.dora)
    releasing.ask_for_release(cast.dora)
    held = releasing.release(cast.emil)
    drafting.start(cast.dora)
    return str(held.content["hotline"][0]["key"])


def draft() -> RuleRelease:
    found = selectors.open_draft()
    assert found is not None
    return found


def rows(language: str = "en") -> Rows:
    with override(language):
        return [
            (one.sign, one.title, [(field.name, field.before, field.after) for field in one.fields])
            for one in content_differences(draft())
        ]


@pytest.mark.parametrize(
    ("values", "shown"),
    [
        ({"audience": "public"}, ("For whom", "Staff", "Everybody")),
        ({"languages": ["fr", "en"]}, ("Languages", "FR", "FR, EN")),
        ({"languages": []}, ("Languages", "FR", "empty")),
        ({"region": "FR"}, ("Region", "empty", "FR")),
        ({"checked_on": date(2026, 3, 1)}, ("Last checked on", "never", "1 March 2026")),
        ({"name": "Psychiatre d’astreinte"}, ("Name", "Psychiatre de garde", "Psychiatre d’astreinte")),
    ],
)
def test_of_a_changed_line_the_field_that_differs_is_shown(
    cast: Cast, key: str, values: dict[str, Any], shown: tuple[str, str, str]
) -> None:
    drafting.change_hotline(cast.dora, key, {**LINE, **values})
    assert rows() == [("±", values.get("name", LINE["name"]), [shown])]


def test_the_page_names_the_fields_in_the_language_of_who_decides(cast: Cast, client: Any, key: str) -> None:
    drafting.change_hotline(cast.dora, key, {**LINE, "audience": "public", "checked_on": date(2026, 3, 1)})
    tried = tried_out(cast.dora)
    english, french = (page_of(tried, client, cast.emil, language) for language in ("en", "fr"))
    assert '<dt>For whom</dt><dd class="numeric"><span class="soft">Staff</span> → Everybody</dd>' in english
    assert '<dt>Pour qui</dt><dd class="numeric"><span class="soft">Soignants</span> → Tout le monde</dd>' in french
    assert '<span class="soft">jamais</span> → 1 mars 2026</dd>' in french
    assert english.count('<li class="difference">') == 1
    assert "4521" not in english  # it stays as it is


def test_of_a_line_that_comes_or_goes_every_field_is_listed(cast: Cast, client: Any, key: str) -> None:
    drafting.remove(cast.dora, "hotline", key)
    drafting.add_hotline(cast.dora, WHOLE)
    added, removed = rows()
    assert (added[0], removed[0]) == ("+", "−")
    assert added[2] == [
        ("For whom", "", "Staff"), ("Telephone", "", "4521"), ("Text messages", "", "0611"),
        ("Web page", "", "https://intranet/garde"), ("Hours", "", "24/7"), ("Languages", "", "FR, EN"),
        ("Region", "", "FR"), ("Last checked on", "", "1 March 2026"),
    ]  # fmt: skip
    assert removed[2] == [("For whom", "Staff", ""), ("Telephone", "4521", ""), ("Languages", "FR", "")]
    said = page_of(tried_out(cast.dora), client, cast.emil, "en")
    assert '<dt>Hours</dt><dd class="numeric">24/7</dd>' in said


def test_a_phrase_written_again_for_something_else_is_a_change_of_it(cast: Cast, client: Any, key: str) -> None:
    drafting.remove(cast.dora, "phrase", draft().content["phrase"][0]["key"])
    drafting.add_phrase(cast.dora, "plan tournesol", "", "first_person_crisis")
    drafting.add_phrase(cast.dora, "plan mimosa", "en", "method_seeking")
    assert rows() == [
        ("±", "plan tournesol", [
            ("What it means", "Emergency", "Person in crisis"), ("Language", "French", "Any language"),
        ]),
        ("+", "plan mimosa", [("What it means", "", "Method"), ("Language", "", "English")]),
    ]  # fmt: skip
    said = page_of(tried_out(cast.dora), client, cast.emil, "en")
    assert '<strong>plan mimosa</strong> <span class="soft">Method · English</span>' in said


def test_what_was_taken_out_and_written_again_as_it_was_is_no_difference(cast: Cast, key: str) -> None:
    drafting.remove(cast.dora, "hotline", key)
    drafting.add_hotline(cast.dora, LINE)
    drafting.remove(cast.dora, "phrase", draft().content["phrase"][0]["key"])
    drafting.add_phrase(cast.dora, "plan tournesol", "fr", "third_person_emergency")
    assert rows() == []


def test_a_copy_of_a_line_is_an_addition_beside_the_change_of_the_first(cast: Cast, key: str) -> None:
    drafting.change_hotline(cast.dora, key, {**LINE, "phone": "4599"})
    drafting.add_hotline(cast.dora, LINE)
    assert [(sign, fields[0]) for sign, _, fields in rows()] == [
        ("±", ("Telephone", "4521", "4599")),
        ("+", ("For whom", "", "Staff")),
    ]


def test_regions_say_what_none_means(cast: Cast, key: str) -> None:
    drafting.set_regions(cast.dora, ["FR", "BE"])
    assert rows() == [("±", "Regions", [("", "the setting of this installation", "FR, BE")])]
    assert rows("fr") == [("±", "Régions", [("", "le réglage de cette installation", "FR, BE")])]
