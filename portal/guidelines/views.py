"""The page of the library: what is in, what is out, since when, by whom; files taken in, several steps at once."""

import uuid
from collections.abc import Iterable
from typing import Any, BinaryIO, cast

from django.conf import settings
from django.contrib import messages
from django.core.paginator import Paginator
from django.http import Http404, HttpRequest, HttpResponse, JsonResponse
from django.shortcuts import redirect, render
from django.urls import reverse
from django.utils.translation import gettext as _
from django.utils.translation import ngettext
from django.views.decorators.http import require_GET, require_POST

import knowledge
from knowledge import lifecycle, selectors
from knowledge.models import FolderFile, Guideline, GuidelineVersion
from knowledge.parsing import MEDIA_TYPES
from portal.access import for_role
from portal.accounts.models import User
from portal.guidelines import consequences, estimates, listing, services
from portal.guidelines.access import NotAllowed, version_for
from portal.guidelines.forms import DatesForm, LibraryFilter, UploadForm

_GUIDELINES_A_PAGE = 50
_FILES_A_PAGE = 100
_MOST_AT_ONCE = 200


@require_GET
@for_role("admin")
def index(request: HttpRequest) -> HttpResponse:
    """The library, and the form that takes files in."""
    everything = listing.library(actor(request).username)
    form = LibraryFilter(request.GET, languages={one.guideline.language for one in everything})
    chosen = form.chosen()
    found = listing.narrowed(everything, chosen)
    query = request.GET.copy()
    query.pop("page", None)
    context = {
        "listed": Paginator(found, _GUIDELINES_A_PAGE).get_page(request.GET.get("page")),
        "all": len(everything),
        "waiting": sum(one.for_me for one in everything),
        "form": form,
        "query": query.urlencode() if chosen else "",
        "upload": UploadForm(),
        "upload_limit_mb": settings.HAVRE_UPLOAD_MAX_BYTES // (1024 * 1024),
        "upload_limit_files": settings.DATA_UPLOAD_MAX_NUMBER_FILES,
        "accept": ",".join(ending for kind in MEDIA_TYPES for ending in kind.extensions),
        "index": listing.index_state(),
        "passages": listing.answering_passages(),
        "folder": listing.folder_state(),
    }
    return render(request, "guidelines/index.html", context)


@require_POST
@for_role("admin")
def upload(request: HttpRequest) -> HttpResponse:
    """Take in every file of the form. Answers JSON to a script, else a redirect with messages."""
    form = UploadForm(request.POST)
    form.is_valid()  # what is not valid is left out: it can be said later, on the guideline's own page
    files = request.FILES.getlist("files")
    if "departments" in form.errors:  # but without them a file would be everybody's
        gone = str(knowledge.NotPossible("department_gone"))
        results = [{"filename": file.name or "document", "error": gone} for file in files]
    else:
        results = [_taken_in(request, file, form.cleaned_data) for file in files]
    taken = sum("version" in one for one in results)
    is_waiting = taken > 0 and not services.queue_ingestion()
    later = _("The guideline service is not running: the files wait until it is back.") if is_waiting else ""
    if request.headers.get("accept", "").startswith("application/json"):
        return JsonResponse({"files": results, "notice": later})
    if later:
        messages.warning(request, later)
    if not results:
        messages.error(request, _("No file was chosen."))
    for one in results:
        if "error" in one:
            messages.error(request, one["error"])
    if taken:
        text = ngettext("%(n)d file is being read.", "%(n)d files are being read.", taken) % {"n": taken}
        messages.success(request, text)
    return redirect("guidelines:index")


def _taken_in(request: HttpRequest, file: Any, said: dict[str, Any]) -> dict[str, Any]:
    one, name = actor(request), file.name or "document"
    try:
        version = services.take_in(
            cast("BinaryIO", file.file),
            filename=name,
            publisher=said.get("publisher", ""),
            language=said.get("language") or None,
            departments=list(said.get("departments", ())),
            actor=one.username,
        )
    except knowledge.DuplicateDocument as error:
        known = selectors.get_version(error.version_id)
        return {"filename": name, "error": str(error), "known": reverse("guidelines:detail", args=[known.guideline_id])}
    except knowledge.KnowledgeError as error:
        return {"filename": name, "error": str(error)}
    return {
        "filename": name,
        "version": str(version.pk),
        "title": version.guideline.title,
        "url": reverse("guidelines:detail", args=[version.guideline_id]),
    }


@require_POST
@for_role("admin")
def switch(request: HttpRequest, guideline_id: uuid.UUID) -> HttpResponse:
    """Let a guideline answer or not; the other button undoes it."""
    one, enabled = actor(request), request.POST.get("enabled") == "1"
    try:
        guideline = knowledge.set_enabled(guideline_id, enabled, actor=one.username)
    except Guideline.DoesNotExist as error:
        raise Http404 from error
    text = _("“%(title)s” answers again.") if enabled else _("“%(title)s” no longer answers.")
    messages.success(request, text % {"title": guideline.title})
    if request.POST.get("back") == "detail":
        return redirect("guidelines:detail", guideline.pk)
    return redirect("guidelines:index")


