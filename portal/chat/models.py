"""Conversations and turns. The row of a turn is the truth; streams and sockets only carry news of it."""

import uuid
from datetime import datetime, timedelta
from typing import Any

from django.conf import settings
from django.db import models
from django.db.models import Q
from django.db.models.fields.json import KT
from django.utils import timezone
from django.utils.translation import gettext

from portal import vault
from portal.chat import sealed


class State(models.TextChoices):
    """Where a turn stands: queued → retrieving → generating → one of the final states."""

    QUEUED = "queued"
    RETRIEVING = "retrieving"
    GENERATING = "generating"
    COMPLETED = "completed"
    REDIRECTED = "redirected"
    REFUSED = "refused"
    CANCELLED = "cancelled"
    FAILED = "failed"


ACTIVE = (State.QUEUED, State.RETRIEVING, State.GENERATING)


class Quotation(models.TextChoices):
    """Why an answer was quoted from the guidelines and no language model was used."""

    ASKED = "asked", "the person chose it"
    NO_MODEL = "no_model", "no model is installed, or it cannot be loaded"
    MODEL_DOWN = "model_down", "the answering service is not running, or broke off twice"
    BUSY = "busy", "too many questions wait for the model"
    NOT_GROUNDED = "not_grounded", "what the model wrote does not stand in the guidelines"


class Conversation(sealed.HoldsSealed):
    """A dialogue of one person. Its id is chosen by the browser, so that a first message needs no round trip. `titled`
    is its title, sealed; `erased_at` is when its key was destroyed: nothing is ever added to it again."""

    id = models.UUIDField(primary_key=True, default=uuid.uuid4)
    owner = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.PROTECT, related_name="conversations")
    titled = models.BinaryField(null=True)
    erased_at = models.DateTimeField(null=True)
    created_at = models.DateTimeField(auto_now_add=True)
    updated_at = models.DateTimeField(auto_now=True)

    class Meta:
        ordering = ["-updated_at"]

    def __str__(self) -> str:
        return str(self.id)

    @property
    def title(self) -> str:
        """How the conversation begins; a word in its place where it was erased, or cannot be opened."""
        try:
            return str(self._title)
        except sealed.Erased:
            return gettext("Erased")
        except vault.VaultError:
            return gettext("Cannot be opened")

    @title.setter
    def title(self, given: str) -> None:
        self._title = given

    _title = sealed.value("titled", "title", str)


