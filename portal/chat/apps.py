"""Conversations, turns, the websocket and the turn pipeline."""

from django.apps import AppConfig


class ChatConfig(AppConfig):
    name = "portal.chat"
    label = "chat"
