"""The text of an answer on its way to the person: shown piece by piece, while the turn is ours and wanted."""

import logging
import time

from django.conf import settings
from django.db import DatabaseError

from portal.chat import events
from portal.chat.models import Turn
from portal.chat.showing import Link
from portal.chat.turn import LeaseLost, renew, show, wants_to_stop
from portal.chat.writing import UNWRITABLE, say_not_written

logger = logging.getLogger(__name__)

_SHOW_SECONDS = 0.5  # text that comes closer together than this is recorded and shown as one piece
_STOP_CHECK_SECONDS = 0.15
_ROW_CHECK_SECONDS = 1.0  # how often the row is asked too: a sign in Valkey may be lost


class Watch:
    """Asked by the engine between tokens, every 50 ms or so: has the person stopped, is the turn still ours? Renews the
    lease on the way, so that a worker that hangs loses its turn."""

    def __init__(self, turn: Turn) -> None:
        self._turn = turn
        self._renewed = self._looked = self._asked_row = time.monotonic()
        self._failed = float("-inf")  # when it was last tried to renew, and could not be
        self._over = False
        self.lost = False

    def renewed(self) -> None:
        """The claim was renewed on another way."""
        self._renewed = time.monotonic()

    def stop(self) -> None:
        """Enough, whatever the person says."""
        self._over = True

    def holds(self) -> bool:
        """Whether the turn is ours for certain. A process that stood still for longer than its lease asks before it
        says another word: somebody else may be writing the answer."""
        if time.monotonic() - self._renewed > settings.HAVRE_LEASE_SECONDS:
            self.is_over()
        return not self.lost and time.monotonic() - self._renewed <= settings.HAVRE_LEASE_SECONDS

    def is_over(self) -> bool:
        now = time.monotonic()
        try:
            self._look(now)
        except LeaseLost:
            self.lost = self._over = True
        except DatabaseError as error:  # away for a moment; the lease says how long that may last
            logger.warning("turn %s not renewed: %s", self._turn.id, type(error).__name__)
        return self._over

    def _look(self, now: float) -> None:
        """The sign in Valkey comes first: a database that is held must not keep a model talking."""
        looks = not self._over and now - self._looked > _STOP_CHECK_SECONDS
        if looks:
            self._looked = now
            self._over = bool(events.is_asked_to_stop(self._turn.id))
        if not self._over and self._is_to_be_renewed(now):
            self._failed = now
            renew(self._turn)
            self._renewed, self._failed = now, float("-inf")
        if looks and not self._over and now - self._asked_row > _ROW_CHECK_SECONDS:
            self._asked_row = now
            self._over = wants_to_stop(self._turn)

    def _is_to_be_renewed(self, now: float) -> bool:
        """A third of the lease after it was; where that failed, not at each token: a try may take two seconds."""
        due = now - self._renewed > settings.HAVRE_LEASE_SECONDS / 3
        return due and now - self._failed > _ROW_CHECK_SECONDS


class Pieces:
    """The text that waits to be shown. Each piece is recorded first, at most two a second; what cannot be recorded
    waits and is tried again with what came since, and the person is told."""

    def __init__(self, turn: Turn, watch: Watch) -> None:
        self._turn = turn
        self._waiting: list[str] = []
        self._tried = float("-inf")  # the first sentence is shown at once
        self._last: Link | None = None
        self.watch = watch

    def add(self, text: str) -> None:
        """More text, screened."""
        if text:
            self._waiting.append(text)

    def show(self, *, all: bool = False) -> None:
        """Show what waits, if it is time for it; `all` shows it now, as the last piece."""
        if not self._waiting or not (all or time.monotonic() - self._tried >= _SHOW_SECONDS) or not self.watch.holds():
            return
        try:
            self._last = show(self._turn, "".join(self._waiting), self._last)
        except LeaseLost:
            self.watch.lost = True
            self.watch.stop()
        except UNWRITABLE as error:
            logger.warning("a piece of turn %s is not recorded: %s", self._turn.id, type(error).__name__)
            say_not_written(self._turn)
        else:
            self._waiting.clear()
            self.watch.renewed()
        self._tried = time.monotonic()
