"""The portal as a Django app: it owns the commands and the system checks."""

from django.apps import AppConfig
from django.db.backends.signals import connection_created


class PortalConfig(AppConfig):
    name = "portal"
    verbose_name = "Havre"

    def ready(self) -> None:
        from portal import checks, writers  # noqa: F401  (registers the checks)

        connection_created.connect(writers.wait_often, dispatch_uid="portal.writers")
