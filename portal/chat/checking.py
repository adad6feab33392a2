"""What a clinician does to verify an answer: opens its sources, and says that it was checked against the guideline.
Both are events and nothing else; nobody has to."""

import logging
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from django.db import DatabaseError, transaction
from django.utils import timezone

from portal.accounts.models import User
from portal.audit import keys
from portal.audit.models import Event
from portal.audit.services import locked_head, record
from portal.chat.models import State, Turn
from portal.chat.reading import reading

logger = logging.getLogger(__name__)

OPENED, CHECKED, WITHDRAWN = "turn.source_opened", "turn.verified", "turn.verification_withdrawn"
UNDO_SECONDS = 60


class NotNow(Exception):
    """The answer cannot be checked (any more), or it is too late to take that back."""


@dataclass(frozen=True, slots=True)
class Check:
    """That somebody has checked an answer, and when."""

    at: datetime

    @property
    def undo_seconds(self) -> int:
        """How long it can still be taken back."""
        left = self.at + timedelta(seconds=UNDO_SECONDS) - timezone.now()
        return max(0, int(left.total_seconds()))

    @property
    def as_said(self) -> dict[str, Any]:
        """What a browser gets of it."""
        return {"at": self.at.isoformat(), "undo_seconds": self.undo_seconds}


def source_opened(user: User, turn: Turn, passage: Mapping[str, Any], page: int | None) -> None:
    """Record that the person opened a source of an answer, on this page. A guideline is shown even where that cannot
    be recorded."""
    payload: dict[str, Any] = {name: passage[name] for name in ("marker", "version_id", "version") if name in passage}
    payload |= {"conversation": str(turn.conversation_id)} | ({} if page is None else {"page": page})
    try:
        with transaction.atomic():
            record(OPENED, actor=user.username, actor_role=user.role, subject=str(turn.id), payload=payload)
    except (keys.NoAuditKey, DatabaseError) as error:
        logger.warning("that a source was opened is not recorded: %s", type(error).__name__)


@transaction.atomic
def check(user: User, turn: Turn, *, wanted: bool) -> Check | None:
    """Record that the person has checked an answer of theirs against the guideline, or takes that back within a
    minute; what is so already is not recorded again. Returns the check that stands. Raises NotNow, and as `record`."""
    locked_head()  # of two clicks at once the second one finds what the first one did
    known = checks([turn]).get(str(turn.id))
    if wanted == (known is not None):
        return known
    if turn.state != State.COMPLETED or (wanted and (reading(turn).is_withheld or reading(turn).instead)):
        raise NotNow
    if known is not None and not known.undo_seconds:
        raise NotNow
    kind = CHECKED if wanted else WITHDRAWN
    payload = {"conversation": str(turn.conversation_id)}
    event = record(kind, actor=user.username, actor_role=user.role, subject=str(turn.id), payload=payload)
    return Check(event.at) if wanted else None


def checks(turns: Iterable[Turn]) -> dict[str, Check]:
    """Which of these turns their reader has checked, by their ids."""
    found: dict[str, Check] = {}
    wanted = Event.objects.filter(subject__in=[str(one.pk) for one in turns], kind__in=[CHECKED, WITHDRAWN])
    for subject, kind, at in wanted.order_by("seq").values_list("subject", "kind", "at"):
        if kind == CHECKED:
            found[subject] = Check(at)
        else:
            found.pop(subject, None)
    return found
