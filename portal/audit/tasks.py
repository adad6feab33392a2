"""The clock's part of the audit trail."""

import logging

from celery import shared_task
from django.db import transaction

from portal.audit import clock, keys, sealing
from portal.audit.models import Checkpoint, Event
from portal.audit.services import record

logger = logging.getLogger(__name__)

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
        sealed = Checkpoint.objects.values_list("tree_size", flat=True).first() or 0
        known = Event.objects.filter(kind=_REFUSED, seq__gt=sealed).values_list("payload", flat=True)
        if payload not in list(known):
            record(_REFUSED, actor="system", payload=payload)
