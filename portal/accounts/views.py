"""Sign-in, sign-out and the password form."""

import logging
from datetime import timedelta
from typing import Any

from django.conf import settings
from django.contrib import messages
from django.contrib.auth import views as auth_views
from django.contrib.auth.forms import AuthenticationForm
from django.core.exceptions import PermissionDenied
from django.db import DatabaseError, transaction
from django.http import HttpRequest, HttpResponse
from django.urls import reverse_lazy
from django.utils import timezone
from django.utils.translation import gettext as _

from portal import unwritable, vault
from portal.accounts.models import User
from portal.accounts.selectors import subject_of
from portal.accounts.sessions import announce_end
from portal.audit.selectors import count_since
from portal.audit.services import code_of, record
from portal.database import patience

logger = logging.getLogger(__name__)

_LEAVE_SECONDS = 1.0  # how long who signs out waits once more for a database that is held


class SignInForm(AuthenticationForm):
    """Django's sign-in form, closed for a while after repeated failures with one name.

    The failures are counted in the audit trail, so that the lock holds over restarts and over several web
    processes, and works when the broker is down.
    """

    def clean(self) -> dict[str, Any]:
        name = str(self.cleaned_data.get("username") or "")
        since = timezone.now() - timedelta(seconds=settings.HAVRE_LOGIN_LOCK_SECONDS)
        subject = subject_of(name)
        if name and count_since("session.refused", subject=subject, since=since) >= settings.HAVRE_LOGIN_FAILURES:
            with transaction.atomic():
                record("session.locked", actor="anonymous", subject=subject)
            minutes = max(1, settings.HAVRE_LOGIN_LOCK_SECONDS // 60)
            self.add_error(
                None,
                _("Too many failed attempts for this name. Wait %(minutes)d minutes, then try again.")
                % {"minutes": minutes},
            )
            return self.cleaned_data
        return super().clean()


class SignIn(auth_views.LoginView):
    form_class = SignInForm
    redirect_authenticated_user = True

    @transaction.atomic
    def form_valid(self, form: AuthenticationForm) -> HttpResponse:
        user = User.objects.select_for_update().get(pk=form.get_user().pk)
        if not user.is_active:  # closed or erased since the password was looked at: no session begins behind that
            record("session.refused", actor="anonymous", subject=code_of(user.username))
            form.add_error(None, form.get_invalid_login_error())
            return self.form_invalid(form)
        return super().form_valid(form)


class SignOut(auth_views.LogoutView):
    def post(self, request: HttpRequest, *args: Any, **kwargs: Any) -> Any:
        """Sign out, also where that cannot be recorded: a workstation is shared. The page then says that it was not."""
        try:
            return super().post(request, *args, **kwargs)
        except (vault.VaultError, DatabaseError) as error:
            self._leave(request)
            said = unwritable.page(request, error, also=_("You are signed out on this computer."))
            if said is None:
                raise
            return said

    def _leave(self, request: HttpRequest) -> None:
        try:
            with patience(_LEAVE_SECONDS):
                request.session.flush()
        except DatabaseError as error:
            logger.error("a session ends with its cookie alone: %s", type(error).__name__)
            request.session = type(request.session)()  # an empty one, for which the browser forgets its cookie


class ChangePassword(auth_views.PasswordChangeView):
    success_url = reverse_lazy("home")

    @transaction.atomic
    def form_valid(self, form: Any) -> HttpResponse:
        user = User.objects.select_for_update().get(pk=form.user.pk)
        if not user.is_active:  # closed or erased since the session was looked at: nothing of it comes back
            raise PermissionDenied
        form.user = user
        response = super().form_valid(form)
        if user.demonstration:
            user.demonstration = False
            user.save(update_fields=["demonstration"])
        record("user.password_changed", actor=user.username, actor_role=user.role, subject=code_of(user.username))
        transaction.on_commit(lambda: announce_end(user.pk))
        messages.success(self.request, _("Your password is changed."))
        return response
