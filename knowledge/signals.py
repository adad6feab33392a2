"""What the library announces of its own work, inside the transaction that writes it."""

from django.dispatch import Signal

ingestion_ended = Signal()
"""Sent with `version` when its ingestion has ended, indexed or failed; a receiver's writes are committed with the
version's row."""
