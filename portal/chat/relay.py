"""Passing the events of one turn on to one socket: from its stream while there is one, else from its row."""

import asyncio
import logging
import time
import uuid
from collections.abc import Awaitable, Callable
from datetime import timedelta
from typing import Any

import redis.asyncio
from django.conf import settings
from django.utils import timezone

from portal import valkey
from portal.chat import events, rescue, selectors, stored, waiting
from portal.chat.models import State, Turn
from portal.chat.reading import Reading, reading
from portal.chat.threads import for_turns

logger = logging.getLogger(__name__)

_WAIT_MS = 2000
_PUBLISHING_MS = 300  # from the end of a turn in its row to its last event
_PLACE_MS = 1000  # how often somebody who waits is told of a new place
_BEYOND_THE_LINE = frozenset({"turn.passages", "turn.reasoning", "turn.delta"})  # the page shows no place then
_WORDS = frozenset({"turn.passages", "turn.delta"})  # of guidelines
_ASK_SECONDS = 5.0  # how often it is asked whether they may be shown
_AWAY_SECONDS = 1.0
_STOP_SECONDS = 1.5


class Relay:
    """Sends every event of `turn` after the id `after`, in order, until the last one."""

    def __init__(
        self,
        connection: redis.asyncio.Redis,
        turn: uuid.UUID,
        after: str,
        send: Callable[[dict[str, Any]], Awaitable[None]],
    ) -> None:
        self._connection = connection
        self._turn = turn
        self._after = after
        self._send = send
        self._stopping = 0.0  # since when somebody has wished to stop
        self._wait_ms = 0  # the first look does not wait: the turn may have ended long ago
        self._told: tuple[int, int | None] = (0, 0)  # the place in the line, and the seconds to wait
        self._is_begun = False
        self._is_withheld = False
        self._asked: float | None = None  # when, whether the words may be shown

    async def run(self) -> None:
        """Relay until the turn's last event is sent. Whatever fails on the way is tried again: a socket that is open
        and silent would show an answer that never ends."""
        while True:
            try:
                if await (self._step() if self._is_begun else self._begin()):
                    return
            except Turn.DoesNotExist:
                return
            except Exception as error:
                logger.error("relay of turn %s: %s", self._turn, type(error).__name__)
                await asyncio.sleep(_AWAY_SECONDS)

    async def _begin(self) -> bool:
        """A turn that has ended is told from its row: what its stream still holds may not be for this person any more.
        True when it has."""
        turn = await for_turns(selectors.get_turn)(self._turn)
        self._is_begun = turn.is_active
        return not turn.is_active and await self._tell(turn)

    async def _step(self) -> bool:
        """Pass on what there is. True when the last event was sent.

        The last event is published after the row is written, so a row that has ended with nothing more in the stream
        means that the stream has expired or could not be written: then the row speaks.
        """
        found = await self._read(self._wait_ms)
        if found:
            return await self._pass_on(found)
        turn = await for_turns(selectors.get_turn)(self._turn)
        if turn.is_active:
            if found is None:
                await asyncio.sleep(_AWAY_SECONDS)
            await self._tell_place(turn)
            await self._help(turn)
            return False
        if found is not None and (found := await self._read(_PUBLISHING_MS)):
            return await self._pass_on(found)
        return await self._tell(turn)

    async def _tell(self, turn: Turn) -> bool:
        for event in await for_turns(stored.events)(turn, self._after):
            await self._send(event)
        return True

    async def _tell_place(self, turn: Turn) -> None:
        """Say where the turn stands in the line, when that has changed. It is said on this socket alone and not in the
        stream: there it could come behind the first words of the answer, and take them back."""
        place: tuple[int, int | None] = (0, 0)
        self._wait_ms = _PLACE_MS
        if turn.state != State.GENERATING and not turn.quotation:
            line = await for_turns(waiting.line)()
            if (number := line.place(turn.id)) is None:
                return  # the line was looked at before the turn came, or the turn has left it since
            place = number, line.wait(number)
        if place != self._told:
            await self._send(stored.queued(turn, *place))
        self._told = place
        self._wait_ms = _PLACE_MS if place[0] else _WAIT_MS

    async def _help(self, turn: Turn) -> None:
        """What nobody else may be left to do: end a turn that was stopped and whose worker does not, bring back one
        that was abandoned."""
        if turn.cancel_requested:
            self._stopping = self._stopping or time.monotonic()
            if time.monotonic() - self._stopping > _STOP_SECONDS:
                await for_turns(rescue.end_stopped)(turn.id)
        elif _looks_abandoned(turn):
            await for_turns(rescue.rescue_turn)(turn)

    async def _pass_on(self, found: list[tuple[str, dict[str, Any]]]) -> bool:
        for entry, event in found:
            if event["type"] in events.FINAL:  # as the person may read it now, not as it was when it was published
                turn = await for_turns(selectors.get_turn)(self._turn)
                await self._send({**await for_turns(stored.final)(turn), "id": entry})
                return True
            if event["type"] not in _WORDS or await self._may_show_words():
                await self._send({**event, "id": entry})
            self._after = entry
            if event["type"] == "turn.queued":
                self._told = event["position"], event["eta_seconds"]
            elif event["type"] in _BEYOND_THE_LINE:
                self._told = 0, 0
        return False

    async def _may_show_words(self) -> bool:
        """Whether the answer that is being written may be shown, asked now and then: a guideline that it draws on may
        become one for other departments. What was shown of it is taken back then."""
        now = time.monotonic()
        if self._is_withheld or (self._asked is not None and now - self._asked < _ASK_SECONDS):
            return not self._is_withheld
        read = await for_turns(_reading)(self._turn)
        self._asked = now
        if read.is_withheld:
            self._is_withheld = True
            await self._send(stored.queued(read.turn))
            await self._send(stored.passages(read))
        return not self._is_withheld

    async def _read(self, wait_ms: int) -> list[tuple[str, dict[str, Any]]] | None:
        """What the stream has; None when Valkey cannot be reached."""
        try:
            return await events.follow(self._connection, self._turn, self._after, wait_ms)
        except valkey.Unreachable:
            return None


def _reading(turn_id: uuid.UUID) -> Reading:
    return reading(selectors.get_turn(turn_id))


def _looks_abandoned(turn: Turn) -> bool:
    """The check of `selectors.abandoned_turns` for one turn, a little later: the housekeeping tasks come first, and the
    browser that waits is the last resort when no worker is left to run them."""
    now, far = timezone.now(), turn.no_claim_ends_after()
    if turn.lease_until is not None:
        return not now - timedelta(seconds=5) <= turn.lease_until <= far
    patience = timedelta(seconds=3 * settings.HAVRE_LEASE_SECONDS)
    return turn.enqueued_at is None or not now - patience <= turn.enqueued_at <= far
