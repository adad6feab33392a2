"""The page that compares two long versions: sections over several pages, and what it says of what it leaves out."""

import re
from typing import Any

import pytest
from django.test import Client
from django.urls import reverse

from knowledge import _differences, comparing
from knowledge.models import Guideline, GuidelineVersion, Page
from portal.guidelines import reading_views
from tests.knowledge.versions import State, make

pytestmark = pytest.mark.django_db


def version(guideline: Guideline, words: str, parts: int = 7) -> GuidelineVersion:
    made = make(guideline, state=State.DRAFT, page_count=parts)
    for number in range(1, parts + 1):
        heading = f"Part {number}"
        text = f"{heading}\nIn part {number} {words if number % 2 else 'nothing'} is said."
        Page.objects.create(version=made, number=number, text=text, headings=[[0, len(heading), 1]])
    return made


@pytest.fixture
def both(db: None) -> GuidelineVersion:
    """A new version in which parts 1, 3, 5 and 7 are different."""
    guideline = Guideline.objects.create(title="Plan")
    version(guideline, "this")
    return version(guideline, "that")


def pages_of(admin: Client, new: GuidelineVersion) -> list[str]:
    pages, address = [], reverse("guidelines:compare", args=[new.pk])
    while address:
        html = admin.get(address).content.decode()
        pages.append(html)
        following = re.search(r'rel="next" href="([^"]*)"', html)
        address = reverse("guidelines:compare", args=[new.pk]) + following[1].replace("&amp;", "&") if following else ""
    return pages


def test_every_section_is_on_one_of_the_pages(
    admin: Client, both: GuidelineVersion, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reading_views, "_CHANGES_A_PAGE", 2)
    pages = pages_of(admin, both)
    ids = [re.findall(r'<section[^>]* id="section-(\d)"', page) for page in pages]
    assert ids == [["0", "1", "2", "3"], ["4", "5", "6"]]
    assert all("4 sections are different." in page for page in pages)
    assert "long documents" not in pages[0]


def test_words_that_are_left_out_are_said(admin: Client, both: GuidelineVersion, monkeypatch: Any) -> None:
    monkeypatch.setattr(comparing, "_LONG", 0)
    (page,) = pages_of(admin, both)
    assert "words that did not change are left out" in page
    assert re.search(r"<ins>that\s*</ins>", page)
    monkeypatch.setattr(_differences, "_SECONDS", 0.0)
    (page,) = pages_of(admin, both)
    assert "4 sections that changed are only named" in page
    assert "Not compared word by word." in page
    for number in (1, 3, 5, 7):
        assert f'{reverse("guidelines:passages", args=[both.pk])}?page={number}"' in page
    assert "<ins>" not in page
