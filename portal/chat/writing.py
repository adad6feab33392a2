"""Writing patiently: what cannot be recorded is not shown, and is not lost either. It is tried again for a while, and
the person who waits is told."""

import logging
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress

from django.db import connection
from django.utils.translation import gettext, override

from portal import vault
from portal.chat import events, stored
from portal.chat.models import Turn
from portal.database import NOT_TAKEN, brief_transaction, is_unfit

logger = logging.getLogger(__name__)

_PATIENCE_SECONDS = 40.0  # a database server is started again in less
_PAUSE_SECONDS = 0.5
_TRY_SECONDS = 2.0  # how long one try to write waits for what others hold
_SAY_AFTER_SECONDS = 2.5  # the person is told within five that it takes longer
UNWRITABLE = (*NOT_TAKEN, vault.NoKey)
"""What keeps a record from being written for a while: a disk, a lock, a right, a key. What the database refuses for
itself is `Unfit`, and waits for nothing."""

NOT_WRITTEN = "turn.not_written_yet"
"""The rule of the notice that something waits to be written down."""


class Unfit(Exception):
    """The database refused what was to be written for what it is."""


def write_patiently(turn: Turn, write: Callable[[], object]) -> None:
    """Write something in one transaction, and try again for a while where that is not possible. Meanwhile Valkey is
    told that somebody is at the turn: its lease may run out, and what is finished is not to be written anew."""
    ends = time.monotonic() + _PATIENCE_SECONDS
    with _told_when_slow(turn):
        while True:
            try:
                with one_try():
                    write()
                return
            except UNWRITABLE:
                if time.monotonic() > ends:
                    raise
                events.say_at_work(turn.id, turn.attempt)
                time.sleep(_PAUSE_SECONDS)


@contextmanager
def one_try() -> Iterator[None]:
    """A transaction that waits no longer for what others hold than somebody who is told in time may. Raises what is in
    `UNWRITABLE`, and Unfit."""
    try:
        with fresh_connection_next_time(), brief_transaction(_TRY_SECONDS):
            yield
    except NOT_TAKEN as error:
        if is_unfit(error):
            raise Unfit(type(error).__name__) from error
        raise


@contextmanager
def fresh_connection_next_time() -> Iterator[None]:
    """A connection that broke is given up, so that the next try gets one of its own: Django does so between tasks, and
    an answer is written in the middle of one."""
    try:
        yield
    except NOT_TAKEN:
        connection.close_if_unusable_or_obsolete()
        raise


def say_not_written(turn: Turn) -> None:
    """Tell the person, once, that something cannot be written down yet and therefore not be shown."""
    if turn.__dict__.setdefault("_is_told", False):
        return
    turn.__dict__["_is_told"] = True
    with override(turn.language):
        said = gettext(
            "The answer cannot be written down at this moment, and nothing is shown without its record. It is being "
            "tried again. If this goes on, please tell your IT department."
        )
    events.publish(turn.id, stored.notice(turn, {"rule": NOT_WRITTEN, "message": str(said)}))


@contextmanager
def _told_when_slow(turn: Turn) -> Iterator[None]:
    clock = threading.Timer(_SAY_AFTER_SECONDS, say_not_written, (turn,))
    clock.daemon = True
    with suppress(RuntimeError):  # no memory for a thread
        clock.start()
    try:
        yield
    finally:
        clock.cancel()


def left_to_the_rescue(turn: Turn, error: Exception) -> None:
    """Say in the log that a worker gave a turn up because nothing can be written down: it begins again later, which is
    better than to say that it failed where it did not."""
    logger.error("turn %s cannot be written down and is left to the rescue: %s", turn.id, type(error).__name__)
