"""Sign-ins and sign-outs, recorded where Django announces them."""

from typing import Any

from django.contrib.auth.signals import user_logged_in, user_logged_out, user_login_failed
from django.db import transaction
from django.dispatch import receiver

from portal.accounts.models import User
from portal.accounts.selectors import subject_of
from portal.audit.services import code_of, record


@receiver(user_logged_in)
def _signed_in(sender: object, user: User, **_: Any) -> None:
    with transaction.atomic():
        record("session.signed_in", actor=user.username, actor_role=user.role, subject=code_of(user.username))


@receiver(user_logged_out)
def _signed_out(sender: object, user: User | None, **_: Any) -> None:
    if user is None:
        return
    from portal.accounts.sessions import announce_end

    with transaction.atomic():
        record("session.signed_out", actor=user.username, actor_role=user.role, subject=code_of(user.username))
        transaction.on_commit(lambda: announce_end(user.pk))


@receiver(user_login_failed)
def _refused(sender: object, credentials: dict[str, Any], **_: Any) -> None:
    with transaction.atomic():
        record("session.refused", actor="anonymous", subject=subject_of(str(credentials.get("username") or "")))
