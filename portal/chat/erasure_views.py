"""The pages on which two people decide an erasure, and legal holds are set and lifted. They show counts and reasons,
never a word of a conversation: administrators come here, too."""

import uuid
from dataclasses import dataclass
from typing import Any

from django import forms
from django.contrib import messages
from django.core.exceptions import PermissionDenied
from django.core.paginator import Paginator
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.utils.text import format_lazy
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy
from django.views.decorators.http import require_GET, require_POST

from portal.access import for_role
from portal.accounts.models import Role, User
from portal.chat import erasing, erasures
from portal.chat.keeping import AboutOne, Erasure, Hold
from portal.chat.models import Conversation

_LEAST_REASON = 15
_A_PAGE = 25


class AskForm(forms.Form):
    """What it is about, and why."""

    what = forms.CharField(
        label=gettext_lazy("Conversation or person"),
        help_text=gettext_lazy("The id of a conversation or of a question in it, or a sign-in name, exactly."),
        max_length=150,
        widget=forms.TextInput({"autocomplete": "off", "spellcheck": "false"}),
    )
    reason = forms.CharField(
        label=gettext_lazy("Reason"),
        help_text=format_lazy(  # `%` would speak the language of whoever starts the server
            gettext_lazy("At least {number} characters. It is kept in the audit trail for good: no names."),
            number=_LEAST_REASON,
        ),
        min_length=_LEAST_REASON,
        max_length=500,
        widget=forms.Textarea({"rows": 2}),
    )

    def clean_what(self) -> erasing.Target:
        """What is meant."""
        found = erasing.find(self.cleaned_data["what"].strip())
        if found is None:
            raise forms.ValidationError(_("There is no conversation, question or person that is called so."))
        return found


@dataclass(frozen=True, slots=True)
class _Row:
    """A request or a hold, and how the page calls what it is about."""

    one: Any
    what: str
    whose: str


@require_GET
@for_role("admin", "compliance")
def index(request: HttpRequest) -> HttpResponse:
    """What waits for a second person, what was decided, which holds there are; for compliance also the forms."""
    wanted = {"what": request.GET.get("what", "")}
    return _index(request, AskForm(initial=wanted, prefix="erase"), AskForm(initial=wanted, prefix="hold"))


@require_POST
@for_role("compliance")
def ask(request: HttpRequest) -> HttpResponse:
    """Ask for an erasure."""
    form = AskForm(request.POST, prefix="erase")
    if form.is_valid():
        try:
            erasure = erasures.ask(_user(request), form.cleaned_data["what"], form.cleaned_data["reason"])
        except erasures.NotDecided as error:
            form.add_error("what", str(error))
        else:
            messages.success(request, _("Asked for. Nothing is erased before a second person has confirmed it."))
            return redirect("chat:erasure", erasure.pk)
    return _index(request, form, AskForm(prefix="hold"), status=422)


@require_GET
@for_role("admin", "compliance")
def erasure(request: HttpRequest, erasure_id: uuid.UUID) -> HttpResponse:
    """One request: what would go, and the answer of a second person."""
    return _detail(request, _erasure(erasure_id))


@require_POST
@for_role("admin", "compliance")
def decide(request: HttpRequest, erasure_id: uuid.UUID) -> HttpResponse:
    """Confirm an erasure, decline it, or take it back."""
    one, answer = _erasure(erasure_id), request.POST.get("answer")
    try:
        if answer == "confirm" and not request.POST.get("sure"):
            return _detail(request, one, _("Tick the box first: what is erased cannot be brought back."), status=422)
        if answer == "confirm":
            done = erasures.confirm(_user(request), one.pk, request.POST.get("seen", ""))
            messages.success(request, _("Erased: %(number)s questions.") % {"number": done.turns})
        elif answer == "go_on":
            done = erasures.go_on(_user(request), one.pk)
            messages.success(request, _("Erased: %(number)s questions.") % {"number": done.turns})
        elif answer == "decline":
            erasures.decline(_user(request), one.pk)
            messages.success(request, _("Everything stays as it was."))
        else:
            raise Http404
    except erasures.NotDecided as error:
        return _detail(request, _erasure(erasure_id), str(error), status=422)
    return redirect("chat:erasure", erasure_id)


