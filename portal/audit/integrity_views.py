"""The page that says at a glance whether the audit trail is sound, and lets an officer have it verified."""

from django.contrib import messages
from django.db import DatabaseError
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.shortcuts import redirect, render
from django.utils.translation import gettext as _
from django.views.decorators.http import require_GET, require_POST

from portal.access import for_role
from portal.audit import integrity, keys


@require_GET
@for_role("compliance")
def index(request: HttpRequest) -> HttpResponse:
    """How the audit trail stands."""
    found = integrity.look()
    context = {"found": found, "root": bytes(found.checkpoint.root).hex() if found.checkpoint else ""}
    return render(request, "audit/integrity.html", context)


@require_POST
@for_role("compliance")
def verify(request: HttpRequest) -> HttpResponse:
    """Have it verified as a whole by a worker."""
    try:
        if not integrity.ask(request.user.get_username(), str(getattr(request.user, "role", ""))):
            messages.info(request, _("A verification is under way already."))
    except (keys.NoAuditKey, DatabaseError):
        messages.error(request, _("It cannot be verified now: nothing can be recorded. Tell your IT department."))
    return redirect("audit:integrity")


@require_GET
@for_role("compliance")
def progress(request: HttpRequest) -> JsonResponse:
    """How far a verification is."""
    found = integrity.running()
    said = {"done": found.done, "total": found.total} if found else {}
    return JsonResponse({"running": found is not None, **said})