@require_POST
@for_role("admin")
def batch(request: HttpRequest) -> HttpResponse:
    """Submit or approve several versions. An approval is read once more before it is done: `confirmed` does it."""
    step = request.POST.get("step", "")
    if step not in {"submit", "approve"}:
        raise Http404
    back = f"{reverse('guidelines:index')}?{request.POST.get('back', '')}".rstrip("?")
    versions = _chosen(request.POST.getlist("versions"))
    if not versions:
        messages.error(request, _("No guideline was chosen."))
        return redirect(back)
    # with the dates of none of them: what one had been approved for before is not meant for the others
    form = DatesForm(request.POST if request.POST.get("confirmed") else None, version=GuidelineVersion())
    if step == "approve" and not (form.is_bound and form.is_valid()):
        return _read_once_more(request, versions, form)
    arguments = form.values() if step == "approve" else {}
    done = 0
    for version in versions:
        if step == "approve":
            arguments["seen"] = request.POST.get(f"seen-{version.pk}", "")
        try:
            getattr(lifecycle, step)(version.pk, actor=actor(request).username, **arguments)
        except knowledge.KnowledgeError as error:
            messages.error(request, str(error))
        else:
            done += 1
    if done and step == "submit":
        text = ngettext("%(n)d version was submitted.", "%(n)d versions were submitted.", done)
        messages.success(request, text % {"n": done})
    elif done:
        text = ngettext("%(n)d version was approved.", "%(n)d versions were approved.", done)
        messages.success(request, text % {"n": done})
    return redirect(back)


def _read_once_more(request: HttpRequest, versions: list[GuidelineVersion], form: DatesForm) -> HttpResponse:
    """What approving each of some versions will do, before it is done."""
    refusals = [lifecycle.refusal("approve", one, actor(request).username) for one in versions]
    possible = [one for one, refusal in zip(versions, refusals, strict=True) if refusal is None]
    said = dict(zip(possible, consequences.of_approving_several(possible), strict=True))
    rows = [
        {"version": one, "place": lifecycle.place(one), "refusal": refusal, "consequences": said.get(one, [])}
        for one, refusal in zip(versions, refusals, strict=True)
    ]
    context = {"rows": rows, "form": form, "back": request.POST.get("back", ""), "possible": len(possible)}
    return render(request, "guidelines/batch.html", context)


def _chosen(ids: Iterable[str]) -> list[GuidelineVersion]:
    """The versions with these ids, as far as there are such."""
    wanted = []
    for one in list(ids)[:_MOST_AT_ONCE]:
        try:
            wanted.append(uuid.UUID(one))
        except ValueError:
            continue
    found = GuidelineVersion.objects.filter(pk__in=wanted).defer("sketch").select_related("guideline")
    return sorted(found, key=lambda one: (one.guideline.title.casefold(), one.number))


@require_GET
@for_role("admin")
def progress(request: HttpRequest) -> JsonResponse:
    """The versions that are being read, or were in the last minutes, and the index that is being built, for the page's
    progress bars."""
    recent = selectors.recent_versions()
    unfinished = [one for one in recent if one.ingestion not in {"indexed", "failed"}]
    queue = sorted(unfinished, key=lambda one: (one.ingestion == "pending", one.created_at))
    left = estimates.queue_left(queue)
    state = listing.index_state()
    building = state.building and {
        "id": str(state.building.pk),
        "done": state.building.done,
        "total": state.building.total,
        "left": state.left,
    }
    return JsonResponse({"versions": [_progress(one, left.get(one.pk, "")) for one in recent], "building": building})


def _progress(version: GuidelineVersion, left: str) -> dict[str, Any]:
    return {
        "id": str(version.pk),
        "guideline": str(version.guideline_id),
        "filename": version.filename,
        "title": version.guideline.title,
        "state": version.state,
        "ingestion": version.ingestion,
        "done": version.progress_done,
        "total": version.progress_total,
        "left": left,
        "error": version.error,
        "url": reverse("guidelines:detail", args=[version.guideline_id]),
    }


@require_GET
@for_role("admin")
def folder(request: HttpRequest) -> HttpResponse:
    """The files of the watched folder: which were taken in, and why the others were not."""
    files = FolderFile.objects.select_related("version__guideline").order_by("path")
    left_out = request.GET.get("left_out") == "1"
    if left_out:
        files = files.exclude(error_code="")
    context = {
        "folder": listing.folder_state(),
        "files": Paginator(files, _FILES_A_PAGE).get_page(request.GET.get("page")),
        "left_out": left_out,
    }
    return render(request, "guidelines/folder.html", context)


def actor(request: HttpRequest) -> User:
    """The signed-in person."""
    assert isinstance(request.user, User)
    return request.user


def version_of(request: HttpRequest, version_id: uuid.UUID) -> GuidelineVersion:
    """The version that an address names. Raises Http404 where there is none for this person."""
    try:
        return version_for(request.user, version_id)
    except NotAllowed as error:
        raise Http404 from error
