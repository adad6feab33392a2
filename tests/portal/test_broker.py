"""A worker's connection to a broker that has gone away."""

from typing import Any

from django.conf import settings
from kombu import Connection

from portal import broker


def test_a_connection_that_was_lost_with_an_unconfirmed_message_can_be_closed(valkey_server: str) -> None:
    broker.be_patient()
    connection: Any = Connection(settings.CELERY_BROKER_URL)
    queue = connection.SimpleQueue("unconfirmed")
    queue.put({"n": 1})
    assert queue.get(timeout=5).payload == {"n": 1}
    channel, transport = queue.channel, connection.transport
    transport.client = None  # Celery gives the way to a lost broker up before it closes the channel
    channel.close()
    assert channel.closed
