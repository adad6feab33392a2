"""The guideline pages of the portal. The documents themselves live in the app `knowledge`."""

from django.apps import AppConfig


class GuidelinesConfig(AppConfig):
    name = "portal.guidelines"
    label = "guidelines"

    def ready(self) -> None:
        from portal.guidelines import signals  # noqa: F401  (connects the receivers)
