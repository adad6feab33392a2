"""Whether a row stands in the database as it was written, and not only means the same. SQLite keeps a time as text, and
a payload, too: "10:00:00-23:59" is a time of another day for whoever searches by days, and of a name that occurs twice
in a payload Python reads the last value and SQL the first. PostgreSQL has one form for each, whatever it is given."""

import json
from typing import Any

from django.db import connection
from django.db.models import QuerySet, TextField
from django.db.models.functions import Cast

from portal.audit.models import Event


def with_text(page: QuerySet[Event]) -> QuerySet[Event]:
    """The same events, each with the text that stands in its row, for `is_as_written`."""
    if connection.vendor == "postgresql":
        return page
    return page.annotate(text_of_at=Cast("at", TextField()), text_of_payload=Cast("payload", TextField()))


def is_as_written(event: Event) -> bool:
    """Whether time and payload of an event that was read `with_text` stand there in the one form that is written, or
    one that every reader takes for the same. Raises ValueError or TypeError for values that are none of their kind."""
    said: dict[str, Any] = vars(event)
    if "text_of_at" not in said:
        return True
    at, payload = said["text_of_at"], said["text_of_payload"]
    if at != str(connection.ops.adapt_datetimefield_value(event.at)):
        return False
    return bool(json.dumps(event.payload) == payload) or _has_each_name_once(payload)


def _has_each_name_once(payload: str) -> bool:
    try:
        json.loads(payload, object_pairs_hook=_once)
    except ValueError:
        return False
    return True


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError("a name occurs twice")
    return found
