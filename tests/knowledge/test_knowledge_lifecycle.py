"""The life of a version: who may take which step from where, what the clock does, and that answers do not wait."""

from contextlib import suppress
from datetime import timedelta
from typing import Any

import pytest
from django.db import transaction
from django.utils import timezone
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import knowledge
from knowledge import lifecycle, selectors
from knowledge.models import Guideline, GuidelineVersion
from knowledge.signals import guideline_changed, version_changed

from .versions import State, day, make

STEPS = ("submit", "send_back", "approve", "unapprove", "reschedule", "archive", "restore")
ALLOWED = {  # by somebody who neither uploaded nor submitted it
    "draft": {"submit", "archive"},
    "in_review": {"send_back", "approve", "archive"},
    "approved": {"unapprove", "reschedule", "archive"},
    "effective": {"unapprove", "reschedule", "archive"},
    "superseded": {"restore", "archive"},
    "expired": {"restore", "archive"},
    "archived": {"restore"},
}
pytestmark = pytest.mark.django_db


def take(step: str, version: GuidelineVersion, actor: str = "emil", **more: Any) -> GuidelineVersion:
    needed: dict[str, dict[str, Any]] = {
        "send_back": {"note": "Page 3 is missing."},
        "unapprove": {"note": "Wrong dose."},
        "reschedule": {"effective_from": None, "review_due": None, "expires_at": None},
    }
    return getattr(lifecycle, step)(version.pk, actor=actor, **{**needed.get(step, {}), **more})  # type: ignore[no-any-return]


def answering(guideline: Guideline) -> list[int]:
    return list(selectors.answering_versions().filter(guideline=guideline).values_list("number", flat=True))


@pytest.mark.parametrize("step", STEPS)
@pytest.mark.parametrize("state", sorted(ALLOWED))
def test_each_step_is_taken_from_its_states_alone(state: str, step: str) -> None:
    one = make(state=state)
    assert set(lifecycle.steps(one, "emil")) == ALLOWED[state]
    if step in ALLOWED[state]:
        take(step, one)
        return
    with pytest.raises(knowledge.NotPossible) as caught:
        take(step, one)
    assert "Seclusion" in str(caught.value)
    one.refresh_from_db()
    assert one.state == state


@pytest.mark.parametrize(("actor", "approves"), [("anna", False), ("bela", False), ("", False), ("emil", True)])
def test_it_takes_a_second_person(actor: str, approves: bool) -> None:
    one = make(state=State.IN_REVIEW)
    assert ("approve" in lifecycle.steps(one, actor)) is approves
    if not approves:
        with pytest.raises(knowledge.NotPossible, match="needs a second person"):
            take("approve", one, actor)
        assert answering(one.guideline) == []
        return
    approved = take("approve", one, actor)
    assert (approved.state, approved.approved_by) == ("effective", "emil")
    assert answering(one.guideline) == [1]


def test_whoever_runs_the_installation_approves_alone_and_from_a_draft() -> None:
    one = make()
    assert take("approve", one, "anna", operator=True).state == "effective"


@pytest.mark.parametrize("ingestion", ["pending", "parsing", "embedding", "failed"])
def test_nobody_approves_what_cannot_be_read_yet(ingestion: str) -> None:
    one = make(state=State.IN_REVIEW, ingestion=ingestion)
    with pytest.raises(knowledge.NotPossible, match="not completely read"):
        take("approve", one)


def test_a_file_that_could_not_be_read_is_not_submitted() -> None:
    with pytest.raises(knowledge.NotPossible, match="could not be read"):
        take("submit", make(ingestion="failed"))


def test_the_whole_way_with_who_and_when() -> None:
    one = make()
    heard: list[tuple[str, str, str, str]] = []

    def listen(version: GuidelineVersion, before: str, actor: str, note: str = "", **_: Any) -> None:
        heard.append((before, version.state, actor, note))

    version_changed.connect(listen)
    take("submit", one, "bela")
    take("send_back", one, "dora", note="Page  3\nis missing.")
    take("submit", one, "bela")
    review, end = timezone.localdate() + timedelta(days=365), day(700)
    done = take("approve", one, "dora", review_due=review, expires_at=end)
    version_changed.disconnect(listen)
    assert heard == [
        ("draft", "in_review", "bela", ""),
        ("in_review", "draft", "dora", "Page 3 is missing."),
        ("draft", "in_review", "bela", ""),
        ("in_review", "approved", "dora", ""),
        ("approved", "effective", "system", ""),
    ]
    assert (done.submitted_by, done.approved_by, done.review_due, done.expires_at) == ("bela", "dora", review, end)