@require_POST
@for_role("compliance")
def set_hold(request: HttpRequest) -> HttpResponse:
    """Put a legal hold on a conversation or a person."""
    form = AskForm(request.POST, prefix="hold")
    if form.is_valid():
        try:
            erasures.set_hold(_user(request), form.cleaned_data["what"], form.cleaned_data["reason"])
        except erasures.NotDecided as error:
            form.add_error("what", str(error))
        else:
            messages.success(request, _("Held: nobody and nothing erases it before the hold is lifted."))
            return redirect("chat:erasures")
    return _index(request, AskForm(prefix="erase"), form, status=422)


@require_POST
@for_role("compliance")
def lift_hold(request: HttpRequest, hold_id: uuid.UUID) -> HttpResponse:
    """End a legal hold, with a reason."""
    get_object_or_404(Hold, pk=hold_id)
    reason = request.POST.get("reason", "").strip()
    if not _LEAST_REASON <= len(reason) <= 500:
        text = _("Say why in at least %(number)s characters.") % {"number": _LEAST_REASON}
        messages.error(request, text)
        return redirect("chat:erasures")
    try:
        erasures.lift_hold(_user(request), hold_id, reason)
    except erasures.NotDecided as error:
        messages.error(request, str(error))
    else:
        messages.success(request, _("Lifted: from now on it is kept as long as everything else."))
    return redirect("chat:erasures")


def _index(request: HttpRequest, form: AskForm, hold_form: AskForm, status: int = 200) -> HttpResponse:
    everything = Erasure.objects.select_related("asked_by", "decided_by", "conversation__owner", "person")
    holds = Hold.objects.filter(lifted_at=None).select_related("set_by", "conversation__owner", "person")
    undone = {Erasure.State.OPEN, Erasure.State.CONFIRMED}
    decided = Paginator(everything.exclude(state__in=undone), _A_PAGE).get_page(request.GET.get("page"))
    context = {
        "form": form,
        "hold_form": hold_form,
        "open": [_row(one) for one in everything.filter(state=Erasure.State.OPEN)],
        "confirmed": [_row(one) for one in everything.filter(state=Erasure.State.CONFIRMED)],
        "decided": decided,
        "decided_rows": [_row(one) for one in decided],
        "holds": [_row(one) for one in holds],
        "may_ask": _user(request).role == Role.COMPLIANCE,
        "least": _LEAST_REASON,
    }
    return render(request, "chat/erasures.html", context, status=status)


def _detail(request: HttpRequest, one: Erasure, problem: str = "", status: int = 200) -> HttpResponse:
    user, is_open = _user(request), one.state == Erasure.State.OPEN
    is_confirmed = one.state == Erasure.State.CONFIRMED
    extent = erasing.extent_of(one.target)
    context = {
        "row": _row(one),
        "erasure": one,
        "is_open": is_open,
        "is_confirmed": is_confirmed,
        "not_attested": erasures.not_attested(one),
        "waits_for": erasing.refusal(one.target) if is_confirmed else "",
        "is_person": one.person_id is not None,
        "extent": extent,
        "seen": erasures.counts(extent),
        "refusal": erasures.refusal_to_confirm(user, one) if is_open or is_confirmed else "",
        "may_decline": not erasures.refusal_to_decline(user, one),
        "is_mine": one.asked_by.name == user.username,
        "problem": problem,
    }
    return render(request, "chat/erasure.html", context, status=status)


def _row(one: AboutOne) -> _Row:
    target = one.target
    if isinstance(target, Conversation):
        return _Row(one, _("Conversation %(id)s") % {"id": target.pk}, target.owner.username)
    return _Row(one, _("Everything of a person"), target.username)


def _erasure(erasure_id: uuid.UUID) -> Erasure:
    rows = Erasure.objects.select_related("asked_by", "decided_by", "conversation__owner", "person")
    return get_object_or_404(rows, pk=erasure_id)


def _user(request: HttpRequest) -> User:
    if not isinstance(request.user, User):
        raise PermissionDenied
    return request.user
