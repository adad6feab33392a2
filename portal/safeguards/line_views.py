"""The page on which a line of help of the draft is changed, and the steps on one line."""

from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.urls import reverse
from django.utils.translation import gettext as _
from django.views.decorators.http import require_GET, require_POST

from guardrails.releases import AdditionError
from portal.access import for_role
from portal.safeguards import drafting, selectors
from portal.safeguards.forms import HotlineForm
from portal.safeguards.models import State
from portal.safeguards.problems import SafeguardError
from portal.safeguards.views import actor, attempt


@require_GET
@for_role("admin")
def edit(request: HttpRequest, key: str) -> HttpResponse:
    """A line of the draft, to be changed."""
    draft = selectors.open_draft()
    if draft is None or draft.state != State.DRAFT:
        return redirect("safeguards:draft")  # which says why, or leads on
    line = selectors.line_of(draft, key)
    if line is None:
        messages.error(request, _("This was removed already."))
        return redirect("safeguards:draft")
    return _line_page(request, key, HotlineForm.of(line))


@require_POST
@for_role("admin")
def change(request: HttpRequest, key: str) -> HttpResponse:
    """Write the line anew; where that is not possible, the page says why and keeps what was typed."""
    form = HotlineForm(request.POST)
    if form.is_valid():
        try:
            drafting.change_hotline(actor(request), key, form.values())
        except AdditionError as error:
            form.show(error)
        except SafeguardError as error:
            form.add_error(None, str(error))
        else:
            messages.success(request, _("Saved."))
            return redirect(_place_of(key))
    return _line_page(request, key, form)


@require_POST
@for_role("admin")
def check(request: HttpRequest, key: str) -> HttpResponse:
    """The line was checked today."""
    return attempt(request, lambda: drafting.check_hotline(actor(request), key), _("Saved."), _place_of(key))


def _line_page(request: HttpRequest, key: str, form: HotlineForm) -> HttpResponse:
    return render(request, "safeguards/line.html", {"form": form, "key": key})


def _place_of(key: str) -> str:
    """The draft page at the line, so that the keyboard goes on from there."""
    return f"{reverse('safeguards:draft')}#line-{key}"
