"""The administrator's pages of one guideline, as a browser without scripts sees them: the life of its versions, several
at once, its description, reading and comparing, departments."""

import re
import uuid
from datetime import datetime, time, timedelta
from typing import Any

import pytest
from django.test import Client
from django.urls import reverse
from django.utils import timezone

import knowledge
from knowledge.models import Department, GuidelineVersion
from portal.accounts.models import User
from tests.conftest import Cast
from tests.portal.test_guidelines_pages import (
    TEXT,
    State,
    closed,
    dina,
    own_folder,
    page,
    read,
    send,
    version,
    words,
)

__all__ = ["closed", "dina", "own_folder", "page", "version"]  # fixtures


# --- the life of a version


def test_from_draft_to_force_by_two_people(page: Client, dina: User, version: Any) -> None:
    old, new = version("Plan", State.EFFECTIVE), version("Plan")
    said = send(page, "step", new.pk, "submit")
    assert "Version 2 was submitted." in said
    assert "needs a second person" in said
    assert "needs a second person" in send(page, "step", new.pk, "approve")  # a form made by hand
    new.refresh_from_db()
    assert new.state == State.IN_REVIEW

    page.force_login(dina)
    asked = read(page, "step", new.pk, "approve")
    assert "From that moment on version 1 no longer answers: version 2 takes its place." in asked
    last, review = timezone.localdate() + timedelta(30), timezone.localdate() + timedelta(20)
    said = send(page, "step", new.pk, "approve", expires_on=last.isoformat(), review_due=review.isoformat())
    assert "Version 2 is approved." in said
    assert "Version 2 answers" in said
    assert "Review due soon" in said
    new.refresh_from_db(), old.refresh_from_db()
    assert (new.state, new.approved_by, old.state) == (State.EFFECTIVE, "dina", State.SUPERSEDED)
    assert timezone.localtime(new.expires_at) == timezone.make_aware(datetime.combine(last + timedelta(1), time.min))


def test_the_line_of_a_version_tells_who_when_and_why(page: Client, version: Any) -> None:
    one = version("Plan", State.IN_REVIEW)
    said = send(page, "step", one.pk, "send_back", note="The dose on page 3 is wrong.")
    assert "Version 1 is a draft again." in said
    line = said.partition("Versions")[2].partition("History")[0]
    places = [line.index(part) for part in ("Uploaded", "Submitted for approval", "Sent back", "The dose on page 3")]
    assert places == sorted(places)
    assert "Undo" in said


def test_a_step_back_needs_a_reason(page: Client, version: Any) -> None:
    one = version("Plan", State.EFFECTIVE)
    response = page.post(reverse("guidelines:step", args=[one.pk, "unapprove"]), {"note": " "})
    assert response.status_code == 200
    one.refresh_from_db()
    assert one.state == State.EFFECTIVE
    assert "approval of version 1 was taken back" in send(page, "step", one.pk, "unapprove", note="wrong file")


def test_taking_back_says_which_version_could_answer_instead(page: Client, version: Any) -> None:
    version("Plan", State.EFFECTIVE)
    new = version("Plan", State.EFFECTIVE)
    assert "Version 1 does not come back by itself" in read(page, "step", new.pk, "unapprove")
    send(page, "step", new.pk, "archive")
    old = GuidelineVersion.objects.get(number=1)
    assert "it answers again from now on" in read(page, "step", old.pk, "restore")
    assert "Version 1 answers" in send(page, "step", old.pk, "restore")


def test_what_was_to_begin_later_and_what_had_an_end_is_said(client: Client, dina: User, version: Any) -> None:
    client.force_login(dina)
    ahead = timezone.now() + timedelta(9)
    waiting, new = version("Plan", State.IN_REVIEW), version("Plan", State.IN_REVIEW)
    knowledge.approve(waiting.pk, actor="dina", effective_from=ahead)
    assert "is superseded as soon as version 2 begins" in read(client, "step", new.pk, "approve")
    send(client, "step", waiting.pk, "archive")
    assert "It was approved before, and answers from" in read(client, "step", waiting.pk, "restore")
    over = timezone.now() - timedelta(1)
    GuidelineVersion.objects.filter(pk=waiting.pk).update(effective_from=over - timedelta(1), expires_at=over)
    said = read(client, "step", waiting.pk, "restore")
    assert "Its last day is over: it then has no end" in said


