"""Trials of models that an administrator asked for on the page. What is known of the models themselves stands in the
register of the models folder; this is only the way there."""

import json
import uuid

from django.db import models
from django.utils.translation import gettext_lazy as _

from inference import Sentence, sentence_from


class Trial(models.Model):
    """One try to activate a model: asked for on the page, done by an inference worker.

    At most one is open at a time (`open_slot`). `lines` is what the worker said on the way (rows of sentences),
    `problem` why it failed (one, as JSON), `seen_at` when it last gave a sign: a worker that was lost is known by it.
    """

    class State(models.TextChoices):
        WAITING = "waiting", _("Waiting")
        RUNNING = "running", _("Being tried")
        PASSED = "passed", _("Passed")
        FAILED = "failed", _("Failed")

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    name = models.CharField(max_length=64)
    sha256 = models.CharField(max_length=64)
    asked_by = models.CharField(max_length=150)
    state = models.CharField(max_length=8, choices=State.choices, default=State.WAITING)
    open_slot = models.PositiveSmallIntegerField(null=True, unique=True, default=1)
    lines = models.JSONField(default=list)
    problem = models.TextField(blank=True)
    created_at = models.DateTimeField(auto_now_add=True)
    seen_at = models.DateTimeField(auto_now_add=True)
    finished_at = models.DateTimeField(null=True)

    class Meta:
        ordering = ["-created_at"]

    def __str__(self) -> str:
        return f"{self.name} {self.state}"

    @property
    def steps(self) -> list[Sentence]:
        """What the worker said on the way."""
        return [sentence_from(line) for line in self.lines]

    @property
    def failure(self) -> Sentence:
        """Why it failed; nothing where it did not. An older version kept a text."""
        try:
            return sentence_from(json.loads(self.problem))
        except ValueError:
            return Sentence(self.problem)

    @property
    def is_open(self) -> bool:
        """Whether it still waits or runs."""
        return self.state in {self.State.WAITING, self.State.RUNNING}
