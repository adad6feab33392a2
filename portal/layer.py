"""The channel layer, made patient."""

import asyncio
from typing import Any

from channels_redis.core import RedisChannelLayer

from portal.valkey import Unreachable

_AGAIN_SECONDS = 1.0


class PatientChannelLayer(RedisChannelLayer):
    """Channels waits for notices beside every socket, and ends the socket when waiting fails. Here it goes on waiting
    while Valkey is away: a socket must outlive its broker, because the crisis card needs none."""

    async def receive(self, channel: str) -> dict[str, Any]:
        """The next notice for a channel, however long Valkey is away."""
        while True:
            try:
                message: dict[str, Any] = await super().receive(channel)
                return message
            except Unreachable:
                await asyncio.sleep(_AGAIN_SECONDS)
