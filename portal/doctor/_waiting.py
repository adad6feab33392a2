"""What was to happen by itself by now, and did not."""

import time
from collections.abc import Iterable
from datetime import timedelta

from django.utils import timezone

from portal.chat import erasing, erasures, spool
from portal.chat.keeping import Erasure
from portal.doctor._findings import ERROR, OK, WARNING, Finding

_PART = "what waits"
_CARD_SECONDS = 300.0
_ERASURE = timedelta(hours=1)


def look_at_what_waits(thorough: bool) -> Iterable[Finding]:
    """Hotline cards whose record should have followed, and erasures that two people decided and that are not done."""
    found = [*_cards(), *_erasures(), *_decided(), *_holds()]
    return found or [Finding(_PART, OK, "No record of a hotline card and no confirmed erasure waits.")]


def _cards() -> Iterable[Finding]:
    before = time.time() - _CARD_SECONDS
    old = [one for one in spool.kept() if one.shown_before(before)]
    if other := [one for one in old if one.is_of_other_key()]:
        yield Finding(
            _PART,
            WARNING,
            f"Hotline cards that were shown wait for another master key than the one in its place: {len(other)}. They "
            "are not recorded, and nobody can be erased meanwhile.",
            "Put the master key back with which this installation worked before. Where that is lost for good, rename "
            f"their files in {other[0].path.parent} from .sealed to .bare: it is then recorded that cards were shown.",
        )
    elif old:
        yield Finding(
            _PART,
            WARNING,
            f"Hotline cards that were shown and are not recorded yet: {len(old)}. Their people cannot be erased "
            "meanwhile.",
            "Look whether a worker and the clock run, and whether master key and audit key lie in their places: the "
            "worker's log says what is missing.",
        )


def _erasures() -> Iterable[Finding]:
    waiting = Erasure.objects.filter(state__in=(Erasure.State.OPEN, Erasure.State.CONFIRMED))
    for one in waiting.select_related("conversation__owner", "person"):
        if unattested := erasures.not_attested(one):
            remedy = "Keep this database as it is, and find out who changed it. The page Erasure declines it."
            yield Finding(_PART, ERROR, f"The erasure {one.pk} waits: {unattested}", remedy)
            continue
        if one.decided_at is None or one.decided_at > timezone.now() - _ERASURE:
            continue
        reason = erasing.refusal(one.target) or "It was broken off, and nothing has gone on with it."
        yield Finding(
            _PART,
            WARNING,
            f"The erasure {one.pk} was confirmed {one.decided_at:%Y-%m-%d %H:%M} UTC and is not done: {reason}",
            "Look whether a worker and the clock run; the page Erasure has a button to go on.",
        )


def _decided() -> Iterable[Finding]:
    for request, subject in erasures.decided_without_row():
        message = (
            f"Two people decided the erasure {request} of {subject}, nothing was erased, and its row has gone or says "
            "otherwise: somebody changed the database."
        )
        remedy = (
            "Find out who changed it. What was decided does not go on by itself: ask for it anew on the page Erasure."
        )
        yield Finding(_PART, ERROR, message, remedy)


def _holds() -> Iterable[Finding]:
    for one in erasures.holds_without_row():
        message = (
            f"The legal hold {one.hold} on {one.subject} was never lifted, but its row has gone or says otherwise: "
            "somebody changed the database. It holds all the same."
        )
        remedy = "Find out who changed it. Where it is to end, set a hold on the same again and lift it: page Erasure."
        yield Finding(_PART, ERROR, message, remedy)
