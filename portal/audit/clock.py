"""Whether the wall clock was set while this process ran: compared with the machine's own time since it was started,
which nobody sets."""

import time
from dataclasses import dataclass
from datetime import UTC, datetime

from django.db import transaction

from portal.audit._canonical import moment
from portal.audit.models import Event, Head
from portal.audit.services import record

_JUMP_SECONDS = 5.0
_DRIFT = 0.001  # of the time between two looks: a clock that is slewed into place gains or loses half of that
_SINCE_START = getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC)  # goes on while a machine sleeps
_KIND = "clock.jumped"


@dataclass(frozen=True, slots=True)
class _Look:
    wall: float
    steady: float
    last_seq: int


_before: _Look | None = None


def watch() -> None:
    """Compare the clocks with the look before in this process; a jump is recorded as `clock.jumped`, once, whichever
    process sees it first. Raises as `record` does."""
    global _before  # noqa: PLW0603  (what this process saw last)
    last_seq = Head.objects.filter(pk=1).values_list("last_seq", flat=True).first() or 0
    now, before = _Look(time.time(), time.clock_gettime(_SINCE_START), last_seq), _before
    _before = now
    if before is None:
        return
    passed = now.steady - before.steady
    jump = now.wall - before.wall - passed
    if abs(jump) <= _JUMP_SECONDS + _DRIFT * passed:
        return
    with transaction.atomic():
        if not Event.objects.filter(kind=_KIND, seq__gt=before.last_seq).exists():
            said = {"from": _moment(now.wall - jump), "to": _moment(now.wall), "seconds": round(jump, 3)}
            record(_KIND, actor="system", payload=said)


def _moment(seconds: float) -> str:
    return moment(datetime.fromtimestamp(seconds, UTC))
