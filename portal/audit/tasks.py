"""The clock's part of the audit trail."""

import logging

from celery import shared_task

from portal.audit import keys, sealing

logger = logging.getLogger(__name__)


@shared_task
def seal_minute() -> None:
    """A checkpoint, whether or not something happened."""
    try:
        sealing.seal("minute")
    except sealing.Tampered as error:
        logger.critical("the audit trail is not sealed: %s", error)
    except keys.NoAuditKey as error:
        logger.error("the audit trail is not sealed: %s", error)
