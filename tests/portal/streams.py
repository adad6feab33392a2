"""What a turn's stream holds, for tests of what a person was told."""

import json
import uuid
from typing import Any

from portal import valkey
from portal.chat import sealed, showing
from portal.chat.models import Turn


def stream_of(turn: Turn) -> list[dict[str, Any]]:
    """The events that were told about a turn, in order."""
    return [json.loads(fields["event"]) for _, fields in valkey.client().xrange(f"havre:turn:{turn.id}")]


def shown_text(turn_id: uuid.UUID) -> str:
    """What somebody who watches a turn has seen of the answer by now."""
    return showing.text_of(Turn.objects.select_related(*sealed.WITH_KEY).get(pk=turn_id))
