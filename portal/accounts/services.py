"""Writes about people: each one leaves its record in the audit trail, in the same transaction."""

import secrets
from collections.abc import Collection

from django.contrib.auth.password_validation import validate_password
from django.core.exceptions import ValidationError
from django.db import transaction
from django.utils.translation import gettext as _

from knowledge.models import Department
from portal.accounts.models import RESERVED, Role, User
from portal.accounts.selectors import role_of
from portal.audit.services import code_of, is_code, record

_PASSWORD_ALPHABET = "abcdefghijkmnpqrstuvwxyz23456789"  # noqa: S105  (without l, o, 0, 1, which are misread)


class AccountError(Exception):
    """A person cannot be created or changed; the text says why, in one sentence."""


def random_password() -> str:
    """A fresh password of 80 bits in four groups, easy to read from a screen and to type."""
    return "-".join("".join(secrets.choice(_PASSWORD_ALPHABET) for _ in range(4)) for _ in range(4))


@transaction.atomic
def create_user(username: str, *, role: Role, password: str, demonstration: bool = False, actor: str) -> User:
    """Create a person who can sign in.

    Raises AccountError when the name is taken, unusable or `RESERVED`, or the password too weak.
    """
    user = User(username=username, role=role, demonstration=demonstration)
    try:
        user.full_clean(exclude=["password"])  # which also writes the name as it will be compared
        if user.username.casefold() in RESERVED or is_code(user.username.casefold()):
            text = _("“%(name)s” is a name that Havre uses itself, in the audit trail. Choose another one.")
            raise ValidationError(text, params={"name": user.username})
        validate_password(password, user)
    except ValidationError as error:
        raise AccountError(" ".join(error.messages)) from error
    user.set_password(password)
    user.save()
    record("user.created", actor=actor, subject=code_of(user.username), payload={"role": role.value})
    return user


@transaction.atomic
def set_departments(user: User, departments: Collection[Department], *, actor: str) -> None:
    """Say which departments a person belongs to: from their next question on they see what is for these and for
    everybody."""
    held = User.objects.select_for_update().get(pk=user.pk)
    before = [one.name for one in held.departments.order_by("name")]
    after = sorted(one.name for one in departments)
    if before == after:
        return
    held.departments.set(departments)
    record(
        "user.departments_changed",
        actor=actor,
        actor_role=role_of(actor),
        subject=code_of(user.username),
        payload={"before": before, "after": after},
    )


@transaction.atomic
def renew_password(user: User, *, actor: str) -> str:
    """Give `user` a fresh random password, which ends every session of theirs; returns the password."""
    password = random_password()
    user.set_password(password)
    user.save(update_fields=["password"])
    record("user.password_renewed", actor=actor, subject=code_of(user.username))
    return password
