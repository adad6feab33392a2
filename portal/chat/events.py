"""The event stream of a turn: one Valkey stream a turn, read by every browser that watches it.

Publishing is best effort, because the database row is the truth: when Valkey is away, the turn goes on and browsers
get the stored answer afterwards.
"""

import json
import logging
import uuid
from collections.abc import Mapping, Sequence
from typing import Any

import redis.asyncio
from django.conf import settings

from portal import valkey

logger = logging.getLogger(__name__)

FINAL = frozenset({"turn.completed", "turn.redirected", "turn.refused", "turn.cancelled", "turn.failed"})
_MOST_EVENTS = 20_000


def publish(turn: uuid.UUID, event: Mapping[str, Any]) -> str | None:
    """Append one event to the turn's stream; returns its id, or None when Valkey cannot be reached."""
    if valkey.is_paused():
        return None
    try:
        pipeline = valkey.client().pipeline(transaction=False)  # one round trip; nobody minds what comes between
        pipeline.xadd(_stream(turn), {"event": json.dumps(event)}, maxlen=_MOST_EVENTS, approximate=True)
        pipeline.expire(_stream(turn), settings.HAVRE_STREAM_SECONDS)
        return str(pipeline.execute()[0])
    except valkey.Unreachable as error:
        valkey.pause()
        logger.warning("event of turn %s not published: %s", turn, type(error).__name__)
        return None


async def follow(
    connection: redis.asyncio.Redis, turn: uuid.UUID, after: str, wait_ms: int
) -> list[tuple[str, dict[str, Any]]]:
    """The events after the id `after` ("" for all), as (id, event); waits up to `wait_ms` for the first of them.

    Raises what is in `valkey.Unreachable` when there is no server.
    """
    found = await connection.xread({_stream(turn): after or "0-0"}, count=500, block=wait_ms or None)
    return [(entry, json.loads(fields["event"])) for _, entries in _streams(found) for entry, fields in entries]


def ask_to_stop(turn: uuid.UUID) -> bool:
    """Put up the stop sign that a generating worker looks at between tokens. Best effort: the row carries the same
    wish, and is looked at too, less often. False when Valkey cannot be reached."""
    if valkey.is_paused():
        return False
    try:
        valkey.client().set(_stop_sign(turn), "1", ex=3600)
    except valkey.Unreachable:
        valkey.pause()
        return False
    return True


def is_asked_to_stop(turn: uuid.UUID) -> bool | None:
    """Whether the stop sign is up; None when Valkey does not say."""
    if valkey.is_paused():
        return None
    try:
        return bool(valkey.client().exists(_stop_sign(turn)))
    except valkey.Unreachable:
        valkey.pause()
        return None


def say_at_work(turn: uuid.UUID, attempt: int) -> None:
    """Say for the length of a lease that a worker is at this attempt of a turn: while the database cannot be told. Best
    effort."""
    if valkey.is_paused():
        return
    try:
        valkey.client().set(_at_work(turn, attempt), "1", ex=settings.HAVRE_LEASE_SECONDS)
    except valkey.Unreachable:
        valkey.pause()


def is_at_work(turn: uuid.UUID, attempt: int) -> bool:
    """Whether a worker has said so; False also where Valkey does not say."""
    if valkey.is_paused():
        return False
    try:
        return bool(valkey.client().exists(_at_work(turn, attempt)))
    except valkey.Unreachable:
        valkey.pause()
        return False


def forget(turns: Sequence[uuid.UUID]) -> bool:
    """Delete the streams and stop signs of these turns. False when Valkey cannot be reached."""
    try:
        for start in range(0, len(turns), 500):
            some = turns[start : start + 500]
            valkey.client().delete(*map(_stream, some), *map(_stop_sign, some))
    except valkey.Unreachable:
        valkey.pause()
        return False
    return True


def _streams(found: Any) -> list[tuple[str, list[tuple[str, dict[str, str]]]]]:
    """XREAD's reply in one shape: RESP2 clients return pairs, RESP3 clients a mapping of lists of entry lists."""
    if not found:
        return []
    if isinstance(found, dict):
        return [
            (name, entries[0] if entries and isinstance(entries[0], list) else entries)
            for name, entries in found.items()
        ]
    return [(name, entries) for name, entries in found]


def _stream(turn: uuid.UUID) -> str:
    return f"havre:turn:{turn}"


def _at_work(turn: uuid.UUID, attempt: int) -> str:
    return f"havre:at-work:{turn}:{attempt}"


def _stop_sign(turn: uuid.UUID) -> str:
    return f"havre:stop:{turn}"
