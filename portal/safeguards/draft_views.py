"""The page on which administrators write a draft, and the steps on it."""

from typing import Any

from django.conf import settings
from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.utils.translation import gettext as _
from django.views.decorators.http import require_GET, require_POST

from guardrails import releases
from guardrails.releases import AdditionError
from portal.access import for_role
from portal.safeguards import drafting, releasing, selectors, testing
from portal.safeguards.forms import HotlineForm, PhraseForm, audience_of, label_of
from portal.safeguards.models import State
from portal.safeguards.problems import SafeguardError, sentence
from portal.safeguards.views import actor, attempt, to_page_of


@require_GET
@for_role("admin")
def draft(request: HttpRequest) -> HttpResponse:
    """The draft, to be changed."""
    return _draft_page(request, PhraseForm(), HotlineForm())


def _draft_page(request: HttpRequest, phrase: PhraseForm, line: HotlineForm) -> HttpResponse:
    shown = selectors.open_draft()
    if shown is None:
        messages.info(request, _("There is no open draft."))
        return redirect("safeguards:index")
    if shown.state != State.DRAFT:
        return to_page_of(shown)
    chosen = set(shown.content["regions"])
    context: dict[str, Any] = {
        "draft": shown,
        "phrases": [_listed(one) for one in shown.content["phrase"]],
        "lines": [{**one, "for_whom": audience_of(one["audience"])} for one in shown.content["hotline"]],
        "regions": [{"code": code, "chosen": code in chosen} for code in releases.known_regions()],
        "region_of_settings": settings.HAVRE_REGION,
        "phrase_form": phrase,
        "line_form": line,
        "line_open": bool(line.errors),
        "case_count": selectors.cases().count(),
    }
    return render(request, "safeguards/draft.html", context)


def _listed(phrase: dict[str, Any]) -> dict[str, Any]:
    warnings = drafting.phrase_warnings(phrase["phrase"], phrase["language"], phrase["category"])
    return {**phrase, "meaning": label_of(phrase["category"]), "warnings": warnings}


@require_POST
@for_role("admin")
def start(request: HttpRequest) -> HttpResponse:
    """Begin a draft with what holds."""
    return attempt(request, lambda: drafting.start(actor(request)), _("A draft is open."), "safeguards:draft")


@require_POST
@for_role("admin")
def add_phrase(request: HttpRequest) -> HttpResponse:
    """Add a phrase; the page says what is wrong with it, or warns."""
    form = PhraseForm(request.POST)
    if form.is_valid():
        try:
            warnings = drafting.add_phrase(actor(request), **form.cleaned_data)
        except AdditionError as error:
            form.show(error)
        except SafeguardError as error:
            form.add_error(None, str(error))
        else:
            for warning in warnings:
                messages.warning(request, warning)
            messages.success(request, _("“%(phrase)s” was added.") % {"phrase": form.cleaned_data["phrase"].strip()})
            return redirect("safeguards:draft")
    return _draft_page(request, form, HotlineForm())


@require_POST
@for_role("admin")
def add_hotline(request: HttpRequest) -> HttpResponse:
    """Add a line of help."""
    form = HotlineForm(request.POST)
    if form.is_valid():
        try:
            drafting.add_hotline(actor(request), form.values())
        except AdditionError as error:
            form.show(error)
        except SafeguardError as error:
            form.add_error(None, str(error))
        else:
            messages.success(request, _("“%(name)s” was added.") % {"name": form.cleaned_data["name"]})
            return redirect("safeguards:draft")
    return _draft_page(request, PhraseForm(), form)


@require_POST
@for_role("admin")
def set_regions(request: HttpRequest) -> HttpResponse:
    """Choose whose help lines are shown."""
    return _change(request, lambda: drafting.set_regions(actor(request), request.POST.getlist("regions")), _("Saved."))


@require_POST
@for_role("admin")
def remove(request: HttpRequest) -> HttpResponse:
    """Take a phrase or a line out; the page offers to undo it."""
    kind, key = request.POST.get("kind", ""), request.POST.get("key", "")
    return _change(request, lambda: drafting.remove(actor(request), kind, key), _("Removed."))


@require_POST
@for_role("admin")
def undo(request: HttpRequest) -> HttpResponse:
    """Bring back what was removed last."""
    return _change(request, lambda: drafting.undo(actor(request)), _("It is back."))


@require_POST
@for_role("admin")
def discard(request: HttpRequest) -> HttpResponse:
    """Close the draft without releasing it."""
    return attempt(request, lambda: drafting.discard(actor(request)), _("The draft was discarded. Nothing changed."))


@require_POST
@for_role("admin")
def test(request: HttpRequest) -> HttpResponse:
    """Have the draft tested."""
    try:
        note = " ".join(request.POST.get("note", "").replace("\0", " ").split())  # PostgreSQL stores no NUL
        told = testing.request_test(actor(request), note)
    except SafeguardError as error:
        messages.error(request, str(error))
        return redirect("safeguards:draft")
    if not told:
        messages.warning(request, _("The guideline service is not running: the test waits until it is back."))
    under_way = selectors.open_draft()
    return to_page_of(under_way) if under_way else redirect("safeguards:index")


@require_POST
@for_role("admin")
def ask(request: HttpRequest) -> HttpResponse:
    """Ask a second person to release it."""
    return attempt(
        request,
        lambda: releasing.ask_for_release(actor(request)),
        _("A second person can release it now: another administrator or a compliance officer."),
    )


def _change(request: HttpRequest, step: Any, success: str) -> HttpResponse:
    try:
        step()
    except AdditionError as error:
        messages.error(request, sentence(error))
    except SafeguardError as error:
        messages.error(request, str(error))
    else:
        messages.success(request, success)
    return redirect("safeguards:draft")
