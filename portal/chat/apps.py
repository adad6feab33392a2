"""Conversations, turns, the websocket and the turn pipeline."""

from typing import Any

from django.apps import AppConfig
from django.db import connections
from django.db.models.signals import post_migrate


class ChatConfig(AppConfig):
    name = "portal.chat"
    label = "chat"

    def ready(self) -> None:
        from portal.chat import keeping  # noqa: F401  (models beside those of `models`)

        post_migrate.connect(_make_master_key, sender=self, dispatch_uid="chat.master_key")


def _make_master_key(*, using: str, **kwargs: Any) -> None:
    """An installation that has sealed nothing yet gets its master key. One that has lost it does not get another, which
    would hide the loss: `check` says so. Raises NoMasterKey when it cannot be written."""
    from portal import vault
    from portal.chat.models import ConversationKey

    if ConversationKey._meta.db_table not in connections[using].introspection.table_names():
        return  # other apps alone were migrated, or this one back
    if not ConversationKey.objects.using(using).exists():
        vault.make_master_key()
