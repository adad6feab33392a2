"""Which language models are installed, what is known of them, and which one answers."""

from django.apps import AppConfig


class ModelcardsConfig(AppConfig):
    name = "portal.modelcards"
    label = "modelcards"
