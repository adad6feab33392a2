"""What a turn's stream holds, for tests of what a person was told."""

import json
from typing import Any

from portal import valkey
from portal.chat.models import Turn


def stream_of(turn: Turn) -> list[dict[str, Any]]:
    """The events that were told about a turn, in order."""
    return [json.loads(fields["event"]) for _, fields in valkey.client().xrange(f"havre:turn:{turn.id}")]
