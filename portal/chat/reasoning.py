"""The page on which a compliance officer reads what the model thought, with a reason that goes into the audit trail."""

import uuid

from django import forms
from django.core.exceptions import PermissionDenied
from django.db import transaction
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import render
from django.utils.translation import gettext_lazy as _
from django.views.decorators.http import require_http_methods

from portal.access import for_role
from portal.accounts.models import User
from portal.audit.services import record
from portal.chat import sealed
from portal.chat.access import NotAllowed, sealed_turn_of
from portal.chat.models import Turn
from portal.vault import VaultError

_LEAST_REASON = 15  # characters: a sentence, not a tick


class ReasonForm(forms.Form):
    """Why somebody wants to read it."""

    reason = forms.CharField(
        label=_("Why do you need to read it?"),
        help_text=_(
            "At least %(number)s characters. It is kept in the audit trail with your name: no names of patients."
        )
        % {"number": _LEAST_REASON},
        min_length=_LEAST_REASON,
        max_length=500,
        widget=forms.Textarea({"rows": 3}),
    )


class NotReadable(Exception):
    """It cannot be read; the text is a sentence for the person who wants to."""


@require_http_methods(["GET", "POST"])
@for_role("compliance")
def reasoning(request: HttpRequest, turn_id: uuid.UUID) -> HttpResponse:
    """Ask for a reason, then show what the model thought, once: a reload asks again."""
    if not isinstance(request.user, User):
        raise PermissionDenied
    try:
        turn = sealed_turn_of(request.user, turn_id)
    except NotAllowed as error:
        raise Http404 from error
    form = ReasonForm(request.POST or None)
    context = {"turn": turn, "form": form, "thoughts": "", "problem": ""}
    if request.method == "POST" and form.is_valid():
        try:
            context["thoughts"] = read_reasoning(request.user, turn, form.cleaned_data["reason"])
        except NotReadable as problem:
            context["problem"] = str(problem)
    return render(request, "chat/reasoning.html", context)


def read_reasoning(user: User, turn: Turn, reason: str) -> str:
    """What the model thought, after the reading is written into the audit trail; so is one that fails. Raises
    NotReadable."""
    problem: object = None
    thoughts, outcome = "", "read"
    try:
        thoughts = sealed.open_reasoning(turn)
    except sealed.Erased:
        outcome, problem = "erased", _("It was erased: the key of this conversation no longer exists.")
    except VaultError:
        outcome = "unreadable"
        problem = _("It cannot be opened with this installation's master key. Please tell your IT department.")
    with transaction.atomic():
        record(
            "turn.reasoning_read",
            actor=user.username,
            actor_role=user.role,
            subject=str(turn.id),
            payload={"reason": reason, "outcome": outcome},
        )
    if problem:
        raise NotReadable(str(problem))
    return thoughts
