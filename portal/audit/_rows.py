"""The three statements of recording, written by hand: everybody who records waits behind the head's lock, and by way of
the models each of them takes four times as long."""

import json
import re
import uuid
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from django.db import connection

from portal.audit.models import Event, Head

_MOVE = "UPDATE audit_head SET last_seq = %s, last_at = %s, public_key = %s, mark = %s WHERE id = 1"
_INSERT = (
    "INSERT INTO audit_event (seq, at, kind, actor_id, actor_role, subject, payload, leaf, mac) "
    "VALUES (%%s, %%s, %%s, %%s, %%s, %%s, %s, %%s, %%s)"
)
_NEWEST = "FROM audit_event ORDER BY seq DESC LIMIT 1"


is_code = re.compile(r"p-[0-9a-f]{24}").fullmatch
"""Whether a name has the form of a person's code."""


def code_of(name: str) -> str | None:
    """The code of a name that has one; a code that somebody was given is its own, with a name or without."""
    row = _one(f"SELECT code FROM audit_actor WHERE {_known_by(name)} = %s", [name])  # noqa: S608
    return str(row[0]) if row else None


@dataclass(frozen=True, slots=True)
class Newest:
    """The event that is there with the highest number; number 0: there is none."""

    seq: int = 0
    leaf: bytes = b""


@dataclass(frozen=True, slots=True)
class Locked:
    """The head, locked; `code_of` a name; and the newest event as it was when this statement began: who had to wait for
    the lock looks again (`newest`)."""

    head: Head
    code: str | None
    newest: Newest


def lock_head(name: str) -> Locked | None:
    """The head, locked until the transaction ends; None: there is none yet. On SQLite whoever is in a transaction has
    the lock already."""
    locked = " FOR UPDATE OF head" if connection.vendor == "postgresql" else ""
    row = _one(
        f"SELECT last_seq, last_at, ledger, public_key, mark, (SELECT seq {_NEWEST}), (SELECT leaf {_NEWEST}), "  # noqa: S608
        f"(SELECT code FROM audit_actor WHERE {_known_by(name)} = %s) FROM audit_head AS head WHERE id = 1{locked}",
        [name],
    )
    if row is None:
        return None
    last_seq, last_at, ledger, public_key, mark, seq, leaf, code = row
    at, ledger = _aware(last_at), uuid.UUID(str(ledger))
    head = Head(pk=1, last_seq=last_seq, last_at=at, ledger=ledger, public_key=public_key, mark=mark)
    return Locked(head, code, Newest() if seq is None else Newest(seq, as_bytes(leaf)))


def newest() -> Newest:
    """The newest event at this moment."""
    row = _one(f"SELECT seq, leaf {_NEWEST}", [])
    return Newest(row[0], as_bytes(row[1])) if row else Newest()


def append(head: Head, event: Event) -> None:
    """Write number, time, key and mark of the head, and the event. PostgreSQL takes both statements in one trip."""
    moved: list[Any] = [
        head.last_seq,
        connection.ops.adapt_datetimefield_value(head.last_at),
        head.public_key,
        head.mark,
    ]
    insert = _INSERT % ("%s::jsonb" if connection.vendor == "postgresql" else "%s")
    values: list[Any] = [event.seq, connection.ops.adapt_datetimefield_value(event.at), event.kind, event.actor_id]
    values += [event.actor_role, event.subject, json.dumps(event.payload), event.leaf, event.mac]
    with connection.cursor() as cursor:
        if connection.vendor == "postgresql" and not connection.settings_dict["OPTIONS"].get("server_side_binding"):
            cursor.execute(f"{_MOVE}; {insert}", [*moved, *values])
        else:
            cursor.execute(_MOVE, moved)
            cursor.execute(insert, values)
    event._state.adding, event._state.db = False, connection.alias


def _known_by(name: str) -> str:
    return "code" if is_code(name) else "name"


def as_bytes(value: Any) -> bytes:
    """What a column of bytes holds; none where somebody wrote something else into the file of a database."""
    return bytes(value) if isinstance(value, bytes | memoryview) else b""


def _one(statement: str, values: list[Any]) -> Any:
    with connection.cursor() as cursor:
        cursor.execute(statement, values)
        return cursor.fetchone()


def _aware(at: datetime | None) -> datetime | None:
    """SQLite knows no time zones: times there are UTC."""
    return at.replace(tzinfo=UTC) if at is not None and at.tzinfo is None else at
