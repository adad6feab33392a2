"""Threads for the blocking work of sockets.

Channels' `database_sync_to_async` puts everything of a process on one thread outside HTTP: a question that waits for a
lock would hold up every other person's hotline card. Here, who somebody is has threads of its own, apart from the
reading and writing of turns; and so has the crisis screen, which asks no database and waits for none.
"""

from collections.abc import Callable, Coroutine
from concurrent.futures import ThreadPoolExecutor
from typing import Any, ParamSpec, TypeVar

from channels.db import DatabaseSyncToAsync

from portal import connections

P = ParamSpec("P")
R = TypeVar("R")

_cards = ThreadPoolExecutor(4, thread_name_prefix="cards")
_safety = ThreadPoolExecutor(8, thread_name_prefix="safety", initializer=connections.keep)
_turns = ThreadPoolExecutor(16, thread_name_prefix="turns", initializer=connections.keep)


def for_cards(function: Callable[P, R]) -> Callable[P, Coroutine[Any, Any, R]]:
    """Run the crisis screen, and keep its cards, beside everything else. Not for what asks the database."""
    adapted: Callable[P, Coroutine[Any, Any, R]] = DatabaseSyncToAsync(
        function, thread_sensitive=False, executor=_cards
    )
    return adapted


def for_safety(function: Callable[P, R]) -> Callable[P, Coroutine[Any, Any, R]]:
    """Run a session check beside everything else."""
    adapted: Callable[P, Coroutine[Any, Any, R]] = DatabaseSyncToAsync(
        function, thread_sensitive=False, executor=_safety
    )
    return adapted


def for_turns(function: Callable[P, R]) -> Callable[P, Coroutine[Any, Any, R]]:
    """Run a service or a selector; several at a time."""
    adapted: Callable[P, Coroutine[Any, Any, R]] = DatabaseSyncToAsync(
        function, thread_sensitive=False, executor=_turns
    )
    return adapted