def test_a_version_in_force_that_is_switched_off_says_both(page: Client, version: Any) -> None:
    one = version("Plan", State.EFFECTIVE)
    send(page, "switch", one.guideline_id, enabled="0")
    card = read(page, "detail", one.guideline_id).partition("Versions")[2]
    assert "In force Switched off" in card


@pytest.mark.parametrize("field", ["effective_from", "review_due", "expires_on"])
def test_never_is_no_date(client: Client, dina: User, version: Any, field: str) -> None:
    client.force_login(dina)
    one = version("Plan", State.IN_REVIEW)
    assert "This day is too far away" in send(client, "step", one.pk, "approve", **{field: "9999-12-31"})


@pytest.mark.parametrize(
    ("field", "days", "says"),
    [("expires_on", -1, "The last day is before the first one"), ("review_due", -1, "This day is over"),
     ("effective_from", None, "This is not a date")],
)  # fmt: skip
def test_dates_that_cannot_be(
    client: Client, dina: User, version: Any, field: str, days: int | None, says: str
) -> None:
    client.force_login(dina)
    one = version("Plan", State.IN_REVIEW)
    value = "soon" if days is None else (timezone.localdate() + timedelta(days)).isoformat()
    assert says in send(client, "step", one.pk, "approve", **{field: value})
    one.refresh_from_db()
    assert one.state == State.IN_REVIEW


def test_a_day_ahead_begins_at_midnight_and_can_be_moved(client: Client, dina: User, version: Any) -> None:
    client.force_login(dina)
    one = version("Plan", State.IN_REVIEW)
    first = timezone.localdate() + timedelta(9)
    said = send(client, "step", one.pk, "approve", effective_from=first.isoformat())
    assert "Comes into force" in said
    assert "No version in force" in said
    one.refresh_from_db()
    assert (one.state, timezone.localtime(one.effective_from).date()) == (State.APPROVED, first)
    assert timezone.localtime(one.effective_from).hour == 0
    before = one.effective_from
    send(client, "step", one.pk, "reschedule", effective_from=first.isoformat(), review_due="", expires_on="")
    one.refresh_from_db()
    assert (one.effective_from, one.review_due) == (before, None)
    today = timezone.localdate().isoformat()
    assert "Version 1 answers" in send(client, "step", one.pk, "reschedule", effective_from=today)


def test_dates_of_a_version_in_force_leave_its_beginning(page: Client, version: Any) -> None:
    one = version("Plan", State.EFFECTIVE)
    html = page.get(reverse("guidelines:step", args=[one.pk, "reschedule"])).content.decode()
    assert 'name="effective_from"' not in html
    due = timezone.localdate() + timedelta(5)
    send(page, "step", one.pk, "reschedule", review_due=due.isoformat())
    began = one.effective_from
    one.refresh_from_db()
    assert (one.review_due, one.effective_from) == (due, began)


@pytest.mark.parametrize("step", ["delete", "describe", "__class__", "bring_up_to_date", "steps"])
def test_no_step_by_another_name(page: Client, version: Any, step: str) -> None:
    one = version("Plan", State.EFFECTIVE)
    assert page.post(f"/guidelines/versions/{one.pk}/{step}/").status_code in {404, 405}


@pytest.mark.parametrize("several", [False, True])
def test_what_was_moved_after_it_was_looked_at_is_not_approved(
    client: Client, dina: User, version: Any, several: bool
) -> None:
    """Somebody makes it a version of another guideline while the second person reads it."""
    client.force_login(dina)
    known, new = version("Plan", State.EFFECTIVE), version("Coffee machine", State.IN_REVIEW)
    if several:
        asked = client.post(reverse("guidelines:batch"), {"step": "approve", "versions": [str(new.pk)]})
    else:
        asked = client.get(reverse("guidelines:step", args=[new.pk, "approve"]))
    fields = dict(re.findall(r'name="([\w-]+)" value="([^"]*)"', asked.content.decode().partition("<main")[2]))
    knowledge.join(new.pk, known.guideline_id, actor="dora")
    route = ["batch"] if several else ["step", new.pk, "approve"]
    assert "became a version of another guideline meanwhile" in send(client, *route, **fields)
    new.refresh_from_db(), known.refresh_from_db()
    assert (new.state, known.state) == (State.IN_REVIEW, State.EFFECTIVE)


