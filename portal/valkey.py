"""The way to Valkey: one client a process, and how long a dead server may hold anybody up (not at all)."""

import time
from functools import cache

import redis
import redis.asyncio
from django.conf import settings

Unreachable = (redis.RedisError, OSError)
"""What a server that is down, restarting, out of memory or refusing looks like to a client."""

_PAUSE_SECONDS = 2.0
_down_until = 0.0


@cache
def client() -> redis.Redis:
    """The synchronous client of this process (workers, services). Thread-safe; gives up after two seconds."""
    return redis.Redis.from_url(
        settings.HAVRE_REDIS_URL, socket_connect_timeout=1, socket_timeout=2, decode_responses=True
    )


def async_client() -> redis.asyncio.Redis:
    """A client for the running event loop; the caller closes it with `aclose()`."""
    return redis.asyncio.Redis.from_url(
        settings.HAVRE_REDIS_URL, socket_connect_timeout=1, socket_timeout=4, decode_responses=True
    )


def is_paused() -> bool:
    """Whether the server failed a moment ago: best-effort callers then do not even try, so that an answer that is
    being written does not wait a second for each of its events."""
    return time.monotonic() < _down_until


def pause() -> None:
    """Remember that the server just failed."""
    global _down_until  # noqa: PLW0603
    _down_until = time.monotonic() + _PAUSE_SECONDS
