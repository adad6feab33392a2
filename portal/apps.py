"""The portal as a Django app: it owns the commands and the system checks."""

from django.apps import AppConfig


class PortalConfig(AppConfig):
    name = "portal"
    verbose_name = "Havre"

    def ready(self) -> None:
        from portal import checks  # noqa: F401  (registers the checks)
