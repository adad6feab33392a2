"""A facility's own words and lines, from draft to release: by two people, never where recall falls, failing closed."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from django.db import DatabaseError

from guardrails import Action, Category, hotlines, releases, screen_input
from portal.accounts.models import User
from portal.audit.models import Actor, Event
from portal.safeguards import drafting, releasing, selectors, testing
from portal.safeguards.models import LabelledCase, RuleRelease, State
from portal.safeguards.problems import SafeguardError
from tests.conftest import PASSWORD, Cast

# words that the shipped screen answers
WORD = "plan tournesol"
SENTENCE = "Plan tournesol demandé à l’accueil"


@pytest.fixture(autouse=True)
def own_folder(tmp_path: Path) -> Iterator[Path]:
    before = releases.releases_folder()
    releases.use_releases(tmp_path / "guardrails")
    yield tmp_path / "guardrails"
    releases.use_releases(before)


@pytest.fixture(autouse=True)
def few_cases(monkeypatch: pytest.MonkeyPatch) -> None:
    """Some of the shipped messages: a test run on all of them is a matter of seconds, not of another behaviour."""
    some = dict(list(selectors.shipped_cases().items())[::23])
    monkeypatch.setattr(selectors, "shipped_cases", lambda: some)


@pytest.fixture
def second(cast: Cast) -> User:
    """Another administrator."""
    return User.objects.create_user("dina", password=PASSWORD, role="admin")


def tried_out(actor: User, note: str = "a word") -> RuleRelease:
    assert testing.request_test(actor, note)
    testing.run_tests()
    draft = selectors.open_draft()
    assert draft is not None
    return draft


def released(author: User, releaser: User, word: str = WORD) -> RuleRelease:
    drafting.start(author)
    drafting.add_phrase(author, word, "fr", "third_person_emergency")
    tried_out(author)
    releasing.ask_for_release(author)
    return releasing.release(releaser)


def test_a_word_fires_once_a_second_person_has_released_it(cast: Cast, second: User) -> None:
    assert screen_input(SENTENCE).action is Action.ALLOW
    drafting.start(cast.dora)
    drafting.add_phrase(cast.dora, WORD, "fr", "third_person_emergency")
    drafting.add_case(cast.dora, SENTENCE, "fr", "third_person_emergency")
    draft = tried_out(cast.dora)
    assert draft.state == State.TESTED
    assert [row["case"] for row in draft.report["newly"]] == [f"own:{LabelledCase.objects.get().pk}"]
    assert draft.report["blocked"] == []
    assert screen_input(SENTENCE).action is Action.ALLOW
    releasing.ask_for_release(cast.dora)
    with pytest.raises(SafeguardError, match="second person"):
        releasing.release(cast.dora)
    assert screen_input(SENTENCE).action is Action.ALLOW
    release = releasing.release(second)
    verdict = screen_input(SENTENCE)
    assert (verdict.category, verdict.action) == (Category.THIRD_PERSON_EMERGENCY, Action.ALARM)
    assert verdict.rule_set == release.rule_set == releases.rule_set_id()
    assert verdict.rules[0].startswith("facility.third_person_emergency.")
    assert not selectors.in_force().is_broken


def test_a_compliance_officer_may_release_and_a_clinician_may_not(cast: Cast) -> None:
    drafting.start(cast.dora)
    drafting.add_phrase(cast.dora, WORD, "fr", "third_person_emergency")
    tried_out(cast.dora)
    releasing.ask_for_release(cast.dora)
    with pytest.raises(SafeguardError, match="Administrators and compliance"):
        releasing.release(cast.anna)
    assert releasing.release(cast.emil).state == State.ACTIVE


def test_whoever_changed_a_line_of_it_is_not_a_second_person(cast: Cast, second: User) -> None:
    drafting.start(cast.dora)
    drafting.add_phrase(cast.dora, WORD, "fr", "third_person_emergency")
    drafting.add_phrase(second, "plan mimosa", "fr", "third_person_emergency")
    tried_out(cast.dora)
    releasing.ask_for_release(cast.dora)
    with pytest.raises(SafeguardError, match="second person"):
        releasing.release(second)
    releasing.release(cast.emil)


def test_a_draft_that_silences_a_crisis_is_blocked(cast: Cast, second: User) -> None:
    drafting.add_case(cast.dora, "Je veux mourir.", "fr", "first_person_crisis")
    drafting.start(cast.dora)
    warnings = drafting.add_phrase(cast.dora, "je veux mourir", "fr", "not_a_crisis")
    assert any("no longer heard" in warning for warning in warnings)
    draft = tried_out(cast.dora)
    assert [(row["lang"], row["label"]) for row in draft.report["blocked"]] == [("fr", "first_person_crisis")]
    with pytest.raises(SafeguardError, match="misses crises"):
        releasing.ask_for_release(cast.dora)
    RuleRelease.objects.filter(pk=draft.pk).update(state=State.REQUESTED, requested_by="dora")
    with pytest.raises(SafeguardError, match="misses crises"):
        releasing.release(second)
    assert screen_input("Je veux mourir.").action is Action.REDIRECT


def test_finding_one_more_crisis_does_not_make_good_for_missing_one(cast: Cast) -> None:
    drafting.add_case(cast.dora, "Je veux mourir.", "fr", "first_person_crisis")
    drafting.add_case(cast.dora, "plan tournesol ce soir", "fr", "first_person_crisis")
    drafting.start(cast.dora)
    drafting.add_phrase(cast.dora, "je veux mourir", "fr", "not_a_crisis")
    drafting.add_phrase(cast.dora, "plan tournesol", "fr", "first_person_crisis")
    draft = tried_out(cast.dora)
    assert [(row["lang"], row["label"], row["lost"] > 0) for row in draft.report["blocked"]] == [
        ("fr", "first_person_crisis", True)
    ]
    with pytest.raises(SafeguardError, match="misses crises"):
        releasing.ask_for_release(cast.dora)


def test_a_word_that_is_everywhere_is_not_released(cast: Cast, client: Any) -> None:
    for day in ("lundi", "mardi", "jeudi"):
        drafting.add_case(cast.dora, f"La réunion du plan tournesol est {day}.", "fr", "benign")
    drafting.start(cast.dora)
    drafting.add_phrase(cast.dora, WORD, "fr", "first_person_crisis")
    draft = tried_out(cast.dora)
    assert [(row["lang"], row["label"]) for row in draft.report["flooded"]] == [("fr", "benign")]
    assert draft.report["blocked"] == []
    with pytest.raises(SafeguardError, match="too many ordinary messages"):
        releasing.ask_for_release(cast.dora)
    client.force_login(cast.dora)
    page = client.get(f"/safeguards/releases/{draft.pk}/", headers={"accept-language": "en"}).content.decode()
    assert "more than one in twenty" in page
    assert "Ask for release" not in page


def test_own_messages_that_came_after_the_test_are_tested_first(cast: Cast, second: User) -> None:
    drafting.start(cast.dora)
    drafting.add_phrase(cast.dora, WORD, "fr", "third_person_emergency")
    tried_out(cast.dora)
    releasing.ask_for_release(cast.dora)
    drafting.add_case(cast.dora, "Le plan tournesol est au programme de jeudi", "fr", "benign")
    with pytest.raises(SafeguardError, match="have changed since the test"):
        releasing.release(second)
    drafting.withdraw_case(cast.dora, LabelledCase.objects.get())
    releasing.release(second)


def test_without_the_shipped_messages_nothing_passes_the_test(cast: Cast, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(selectors, "shipped_cases", dict)
    drafting.start(cast.dora)
    drafting.add_phrase(cast.dora, "je veux mourir", "fr", "not_a_crisis")
    draft = tried_out(cast.dora)
    assert (draft.state, draft.test_failure) == (State.DRAFT, "ValueError")


def test_a_test_that_is_out_of_date_releases_nothing(cast: Cast, second: User) -> None:
    drafting.start(cast.dora)
    drafting.add_phrase(cast.dora, WORD, "fr", "third_person_emergency")
    draft = tried_out(cast.dora)
    releasing.ask_for_release(cast.dora)
    content = {**draft.content, "regions": ["BE"]}
    RuleRelease.objects.filter(pk=draft.pk).update(content=content)
    with pytest.raises(SafeguardError, match="no longer fits"):
        releasing.release(second)
    RuleRelease.objects.filter(pk=draft.pk).update(content=draft.content, shipped="1+000000000000")
    with pytest.raises(SafeguardError, match="updated"):
        releasing.release(second)


def test_roll_back_is_a_new_release_of_the_old_content(cast: Cast, second: User) -> None:
    first = released(cast.dora, second)
    released(cast.dora, second, "plan mimosa")
    assert screen_input("plan mimosa à l’accueil").action is Action.ALARM
    first.refresh_from_db()
    drafting.start(cast.dora, restore=first)
    tried_out(cast.dora)
    releasing.ask_for_release(cast.dora)
    third = releasing.release(second)
    assert (third.number, third.restores_id) == (3, first.pk)
    assert screen_input("plan mimosa à l’accueil").action is Action.ALLOW
    assert screen_input(SENTENCE).action is Action.ALARM
    assert [one.number for one in selectors.history()] == [3, 2, 1]


def test_nothing_of_a_release_can_be_changed(cast: Cast, second: User) -> None:
    released(cast.dora, second)
    for change in (
        lambda: drafting.add_phrase(cast.dora, "plan mimosa", "fr", "third_person_emergency"),
        lambda: drafting.set_regions(cast.dora, ["FR"]),
        lambda: drafting.undo(cast.dora),
        lambda: drafting.send_back(cast.dora),
        lambda: drafting.discard(cast.dora),
    ):
        with pytest.raises(SafeguardError):
            change()


def test_what_is_tested_or_waits_is_taken_back_before_it_is_changed(cast: Cast) -> None:
    drafting.start(cast.dora)
    drafting.add_phrase(cast.dora, WORD, "fr", "third_person_emergency")
    tried_out(cast.dora)
    with pytest.raises(SafeguardError, match="Take it back"):
        drafting.add_phrase(cast.dora, "plan mimosa", "fr", "third_person_emergency")
    drafting.send_back(cast.emil)
    drafting.add_phrase(cast.dora, "plan mimosa", "fr", "third_person_emergency")
    with pytest.raises(SafeguardError, match="open already"):
        drafting.start(cast.dora)


def test_removing_can_be_undone(cast: Cast) -> None:
    drafting.start(cast.dora)
    drafting.add_phrase(cast.dora, "plan tournesol", "fr", "third_person_emergency")
    drafting.add_phrase(cast.dora, "plan mimosa", "fr", "third_person_emergency")
    draft = selectors.open_draft()
    before = draft.content
    drafting.remove(cast.dora, "phrase", before["phrase"][0]["key"])
    assert [one["phrase"] for one in selectors.open_draft().content["phrase"]] == ["plan mimosa"]
    drafting.undo(cast.dora)
    assert selectors.open_draft().content == before
    with pytest.raises(SafeguardError, match="nothing to undo"):
        drafting.undo(cast.dora)


def test_the_record_names_people_hashes_and_no_words(cast: Cast, second: User) -> None:
    drafting.add_case(cast.dora, "une phrase secrète", "fr", "benign")
    release = released(cast.dora, second)
    events = list(Event.objects.filter(kind__startswith="safeguards.").order_by("seq"))
    kinds = [event.kind.partition(".")[2] for event in events]
    assert kinds == [
        "case_added", "draft_started", "draft_changed", "test_requested", "tested", "release_requested", "released",
    ]  # fmt: skip
    last = events[-1]
    asked_by = Actor.objects.get(code=last.payload["requested_by"])
    assert (last.actor.name, asked_by.name, last.payload["release"]) == ("dina", "dora", 1)
    assert last.payload["release_sha256"] == release.sha256
    said = json.dumps([event.payload for event in events], ensure_ascii=False)
    assert "secrète" not in said
    assert "tournesol" not in said


# --- it fails closed -----------------------------------------------------------------------------------------------


def spoil(folder: Path, how: str) -> None:
    file = next((folder / "releases").iterdir()) / "additions.toml"
    if how == "changed":
        file.chmod(0o600)
        file.write_text("regions = []\n", encoding="utf-8")
    elif how == "gone":
        file.unlink()
    elif how == "pointer gone":
        (folder / "current.toml").unlink()
    else:
        (folder / "current.toml").chmod(0o600)
        (folder / "current.toml").write_text("not toml [", encoding="utf-8")


@pytest.mark.parametrize("how", ["changed", "gone", "pointer gone", "pointer broken"])
def test_a_release_that_cannot_be_trusted_stops_the_model(
    cast: Cast, second: User, own_folder: Path, how: str, caplog: pytest.LogCaptureFixture
) -> None:
    released(cast.dora, second)
    assert screen_input("Bonjour").action is Action.ALLOW
    spoil(own_folder, how)
    assert (verdict := screen_input("Bonjour")).category is Category.UNSCREENED
    assert verdict.action is Action.REDIRECT
    assert "3114" in {line.phone for line in hotlines("FR", "fr")}
    assert "manage.py doctor" in caplog.text
    assert selectors.in_force().is_broken
    releasing.write_again("dora", "admin")
    assert screen_input(SENTENCE).action is Action.ALARM
    assert not selectors.in_force().is_broken


def test_another_release_puts_a_broken_one_right(cast: Cast, second: User, own_folder: Path) -> None:
    first = released(cast.dora, second)
    released(cast.dora, second, "plan mimosa")
    for folder in (own_folder / "releases").iterdir():
        (folder / "additions.toml").unlink()
    assert screen_input("Bonjour").category is Category.UNSCREENED
    drafting.start(cast.dora, restore=first)
    tried_out(cast.dora)
    releasing.ask_for_release(cast.dora)
    releasing.release(second)
    assert screen_input(SENTENCE).action is Action.ALARM
    assert screen_input("Bonjour").action is Action.ALLOW


def test_files_of_which_nothing_is_left_come_back_by_themselves(cast: Cast, second: User, tmp_path: Path) -> None:
    released(cast.dora, second)
    releases.use_releases(tmp_path / "restored without them")
    assert selectors.in_force().mismatch
    releasing.look_after_files()
    assert screen_input(SENTENCE).action is Action.ALARM
    assert Event.objects.filter(kind="safeguards.files_written_again", actor__name="system").count() == 1


def test_a_disk_that_takes_nothing_releases_nothing(
    cast: Cast, second: User, own_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    released(cast.dora, second)

    def full(*_: Any) -> None:
        raise releases.ReleaseError("The release cannot be put into force (No space left on device): x.")

    drafting.start(cast.dora)
    drafting.add_phrase(cast.dora, "plan mimosa", "fr", "third_person_emergency")
    tried_out(cast.dora)
    releasing.ask_for_release(cast.dora)
    monkeypatch.setattr(releases, "point_at", full)
    with pytest.raises(SafeguardError, match="No space left"):
        releasing.release(second)
    monkeypatch.undo()
    assert selectors.active().number == 1
    assert selectors.open_draft().state == State.REQUESTED
    assert screen_input("plan mimosa à l’accueil").action is Action.ALLOW
    assert screen_input(SENTENCE).action is Action.ALARM


def test_a_first_release_that_fails_leaves_the_shipped_rules(
    cast: Cast, second: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: Any) -> None:
        raise releases.ReleaseError("The disk is full.")

    monkeypatch.setattr(releases, "point_at", full)
    with pytest.raises(SafeguardError, match="full"):
        released(cast.dora, second)
    monkeypatch.undo()
    assert screen_input("Bonjour").action is Action.ALLOW


@pytest.mark.parametrize("earlier", [False, True])
def test_a_release_whose_record_is_not_kept_does_not_hold(
    cast: Cast, second: User, own_folder: Path, earlier: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    if earlier:
        released(cast.dora, second, "plan mimosa")
        spoil(own_folder, "gone")
    point_at = releases.point_at

    def then_the_database_goes(release: releases.Release | None) -> None:
        point_at(release)
        monkeypatch.setattr(releases, "point_at", point_at)
        raise DatabaseError("gone")

    drafting.start(cast.dora)
    drafting.add_phrase(cast.dora, WORD, "fr", "third_person_emergency")
    tried_out(cast.dora)
    releasing.ask_for_release(cast.dora)
    monkeypatch.setattr(releases, "point_at", then_the_database_goes)
    with pytest.raises(DatabaseError):
        releasing.release(second)
    expected = Category.UNSCREENED if earlier else Category.BENIGN
    assert screen_input("Bonjour").category is expected
    releases.use_releases(own_folder)  # as in a process that starts now
    assert screen_input("Bonjour").category is expected
    assert screen_input(SENTENCE).action is not Action.ALARM


def test_a_test_run_that_breaks_says_so_and_leaves_the_draft(cast: Cast, monkeypatch: pytest.MonkeyPatch) -> None:
    drafting.start(cast.dora)
    drafting.add_phrase(cast.dora, WORD, "fr", "third_person_emergency")
    testing.request_test(cast.dora, "")

    def broken(*_: Any) -> None:
        raise OSError("gone")

    monkeypatch.setattr(testing, "compare", broken)
    testing.run_tests()
    draft = selectors.open_draft()
    assert (draft.state, draft.test_failure) == (State.DRAFT, "OSError")


def test_without_a_broker_the_test_waits_for_the_clock(cast: Cast, dead_valkey: None) -> None:
    drafting.start(cast.dora)
    drafting.add_phrase(cast.dora, WORD, "fr", "third_person_emergency")
    testing.request_test(cast.dora, "")
    testing.run_tests()
    assert selectors.open_draft().state == State.TESTED
