"""Rows of questions that somebody spoilt in the file of the database: they keep nobody else from an answer, and no page
from being shown."""

from datetime import timedelta
from typing import Any

import pytest
from django.db import connection
from django.utils import timezone

from portal.chat import answering, selectors, tasks, waiting
from portal.chat.models import ACTIVE, State, Turn
from tests.conftest import Cast
from tests.portal.whole_turns import answered, asked

only_sqlite = pytest.mark.skipif("connection.vendor != 'sqlite'", reason="PostgreSQL keeps what its columns are for")


@pytest.fixture
def workers(living_workers: None, monkeypatch: pytest.MonkeyPatch) -> None:
    """Which all have a model."""
    monkeypatch.setattr(tasks, "_leave_to_another_worker", lambda turn: False)


@only_sqlite
@pytest.mark.parametrize("column", ["created_at", "enqueued_at"])
@pytest.mark.usefixtures("workers")
def test_one_row_that_cannot_be_read_keeps_no_other_from_its_answer(
    cast: Cast, monkeypatch: pytest.MonkeyPatch, column: str
) -> None:
    spoilt, whole = asked(cast.anna), asked(cast.bela)
    long_ago = timezone.now() - timedelta(minutes=5)
    Turn.objects.update(enqueued_at=long_ago)
    with connection.cursor() as cursor:
        cursor.execute(f"UPDATE chat_turn SET {column} = '2000-99-99 00:00:00' WHERE id = %s", [spoilt.pk.hex])
    tasks.recover_turns()
    assert Turn.objects.values_list("enqueued_at", flat=True).get(pk=whole.pk) > long_ago, "it was sent again"
    Turn.objects.update(covered=True, lease_until=None, state=State.RETRIEVING)
    taken: list[Any] = []
    monkeypatch.setattr(answering, "generate_answer", lambda turn: not taken.append(turn))
    assert set(selectors.ready_for_model()) == {spoilt.pk, whole.pk}
    tasks.generate_answer(str(whole.pk))
    assert taken == [whole.pk]
    assert Turn.objects.filter(state__in=ACTIVE).count() == 2


@pytest.mark.usefixtures("workers")
@pytest.mark.parametrize("junk", ["3", "[]", '{"seconds": "x"}'])
def test_a_spoilt_measurement_does_not_hide_the_line(cast: Cast, junk: str) -> None:
    turn = answered(cast.anna)
    with connection.cursor() as cursor:
        cursor.execute("UPDATE chat_turn SET usage = %s", [junk])
    assert waiting._held_seconds(str(turn.model["name"])) is None
