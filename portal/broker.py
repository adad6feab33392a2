"""The way of Celery's workers to Valkey, made patient."""

from kombu.transport import redis


class PatientQoS(redis.QoS):
    """A worker whose broker is gone gives up its connection and then puts the messages that it has not confirmed back,
    through that connection: an AttributeError, which ends the worker. Here they stay where they are; what belongs to a
    turn is sent again (`recover_turns`)."""

    def restore_unacked(self, client: object = None) -> None:
        """Put back what is not confirmed, where there is still a way to the broker."""
        if self.channel.connection is not None and self.channel.connection.client is not None:
            super().restore_unacked(client)  # type: ignore[no-untyped-call]  # kombu has no types
        else:
            self._delivered.clear()


def be_patient() -> None:
    """From now on every connection of this process to the broker is."""
    redis.Channel.QoS = PatientQoS