def test_a_step_that_is_over_says_so(page: Client, version: Any) -> None:
    one = version("Plan", State.EFFECTIVE)
    assert "This step is not possible" in read(page, "step", one.pk, "submit")
    assert "This step is not possible" in send(page, "step", one.pk, "submit")


# --- several at once


def test_submitting_several_says_which_could_not(page: Client, version: Any) -> None:
    good, gone = version("A"), version("B", State.EFFECTIVE)
    said = send(page, "batch", step="submit", versions=[str(good.pk), str(gone.pk), "nonsense", str(uuid.uuid4())])
    assert "1 version was submitted." in said
    assert "“B”, version 1, is in force now" in said


def test_approving_several_is_read_once_more_first(client: Client, dina: User, version: Any) -> None:
    client.force_login(dina)
    waiting = [version(title, State.IN_REVIEW) for title in ("A", "B")]
    own = version("C", uploaded_by="dina", state=State.IN_REVIEW)
    chosen = [str(one.pk) for one in (*waiting, own)]
    said = send(client, "batch", step="approve", versions=chosen)
    assert "Approve 2 versions" in said
    assert "needs a second person" in said
    assert not GuidelineVersion.objects.filter(state=State.EFFECTIVE).exists()
    past = (timezone.localdate() - timedelta(3)).isoformat()
    assert "This day is over" in send(client, "batch", step="approve", versions=chosen, confirmed="1", review_due=past)
    said = send(client, "batch", step="approve", versions=chosen, confirmed="1", back="mine=on")
    assert "2 versions were approved." in said
    own.refresh_from_db()
    assert own.state == State.IN_REVIEW


def test_nothing_chosen_and_nothing_else(page: Client) -> None:
    assert "No guideline was chosen." in send(page, "batch", step="approve")
    assert page.post(reverse("guidelines:batch"), {"step": "archive"}).status_code == 404


# --- descriptions


def described(**changes: Any) -> dict[str, Any]:
    return {"title": "Plan", "publisher": "Ward 3", "language": "en", **changes}


def test_a_description_is_changed_and_remembered(page: Client, version: Any) -> None:
    one = version("Plan", State.EFFECTIVE)
    ward = Department.objects.create(name="Emergency")
    fields = described(population="adolescents", language="FR", departments=[str(ward.pk)])
    said = send(page, "describe", one.guideline_id, **fields)
    assert "The description was changed." in said
    assert "For whom: empty → adolescents" in said
    assert "Departments: every department → Emergency" in said
    one.guideline.refresh_from_db()
    assert one.guideline.language == "fr"
    assert "Nothing was changed." in send(page, "describe", one.guideline_id, **{**fields, "language": "fr"})


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"title": "  "}, "required"),
        ({"title": "Other"}, "another guideline with the title"),
        ({"language": "french"}, "two letters"),
        ({"source_url": "javascript:alert(1)"}, "not a web address"),
        ({"departments": ["99999999-9999-4999-8999-999999999999"]}, "not one of the available choices"),
    ],
)
def test_a_description_that_cannot_be(page: Client, version: Any, changes: dict[str, Any], says: str) -> None:
    one = version("Plan")
    version("Other")
    assert says in send(page, "describe", one.guideline_id, **described(**changes))
    one.guideline.refresh_from_db()
    assert (one.guideline.title, one.guideline.language, one.guideline.departments.count()) == ("Plan", "en", 0)


def test_switching_off_and_on(page: Client, version: Any) -> None:
    one = version("Plan", State.EFFECTIVE)
    assert "“Plan” no longer answers." in send(page, "switch", one.guideline_id, enabled="0")
    said = send(page, "switch", one.guideline_id, enabled="1", back="detail")
    assert "“Plan” answers again." in said
    assert "Version 1 answers" in said


def test_what_a_document_is_called_is_never_markup(page: Client, version: Any) -> None:
    one = version("<img src=x onerror=alert(1)>", State.EFFECTIVE, filename="<b>.pdf", text="<script>alert(1)</script>")
    for name, argument in (("detail", one.guideline_id), ("passages", one.pk), ("describe", one.guideline_id)):
        html = page.get(reverse(f"guidelines:{name}", args=[argument])).content.decode()
        assert "<img src=x" not in html
        assert "<script>alert" not in html


