"""The audit trail."""

from typing import Any

from django.apps import AppConfig
from django.db import connections
from django.db.models.signals import post_migrate


class AuditConfig(AppConfig):
    name = "portal.audit"
    label = "audit"

    def ready(self) -> None:
        from portal.audit import checks  # noqa: F401  (registers them)

        post_migrate.connect(_make_key, sender=self, dispatch_uid="audit.key")


def _make_key(*, using: str, **kwargs: Any) -> None:
    """An installation that has recorded nothing yet gets its audit key. One that has lost it does not get another,
    which would hide the loss: `check` says so. Raises vault.NoKey when it cannot be written."""
    from portal.audit import keys
    from portal.audit.models import Checkpoint, Event

    if Checkpoint._meta.db_table not in connections[using].introspection.table_names():
        return  # other apps alone were migrated, or this one back
    if not Event.objects.using(using).exists() and not Checkpoint.objects.using(using).exists():
        keys.make()
