"""Pages that belong to no single room: home, hotlines, the model, the state of the parts."""

import logging
import sys
from dataclasses import asdict

from django.conf import settings
from django.contrib.auth.decorators import login_not_required
from django.core.exceptions import TooManyFieldsSent, TooManyFilesSent
from django.db import DatabaseError
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect, JsonResponse
from django.shortcuts import redirect, render
from django.utils.http import url_has_allowed_host_and_scheme
from django.utils.translation import get_language
from django.views.decorators.http import require_GET, require_POST
from django.views.defaults import server_error

import guardrails
from portal import parts, unwritable
from portal.context import THEMES

logger = logging.getLogger(__name__)

_HOMES = {"clinician": "chat:index", "admin": "guidelines:index", "compliance": "audit:index"}


@require_GET
def home(request: HttpRequest) -> HttpResponse:
    """To the page that this person works on."""
    return redirect(_HOMES.get(getattr(request.user, "role", ""), "about"))


@login_not_required
@require_GET
def hotlines(request: HttpRequest) -> HttpResponse:
    """The lines of help, for anybody, signed in or not, whatever else is down."""
    language = (get_language() or settings.LANGUAGE_CODE)[:2]
    lines = guardrails.hotlines(settings.HAVRE_REGION, language)
    try:
        return render(request, "hotlines.html", {"hotlines": lines})
    except DatabaseError:  # the frame of the page asks who is signed in; the numbers do not
        return render(None, "hotlines_plain.html", {"hotlines": lines})


@require_GET
def about(request: HttpRequest) -> HttpResponse:
    """Which model answers, what is logged, and how to use a language model with care."""
    return render(request, "about.html")


@require_GET
def status(request: HttpRequest) -> JsonResponse:
    """Which parts are alive, for the banner of the chat page."""
    seen = parts.look()
    present = asdict(seen) | {"model_installed": not seen.is_without_installed_model()}
    present["details"] = {
        name: {key: said.get(key) for key in ("state", "model")} for name, said in present["details"].items()
    }
    return JsonResponse(present)


@login_not_required
@require_GET
def health(request: HttpRequest) -> HttpResponse:
    """For a load balancer: this web process answers. Says nothing else."""
    return HttpResponse("ok\n", content_type="text/plain")


def bad_request(request: HttpRequest, exception: Exception) -> HttpResponse:
    """What was sent cannot be taken as it is; where it is too much at once, how much it may be. Asks for no sign-in: it
    answers also before anybody knows who sent it, and says nothing that is not in the manual."""
    context: dict[str, object] = {}
    if isinstance(exception, TooManyFilesSent):
        context["most_files"] = settings.DATA_UPLOAD_MAX_NUMBER_FILES
    elif isinstance(exception, TooManyFieldsSent):
        context["is_too_much"] = True
    return render(None, "400.html", context, status=400)


def broken(request: HttpRequest) -> HttpResponse:
    """Something went wrong before or behind a page; where that was the database (whose session is this?), it says so as
    a page would."""
    return unwritable.page(request, sys.exception()) or server_error(request)


@login_not_required
@require_POST
def theme(request: HttpRequest) -> HttpResponse:
    """Keep the person's choice of colours in a cookie."""
    chosen = request.POST.get("theme", "auto")
    back = request.POST.get("next") or request.headers.get("referer") or "/"
    if not url_has_allowed_host_and_scheme(back, {request.get_host()}, require_https=request.is_secure()):
        back = "/"
    response = HttpResponseRedirect(back)
    if chosen in THEMES:
        response.set_cookie(
            "theme", chosen, max_age=31_536_000, samesite="Lax", secure=settings.HAVRE_HTTPS, httponly=True
        )
    return response