class Turn(sealed.HoldsSealed):
    """One question and what became of it.

    `attempt` is the fencing token: a worker that claims the turn raises it, and every later write of a worker names
    the attempt that it holds, so that a worker believed dead cannot write over its successor. `lease_until` is how
    long the claim holds without being renewed; `recoveries` counts how often the turn was begun again because its
    worker was lost or its engine broke off.

    The words are sealed: `asked` (question, and what of it the screen matched), `found` (passages), `said` (answer,
    citations, notices), `reasoning` (what the model thought). `passages` and `citations` are lists of the values that
    the browser gets; `passage_versions` is the ids of the passages' versions, `drawn_from` of others whose words the
    answer may hold because earlier answers that the model read rest on them. What of all this its owner may read now,
    `chat.reading` decides.

    `verdict`, `usage` and `model` are snapshots of what the libraries said; the database copies the name and the hash
    out of `model`, to look turns up by. `quotation` says why the answer is quoted and not written by a model; empty
    where a model writes it.
    """

    id = models.UUIDField(primary_key=True, default=uuid.uuid4)
    conversation = models.ForeignKey(Conversation, on_delete=models.PROTECT, related_name="turns")
    client_ref = models.UUIDField()
    asked = models.BinaryField(null=True)
    language = models.CharField(max_length=8)
    effort = models.CharField(max_length=8)
    state = models.CharField(max_length=12, choices=State.choices, default=State.QUEUED)
    position = models.PositiveIntegerField(default=0)
    verdict = models.JSONField(default=dict)
    card = models.JSONField(null=True)
    found = models.BinaryField(null=True)
    passage_versions = models.JSONField(default=list)
    drawn_from = models.JSONField(default=list)
    covered = models.BooleanField(null=True)
    said = models.BinaryField(null=True)
    groundedness = models.FloatField(null=True)
    usage = models.JSONField(default=dict)
    model = models.JSONField(default=dict)
    model_name = models.GeneratedField(expression=KT("model__name"), output_field=models.TextField(), db_persist=True)
    model_sha256 = models.GeneratedField(
        expression=KT("model__sha256"), output_field=models.TextField(), db_persist=True
    )
    quotation = models.CharField(max_length=16, choices=Quotation.choices, blank=True)
    reasoning = models.BinaryField(null=True)
    failure_code = models.CharField(max_length=40, blank=True)
    failure_message = models.TextField(blank=True)
    cancel_requested = models.BooleanField(default=False)
    attempt = models.PositiveIntegerField(default=0)
    recoveries = models.PositiveSmallIntegerField(default=0)
    enqueued_at = models.DateTimeField(null=True)
    lease_until = models.DateTimeField(null=True)
    created_at = models.DateTimeField(auto_now_add=True, db_index=True)
    finished_at = models.DateTimeField(null=True)

    class Meta:
        ordering = ["created_at"]
        constraints = [
            models.UniqueConstraint(fields=["conversation", "client_ref"], name="turn_is_started_once"),
            models.UniqueConstraint(
                fields=["conversation"],
                condition=Q(state__in=["queued", "retrieving", "generating"]),
                name="one_running_turn_a_conversation",
            ),
            models.CheckConstraint(condition=Q(state__in=State.values), name="turn_state_is_known"),
        ]
        indexes = [
            models.Index(fields=["state", "lease_until"], name="turn_state_lease"),
            models.Index(fields=["model_name", "-created_at"], name="turn_model_name"),
            models.Index(fields=["model_sha256", "-created_at"], name="turn_model_sha256"),
        ]

    def __str__(self) -> str:
        return str(self.id)

    question = sealed.value("asked", "question", str)
    matched = sealed.value("asked", "matched", list)
    answer = sealed.value("said", "answer", str)
    citations = sealed.value("said", "citations", list)
    notices = sealed.value("said", "notices", list)
    thoughts = sealed.value("reasoning", "thoughts", str)
    _passages = sealed.value("found", "passages", list)

    @property
    def passages(self) -> list[dict[str, Any]]:
        """What was found in the guidelines."""
        found: list[dict[str, Any]] = self._passages
        return found

    @passages.setter
    def passages(self, given: list[dict[str, Any]]) -> None:
        self._passages, self.passage_versions = given, sealed.versions_of(given)

    @staticmethod
    def no_claim_ends_after() -> datetime:
        """A time after which no claim that was given by now ends: one that does was given before the clock was set
        back. Clocks of several machines differ by less."""
        return timezone.now() + timedelta(seconds=settings.HAVRE_LEASE_SECONDS + settings.HAVRE_TURN_DEADLINE_SECONDS)

    @property
    def is_active(self) -> bool:
        """Whether the turn still runs."""
        return self.state in ACTIVE


class Piece(models.Model):
    """A piece of an answer that was shown, sealed; `chain` binds it to those before it (`chat.showing`)."""

    turn = models.ForeignKey(Turn, on_delete=models.CASCADE, related_name="pieces")
    attempt = models.PositiveIntegerField()
    number = models.PositiveIntegerField()
    words = models.BinaryField()
    chain = models.BinaryField(max_length=32)
    at = models.DateTimeField(auto_now_add=True)

    class Meta:
        ordering = ["attempt", "number"]
        constraints = [models.UniqueConstraint(fields=["turn", "attempt", "number"], name="piece_is_shown_once")]

    def __str__(self) -> str:
        return f"{self.turn_id} {self.attempt}.{self.number}"


class ConversationKey(models.Model):
    """The key that a conversation's sealed texts are read with, itself sealed with the installation's master key, which
    lies outside the database. Without this row what was sealed is gone for good."""

    conversation = models.OneToOneField(Conversation, primary_key=True, on_delete=models.PROTECT, related_name="key")
    wrapped = models.BinaryField()
    created_at = models.DateTimeField(auto_now_add=True)

    def __str__(self) -> str:
        return str(self.conversation_id)
