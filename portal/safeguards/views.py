"""Pages of the safeguards that administrators and compliance officers share: what holds, what was released, reports."""

import uuid
from collections.abc import Callable
from typing import Any

from django.conf import settings
from django.contrib import messages
from django.http import Http404, HttpRequest, HttpResponse, JsonResponse
from django.shortcuts import redirect, render
from django.urls import reverse
from django.utils.translation import gettext as _
from django.views.decorators.http import require_GET, require_POST

from portal.access import for_role
from portal.accounts.models import User
from portal.safeguards import drafting, releasing, selectors
from portal.safeguards.differences import content_differences
from portal.safeguards.forms import CaseForm, label_of
from portal.safeguards.models import LabelledCase, RuleRelease, State
from portal.safeguards.problems import SafeguardError

_CHANGES = ("newly", "no_longer", "changed")


@require_GET
@for_role("admin", "compliance")
def index(request: HttpRequest) -> HttpResponse:
    """What holds, what is under way, and the history of releases."""
    context = {
        "in_force": selectors.in_force(),
        "open": selectors.open_draft(),
        "history": selectors.history(),
        "lines": selectors.lines_to_check(),
        "case_count": selectors.cases().count(),
        "regions": ((active := selectors.active()) and active.content["regions"]) or settings.HAVRE_REGION.split(","),
    }
    return render(request, "safeguards/index.html", context)


@require_GET
@for_role("admin", "compliance")
def detail(request: HttpRequest, release_id: uuid.UUID) -> HttpResponse:
    """One change: what it holds, its report, and the steps that are possible."""
    release = _release(release_id)
    report = release.report or {}
    names = {row["case"] for kind in _CHANGES for row in report.get(kind, ())}
    texts = selectors.case_texts(names) if names else {}
    shown = {kind: [_with_words(row, texts) for row in report.get(kind, ())] for kind in _CHANGES}
    rows = [
        {**row, "label": label_of(row["label"]), "falls": row in report["blocked"]} for row in report.get("rows", ())
    ]
    context = {
        "release": release,
        "report": report,
        "rows": rows,
        **shown,
        "withdrawn": [_named(row) for row in report.get("withdrawn", ())],
        "differences": content_differences(release),
        "refusal": releasing.refusal(actor(request), release) if release.state == State.REQUESTED else "",
        "may_edit": actor(request).role == "admin",
    }
    return render(request, "safeguards/detail.html", context)


@require_GET
@for_role("admin", "compliance")
def progress(request: HttpRequest, release_id: uuid.UUID) -> JsonResponse:
    """How far the test run is."""
    release = _release(release_id)
    done, total = release.progress_done, release.progress_total
    return JsonResponse({"state": release.state, "done": done, "total": total})


@require_POST
@for_role("admin")
def restore(request: HttpRequest, release_id: uuid.UUID) -> HttpResponse:
    """A draft with the content of an old release: released again by the same procedure."""
    old = _release(release_id)
    return attempt(
        request,
        lambda: drafting.start(actor(request), restore=old),
        _("A draft with the content of release %(number)s is open. Test it, then have it released.")
        % {"number": old.number},
        "safeguards:draft",
    )


@require_POST
@for_role("admin")
def write_again(request: HttpRequest) -> HttpResponse:
    """Write the released files once more, after they were lost or changed."""
    one = actor(request)
    return attempt(
        request, lambda: releasing.write_again(one.username, one.role), _("The released files were written again.")
    )


@require_POST
@for_role("admin", "compliance")
def send_back(request: HttpRequest) -> HttpResponse:
    """Make a draft of it again."""
    return attempt(request, lambda: drafting.send_back(actor(request)), _("It is a draft again and can be changed."))


@require_POST
@for_role("admin", "compliance")
def release(request: HttpRequest) -> HttpResponse:
    """The second person's yes."""
    return attempt(
        request,
        lambda: releasing.release(actor(request)),
        _("Released. Every process works with it from its next message on."),
    )


@require_GET
@for_role("admin")
def cases(request: HttpRequest) -> HttpResponse:
    """The facility's own labelled messages."""
    return _cases_page(request, CaseForm())


def _cases_page(request: HttpRequest, form: CaseForm) -> HttpResponse:
    listed = [{"case": case, "label": label_of(case.label)} for case in selectors.cases()]
    removed = request.GET.get("removed", "")
    context = {"cases": listed, "form": form, "removed": int(removed) if removed.isdecimal() else None}
    return render(request, "safeguards/cases.html", context)


@require_POST
@for_role("admin")
def add_case(request: HttpRequest) -> HttpResponse:
    """Keep a labelled message."""
    form = CaseForm(request.POST)
    if not form.is_valid():
        return _cases_page(request, form)
    drafting.add_case(actor(request), **form.cleaned_data)
    messages.success(request, _("The message was added. The next test run includes it."))
    return redirect("safeguards:cases")


@require_POST
@for_role("admin")
def withdraw_case(request: HttpRequest, case_id: int) -> HttpResponse:
    """Take a labelled message out of the tests, or, with `keep`, undo that."""
    case = LabelledCase.objects.filter(pk=case_id).first()
    if case is None:
        raise Http404
    if request.POST.get("keep"):
        drafting.keep_case(actor(request), case)
        return redirect("safeguards:cases")
    drafting.withdraw_case(actor(request), case)
    return redirect(f"{reverse('safeguards:cases')}?removed={case.pk}")


def attempt(
    request: HttpRequest, step: Callable[[], object], success: str, then: str = "safeguards:index"
) -> HttpResponse:
    """Do a step and say how it went; what is not possible is said on the page that follows."""
    try:
        step()
    except SafeguardError as error:
        messages.error(request, str(error))
        under_way = selectors.open_draft()
        if under_way is not None:
            return to_page_of(under_way)
        return redirect("safeguards:index")
    messages.success(request, success)
    return redirect(then)


def to_page_of(release: RuleRelease) -> HttpResponse:
    """To the page on which a change is worked on."""
    if release.state == State.DRAFT:
        return redirect("safeguards:draft")
    return redirect("safeguards:detail", release.pk)


def actor(request: HttpRequest) -> User:
    """The signed-in person."""
    assert isinstance(request.user, User)
    return request.user


def _release(release_id: uuid.UUID) -> RuleRelease:
    try:
        return selectors.get(release_id)
    except RuleRelease.DoesNotExist as error:
        raise Http404 from error


def _with_words(row: dict[str, Any], texts: dict[str, str]) -> dict[str, Any]:
    words = {name: label_of(row[name]) for name in ("label", "before", "after")}
    return {**row, **words, "text": texts.get(row["case"], ""), "own": row["case"].startswith("own:")}


def _named(row: dict[str, Any]) -> str:
    """A message by its number, label and language, without its words."""
    values = {"number": row["case"].partition(":")[2], "label": label_of(row["label"]), "lang": row["lang"].upper()}
    return _("no. %(number)s (%(label)s, %(lang)s)") % values
