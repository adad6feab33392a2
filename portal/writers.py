"""SQLite lets one transaction write at a time: how the others wait for it.

SQLite's own way is to sleep longer each time, up to a tenth of a second, so that among many writers who come again and
again somebody is always too late: of 16,000 transactions of 16 processes without a pause, 56 gave up after ten
seconds. Those who look often are all served.
"""

import random
import time
from collections.abc import Callable
from typing import Any

from django.db import OperationalError

_SHORTEST_SECONDS, _LONGEST_SECONDS = 0.0005, 0.005
_BEGIN = "BEGIN IMMEDIATE"


def wait_often(*, connection: Any, **_: Any) -> None:
    """Of a new connection: let it wait so (a receiver of `connection_created`)."""
    if connection.vendor == "sqlite" and _begin not in connection.execute_wrappers:
        connection.execute_wrappers.append(_begin)


def _begin(execute: Callable[..., Any], sql: str, params: Any, many: bool, context: dict[str, Any]) -> Any:
    """Begin a transaction, for as long as the connection would wait anyway. Raises OperationalError after that."""
    if sql != _BEGIN:
        return execute(sql, params, many, context)
    plain = context["connection"].connection
    milliseconds = plain.execute("PRAGMA busy_timeout").fetchone()[0]
    ends = time.monotonic() + milliseconds / 1000
    plain.execute("PRAGMA busy_timeout = 0")
    try:
        while True:
            try:
                return execute(sql, params, many, context)
            except OperationalError as error:
                if "locked" not in str(error) or time.monotonic() >= ends:
                    raise
            time.sleep(random.uniform(_SHORTEST_SECONDS, _LONGEST_SECONDS))  # noqa: S311  (nobody guesses it)
    finally:
        plain.execute(f"PRAGMA busy_timeout = {milliseconds}")
