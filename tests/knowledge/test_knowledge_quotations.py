"""Quotations are found again by their letters, nearest to where they stood, page by page."""

import uuid
from typing import Any

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from hypothesis import given
from hypothesis import strategies as st

from knowledge import Passage, citations, selectors
from knowledge.citations import PageStart, Place, Quotation
from knowledge.models import Guideline, GuidelineVersion, Page


@pytest.fixture
def version(db: None) -> GuidelineVersion:
    """Two pages, of which the second says twice what the first says once."""
    guideline = Guideline.objects.create(title="Seclusion")
    made = GuidelineVersion.objects.create(guideline=guideline, number=1, filename="a.pdf", sha256="a", size=1)
    Page.objects.create(version=made, number=1, label="iv", text="Ask first. Then call the doctor,")
    Page.objects.create(version=made, number=2, label="v", text="who comes. Ask first. Write it down. Ask first.")
    return made


@pytest.mark.parametrize(
    ("quote", "page", "last_page", "start", "found"),
    [
        ("Ask first.", 1, 1, 0, [(1, 0, 10)]),
        ("Ask first.", 2, 2, 11, [(2, 11, 21)]),
        ("Ask first.", 2, 2, 37, [(2, 37, 47)]),  # the nearest one
        ("Ask first.", 2, 2, 20, [(2, 11, 21)]),  # near enough to be found at once, or not
        ("Ask first.", 2, 2, 28, [(2, 37, 47)]),
        ("Ask first.", 2, None, None, [(2, 11, 21)]),  # where it is not known: the first
        ("call the doctor,\nwho comes.", 1, 2, 16, [(1, 16, 31), (2, 0, 10)]),
        ("call the doc- tor, who comes.", 1, 2, 16, [(1, 16, 31), (2, 0, 10)]),
        ("Ask  last.", 1, 1, 0, []),
        ("…", 1, 1, 0, []),
        ("Ask first.", 7, 7, 0, []),
    ],
)
@pytest.mark.parametrize("long", [10, 200_000])
def test_places(
    version: GuidelineVersion,
    monkeypatch: pytest.MonkeyPatch,
    quote: str,
    page: int,
    last_page: int | None,
    start: int | None,
    found: list[Any],
    long: int,
) -> None:
    monkeypatch.setattr(citations, "_LONG", long)  # characters, from which the words are looked for near by first
    monkeypatch.setattr(citations, "_NEAR", 3)
    wanted = Quotation(version.pk, quote, page, last_page, start)
    assert citations.places(wanted) == tuple(Place(*one) for one in found)


def test_a_part_of_a_quotation(version: GuidelineVersion) -> None:
    wanted = Quotation(version.pk, "Then call the doctor,\nwho comes.", 1, 2, 11)
    assert citations.places(wanted, [(10, 20), (22, 32)]) == (Place(1, 21, 31), Place(2, 0, 10))


def test_surroundings(version: GuidelineVersion) -> None:
    assert citations.surroundings(Quotation(version.pk, "Write it down.", 2, 2, 22)) == (
        "who comes. Ask first.",
        "Ask first.",
    )
    assert citations.surroundings(Quotation(uuid.uuid4(), "Write it down.", 2)) == ("", "")


def test_page_starts(version: GuidelineVersion) -> None:
    def passage(page: int | None, last_page: int | None, start: int, version_id: uuid.UUID = version.pk) -> Passage:
        return Passage(0, version_id, uuid.uuid4(), "Plan", "v1", page, last_page, start, 99, "", "", "", 0.9, "en")

    wanted = [
        passage(1, 2, 16),
        passage(2, 2, 16),
        passage(None, None, 5),
        passage(2, None, 3),
        passage(1, 1, 0, uuid.uuid4()),
    ]
    with CaptureQueriesContext(connection) as asked:
        found = citations.page_starts(wanted)
    assert found == [
        (PageStart(1, "iv", 0), PageStart(2, "v", 17)),
        (PageStart(2, "v", 0),),
        (),
        (PageStart(2, "v", 0),),
        (),
    ]
    assert len(asked) == 1
    with CaptureQueriesContext(connection) as asked:
        assert citations.page_starts([]) == []
        assert citations.page_starts([passage(None, None, 5)]) == [()]
    assert not asked.captured_queries


@given(st.data())
def test_a_quotation_is_found_where_it_was_taken(data: Any) -> None:
    """Whatever the pages hold, however often the words are repeated, over an edge or not."""
    text = st.text(alphabet="ab é.-\n«»1ﬁ", min_size=1, max_size=60)
    texts = dict(enumerate(data.draw(st.lists(text, min_size=1, max_size=3)), 1))
    joined = "\n".join(texts.values())
    start = data.draw(st.integers(0, len(texts[1]) - 1))
    end = data.draw(st.integers(start + 1, len(joined)))
    quote = joined[start:end]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(selectors, "page_texts", lambda version, first, last: texts)
        found = citations.places(Quotation(uuid.uuid4(), quote, 1, len(texts), start))
    letters = [one for one in quote if one.isalnum()]
    there = [c for place in found for c in texts[place.page][place.start : place.end] if c.isalnum()]
    assert there == letters
    if letters:
        before = sum(one.isalnum() for one in texts[1][:start])
        assert sum(one.isalnum() for one in texts[1][: found[0].start]) == before or found[0].page > 1