# --- reading


def test_passages_of_a_page_with_their_places(page: Client, version: Any) -> None:
    one = version("Plan")
    response = page.get(reverse("guidelines:passages", args=[one.pk]))
    said = words(response.content.decode())
    assert TEXT in said
    assert "p. A1 (page 1 of the file)" in said
    assert "The last page says little." not in said
    assert "The last page says little." in read(page, "passages", one.pk, query="?passage=1")


@pytest.mark.parametrize(
    ("asked", "number"), [("2", 2), ("A2", 2), ("a2", 2), ("0", 1), ("99", 2), ("-1", 1), ("x", 1), ("9" * 30, 1)]
)
def test_pages_by_number_and_by_label(page: Client, version: Any, asked: str, number: int) -> None:
    one = version("Plan")
    assert page.get(reverse("guidelines:passages", args=[one.pk]), {"page": asked}).context["number"] == number


def test_a_file_that_is_lost_is_said(page: Client, version: Any) -> None:
    assert "no longer in the data folder" in read(page, "passages", version("Plan").pk)


def test_two_versions_side_by_side(page: Client, version: Any) -> None:
    version("Plan", State.EFFECTIVE)
    new = version("Plan", text=TEXT.replace("every contact", "each visit"))
    response = page.get(reverse("guidelines:compare", args=[new.pk]))
    html = response.content.decode()
    assert "From version 1 to version 2" in html
    assert re.search(r"<del>[^<]*every contact", html)
    assert re.search(r"<ins>[^<]*each visit", html)
    assert "1 section is different." in html


def test_a_comparison_with_something_that_was_not_offered(page: Client, version: Any) -> None:
    new, foreign = version("Plan"), version("Other")
    assert "There is no other version to compare with." in read(page, "compare", new.pk)
    for asked in (foreign.pk, uuid.uuid4(), "nonsense"):
        assert page.get(reverse("guidelines:compare", args=[new.pk]), {"old": str(asked)}).status_code == 404


def test_long_unchanged_words_are_folded(page: Client, version: Any) -> None:
    long = " ".join(f"Sentence number {n} is here." for n in range(200))
    version("Plan", State.EFFECTIVE, text=f"{long} Ask every day.")
    new = version("Plan", text=f"{long} Ask every week.")
    html = page.get(reverse("guidelines:compare", args=[new.pk])).content.decode()
    assert re.search(r"<summary[^>]*>… \d+ unchanged words …", html)
    kept = re.sub(r"<summary.*?</summary>", "", html)
    assert "Sentence number 100 is here." in kept  # folded, not left out


# --- departments


def test_departments_are_added_named_and_filled(page: Client, cast: Cast) -> None:
    assert "There are no departments yet" in read(page, "departments")
    assert "Emergency" in send(page, "departments", name="Emergency")
    assert "a department with the name “emergency” already" in send(page, "departments", name="emergency")
    assert "Write the name" in send(page, "departments", name=" ")
    one = Department.objects.get()
    assert "who belongs to “Emergency”" in send(page, "department", one.pk, people=[str(cast.anna.pk)])  # type: ignore[attr-defined]
    assert set(one.people.all()) == {cast.anna}
    assert "is called “Acute care” now" in send(page, "rename_department", one.pk, name="Acute care")
    send(page, "department", one.pk)
    assert not one.people.exists()


def test_only_clinicians_belong_to_departments(page: Client, cast: Cast) -> None:
    one = Department.objects.create(name="Emergency")
    send(page, "department", one.pk, people=[str(cast.emil.pk)])  # type: ignore[attr-defined]
    assert not one.people.exists()


def test_removing_a_department_never_opens_a_guideline(page: Client, version: Any) -> None:
    one = version("Restraint", State.EFFECTIVE)
    ward = Department.objects.create(name="Emergency")
    one.guideline.departments.add(ward)
    assert "visible to everybody" in read(page, "remove_department", ward.pk)
    assert "cannot be removed" in send(page, "remove_department", ward.pk)
    one.guideline.departments.set([Department.objects.create(name="Ward 3")])
    assert "was removed" in send(page, "remove_department", ward.pk)
    assert list(one.guideline.departments.values_list("name", flat=True)) == ["Ward 3"]
