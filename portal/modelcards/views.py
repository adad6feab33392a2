"""The list of models for administrators, and the card of a model for everybody who is signed in."""

from typing import Any

from django.contrib import messages
from django.core.exceptions import PermissionDenied
from django.http import Http404, HttpRequest, HttpResponse, JsonResponse
from django.shortcuts import redirect, render
from django.utils.dateparse import parse_datetime
from django.utils.translation import gettext as _
from django.views.decorators.http import require_GET, require_POST

import inference
from portal.access import for_role
from portal.accounts.models import User
from portal.modelcards import selectors, services, wording


@require_GET
@for_role("admin")
def index(request: HttpRequest) -> HttpResponse:
    """What is installed, what is active, what fits, and how to add one."""
    services.give_up_lost()
    try:
        rows, damaged = selectors.rows(), ""
    except inference.InferenceError as error:
        rows, damaged = [], wording.sentence(error)
    last = selectors.last_trial()
    context = {
        "rows": [_shown(row) for row in rows],
        "damaged": damaged,
        "catalogue": [
            {"entry": one, "size": wording.gigabytes(one.size)} for one in selectors.catalogue_not_here(rows)
        ],
        "trial": last,
        "lines": list(map(wording.sentence, last.steps)) if last else [],
        "problem": wording.sentence(last.failure) if last else "",
        "can_write": services.can_write(),
        "offline": services.store().offline,
    }
    return render(request, "modelcards/index.html", context)


@require_GET
def card(request: HttpRequest, sha256: str) -> HttpResponse:
    """What is known of the model with this hash, for everybody who is signed in."""
    found = selectors.card(sha256)
    if found is None:
        raise Http404
    model, results = found.model, found.results
    context: dict[str, Any] = {
        "card": found,
        "openness": wording.openness(found.kind) if found.kind else [],
        "results": [
            (_("Answers whose form was wrong and could not be saved"), wording.share(results.malformed)),
            (_("Answers that had to be begun for the model"), wording.share(results.opened)),
            (_("Answers that took a second try"), wording.share(results.again)),
            (_("Questions that failed, for whatever reason"), wording.share(results.failed)),
            (_("Mean share of an answer that stands in the guidelines"), wording.share(results.groundedness)),
        ],
    }
    if model:
        context |= {
            "size": wording.gigabytes(model.size),
            "source": wording.source(model.source),
            "parameters": wording.count(model.parameters),
            "active_parameters": wording.count(model.active_parameters),
            "removed": parse_datetime(model.removed) if model.removed else None,
            "added": parse_datetime(model.added) if model.added else None,
            "tried": parse_datetime(model.smoke.at) if model.smoke else None,
            "problem": wording.sentence(model.smoke.problem) if model.smoke else "",
            "note": wording.sentence(model.smoke.note) if model.smoke else "",
        }
    return render(request, "modelcards/card.html", context)


@require_POST
@for_role("admin")
def activate(request: HttpRequest, sha256: str) -> HttpResponse:
    """Have an inference worker try a model and activate it."""
    if not isinstance(request.user, User):
        raise PermissionDenied
    try:
        services.ask_for_trial(request.user, sha256)
    except services.TrialRefused as error:
        messages.error(request, str(error))
    return redirect("modelcards:index")


@require_GET
@for_role("admin")
def trial(request: HttpRequest) -> JsonResponse:
    """How the trial that was asked for last stands."""
    services.give_up_lost()
    last = selectors.last_trial()
    if last is None:
        return JsonResponse({"open": False, "lines": []})
    lines = list(map(wording.sentence, last.steps))
    return JsonResponse({"open": last.is_open, "lines": lines, "state": last.get_state_display()})


def _shown(row: selectors.Row) -> dict[str, Any]:
    one = row.model
    colour, sentence = wording.fit(row.fit) if row.fit else ("", "")
    return {
        "row": row,
        "model": one,
        "size": wording.gigabytes(one.size),
        "parameters": wording.count(one.parameters) if one.parameters else "",
        "active_parameters": wording.count(one.active_parameters) if one.parameters else "",
        "fit_colour": "danger" if row.refusal else colour,
        "fit": wording.sentence(row.refusal) or sentence,
        "problem": wording.sentence(one.smoke.problem) if one.smoke else "",
        "verified": parse_datetime(one.verified) if one.verified else None,
        "tried": parse_datetime(one.smoke.at) if one.smoke else None,
    }
