"""Reads about guidelines that take the portal's own rooms: the audit trail."""

import uuid

from portal.audit.models import Event
from portal.audit.selectors import events


def history(guideline_id: uuid.UUID, most: int = 200) -> list[Event]:
    """What happened to a guideline and its versions, newest first: its events in the audit trail."""
    return list(events(kind="guideline.", subject=str(guideline_id))[:most])
