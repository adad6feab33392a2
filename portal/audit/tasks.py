"""The clock's part of the audit trail."""

import logging
import time

from celery import shared_task
from django.db import transaction

from portal.audit import _readable, clock, integrity, keys, pushing, sealing, verifying
from portal.audit.models import Event
from portal.audit.services import record

logger = logging.getLogger(__name__)

_PUSH_SECONDS = 15.0
_REFUSED = "audit.sealing_refused"


@shared_task
def seal_minute() -> None:
    """A checkpoint, whether or not something happened. Where none can be made, the audit trail itself says so once."""
    try:
        clock.watch()
        sealing.seal("minute")
    except sealing.Tampered as error:
        logger.critical("the audit trail is not sealed: %s", error)
        _record_refusal(error)
    except keys.NoAuditKey as error:
        logger.error("the audit trail is not sealed: %s", error)


def _record_refusal(error: sealing.Tampered) -> None:
    payload = {"event": error.seq, "why": str(error)}
    with transaction.atomic():
        _number, sealed = _readable.newest_checkpoint()
        known = Event.objects.filter(kind=_REFUSED, seq__gt=sealed.tree_size if sealed else 0).order_by("seq")
        told = (row.payload if row else None for row in _readable.each(known, max(1, known.count())))
        if payload not in told:
            record(_REFUSED, actor="system", payload=payload)


@shared_task
def push() -> None:
    """Send what waits to the places that the settings name."""
    ends = time.monotonic() + _PUSH_SECONDS
    try:
        pushing.push(lambda: time.monotonic() > ends)
    except ValueError as error:
        logger.error("nothing of the audit trail is sent elsewhere: %s", error)


@shared_task
def verify() -> None:
    """Look at the whole audit trail, and record what was found."""
    try:
        outcome = verifying.verify()
        verifying.keep(outcome, actor="system")
    except keys.NoAuditKey as error:
        logger.error("the audit trail is not verified: %s", error)
        return
    for one in outcome.findings:
        logger.critical("the audit trail is not what was recorded: %s", one)


@shared_task
def verify_asked(event: int) -> None:
    """The verification that somebody asked for on the page."""
    try:
        integrity.verify_asked(event)
    except keys.NoAuditKey as error:
        logger.error("the audit trail is not verified: %s", error)
