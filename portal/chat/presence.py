"""Is somebody there? The open chat pages of a person, and the end of answers that nobody waits for any more.

Each page is an entry in Valkey with a time until which it counts, so that all web processes know of it and none has to
take it away. Where Valkey does not say, somebody is there: an answer is never stopped by mistake. A Valkey that was
restarted a moment ago has forgotten the pages of other web processes, and is not asked before each has said again that
it is open.
"""

import asyncio
import logging
import time
from collections.abc import Callable, Coroutine
from typing import Any

from django.conf import settings
from django.db import DatabaseError

from portal import valkey
from portal.chat import rescue
from portal.chat.threads import for_turns

logger = logging.getLogger(__name__)

STAY_SECONDS = 45.0  # three times as long as a socket waits until it says again that it is open
READING_SECONDS = 300.0  # on a page without a socket: a source that is read while the answer is written
HEARD_SECONDS = 20.0  # a Valkey that runs for so long has heard from every open page
_MARGIN_SECONDS = 0.1

_errands: set[asyncio.Task[None]] = set()  # they outlive the socket that has closed


def stay(user_pk: int, page: str, seconds: float = STAY_SECONDS) -> None:
    """This page of the person is open, for so many seconds unless it says so again. Best effort."""
    if valkey.is_paused():
        return
    try:
        pipeline = valkey.client().pipeline()
        pipeline.zadd(_key(user_pk), {page: time.time() + seconds})
        pipeline.expire(_key(user_pk), 3600)
        pipeline.execute()
    except valkey.Unreachable:
        valkey.pause()


def close(user_pk: int, page: str) -> None:
    """This page is closed for good. Best effort."""
    try:
        valkey.client().zrem(_key(user_pk), page)
    except valkey.Unreachable:
        valkey.pause()


def is_gone(user_pk: int) -> bool:
    """Whether no page of this person is open; False also where nobody knows."""
    if valkey.is_paused():
        return False
    try:
        return not valkey.client().zcount(_key(user_pk), time.time(), "+inf")
    except valkey.Unreachable:
        valkey.pause()
        return False


def page_closed(user_pk: int, page: str, is_here: Callable[[], bool]) -> None:
    """The person closed the page, or went elsewhere from it. A reload, or another page of the chat, brings a socket
    back in time; otherwise what runs for the person is stopped. `is_here` says whether this process has a socket of
    theirs: a Valkey that was restarted learns of it only when that says again that it is open."""
    _begin(_after_a_while(user_pk, page, is_here))


def signed_out(user_pk: int, page: str) -> None:
    """The session of this page has ended: nobody comes back, unless the person is signed in elsewhere, too."""
    _begin(_at_once(user_pk, page))


async def _after_a_while(user_pk: int, page: str, is_here: Callable[[], bool] = lambda: False) -> None:
    seconds = settings.HAVRE_ABANDONED_SECONDS
    await for_turns(stay)(user_pk, page, seconds)
    await asyncio.sleep(seconds + _MARGIN_SECONDS)
    await _until_all_are_heard()
    if not is_here():
        await for_turns(_stop_if_gone)(user_pk)


async def _at_once(user_pk: int, page: str) -> None:
    await for_turns(close)(user_pk, page)
    await _until_all_are_heard()
    await for_turns(_stop_if_gone)(user_pk)


async def _until_all_are_heard() -> None:
    while (seconds := await for_turns(_unheard_seconds)()) > 0:
        await asyncio.sleep(seconds)


def _unheard_seconds() -> float:
    """How much longer a page may be open that Valkey has forgotten; 0 where Valkey does not say."""
    if valkey.is_paused():
        return 0.0
    try:
        return HEARD_SECONDS - float(valkey.client().info("server")["uptime_in_seconds"])
    except valkey.Unreachable:
        valkey.pause()
        return 0.0


def _stop_if_gone(user_pk: int) -> None:
    if is_gone(user_pk):
        try:
            rescue.stop_left(user_pk)
        except (rescue.NotWritten, DatabaseError) as error:
            logger.error("what runs for somebody who left is not stopped: %s", type(error).__name__)


def _begin(errand: Coroutine[Any, Any, None]) -> None:
    task = asyncio.get_running_loop().create_task(errand)
    _errands.add(task)
    task.add_done_callback(_errands.discard)


def _key(user_pk: int) -> str:
    return f"havre:present:{user_pk}"
