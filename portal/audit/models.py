"""The audit trail: what happened, in which order, by whom. Never the words of a conversation."""

from django.db import models


class Event(models.Model):
    """One thing that happened. `seq` counts from 1 without gaps; `actor` is a sign-in name, "system", "anonymous" or
    "terminal:<name>"; `subject` is what it happened to (a turn's uuid, a sign-in name, a guideline's uuid)."""

    seq = models.BigIntegerField(primary_key=True)
    at = models.DateTimeField(db_index=True)
    kind = models.CharField(max_length=64, db_index=True)
    actor = models.CharField(max_length=170, db_index=True)
    actor_role = models.CharField(max_length=16, blank=True)
    subject = models.CharField(max_length=170, blank=True, db_index=True)
    payload = models.JSONField(default=dict)

    class Meta:
        ordering = ["-seq"]

    def __str__(self) -> str:
        return f"{self.seq} {self.kind}"


class Head(models.Model):
    """One row: the number of the last event. Whoever records holds its lock until commit, so that numbers have neither
    gaps nor twins."""

    last_seq = models.BigIntegerField(default=0)

    def __str__(self) -> str:
        return str(self.last_seq)
