"""Several versions approved at once: what each of them will do is said before."""

import re
from collections.abc import Iterable
from datetime import timedelta

import pytest
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from knowledge.models import Department, Guideline, GuidelineVersion
from tests.knowledge.versions import State, day, make
from tests.portal.test_guidelines_pages import words

pytestmark = pytest.mark.django_db


def guideline(title: str, *departments: str) -> Guideline:
    made = Guideline.objects.create(title=title)
    made.departments.set([Department.objects.get_or_create(name=name)[0] for name in departments])
    return made


def rows_of(page: Client, versions: Iterable[GuidelineVersion]) -> dict[str, str]:
    """What the page says of each version before it approves them: {"Plan 2": words}."""
    chosen = [str(one.pk) for one in versions]
    html = page.post(reverse("guidelines:batch"), {"step": "approve", "versions": chosen}).content.decode()
    found = re.findall(r'<li class="batch-row">(.*?)\n      </li>', html, re.DOTALL)
    rows = [re.sub(r"\s+", " ", re.sub(r"<[^>]+>", " ", one)).strip() for one in found]
    return {re.sub(r"^(\w+) version (\d+) .*", r"\1 \2", one): one for one in rows}


def test_each_row_says_what_will_happen(admin: Client) -> None:
    plan, lithium, sleep = guideline("Plan", "Ward 3", "Emergency"), guideline("Lithium"), guideline("Sleep")
    make(plan, state=State.EFFECTIVE), make(lithium, state=State.APPROVED, effective_from=day(9))
    sleep.enabled = False
    sleep.save()
    rows = rows_of(admin, [make(one, state=State.IN_REVIEW) for one in (plan, lithium, sleep)])
    assert "version 1 no longer answers: version 2 takes its place" in rows["Plan 2"]
    assert "Only for: Emergency, Ward 3." in rows["Plan 2"]
    assert "It will be the only version of this guideline that answers." in rows["Sleep 1"]
    assert "Version 1, which was to begin on" in rows["Lithium 2"]
    assert "For every department." in rows["Lithium 2"]
    assert "The guideline is switched off" in rows["Sleep 1"]


def test_two_versions_of_one_guideline(admin: Client) -> None:
    plan = guideline("Plan", "Ward 3")
    make(plan, state=State.EFFECTIVE)
    rows = rows_of(admin, [make(plan, state=State.IN_REVIEW), make(plan, state=State.IN_REVIEW)])
    assert "Version 3, which you approve at the same time, takes its place at once." in rows["Plan 2"]
    assert "version 1 no longer answers: version 3 takes its place" in rows["Plan 3"]
    assert all("Only for: Ward 3." in one for one in rows.values())


def test_what_cannot_be_approved_says_why_and_nothing_else(admin: Client) -> None:
    rows = rows_of(admin, [make(guideline("Plan", "Ward 3"), state=State.IN_REVIEW, uploaded_by="dora")])
    assert "needs a second person" in rows["Plan 1"]
    assert "Only for" not in rows["Plan 1"]


def test_the_dates_of_one_are_not_offered_for_all(admin: Client) -> None:
    """It was approved before, for a while, and that was taken back."""
    end = (timezone.localdate() + timedelta(9)).isoformat()
    one = make(guideline("A"), state=State.IN_REVIEW, expires_at=day(9))
    chosen = [str(version.pk) for version in (one, make(guideline("B"), state=State.IN_REVIEW))]
    html = admin.post(reverse("guidelines:batch"), {"step": "approve", "versions": chosen}).content.decode()
    assert 'name="expires_on"' in html
    assert end not in html


def test_departments_that_changed_since_it_was_read(admin: Client) -> None:
    plan = guideline("Plan", "Ward 3")
    version = make(plan, state=State.IN_REVIEW)
    asked = admin.post(reverse("guidelines:batch"), {"step": "approve", "versions": [str(version.pk)]})
    fields = dict(re.findall(r'name="([\w-]+)" value="([^"]*)"', asked.content.decode().partition("<main")[2]))
    plan.departments.clear()
    said = words(admin.post(reverse("guidelines:batch"), fields, follow=True).content.decode())
    assert "the departments that may see it were changed meanwhile" in said
    version.refresh_from_db()
    assert version.state == State.IN_REVIEW
