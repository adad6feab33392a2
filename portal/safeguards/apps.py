"""What the facility adds to the crisis screen: its words, its help lines, and how they are released."""

from django.apps import AppConfig


class SafeguardsConfig(AppConfig):
    name = "portal.safeguards"
    label = "safeguards"

    def ready(self) -> None:
        from django.conf import settings

        from guardrails.releases import use_releases

        use_releases(settings.HAVRE_DATA_DIR / "guardrails")
