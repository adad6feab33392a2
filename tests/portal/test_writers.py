"""On SQLite one transaction writes at a time, and the others are all served."""

import threading
import time

import pytest
from django.db import OperationalError, connection, transaction

from tests.conftest import at_once

pytestmark = [
    pytest.mark.django_db(transaction=True),
    pytest.mark.skipif(connection.vendor != "sqlite", reason="PostgreSQL has a line of its own"),
]


def busy_timeout() -> int:
    with connection.cursor() as cursor:
        cursor.execute("PRAGMA busy_timeout")
        return int(cursor.fetchone()[0])


def test_who_comes_again_and_again_leaves_room_for_others() -> None:
    ends = time.monotonic() + 1.5
    longest: list[float] = []

    def write() -> None:
        while (began := time.monotonic()) < ends:
            with transaction.atomic():
                longest.append(time.monotonic() - began)
                time.sleep(0.003)

    at_once(8, write)
    assert len(longest) > 50 and max(longest) < 5


def test_whoever_waits_is_told_when_it_takes_too_long() -> None:
    usual, entered, leave = busy_timeout(), threading.Event(), threading.Event()

    def hold() -> None:
        with transaction.atomic():
            entered.set()
            leave.wait(20)
        connection.close()

    holder = threading.Thread(target=hold)
    holder.start()
    entered.wait(10)
    try:
        with connection.cursor() as cursor:
            cursor.execute("PRAGMA busy_timeout = 200")
        with pytest.raises(OperationalError, match="locked"), transaction.atomic():
            pytest.fail("two transactions write at once")
        assert busy_timeout() == 200
    finally:
        leave.set()
        holder.join()
    with connection.cursor() as cursor:
        cursor.execute(f"PRAGMA busy_timeout = {usual}")
    with transaction.atomic():
        pass
    assert busy_timeout() == usual
