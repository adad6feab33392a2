"""Own messages that were withdrawn since the last release: who decides on the next one is told."""

from typing import Any

import pytest

from portal.audit.models import Event
from portal.safeguards import drafting, releasing
from portal.safeguards.models import RuleRelease, State
from tests.conftest import Cast
from tests.portal.test_safeguards import few_cases, own_folder, released, tried_out

__all__ = ["few_cases", "own_folder"]  # fixtures


def page_of(draft: RuleRelease, client: Any, person: object, language: str) -> str:
    client.force_login(person)
    return client.get(f"/safeguards/releases/{draft.pk}/", headers={"accept-language": language}).content.decode()


def test_the_second_person_is_told_of_the_message_that_would_have_blocked_the_release(cast: Cast, client: Any) -> None:
    case = drafting.add_case(cast.dora, "Le plan tournesol me donne envie de mourir.", "fr", "first_person_crisis")
    drafting.start(cast.dora)
    drafting.add_phrase(cast.dora, "plan tournesol me donne envie de mourir", "fr", "not_a_crisis")
    assert tried_out(cast.dora).report["blocked"]
    drafting.send_back(cast.dora)
    drafting.withdraw_case(cast.dora, case)
    draft = tried_out(cast.dora)
    assert draft.report["withdrawn"] == [{"case": f"own:{case.pk}", "lang": "fr", "label": "first_person_crisis"}]
    assert not draft.report["blocked"]
    releasing.ask_for_release(cast.dora)
    said = page_of(draft, client, cast.emil, "en")
    assert (
        "1 test message of your own was removed before the first release, so the draft was not tested on it:"
        f" no. {case.pk} (Person in crisis, FR)." in said
    )
    assert case.text not in said
    french = page_of(draft, client, cast.emil, "fr")
    assert "a été retiré avant la première version\N{NO-BREAK SPACE}; le brouillon" in french
    assert f"sur ce message\N{NO-BREAK SPACE}: n°\N{NO-BREAK SPACE}{case.pk} (" in french
    assert Event.objects.filter(kind="safeguards.tested").order_by("-seq")[0].payload["withdrawn"] == 1
    assert releasing.release(cast.emil).state == State.ACTIVE
    assert "was removed before the first release" in page_of(draft, client, cast.dora, "en")


def test_withdrawing_it_before_the_draft_is_begun_hides_nothing(cast: Cast, client: Any) -> None:
    case = drafting.add_case(cast.dora, "Le plan tournesol me donne envie de mourir.", "fr", "first_person_crisis")
    drafting.withdraw_case(cast.dora, case)
    drafting.start(cast.dora)
    drafting.add_phrase(cast.dora, "plan tournesol me donne envie de mourir", "fr", "not_a_crisis")
    draft = tried_out(cast.dora)
    assert [row["case"] for row in draft.report["withdrawn"]] == [f"own:{case.pk}"]
    assert f"no. {case.pk} (Person in crisis, FR)." in page_of(draft, client, cast.emil, "en")


def test_each_since_the_last_release_is_named_and_none_that_was_told_then_or_put_back(cast: Cast, client: Any) -> None:
    before, first, back, second = (
        drafting.add_case(cast.dora, f"Bonjour {number}", "fr", "benign") for number in range(4)
    )
    drafting.withdraw_case(cast.dora, before)
    assert [row["case"] for row in released(cast.dora, cast.emil).report["withdrawn"]] == [f"own:{before.pk}"]
    drafting.withdraw_case(cast.dora, second)  # before the draft
    drafting.start(cast.dora)
    drafting.discard(cast.dora)
    drafting.start(cast.dora)
    drafting.add_phrase(cast.dora, "plan mimosa", "fr", "third_person_emergency")
    for case in (back, first):
        drafting.withdraw_case(cast.dora, case)
    drafting.keep_case(cast.dora, back)
    draft = tried_out(cast.dora)
    assert [row["case"] for row in draft.report["withdrawn"]] == [f"own:{first.pk}", f"own:{second.pk}"]
    said = page_of(draft, client, cast.dora, "en")
    assert "2 test messages of your own were removed after release 1, so the draft was not tested on them:" in said
    assert f"no. {first.pk} (Everyday message, FR), no. {second.pk} (Everyday message, FR)." in said


@pytest.mark.parametrize("old", [False, True])
def test_where_none_was_withdrawn_nothing_is_said(cast: Cast, client: Any, old: bool) -> None:
    drafting.start(cast.dora)
    drafting.add_phrase(cast.dora, "plan tournesol", "fr", "third_person_emergency")
    draft = tried_out(cast.dora)
    assert draft.report.pop("withdrawn") == []
    if old:  # a report from before withdrawn messages were counted
        draft.save()
    assert "of your own was removed" not in page_of(draft, client, cast.emil, "en")
