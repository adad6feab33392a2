"""The answer of a second person to "may more people see this guideline?"."""

import uuid
from dataclasses import dataclass
from datetime import datetime

from django.contrib import messages
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.utils.translation import gettext as _
from django.views.decorators.http import require_POST

import knowledge
from knowledge.models import Guideline, Opening
from knowledge.opening import refusal_to_agree
from portal.access import for_role
from portal.guidelines.views import actor


@dataclass(frozen=True, slots=True)
class Asked:
    """What was asked, by whom and when: the departments that would see the guideline (none: every one). `refusal` is
    why this person may not agree to it, empty where they may."""

    id: uuid.UUID
    departments: tuple[str, ...]
    by: str
    at: datetime
    refusal: str


def asked_of(guideline: Guideline, who: str) -> Asked | None:
    """What was asked of a guideline, as `who` sees it; None where nothing was."""
    one = Opening.objects.filter(guideline=guideline).select_related("guideline").first()
    if one is None:
        return None
    names = one.departments.order_by("name").values_list("name", flat=True)
    return Asked(one.pk, tuple(names), one.asked_by, one.asked_at, str(refusal_to_agree(one, who) or ""))


@require_POST
@for_role("admin")
def opening(request: HttpRequest, guideline_id: uuid.UUID) -> HttpResponse:
    """Agree to what was asked, or leave the guideline as it is."""
    answer = request.POST.get("answer")
    if answer not in {"agree", "leave"} or not Guideline.objects.filter(pk=guideline_id).exists():
        raise Http404
    try:
        asked = uuid.UUID(request.POST.get("asked", ""))
    except ValueError as error:
        raise Http404 from error
    agrees = answer == "agree"
    step = knowledge.agree_to_opening if agrees else knowledge.withdraw_opening
    try:
        guideline = step(asked, actor=actor(request).username)
    except knowledge.NotPossible as error:
        messages.error(request, str(error))
        return redirect("guidelines:detail", guideline_id)
    text = _("“%(title)s” is open to more people now.") if agrees else _("“%(title)s” stays as it was.")
    messages.success(request, text % {"title": guideline.title})
    return redirect("guidelines:detail", guideline.pk)
