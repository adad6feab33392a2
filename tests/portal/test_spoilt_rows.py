"""Rows of questions that somebody spoilt in the file of the database: they keep nobody else from an answer, and no page
from being shown."""

from datetime import timedelta
from typing import Any

import pytest
from django.db import connection, transaction
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from portal.audit import _triggers
from portal.chat import answering, selectors, tasks, waiting
from portal.chat.models import ACTIVE, State, Turn
from portal.chat.turn import end, show
from tests.conftest import Cast
from tests.portal.whole_turns import answered, asked, begun

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


SPOILT = {
    ("chat_turn", "said"): ("'x'", "x'00ff'", "7"),
    ("chat_turn", "asked"): ("'x'",),
    ("chat_turn", "card"): ("'1'", "'[1]'", "'{\"hotlines\": 9007199254740993000}'"),
    ("chat_turn", "verdict"): ("'[]'",),
    ("chat_turn", "model"): ("'[]'", '\'{"name": 3, "sha256": "x"}\''),
    ("chat_turn", "usage"): ("'3'",),
    ("chat_turn", "passage_versions"): ("'3'", "'[{}, \"x\"]'"),
    ("chat_turn", "failure_message"): ("x'ff'",),
    ("chat_turn", "created_at"): ("'2026-99-99 00:00:00'",),
    ("chat_piece", "words"): ("'abc'", "7"),
    ("chat_conversationkey", "wrapped"): ("'abc'", "7"),
    ("audit_actor", "salt"): ("'abc'",),
}


@only_sqlite
def test_no_value_of_another_kind_breaks_a_page(cast: Cast, living_workers: None, client: Client) -> None:
    turn = answered(cast.anna)
    story, mine = reverse("story", args=[turn.pk]), reverse("chat:conversation", args=[turn.conversation_id])
    _triggers.remove(connection)
    seen = {}
    for (table, column), values in SPOILT.items():
        for value in values:
            with transaction.atomic():
                with connection.cursor() as cursor:
                    cursor.execute(f"UPDATE {table} SET {column} = {value}")
                client.force_login(cast.emil)
                told = "This does not fit" in client.get(story).content.decode()
                read = client.post(story, {"reason": "Complaint 2026-117, as always.", "times": 0}).status_code
                client.force_login(cast.anna)
                own = client.get(mine).status_code if column != "created_at" else 200
                seen[column, value] = (told or column == "wrapped", read, own)
                transaction.set_rollback(True)
    _triggers.install(connection)
    assert {key: one for key, one in seen.items() if one != (True, 200, 200)} == {}


@only_sqlite
def test_a_spoilt_link_of_the_chain_keeps_no_question_from_ending(cast: Cast, living_workers: None) -> None:
    turn = begun(cast.anna)
    show(turn, "The first words. ")
    with connection.cursor() as cursor:
        cursor.execute("UPDATE chat_piece SET chain = 'abc'")
    assert end(turn.pk, State.CANCELLED, among=ACTIVE)
