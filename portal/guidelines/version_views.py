"""The pages of one guideline: what it is, the life of its versions, and each step in it."""

import uuid
from collections.abc import Callable, Mapping
from typing import Any

from django.contrib import messages
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.urls import reverse
from django.utils.translation import gettext as _
from django.views.decorators.http import require_GET, require_http_methods, require_POST

import knowledge
from knowledge import lifecycle, selectors
from knowledge.models import Department, Guideline, GuidelineVersion
from portal.access import for_role
from portal.guidelines import consequences, services, timeline
from portal.guidelines.forms import DatesForm, DescriptionForm, NoteForm
from portal.guidelines.opening_views import asked_of
from portal.guidelines.views import actor, version_of
from portal.guidelines.wording import DONE, STEPS, UNDONE_BY

_WITH_NOTE = {"send_back", "unapprove", "archive"}
_NOTE_NEEDED = {"send_back", "unapprove"}
_WITH_DATES = {"approve", "reschedule"}


@require_GET
@for_role("admin")
def detail(request: HttpRequest, guideline_id: uuid.UUID) -> HttpResponse:
    """One guideline: what it is, its versions and what may be done with them, and its history."""
    guideline = _guideline(guideline_id)
    who = actor(request).username
    lives = timeline.lives(guideline, who)
    context = {
        "guideline": guideline,
        "departments": list(guideline.departments.all()),
        "lives": lives,
        "answers": next((one.version for one in lives if one.answers), None),
        "opening": asked_of(guideline, who),
        "history": timeline.history(guideline),
        "undo": _undo(request, lives),
    }
    return render(request, "guidelines/detail.html", context)


def _undo(request: HttpRequest, lives: list[timeline.Life]) -> dict[str, Any] | None:
    """The step that takes back what was just done, where this person may take it."""
    reverse_step = UNDONE_BY.get(request.GET.get("done", ""))
    life = next((one for one in lives if str(one.version.pk) == request.GET.get("version")), None)
    if life is None or reverse_step is None or reverse_step not in {one.name for one in life.steps}:
        return None
    return {"version": life.version, "step": reverse_step}


@require_http_methods(["GET", "POST"])
@for_role("admin")
def describe(request: HttpRequest, guideline_id: uuid.UUID) -> HttpResponse:
    """What a guideline is and who may see it."""
    guideline = _guideline(guideline_id)
    form = DescriptionForm(request.POST or None, guideline=guideline)
    if request.method == "POST" and form.is_valid():
        values = {**form.cleaned_data, "departments": list(form.cleaned_data["departments"])}
        try:
            changes = knowledge.describe(guideline.pk, actor=actor(request).username, **values)
        except knowledge.KnowledgeError as error:
            form.add_error(None, str(error))
        else:
            _say_described(request, guideline, changes, values["departments"])
            return redirect("guidelines:detail", guideline.pk)
    context = {
        "guideline": guideline,
        "form": form,
        "was_approved": guideline.versions.filter(approved_at__isnull=False).exists(),
    }
    return render(request, "guidelines/describe.html", context)


def _say_described(
    request: HttpRequest, guideline: Guideline, changes: Mapping[str, Any], wanted: list[Department]
) -> None:
    waits = set(guideline.departments.order_by("name")) != set(wanted)
    if changes:
        messages.success(request, _("The description was changed."))
    elif not waits:
        messages.success(request, _("Nothing was changed."))
    if waits:
        messages.info(request, _("More people would see it than before: that waits until a second person agrees."))


