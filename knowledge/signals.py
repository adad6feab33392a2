"""What the library announces of its own work, inside the transaction that writes it."""

from django.dispatch import Signal

version_changed = Signal()
"""Sent with `version`, its state `before` and the `actor` ("system" for the clock) when its state has changed; a
receiver's writes are committed with the version's row."""

ingestion_ended = Signal()
"""Sent with `version` when its ingestion has ended, indexed or failed; a receiver's writes are committed with the
version's row."""
