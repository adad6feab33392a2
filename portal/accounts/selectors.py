"""Reads about people."""

from uuid import UUID

from django.db import transaction
from django.utils.crypto import salted_hmac

from portal.accounts.models import NEVER_LAST, User
from portal.audit.services import code_of


def role_of(name: str) -> str:
    """The role of the person who signs in with this name; empty for the clock, the terminal and names of nobody."""
    return User.objects.filter(username=name).values_list("role", flat=True).first() or ""


def is_last_with_role(user: User) -> bool:
    """Whether nobody else could do what this person can, in a role that somebody must have."""
    others = User.objects.filter(is_active=True, role=user.role).exclude(pk=user.pk)
    return user.is_active and user.role in NEVER_LAST and not others.exists()


def departments_of(user: User) -> tuple[UUID, ...]:
    """The departments that a person belongs to."""
    return tuple(user.departments.values_list("pk", flat=True))


def subject_of(name: str) -> str:
    """What the audit trail says of a name that somebody typed into the sign-in form: the code of the person where there
    is one, else a keyed hash of it, because it may be a password typed into the wrong field."""
    name = name[:150]
    if User.objects.filter(username=name).exists():
        with transaction.atomic():
            return code_of(name)
    return "unknown:" + salted_hmac("portal.accounts.unknown-name", name).hexdigest()[:16]
