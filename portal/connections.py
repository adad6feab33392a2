"""Database connections: how long they live, and how long somebody who waits for an answer waits for others.

Opening one takes longer than most of what is asked through it, and Django closes it after every request, Celery after
every task. Threads that live as long as their process keep theirs for a while instead. Django asks before each piece of
work (`close_old_connections`) whether it is old or broken, so that a database that was started again costs nobody a
turn.
"""

import logging
import os
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Any

from django.conf import settings
from django.db import DEFAULT_DB_ALIAS, connection, connections
from django.http import HttpRequest, HttpResponseBase

logger = logging.getLogger(__name__)


def keep() -> None:
    """From now on this thread keeps its connections until they are old. Only for threads that serve piece after piece:
    those of a request come and go, and would leave theirs open."""
    for one in connections.all():
        one.settings_dict = {
            **one.settings_dict,
            "CONN_MAX_AGE": settings.HAVRE_CONNECTION_SECONDS,
            "CONN_HEALTH_CHECKS": True,
        }


ANSWER_SECONDS = 3.0  # whoever sits in front of a screen is told within five that nothing can be written down


def answer_soon() -> None:
    """From now on nothing that this process asks of the database waits longer than `ANSWER_SECONDS` for what others
    hold, nor for a server that does not take a connection: the web process. Workers and commands wait for longer."""
    for database in connections.settings.values():
        options = database.setdefault("OPTIONS", {})
        if database["ENGINE"].endswith("sqlite3"):
            options["timeout"] = ANSWER_SECONDS
        else:
            options["connect_timeout"] = int(ANSWER_SECONDS)
            # of a setting that is given twice the later counts
            options["options"] = f"{options.get('options', '')} -c lock_timeout={int(ANSWER_SECONDS * 1000)}".strip()


_READS = frozenset({"GET", "HEAD", "OPTIONS", "TRACE"})
_SILENT_SECONDS = ANSWER_SECONDS + 1  # longer than for a lock
_ONCE_MORE_SECONDS = 0.5  # what is done after that to say so
_LOOK_SECONDS = 0.25
_MAY_BE_DONE = "havre.may_be_done"


def break_off_silence(get_response: Callable[[HttpRequest], HttpResponseBase]) -> Callable[..., HttpResponseBase]:
    """Middleware: who changes something hears soon that it was not done, also where the server hangs, or its disk: no
    setting of the server ends that. What only reads may take its time. Where it is a commit that is broken off, the
    server may complete it afterwards, and nobody knows of it here: `may_be_done` then."""

    def respond(request: HttpRequest) -> HttpResponseBase:
        if request.method in _READS or connection.vendor != "postgresql":
            return get_response(request)
        with _broken_off_when_silent(request):
            return get_response(request)

    return respond


def may_be_done(request: HttpRequest) -> bool:
    """Whether the line was broken off at a commit of this request, or at a statement that is its own."""
    return _MAY_BE_DONE in request.META


@contextmanager
def _broken_off_when_silent(request: HttpRequest) -> Iterator[None]:
    """Break this thread's connection where the server says nothing to one statement, or to a commit, for too long: that
    then raises OperationalError."""
    watched, over, asked = connections[DEFAULT_DB_ALIAS], threading.Event(), [0]

    def count(execute: Callable[..., Any], *given: Any) -> Any:
        asked[0] += 1
        return execute(*given)

    def watch() -> None:
        limit, last, since = _SILENT_SECONDS, -1, 0.0
        while not over.wait(_LOOK_SECONDS):
            if asked[0] != last or not _is_asked(watched):
                last, since = asked[0], time.monotonic()
            elif time.monotonic() - since > limit:
                logger.error("the database says nothing: a connection is broken off")
                if not watched.in_atomic_block:  # nor is it while it commits
                    request.META[_MAY_BE_DONE] = True
                _break_off(watched)
                limit = _ONCE_MORE_SECONDS

    watcher = threading.Thread(target=watch, name="silence", daemon=True)
    with suppress(RuntimeError):  # no memory for a thread
        watcher.start()
    try:
        with connection.execute_wrapper(count):
            yield
    finally:
        over.set()
        if watcher.ident is not None:
            watcher.join()  # the next one has this connection


def _is_asked(watched: Any) -> bool:
    """Whether a command is on its way and not answered."""
    from psycopg.pq import TransactionStatus

    line = watched.connection
    return line is not None and line.pgconn.transaction_status == TransactionStatus.ACTIVE


def _break_off(watched: Any) -> None:
    """Whoever waits for the server finds that the line is closed. Another thread may be about to close it."""
    from psycopg import Error

    with (
        suppress(OSError, AttributeError, Error),
        socket.socket(fileno=os.dup(watched.connection.pgconn.socket)) as line,
    ):
        line.shutdown(socket.SHUT_RDWR)
