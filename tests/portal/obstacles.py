"""What keeps things from being written down: a full disk, a database that takes nothing or is held, a lost key."""

import sqlite3
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from django.db import connection
from django.db.backends.signals import connection_created

Lift = Callable[[], None]
Obstacle = Callable[[str], Lift]

_PRAGMAS = {"disk full": ("max_page_count", 1, 2**30), "read only": ("query_only", 1, 0)}
_TABLES = {"held": "audit_head", "events held": "audit_event"}


def put(name: str, settings: Any) -> Lift:
    """Put something in the way of writing; what is returned takes it away again, and may be called twice."""
    if name in _PRAGMAS:
        return _pragma(name)
    return _held(_TABLES[name]) if name in _TABLES else _without_key(name, settings)


def _pragma(name: str) -> Lift:
    if connection.vendor != "sqlite":
        pytest.skip("these are SQLite's")
    setting, on, off = _PRAGMAS[name]
    with connection.cursor() as cursor:
        cursor.execute("VACUUM")  # no free pages are left in the file

    def put_again(**_: Any) -> None:
        with connection.cursor() as cursor:
            cursor.execute(f"PRAGMA {setting} = {on}")

    def lift() -> None:
        connection_created.disconnect(put_again)
        with connection.cursor() as cursor:
            cursor.execute(f"PRAGMA {setting} = {off}")

    put_again()
    connection_created.connect(put_again)  # whoever tries again does so with a connection of his own
    return lift


def _held(table: str) -> Lift:
    """Another session is in the middle of writing; on PostgreSQL it holds this table."""
    if connection.vendor == "sqlite":
        holder: Any = sqlite3.connect(connection.settings_dict["NAME"], isolation_level=None, check_same_thread=False)
        holder.execute("BEGIN IMMEDIATE")
    else:
        holder = connection.copy()
        holder.inc_thread_sharing()
        holder.set_autocommit(False)
        holder.cursor().execute(f"LOCK TABLE {table} IN ACCESS EXCLUSIVE MODE")
    is_held = [True]

    def lift() -> None:
        if is_held.pop() if is_held else False:
            holder.rollback()
            holder.close()

    return lift


def _without_key(name: str, settings: Any) -> Lift:
    setting = "HAVRE_AUDIT_KEY_FILE" if name == "no audit key" else "HAVRE_MASTER_KEY_FILE"
    before = getattr(settings, setting)
    setattr(settings, setting, Path(before).with_name("lost.key"))
    return lambda: setattr(settings, setting, before)
