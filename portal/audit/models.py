"""The audit trail: what happened, in which order, by whom. Never the words of a conversation, and no names.

A row is written once, by `audit.services.record`, and never changed: triggers in the database refuse it.
"""

import uuid

from django.db import models
from django.utils.translation import gettext_lazy as _


class Actor(models.Model):
    """Whoever acts, under the code that events know them by: "system", "anonymous", "folder", "samples", or "p-" and 24
    random characters for a person. The name stands here alone, so that it can be erased while every event keeps its
    proof; event `person.named` holds SHA-256(salt, name), by which whoever has name and salt proves that they belong
    to the code. An erased person has neither."""

    code = models.CharField(max_length=32, primary_key=True)
    name = models.CharField(max_length=170, unique=True, null=True)  # noqa: DJ001  (many may be erased)
    salt = models.BinaryField(max_length=32, null=True)

    def __str__(self) -> str:
        return self.name or self.code


class Event(models.Model):
    """One thing that happened. `seq` counts from 1 without gaps; `subject` is what it happened to (a turn's uuid, a
    person's code, a guideline's uuid). `leaf` is the event's hash in the Merkle tree, over everything before it here in
    canonical JSON; `mac` says that it was recorded by a process which holds the audit key."""

    seq = models.BigIntegerField(primary_key=True)
    at = models.DateTimeField(db_index=True)
    kind = models.CharField(max_length=64, db_index=True)
    actor = models.ForeignKey(Actor, on_delete=models.PROTECT, related_name="+")
    actor_role = models.CharField(max_length=16, blank=True)
    subject = models.CharField(max_length=170, blank=True, db_index=True)
    payload = models.JSONField(default=dict)
    leaf = models.BinaryField(max_length=32)
    mac = models.BinaryField(max_length=32)

    class Meta:
        ordering = ["-seq"]

    def __str__(self) -> str:
        return f"{self.seq} {self.kind}"


class Head(models.Model):
    """One row: the number and the time of the last event. Whoever records holds its lock until commit, so that numbers
    have neither gaps nor twins. `ledger` names this audit trail in what is signed; `public_key` (hex) is whose
    signatures it goes on with, so that another key in the key's file is noticed at the next event; `mark` says that the
    last event is the last one, so that what no checkpoint is over yet cannot be cut off unseen."""

    last_seq = models.BigIntegerField(default=0)
    last_at = models.DateTimeField(null=True)
    ledger = models.UUIDField(default=uuid.uuid4)
    public_key = models.CharField(max_length=64, blank=True, default="")
    mark = models.BinaryField(max_length=32, null=True)

    def __str__(self) -> str:
        return str(self.last_seq)


class Checkpoint(models.Model):
    """A signed statement that the first `tree_size` events have this Merkle `root`. `number` counts from 1 without
    gaps, also through silence. `counts` is how many events of which kind came since the one before; `frontier` the
    roots of the complete subtrees, from which the next checkpoint goes on; `body` the canonical JSON that
    `signature` (Ed25519) is over."""

    number = models.BigIntegerField(primary_key=True)
    at = models.DateTimeField(db_index=True)
    tree_size = models.BigIntegerField()
    root = models.BinaryField(max_length=32)
    frontier = models.BinaryField()
    body = models.TextField()
    signature = models.BinaryField(max_length=64)

    class Meta:
        ordering = ["-number"]

    def __str__(self) -> str:
        return f"{self.number}: {self.tree_size} events"


class Delivery(models.Model):
    """How far something has been sent elsewhere: `what` names it and its address. Everything up to `last` (an event's
    or a checkpoint's number) has arrived there; what follows waits in the audit trail itself. `proof` is the hash of
    that last one, `landmarks` are some of those before it: pairs of number and hash (hexadecimal). After a failure the
    next try is at `next_try_at`."""

    what = models.CharField(max_length=300, primary_key=True)
    last = models.BigIntegerField(default=0)
    proof = models.BinaryField(max_length=32, null=True)
    landmarks = models.JSONField(default=list)
    arrived_at = models.DateTimeField(null=True)
    failures = models.PositiveIntegerField(default=0)
    error = models.CharField(max_length=300, blank=True)
    next_try_at = models.DateTimeField(null=True)
    held_until = models.DateTimeField(null=True)

    def __str__(self) -> str:
        return f"{self.what}: {self.last}"


class Export(models.Model):
    """An export that somebody asked for on the page, written by a worker and kept for a day. `number` is that of its
    event `audit.exported`; `filters` has codes for people. `attempt` is the fencing token of whoever writes it,
    `seen_at` when that worker last gave a sign. `problem` is a code."""

    class State(models.TextChoices):
        WAITING = "waiting", _("Waiting")
        RUNNING = "running", _("Being written")
        READY = "ready", _("Ready")
        FAILED = "failed", _("Failed")
        STOPPED = "stopped", _("Stopped")

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    number = models.BigIntegerField(unique=True)
    form = models.CharField(max_length=8)
    filters = models.JSONField(default=dict)
    asked_by = models.ForeignKey(Actor, on_delete=models.PROTECT, related_name="+")
    role = models.CharField(max_length=16)
    language = models.CharField(max_length=8)
    state = models.CharField(max_length=8, choices=State.choices, default=State.WAITING)
    attempt = models.PositiveIntegerField(default=0)
    done = models.BigIntegerField(default=0)
    total = models.BigIntegerField(default=0)
    size = models.BigIntegerField(default=0)
    sha256 = models.CharField(max_length=64, blank=True)
    problem = models.CharField(max_length=40, blank=True)
    created_at = models.DateTimeField(auto_now_add=True)
    seen_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        ordering = ["-created_at"]

    def __str__(self) -> str:
        return f"{self.number} {self.form} {self.state}"

    @property
    def is_open(self) -> bool:
        """Whether it still waits or is written."""
        return self.state in {self.State.WAITING, self.State.RUNNING}


class Trait(models.Model):
    """One entry of the index that turns are searched by (`portal.audit.traits`): an event, and the number of a trait
    that it gives to its turn. No name and no word of anything; it can be made anew from the events."""

    pk = models.CompositePrimaryKey("seq", "trait")
    seq = models.BigIntegerField()
    trait = models.BigIntegerField()

    class Meta:
        indexes = [models.Index(fields=["trait", "seq"], name="audit_trait_of")]

    def __str__(self) -> str:
        return f"{self.seq}: {self.trait}"


class TraitIndex(models.Model):
    """One row: up to which event the index goes, and by which version of the rules it was made."""

    up_to = models.BigIntegerField(default=0)
    version = models.PositiveIntegerField(default=0)

    def __str__(self) -> str:
        return str(self.up_to)