def test_what_begins_later_waits_and_then_takes_over() -> None:
    first = make(state=State.EFFECTIVE)
    second = make(first.guideline, state=State.IN_REVIEW)
    assert take("approve", second, effective_from=day(10)).state == "approved"
    assert answering(first.guideline) == [1]
    at = day(10.01)
    found = selectors.answering_versions(at).filter(guideline=first.guideline)
    assert [one.number for one in found] == [2]  # before anybody wrote it down
    changed = lifecycle.bring_up_to_date(at=at)
    assert [(one.number, one.state) for one in changed] == [(1, "superseded"), (2, "effective")]
    assert lifecycle.bring_up_to_date(at=at) == []


def test_what_is_over_answers_no_more_and_the_one_before_does_not_come_back() -> None:
    first = make(state=State.EFFECTIVE)
    second = make(first.guideline, state=State.IN_REVIEW)
    take("approve", second, expires_at=day(5))
    assert not selectors.answering_versions(day(5.01)).exists()
    lifecycle.bring_up_to_date(at=day(5.01))
    states = list(first.guideline.versions.order_by("number").values_list("state", flat=True))
    assert states == ["superseded", "expired"]


def test_what_was_overtaken_before_it_began_never_begins() -> None:
    first = make(state=State.APPROVED, effective_from=day(10))
    second = make(first.guideline, state=State.IN_REVIEW)
    take("approve", second, expires_at=day(5))
    lifecycle.bring_up_to_date(at=day(6))
    assert not selectors.answering_versions(day(11)).exists()
    first.refresh_from_db()
    assert first.state == "superseded"


def test_taking_an_approval_back_stops_answers_at_once_and_brings_nothing_back() -> None:
    first = make(state=State.SUPERSEDED)
    second = make(first.guideline, state=State.EFFECTIVE)
    assert selectors.restorable(second) == first
    draft = take("unapprove", second)
    assert (draft.state, draft.approved_by, draft.submitted_by, draft.effective_from) == ("draft", "", "", None)
    assert answering(first.guideline) == []
    assert take("restore", first).state == "effective"
    assert answering(first.guideline) == [1]


@pytest.mark.parametrize(("later", "words"), [("effective", "in force"), ("approved", "approved and will answer")])
def test_nothing_is_restored_under_a_later_version(later: str, words: str) -> None:
    first = make(state=State.SUPERSEDED)
    second = make(first.guideline, state=later)
    assert "restore" not in lifecycle.steps(first, "emil")
    with pytest.raises(knowledge.NotPossible, match=words):
        take("restore", first)
    take("archive", second)
    assert take("restore", first).state == "effective"


def test_an_older_version_is_not_approved_under_a_later_one() -> None:
    first = make(state=State.IN_REVIEW)
    make(first.guideline, state=State.EFFECTIVE)
    with pytest.raises(knowledge.NotPossible, match="later version in force, version 2"):
        take("approve", first)


@pytest.mark.parametrize(
    ("state", "restored"), [("draft", "draft"), ("in_review", "draft"), ("effective", "effective")]
)
def test_an_archived_version_comes_back_as_what_was_decided(state: str, restored: str) -> None:
    one = make(state=state)
    assert take("archive", one).archived_at is not None
    back = take("restore", one)
    assert (back.state, back.archived_at) == (restored, None)


def test_what_was_approved_for_a_day_ahead_does_not_begin_earlier_by_a_way_round() -> None:
    one = make(state=State.APPROVED)
    begins = one.effective_from
    take("archive", one)
    back = take("restore", one)
    assert (back.state, back.effective_from, answering(one.guideline)) == ("approved", begins, [])


def test_an_expired_version_that_is_restored_has_no_end_in_the_past() -> None:
    one = make(state=State.EXPIRED, expires_at=day(-0.5))
    back = take("restore", one)
    assert (back.state, back.expires_at) == ("effective", None)
    lifecycle.bring_up_to_date()
    assert answering(one.guideline) == [1]


@pytest.mark.parametrize(
    ("dates", "words"),
    [
        ({"expires_at": -1}, "before it begins, or before now"),
        ({"effective_from": 10, "expires_at": 5}, "before it begins"),
    ],
)
def test_dates_that_make_no_sense(dates: dict[str, float], words: str) -> None:
    one = make(state=State.IN_REVIEW)
    with pytest.raises(knowledge.NotPossible, match=words):
        take("approve", one, **{name: day(number) for name, number in dates.items()})
    with pytest.raises(knowledge.NotPossible, match="lies in the past"):
        take("approve", one, review_due=timezone.localdate() - timedelta(days=1))