@require_http_methods(["GET", "POST"])
@for_role("admin")
def step(request: HttpRequest, version_id: uuid.UUID, step: str) -> HttpResponse:
    """A step in the life of a version: what will happen and what has to be said first; a POST takes it."""
    if step not in STEPS:
        raise Http404
    version = version_of(request, version_id)
    form = _form_of(step, version, request.POST if request.method == "POST" else None)
    if request.method == "POST" and (form is None or form.is_valid()):
        arguments = form.values() if form else {}
        if step == "approve":
            arguments["seen"] = request.POST.get(f"seen-{version.pk}", "")
        try:
            version = getattr(lifecycle, step)(version.pk, actor=actor(request).username, **arguments)
        except knowledge.KnowledgeError as error:
            messages.error(request, str(error))
            return redirect("guidelines:detail", version.guideline_id)
        messages.success(request, str(DONE[step]) % {"number": version.number})
        address = reverse("guidelines:detail", args=[version.guideline_id])
        return redirect(f"{address}?done={step}&version={version.pk}")
    refusal = lifecycle.refusal(step, version, actor(request).username)
    context = {
        "version": version,
        "step": step,
        "name": STEPS[step],
        "form": form,
        "place": lifecycle.place(version) if step == "approve" else "",
        "refusal": refusal,
        "consequences": consequences.of(step, version) if refusal is None else [],
    }
    return render(request, "guidelines/step.html", context)


def _form_of(step: str, version: GuidelineVersion, data: Mapping[str, Any] | None) -> NoteForm | DatesForm | None:
    if step in _WITH_DATES:
        return DatesForm(data, version=version, is_new=step == "approve")
    if step in _WITH_NOTE:
        return NoteForm(data, required=step in _NOTE_NEEDED)
    return None


@require_POST
@for_role("admin")
def retry(request: HttpRequest, version_id: uuid.UUID) -> HttpResponse:
    """Read a file again that could not be read; with `ocr` as the image that it is."""
    one, version = actor(request), version_of(request, version_id)
    language = request.POST.get("ocr", "")

    def work() -> None:
        if language:
            knowledge.read_by_ocr(version_id, language, actor=one.username)
        else:
            knowledge.retry(version_id, actor=one.username)
        services.queue_ingestion()

    said = _("“%(name)s” is being read again.") % {"name": version.filename}
    return _attempt(request, work, said, version.guideline_id)


@require_POST
@for_role("admin")
def likeness(request: HttpRequest, version_id: uuid.UUID) -> HttpResponse:
    """The answer to "is this a version of the guideline that it resembles?"."""
    version, who = version_of(request, version_id), actor(request).username
    like = version.similar_to
    if like is None or str(like.pk) != request.POST.get("like"):
        messages.error(request, _("The library has changed meanwhile. Look again."))
        return redirect("guidelines:detail", version.guideline_id)
    if request.POST.get("answer") == "join":
        said = _("It is a version of “%(title)s” now.") % {"title": like.guideline.title}
        target = like.guideline_id
        return _attempt(request, lambda: knowledge.join(version.pk, target, actor=who), said, target)
    said = _("They stay two guidelines.")
    return _attempt(request, lambda: knowledge.keep_apart(version.pk, actor=who), said, version.guideline_id)


@require_POST
@for_role("admin")
def split(request: HttpRequest, version_id: uuid.UUID) -> HttpResponse:
    """Make a guideline of its own of a version."""
    version, who = version_of(request, version_id), actor(request).username
    try:
        split_off = knowledge.split_off(version.pk, actor=who)
    except knowledge.KnowledgeError as error:
        messages.error(request, str(error))
        return redirect("guidelines:detail", version.guideline_id)
    messages.success(request, _("It is a guideline of its own now."))
    return redirect("guidelines:detail", split_off.guideline_id)


def _attempt(request: HttpRequest, work: Callable[[], object], success: str, guideline_id: uuid.UUID) -> HttpResponse:
    """Do something with a version, say how it went, and go to the page of a guideline."""
    try:
        work()
    except knowledge.KnowledgeError as error:
        messages.error(request, str(error))
    else:
        messages.success(request, success)
    return redirect("guidelines:detail", guideline_id)


def _guideline(guideline_id: uuid.UUID) -> Guideline:
    try:
        return selectors.get_guideline(guideline_id)
    except Guideline.DoesNotExist as error:
        raise Http404 from error
