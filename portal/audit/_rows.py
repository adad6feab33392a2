"""The three statements of recording, written by hand: everybody who records waits behind the head's lock, and by way of
the models each of them takes four times as long."""

import json
import re
import uuid
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from django.db import connection

from portal.audit import _readable
from portal.audit.models import Event, Head

_MOVE = "UPDATE audit_head SET last_seq = %s, last_at = %s, public_key = %s, mark = %s WHERE id = 1"
_INSERT = (
    "INSERT INTO audit_event (seq, at, kind, actor_id, actor_role, subject, payload, leaf, mac) "
    "VALUES (%%s, %%s, %%s, %%s, %%s, %%s, %s, %%s, %%s)"
)
REACH = 1000
"""How far behind the head's number an event is looked for: one further away is a row that somebody left, and no end."""


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
    newest = _newest("head.last_seq")
    try:
        row = _one(
            f"SELECT last_seq, last_at, ledger, public_key, mark, (SELECT seq {newest}), (SELECT leaf {newest}), "  # noqa: S608
            f"(SELECT code FROM audit_actor WHERE {_known_by(name)} = %s) FROM audit_head AS head WHERE id = 1{locked}",
            [name],
        )
        if row is None:
            return None
        last_seq, last_at, ledger, public_key, mark, seq, leaf, code = row
        at, ledger = _aware(last_at), uuid.UUID(str(ledger))
    except _readable.NO_VALUES as error:
        if not _readable.is_of_a_row(error):
            raise
        return _locked_by_columns(name)
    if type(last_seq) is not int or not 0 <= last_seq <= _readable.MOST_SEQ:
        return _locked_by_columns(name)
    head = Head(pk=1, last_seq=last_seq, last_at=at, ledger=ledger, public_key=public_key, mark=mark)
    return Locked(head, code, Newest() if seq is None else Newest(seq, as_bytes(leaf)))


def _locked_by_columns(name: str) -> Locked | None:
    """The same where somebody wrote into the head what is none of its kind; it was locked before."""
    head = _readable.head()
    return Locked(head, code_of(name), newest(head.last_seq)) if head else None


def newest(last_seq: int) -> Newest:
    """The newest event at this moment that is not out of reach behind this number."""
    row = _one(f"SELECT seq, leaf {_newest('%s')}", [last_seq])
    return Newest(row[0], as_bytes(row[1])) if row else Newest()


def _newest(last_seq: str) -> str:
    """Of the rows that have a number: SQLite keeps whatever it is given."""
    numbers = "" if connection.vendor == "postgresql" else " AND typeof(seq) = 'integer'"
    least = "LEAST" if connection.vendor == "postgresql" else "MIN"
    reach = f"{least}({last_seq}, {_readable.MOST_SEQ}) + {REACH}"
    return f"FROM audit_event WHERE seq <= {reach}{numbers} ORDER BY seq DESC LIMIT 1"


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
