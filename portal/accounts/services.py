"""Writes about people: each one leaves its record in the audit trail, in the same transaction."""

import secrets
from collections.abc import Collection

from django.contrib.auth.password_validation import validate_password
from django.core.exceptions import ValidationError
from django.db import transaction
from django.db.models import Q
from django.utils import timezone
from django.utils.translation import gettext as _

from knowledge.models import Department
from portal.accounts.models import NEVER_LAST, RESERVED, Role, User
from portal.accounts.selectors import is_last_with_role, role_of
from portal.accounts.sessions import announce_end, end_sessions
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


@transaction.atomic
def close(user: User, *, actor: str) -> None:
    """Close the account of somebody who left: nobody signs in with it, and every session of theirs ends. Raises
    AccountError where it is closed, `RESERVED`, or the last one with a role that somebody must have."""
    held = _held(user)
    if not held.is_active:
        raise AccountError(_("This account is closed already."))
    if is_last_with_role(held):
        raise AccountError(_("This is the last person with this role: give it to somebody else first."))
    User.objects.filter(pk=held.pk).update(is_active=False, closed_at=timezone.now())
    end_sessions(held.pk)
    record("user.closed", actor=actor, subject=code_of(held.username))
    transaction.on_commit(lambda: announce_end(held.pk))


@transaction.atomic
def reopen(user: User, *, actor: str) -> None:
    """Undo `close`. Raises AccountError where it is open, `RESERVED`, or its person was erased."""
    held = _held(user)
    if held.is_active:
        raise AccountError(_("This account is open."))
    if is_code(held.username):
        raise AccountError(_("This person was erased: nobody can sign in with this account any more."))
    User.objects.filter(pk=held.pk).update(is_active=True, closed_at=None)
    record("user.reopened", actor=actor, subject=code_of(held.username))


def _held(user: User) -> User:
    """The person as they are now, and whoever else has the role where somebody must have it: nobody changes them until
    the transaction ends."""
    which = Q(pk=user.pk)
    if user.role in NEVER_LAST:
        which |= Q(role=user.role, is_active=True)
    locked = User.objects.select_for_update().filter(which).order_by("pk")
    found = next((one for one in locked if one.pk == user.pk), None)
    if found is None or found.username.casefold() in RESERVED:
        raise AccountError(_("This is nobody's account."))
    return found
