"""A facility's additions to the rules, from draft to release, and the messages that they are tested on.

The database keeps every release whole; the files that the screen reads (`guardrails.releases`) are written from it.
"""

import uuid
from typing import Any

from django.db import models
from django.utils.translation import gettext_lazy as _


class State(models.TextChoices):
    """Where a change stands."""

    DRAFT = "draft", _("Draft")
    TESTING = "testing", _("Being tested")
    TESTED = "tested", _("Tested")
    REQUESTED = "requested", _("Waiting for a second person")
    ACTIVE = "active", _("In force")
    SUPERSEDED = "superseded", _("Replaced")
    DISCARDED = "discarded", _("Discarded")


OPEN = (State.DRAFT, State.TESTING, State.TESTED, State.REQUESTED)
RELEASED = (State.ACTIVE, State.SUPERSEDED)


def _empty() -> dict[str, Any]:
    return {"phrase": [], "hotline": [], "regions": []}


class RuleRelease(models.Model):
    """One set of additions. At most one is open at a time and at most one is in force (`open_slot`, `active_slot`).

    `content` has the keys of `guardrails.releases.facility_additions`; its phrases and lines carry a `key` besides.
    `authors` are the sign-in names of everybody who changed it: none of them may release it. `base` is the release that
    the test compared it with, `shipped` the shipped rules at that time. Nothing of a released one is changed again but
    its state.
    """

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    state = models.CharField(max_length=16, choices=State.choices, default=State.DRAFT)
    open_slot = models.PositiveSmallIntegerField(null=True, unique=True, default=1)
    active_slot = models.PositiveSmallIntegerField(null=True, unique=True, default=None)
    number = models.PositiveIntegerField(null=True, unique=True)
    content = models.JSONField(default=_empty)
    removed = models.JSONField(default=list)
    authors = models.JSONField(default=list)
    note = models.CharField(max_length=200, blank=True)
    restores = models.ForeignKey("self", null=True, on_delete=models.PROTECT, related_name="restored_by")
    created_at = models.DateTimeField(auto_now_add=True)

    base = models.ForeignKey("self", null=True, on_delete=models.PROTECT, related_name="followers")
    shipped = models.CharField(max_length=64, blank=True)
    report = models.JSONField(null=True)
    progress_done = models.PositiveIntegerField(default=0)
    progress_total = models.PositiveIntegerField(default=0)
    claimed_at = models.DateTimeField(null=True)
    tested_at = models.DateTimeField(null=True)
    test_failure = models.CharField(max_length=64, blank=True)

    requested_by = models.CharField(max_length=150, blank=True)
    requested_at = models.DateTimeField(null=True)
    released_by = models.CharField(max_length=150, blank=True)
    released_at = models.DateTimeField(null=True)
    sha256 = models.CharField(max_length=64, blank=True)
    rule_set = models.CharField(max_length=64, blank=True)

    class Meta:
        ordering = ["-created_at"]

    def __str__(self) -> str:
        return f"release {self.number}" if self.number else f"{self.state} {self.id}"

    @property
    def is_open(self) -> bool:
        """Neither released nor discarded."""
        return self.state in OPEN


class LabelledCase(models.Model):
    """A message that the facility wrote itself, and what the screen ought to say of it. Withdrawn ones are kept, so
    that old reports can still name them."""

    text = models.CharField(max_length=1000)
    language = models.CharField(max_length=2)
    label = models.CharField(max_length=32)
    added_by = models.CharField(max_length=150)
    created_at = models.DateTimeField(auto_now_add=True)
    withdrawn_at = models.DateTimeField(null=True)

    class Meta:
        ordering = ["-created_at", "-pk"]

    def __str__(self) -> str:
        return f"case {self.pk}"
