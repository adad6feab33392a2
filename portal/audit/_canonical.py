"""The one form in which an event, or a checkpoint, is hashed and signed: canonical JSON (RFC 8785)."""

import json
import math
import re
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import rfc8785

if TYPE_CHECKING:
    from portal.audit.models import Event

FORMAT = 1
_MOST = 2**53 - 1  # what every reader of JSON can tell from its neighbours


_dumps = json.JSONEncoder(sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False).encode


_PERHAPS_OTHERWISE = re.compile(r"\.0(?!\d)|\de[+-]\d{2,3}(?![\w-])|(?<![\d.])\d{16}").search


def canonical(value: Any) -> bytes:
    """Canonical JSON. Raises ValueError for what it cannot say."""
    try:
        text = _dumps(value)  # nearly everything is written just so, and in a tenth of the time
    except (ValueError, TypeError):
        return rfc8785.dumps(value)  # says it in its own way, or why not
    if (text.isascii() and not _PERHAPS_OTHERWISE(text)) or _is_common(value):
        return text.encode("utf-8")
    return rfc8785.dumps(value)


def _is_common(value: Any) -> bool:
    """Whether a value has nothing that RFC 8785 orders or writes in its own way: keys outside ASCII, floating-point
    numbers that are whole, tiny or huge, whole numbers that JSON does not carry."""
    kind = type(value)
    if kind is str or kind is bool or value is None:
        return True
    if kind is int:
        return bool(-_MOST <= value <= _MOST)
    if kind is float:
        return bool(1e-4 <= abs(value) < 1e15 and not value.is_integer())
    if kind is dict:
        return all(type(name) is str and name.isascii() and _is_common(one) for name, one in value.items())
    return kind is list and all(map(_is_common, value))


def entry(
    *, seq: int, at: datetime, kind: str, actor: str, actor_role: str, subject: str, payload: Mapping[str, Any]
) -> bytes:
    """What is hashed of an event. `actor` is the code, never the name."""
    said = {"v": FORMAT, "seq": seq, "at": moment(at), "kind": kind, "actor": actor, "actor_role": actor_role}
    return canonical(said | {"subject": subject, "payload": payload})


def values_of(event: "Event") -> dict[str, Any]:
    """An event as a plain mapping, with nothing but what is hashed of it. Raises AttributeError or ValueError for a row
    that no event can have."""
    return {
        "v": FORMAT,
        "seq": event.seq,
        "at": moment(event.at),
        "kind": event.kind,
        "actor": event.actor_id,
        "actor_role": event.actor_role,
        "subject": event.subject,
        "payload": event.payload,
    }


def entry_of(event: "Event") -> bytes:
    """What is hashed of an event. Raises as `values_of` and `canonical` do."""
    return canonical(values_of(event))


def moment(at: datetime) -> str:
    """A time in UTC, to the microsecond, always of the same length."""
    return at.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def plain(value: Any) -> Any:
    """The value as it comes back from every database: text without what PostgreSQL or UTF-8 refuse, tuples as lists,
    whole numbers whole. Raises ValueError for numbers that JSON does not carry exactly, and for other types."""
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, str):
        return str(value).replace("\x00", "\ufffd").encode("utf-8", errors="replace").decode("utf-8")
    if isinstance(value, int | float):
        return _number(value)
    if isinstance(value, Mapping):
        return {plain(str(name)): plain(one) for name, one in value.items()}
    if isinstance(value, list | tuple):
        return [plain(one) for one in value]
    raise ValueError(f"An event cannot hold a {type(value).__name__}.")


def _number(value: float) -> float:
    if not math.isfinite(value) or abs(value) > _MOST:
        raise ValueError("An event cannot hold this number: it is too large, or none.")
    return int(value) if value == int(value) else float(value)
