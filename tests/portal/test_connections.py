"""A connection to the database outlives a piece of work, but neither its age nor a database that was started again."""

import threading
from collections.abc import Callable
from types import SimpleNamespace

import pytest
from celery import signals
from django.db import OperationalError, close_old_connections, connection
from django.test import override_settings

from portal import celery, connections  # noqa: F401  (the worker's part of it)
from portal.accounts.models import User
from portal.chat import threads

pytestmark = pytest.mark.django_db(transaction=True)


class Task:
    """What Celery's signals are sent for."""

    request = SimpleNamespace(is_eager=False)


def in_a_thread(work: Callable[[], None]) -> None:
    """With a connection of its own, which is closed at the end; what goes wrong there does so here."""
    wrong: list[BaseException] = []

    def run() -> None:
        try:
            work()
        except BaseException as error:
            wrong.append(error)
        finally:
            connection.close()

    thread = threading.Thread(target=run)
    thread.start()
    thread.join()
    if wrong:
        raise wrong[0]


def open_after(piece: Callable[[], object]) -> object:
    """The connection that is still open when a piece of work has ended."""
    signals.task_prerun.send(sender=Task)
    piece()
    signals.task_postrun.send(sender=Task)
    return connection.connection


def test_it_is_kept_until_it_is_old() -> None:
    before = dict(connection.settings_dict)

    def work() -> None:
        with override_settings(HAVRE_CONNECTION_SECONDS=60):
            first = open_after(User.objects.count)
            assert first is not None
            assert open_after(User.objects.count) is first
            connection.close_at = 0.0
            again = open_after(User.objects.count)
            assert again is not first
        assert connection.settings_dict["CONN_HEALTH_CHECKS"]

    in_a_thread(work)
    assert connection.settings_dict == before, "other threads go on as they did"


def test_one_that_broke_is_not_used_again(monkeypatch: pytest.MonkeyPatch) -> None:
    def breaks() -> None:
        User.objects.count()
        monkeypatch.setattr(connection, "is_usable", lambda: False)
        connection.errors_occurred = True
        raise OperationalError("the server went away")

    def work() -> None:
        with override_settings(HAVRE_CONNECTION_SECONDS=60):
            first = open_after(User.objects.count)
            with pytest.raises(OperationalError):
                open_after(breaks)
            signals.task_postrun.send(sender=Task)
            assert connection.connection is None
            monkeypatch.undo()
            assert open_after(User.objects.count) not in (None, first)

    in_a_thread(work)


def test_threads_of_sockets_keep_theirs() -> None:
    for pool in (threads._safety, threads._turns):
        assert pool._initializer is connections.keep

    def work() -> None:
        with override_settings(HAVRE_CONNECTION_SECONDS=60):
            connections.keep()
            User.objects.count()
            close_old_connections()
            assert connection.connection is not None

    in_a_thread(work)
