"""The page on which a compliance officer sees the whole story of a turn, and reads its words with a reason that goes
into the audit trail."""

import uuid
from typing import Any

from django import forms
from django.core.exceptions import PermissionDenied
from django.db import DatabaseError
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import render
from django.utils.text import format_lazy
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _
from django.views.decorators.http import require_http_methods

from portal.access import for_role
from portal.accounts.models import User
from portal.audit import keys, verifying
from portal.chat.access import NotAllowed, check_story
from portal.chat.story import NotReadable, Story, read, story, times_read

_LEAST_REASON = 15  # characters: a sentence, not a tick


class ReasonForm(forms.Form):
    """Why somebody wants to read it. `times` is how often this person has read it before, so that a page that is
    loaded again asks again."""

    reason = forms.CharField(
        label=_("Why do you need to read it?"),
        help_text=format_lazy(  # `%` would speak the language of whoever starts the server
            _("At least {number} characters. It is kept in the audit trail with your name: no names of patients."),
            number=_LEAST_REASON,
        ),
        min_length=_LEAST_REASON,
        max_length=500,
        widget=forms.Textarea({"rows": 3}),
    )
    times = forms.IntegerField(widget=forms.HiddenInput)


@require_http_methods(["GET", "POST"])
@for_role("compliance")
def turn_story(request: HttpRequest, turn_id: uuid.UUID) -> HttpResponse:
    """What is known of a turn without its words; a POST with a reason shows them, once: a reload asks again. Where its
    row is gone, what its events tell."""
    if not isinstance(request.user, User):
        raise PermissionDenied
    try:
        check_story(request.user, turn_id)
    except NotAllowed as error:
        raise Http404 from error
    found = story(turn_id)
    if found is None:
        raise Http404
    context: dict[str, Any] = {"opened": None, "problem": ""}
    form = _form(request.user, turn_id)
    if request.method == "POST" and found.may_open:
        given = ReasonForm(request.POST)
        if not given.is_valid():
            form = given
        elif given.cleaned_data["times"] != times_read(request.user, turn_id):
            context["problem"] = gettext("These words were shown once. To read them again, say again why.")
        else:
            context |= _read(request.user, found, given.cleaned_data["reason"])
            form, found = _form(request.user, turn_id), story(turn_id) or found
    shown = context["opened"].pieces if context["opened"] else found.shown
    context |= {"story": found, "form": form, "shown": shown, "last": verifying.last()}
    return render(request, "chat/story.html", context)


def _form(user: User, turn_id: uuid.UUID) -> ReasonForm:
    return ReasonForm(initial={"times": times_read(user, turn_id)})


def _read(user: User, found: Story, reason: str) -> dict[str, Any]:
    try:
        return {"opened": read(user, found, reason)}
    except NotReadable as problem:
        return {"problem": str(problem)}
    except (keys.NoAuditKey, DatabaseError):
        said = gettext("It was not opened: that you read it cannot be recorded at this moment. Please tell your IT "
                    "department.")  # fmt: skip
        return {"problem": said}
