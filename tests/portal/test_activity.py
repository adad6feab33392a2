"""What went on, counted from the events: the numbers, the days they belong to, and the pictures of them."""

import uuid
from datetime import date, datetime, timedelta
from typing import Any

import pytest
from django.db import connection, transaction
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from portal.audit import _triggers
from portal.audit.activity import Span, activity
from portal.audit.activity_views import charts
from portal.audit.exporting._selection import midnight
from portal.audit.models import Event
from portal.audit.services import record
from tests.conftest import Cast

TODAY = date(2026, 6, 15)


@pytest.fixture
def recorded(db: None) -> None:
    """Two days: the last moments of one, and the first of the next."""
    days: list[tuple[datetime, str, dict[str, Any]]] = [
        (midnight(TODAY) - timedelta(seconds=2), "turn.started", {}),
        (midnight(TODAY) - timedelta(seconds=1), "turn.redirected", {}),
        (midnight(TODAY), "turn.started", {}),
        (midnight(TODAY), "turn.completed", {"groundedness": 0.5}),
        (midnight(TODAY), "turn.started", {}),
        (midnight(TODAY), "turn.completed", {"groundedness": 1.0}),
        (midnight(TODAY), "turn.completed", {}),
        (midnight(TODAY), "turn.refused", {"rule": "x"}),
        (midnight(TODAY), "turn.verified", {}),
        (midnight(TODAY), "turn.verified", {}),
        (midnight(TODAY), "turn.verification_withdrawn", {}),
        (midnight(TODAY), "session.signed_in", {}),
    ]
    with transaction.atomic():
        numbers = [record(kind, actor="system", subject=str(uuid.uuid4()), payload=said).seq for _, kind, said in days]
    _triggers.remove(connection)
    for number, (at, _, _) in zip(numbers, days, strict=True):
        Event.objects.filter(seq=number).update(at=at)
    _triggers.install(connection)


def test_events_belong_to_the_local_day_on_which_they_happened(recorded: None) -> None:
    spans = activity(7, TODAY)
    assert [one.first for one in spans] == [TODAY - timedelta(days=back) for back in range(6, -1, -1)]
    assert spans[:5] == [Span(TODAY - timedelta(days=back)) for back in range(6, 1, -1)]
    assert spans[5] == Span(TODAY - timedelta(days=1), turns=1, redirected=1)
    assert spans[6] == Span(TODAY, turns=2, refused=1, completed=3, groundedness=0.75, grounded=2, checked=1 / 3)


def test_hotlines_whose_record_followed_count_as_questions_and_redirections(db: None) -> None:
    with transaction.atomic():
        for payload in ({"verdict": {"action": "redirect"}}, {"verdict": {"action": "alarm"}}, {"shown_at": "x"}):
            record("crisis.shown", actor="system", subject=str(uuid.uuid4()), payload=payload)
        record("turn.completed", actor="system", payload={"groundedness": "none"})
    today = activity(7)[-1]
    assert (today.turns, today.redirected, today.completed, today.grounded) == (3, 2, 1, 0)


def test_a_year_is_told_by_weeks_and_loses_nothing(recorded: None) -> None:
    spans = activity(365, TODAY)
    assert len(spans) == 53 and spans[-1].first == TODAY - timedelta(days=6)
    assert (sum(one.turns for one in spans), sum(one.redirected for one in spans)) == (3, 1)


@pytest.mark.parametrize("today", [TODAY - timedelta(days=400), TODAY + timedelta(days=400)])
def test_what_lies_outside_is_not_counted(recorded: None, today: date) -> None:
    assert sum(one.turns for one in activity(30, today)) == 0


def test_charts_reach_from_nothing_to_the_highest() -> None:
    spans = [Span(TODAY, turns=0), Span(TODAY, turns=5, completed=1, checked=0.5), Span(TODAY, turns=10)]
    turns, _, _, grounded, checked = charts(spans)
    assert [one.height for one in turns.bars] == ["0.00", "60.00", "120.00"]
    assert (turns.whole, turns.highest, grounded.whole, checked.whole) == ("15", "10", "–", "50 %")
    assert [one.is_empty for one in checked.bars] == [True, False, True]


@pytest.mark.parametrize("query", [{}, {"days": "7"}, {"days": "365"}, {"days": "9999"}, {"days": "x"}])
def test_the_page_has_pictures_and_the_same_numbers_in_a_table(
    client: Client, cast: Cast, query: dict[str, str]
) -> None:
    with transaction.atomic():
        record("turn.started", actor="anna")
    client.force_login(cast.emil)
    page = client.get(reverse("audit:activity"), query)
    text = page.content.decode()
    assert page.status_code == 200 and text.count('<svg class="chart__picture"') == 5 and "style=" not in text
    assert page.context["spans"][0].turns == 1 and timezone.localdate().isoformat()[:4] in text


def test_without_any_event_there_is_a_page(client: Client, cast: Cast) -> None:
    client.force_login(cast.emil)
    assert client.get(reverse("audit:activity")).status_code == 200


def test_the_mean_over_all_is_that_of_the_answers_not_of_the_days() -> None:
    busy = Span(TODAY, completed=9, groundedness=1.0, grounded=9, checked=0.0)
    quiet = Span(TODAY, completed=1, groundedness=0.0, grounded=1, checked=1.0)
    *_, grounded, checked = charts([busy, quiet])
    assert (grounded.whole, checked.whole) == ("90 %", "10 %")