def test_new_dates_and_what_they_may_not_do() -> None:
    one = make(state=State.EFFECTIVE, review_due=timezone.localdate() - timedelta(days=3))
    heard: list[dict[str, Any]] = []
    guideline_changed.connect(listener := lambda kind, changes, **_: heard.append(changes))
    overdue = one.review_due
    kept = take("reschedule", one, review_due=overdue, expires_at=day(30))  # an overdue review may stay overdue
    assert (kept.state, kept.review_due) == ("effective", overdue)
    with pytest.raises(knowledge.NotPossible, match="in force already"):
        take("reschedule", one, effective_from=day(3))
    assert guideline_changed.disconnect(listener)
    assert [list(changes) for changes in heard] == [["expires_at"]]
    waiting = make(state=State.APPROVED)
    assert take("reschedule", waiting, effective_from=day(-1)).state == "effective"


@pytest.mark.parametrize("author", ["anna", "berta"])
def test_who_wrote_it_lets_it_answer_neither_earlier_nor_longer_than_was_approved(author: str) -> None:
    made_by = {"uploaded_by": "anna", "submitted_by": "berta", "expires_at": day(30)}
    waiting = make(state=State.APPROVED, effective_from=day(10), **made_by)
    for dates in (
        {"effective_from": day(5), "expires_at": waiting.expires_at},
        {"effective_from": None, "expires_at": day(40)},
        {"effective_from": None, "expires_at": None},
    ):
        with pytest.raises(knowledge.NotPossible, match="neither uploaded nor submitted"):
            take("reschedule", waiting, author, **dates)
        assert take("reschedule", waiting, "emil", **dates).state == "approved"
        waiting = make(state=State.APPROVED, effective_from=day(10), **made_by)
    sooner = day(20)
    assert take("reschedule", waiting, author, effective_from=day(12), expires_at=sooner).expires_at == sooner
    over = make(state=State.EXPIRED, **{**made_by, "expires_at": day(-1)})
    with pytest.raises(knowledge.NotPossible, match="neither uploaded nor submitted"):
        take("restore", over, author)


def test_decisions_are_made_on_what_the_clock_says() -> None:
    """A version whose end has passed since the last tick is expired for whoever decides now."""
    one = make(state=State.EFFECTIVE, expires_at=day(-0.001))
    with pytest.raises(knowledge.NotPossible, match="is expired now"):
        take("unapprove", one)


# which of the possible steps (or none), with which version, by whom; how many days pass; from when and until when
days = st.integers(0, 9)
moves = st.lists(
    st.tuples(st.integers(0, 3), st.integers(1, 3), st.sampled_from(["dora", "bela"]), days, days, days),
    min_size=6,
    max_size=16,
)


@settings(max_examples=15, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(moves)
def test_whatever_people_and_the_clock_do(
    monkeypatch: pytest.MonkeyPatch, taken: list[tuple[int, int, str, int, int, int]]
) -> None:
    """At every moment at most one version of a guideline answers, it was approved by a second person, has begun and is
    not over; and whether somebody writes down what the clock has decided makes no difference to who answers."""
    clock = [timezone.now()]
    with transaction.atomic(), monkeypatch.context() as patched:
        patched.setattr(timezone, "now", lambda: clock[0])
        guideline = make(state=State.IN_REVIEW).guideline
        for _ in range(2):
            make(guideline, state=State.IN_REVIEW)
        for choice, number, actor, passed, begins, ends in taken:
            one = guideline.versions.get(number=number)
            step = dict(enumerate(lifecycle.steps(one, actor))).get(choice)
            if step is None:
                clock[0] += timedelta(days=passed)
            else:
                dates = {"effective_from": clock[0] + timedelta(days=begins)} if begins > 4 else {}
                until = {"expires_at": clock[0] + timedelta(days=ends)} if ends > 2 else {}
                with suppress(knowledge.NotPossible):  # the end lies before the beginning
                    take(step, one, actor, **({**dates, **until} if step in {"approve", "reschedule"} else {}))
            before = answering(guideline)
            futures = [list(selectors.answering_versions(clock[0] + timedelta(days=more))) for more in (3, 6, 9)]
            lifecycle.bring_up_to_date()
            assert answering(guideline) == before
            assert futures == [
                list(selectors.answering_versions(clock[0] + timedelta(days=more))) for more in (3, 6, 9)
            ]
            assert len(before) <= 1
            for found in guideline.versions.filter(number__in=before):
                assert found.state == "effective"
                assert found.approved_by not in {"", found.uploaded_by, found.submitted_by}
                assert found.effective_from
                assert found.effective_from <= clock[0]
                assert found.expires_at is None or found.expires_at > clock[0]
        transaction.set_rollback(True)
