"""What decides how long conversations and names are kept: legal holds, and erasures that wait for a second person.

Each row is about one thing, a conversation or a person. Who did what stands as a code, as in the audit trail, so that
nothing here has to be looked for when somebody's name is erased.
"""

import uuid
from typing import TYPE_CHECKING

from django.conf import settings
from django.db import models
from django.db.models import Q
from django.utils.translation import gettext_lazy as _

if TYPE_CHECKING:
    from portal.accounts.models import User
    from portal.chat.models import Conversation

_ONE_TARGET = Q(conversation=None, person__isnull=False) | Q(conversation__isnull=False, person=None)


class AboutOne(models.Model):
    """A row about a conversation or a person."""

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    conversation = models.ForeignKey(
        "chat.Conversation", null=True, on_delete=models.PROTECT, related_name="%(class)ss"
    )
    person = models.ForeignKey(settings.AUTH_USER_MODEL, null=True, on_delete=models.PROTECT, related_name="%(class)ss")
    reason = models.CharField(max_length=500)

    class Meta:
        abstract = True

    def __str__(self) -> str:
        return f"{self._meta.verbose_name} of {self.conversation_id or self.person_id}"

    @property
    def target(self) -> "Conversation | User":
        """The conversation or the person."""
        found = self.conversation or self.person
        assert found is not None  # _ONE_TARGET
        return found


class Hold(AboutOne):
    """What nobody may erase, because somebody may have to show it to a court or an authority: a conversation, or
    everything of a person. It holds until it is lifted."""

    set_by = models.ForeignKey("audit.Actor", on_delete=models.PROTECT, related_name="+")
    set_at = models.DateTimeField(auto_now_add=True)
    lifted_by = models.ForeignKey("audit.Actor", null=True, on_delete=models.PROTECT, related_name="+")
    lifted_at = models.DateTimeField(null=True)

    class Meta:
        ordering = ["-set_at"]
        constraints = [
            models.CheckConstraint(condition=_ONE_TARGET, name="hold_has_one_target"),
            models.UniqueConstraint(
                fields=["conversation"], condition=Q(lifted_at=None), name="one_hold_a_conversation"
            ),
            models.UniqueConstraint(fields=["person"], condition=Q(lifted_at=None), name="one_hold_a_person"),
        ]


class Erasure(AboutOne):
    """An erasure that a compliance officer asked for on the page; a second person decides, at `decided_at`. What was
    confirmed is carried out, which may be broken off and goes on, until it is done. `conversations` and `turns` are
    what was to go when it was confirmed, and what went once it is done."""

    class State(models.TextChoices):
        OPEN = "open", _("Waiting for a second person")
        CONFIRMED = "confirmed", _("Confirmed, not finished yet")
        DONE = "done", _("Erased")
        DECLINED = "declined", _("Declined")
        WITHDRAWN = "withdrawn", _("Taken back")

    state = models.CharField(max_length=9, choices=State.choices, default=State.OPEN)
    asked_by = models.ForeignKey("audit.Actor", on_delete=models.PROTECT, related_name="+")
    asked_at = models.DateTimeField(auto_now_add=True)
    decided_by = models.ForeignKey("audit.Actor", null=True, on_delete=models.PROTECT, related_name="+")
    decided_at = models.DateTimeField(null=True)
    done_at = models.DateTimeField(null=True)
    conversations = models.PositiveIntegerField(default=0)
    turns = models.PositiveIntegerField(default=0)

    class Meta:
        ordering = ["-asked_at"]
        constraints = [
            models.CheckConstraint(condition=_ONE_TARGET, name="erasure_has_one_target"),
            models.UniqueConstraint(
                fields=["conversation"],
                condition=Q(state__in=["open", "confirmed"]),
                name="one_open_erasure_a_conversation",
            ),
            models.UniqueConstraint(
                fields=["person"], condition=Q(state__in=["open", "confirmed"]), name="one_open_erasure_a_person"
            ),
        ]
