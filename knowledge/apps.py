"""The Django application of the guideline library."""

from django.apps import AppConfig


class KnowledgeConfig(AppConfig):
    """Guidelines, their versions, ingestion, index and retrieval."""

    name = "knowledge"
    label = "knowledge"
    default_auto_field = "django.db.models.BigAutoField"
