"""People who sign in. One role each; nobody inherits another's rights, administrators included."""

from django.contrib.auth.models import AbstractUser
from django.db import models
from django.utils.translation import gettext_lazy as _

TERMINAL = "terminal"
"""The name under which `manage.py ask` asks: a clinician without a password, who can never sign in."""

RESERVED = frozenset({TERMINAL, "anonymous", "folder", "samples", "system"})
"""Names under which the audit trail and the library know what no person did: nobody signs in with one."""


class Role(models.TextChoices):
    """What a person may do here."""

    CLINICIAN = "clinician", _("Clinician")
    ADMIN = "admin", _("Administrator")
    COMPLIANCE = "compliance", _("Compliance officer")


NEVER_LAST = frozenset({Role.ADMIN, Role.COMPLIANCE})
"""Roles that somebody must have."""


class User(AbstractUser):
    """A person with a role. A clinician asks, an administrator manages guidelines, a compliance officer reads the
    audit trail. `demonstration` marks the sign-ins that `manage.py serve` makes and renews for a demonstration.
    `closed_at` is since when the account is closed."""

    role = models.CharField(_("role"), max_length=16, choices=Role.choices)
    demonstration = models.BooleanField(default=False)
    closed_at = models.DateTimeField(null=True, blank=True)
    departments = models.ManyToManyField("knowledge.Department", blank=True, related_name="people")

    class Meta(AbstractUser.Meta):
        constraints = [
            models.CheckConstraint(condition=models.Q(role__in=Role.values), name="user_role_is_known"),
        ]
