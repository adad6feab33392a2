"""What was to happen by itself by now, and did not."""

import time
from collections.abc import Iterable
from datetime import timedelta

from django.utils import timezone

from portal.chat import erasing, spool
from portal.chat.keeping import Erasure
from portal.doctor._findings import OK, WARNING, Finding

_PART = "what waits"
_CARD_SECONDS = 300.0
_ERASURE = timedelta(hours=1)


def look_at_what_waits(thorough: bool) -> Iterable[Finding]:
    """Hotline cards whose record should have followed, and erasures that two people decided and that are not done."""
    found = [*_cards(), *_erasures()]
    return found or [Finding(_PART, OK, "No record of a hotline card and no confirmed erasure waits.")]


def _cards() -> Iterable[Finding]:
    before = time.time() - _CARD_SECONDS
    old = sum(one.shown_before(before) for one in spool.kept())
    if old:
        yield Finding(
            _PART,
            WARNING,
            f"Hotline cards that were shown and are not recorded yet: {old}. Their people cannot be erased meanwhile.",
            "Look whether a worker and the clock run, and whether master key and audit key lie in their places: the "
            "worker's log says what is missing.",
        )


def _erasures() -> Iterable[Finding]:
    waiting = Erasure.objects.filter(state=Erasure.State.CONFIRMED, decided_at__lt=timezone.now() - _ERASURE)
    for one in waiting.select_related("conversation__owner", "person"):
        reason = erasing.refusal(one.target) or "It was broken off, and nothing has gone on with it."
        yield Finding(
            _PART,
            WARNING,
            f"The erasure {one.pk} was confirmed {one.decided_at:%Y-%m-%d %H:%M} UTC and is not done: {reason}",
            "Look whether a worker and the clock run; the page Erasure has a button to go on.",
        )
