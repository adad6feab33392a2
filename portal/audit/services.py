"""The only way into the audit trail."""

from collections.abc import Mapping
from typing import Any

from django.db import transaction
from django.utils import timezone

from portal.audit.models import Event, Head


def record(
    kind: str,
    *,
    actor: str,
    subject: str = "",
    actor_role: str = "",
    payload: Mapping[str, Any] | None = None,
) -> Event:
    """Append one event, in the caller's transaction: it is there if and only if what it records is.

    `kind` is past tense and dotted ("turn.completed"). `payload` holds JSON values and no content of conversations:
    hashes, identifiers, rule names, counts. Raises TransactionManagementError outside a transaction.
    """
    if not transaction.get_connection().in_atomic_block:
        raise transaction.TransactionManagementError("An event is recorded in the transaction of what it records.")
    head, _ = Head.objects.select_for_update().get_or_create(pk=1)
    head.last_seq += 1
    head.save(update_fields=["last_seq"])
    return Event.objects.create(
        seq=head.last_seq,
        at=timezone.now(),
        kind=kind,
        actor=actor,
        actor_role=actor_role,
        subject=subject,
        payload=dict(payload or {}),
    )
