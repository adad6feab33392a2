"""The administrator's pages: what is in the library, since when, by whom."""

import uuid
from typing import Any, BinaryIO, cast

from django.conf import settings
from django.contrib import messages
from django.core.paginator import Paginator
from django.http import Http404, HttpRequest, HttpResponse, JsonResponse
from django.shortcuts import redirect, render
from django.utils.translation import gettext as _
from django.utils.translation import ngettext
from django.views.decorators.http import require_GET, require_POST

import knowledge
from knowledge import selectors
from knowledge.models import Guideline, GuidelineVersion
from portal.access import for_role
from portal.accounts.models import User
from portal.guidelines import services

_CHUNKS_A_PAGE = 25


@require_GET
@for_role("admin")
def index(request: HttpRequest) -> HttpResponse:
    """The library, and the form that takes files in."""
    guidelines = [_listed(one) for one in selectors.list_guidelines()]
    limit = settings.HAVRE_UPLOAD_MAX_BYTES // (1024 * 1024)
    return render(request, "guidelines/index.html", {"guidelines": guidelines, "upload_limit_mb": limit})


@require_POST
@for_role("admin")
def upload(request: HttpRequest) -> HttpResponse:
    """Take in every file of the form. Answers JSON to a script, else a redirect with messages."""
    actor = _actor(request)
    results: list[dict[str, Any]] = []
    for file in request.FILES.getlist("files"):
        name = file.name or "document"
        try:
            version = services.take_in(
                cast("BinaryIO", file.file),
                filename=name,
                publisher=request.POST.get("publisher", "")[:200],
                actor=actor.username,
                actor_role=actor.role,
            )
        except knowledge.KnowledgeError as error:
            results.append({"filename": name, "error": str(error)})
        else:
            results.append({"filename": name, "version": str(version.pk), "title": version.guideline.title})
    taken = sum("version" in one for one in results)
    if taken and not services.queue_ingestion():
        messages.warning(request, _("The guideline service is not running: the files wait until it is back."))
    if request.headers.get("accept", "").startswith("application/json"):
        return JsonResponse({"files": results})
    if not results:
        messages.error(request, _("No file was chosen."))
    for one in results:
        if "error" in one:
            messages.error(request, one["error"])
    if taken:
        text = ngettext("%(n)d file is being read.", "%(n)d files are being read.", taken) % {"n": taken}
        messages.success(request, text)
    return redirect("guidelines:index")


@require_GET
@for_role("admin")
def detail(request: HttpRequest, guideline_id: uuid.UUID) -> HttpResponse:
    """One guideline: its versions, and the passages of the one that answers."""
    try:
        guideline = selectors.get_guideline(guideline_id)
    except Guideline.DoesNotExist as error:
        raise Http404 from error
    versions = list(guideline.versions.all())
    shown = next((one for one in versions if one.state == GuidelineVersion.State.EFFECTIVE), None)
    page = None
    if shown is not None:
        chunks = shown.chunks.defer("terms").order_by("ordinal")
        page = Paginator(chunks, _CHUNKS_A_PAGE).get_page(request.GET.get("page"))
    context = {"guideline": guideline, "versions": versions, "effective": shown, "chunks": page}
    return render(request, "guidelines/detail.html", context)


@require_POST
@for_role("admin")
def switch(request: HttpRequest, guideline_id: uuid.UUID) -> HttpResponse:
    """Let a guideline answer or not; the other button undoes it."""
    actor, enabled = _actor(request), request.POST.get("enabled") == "1"
    try:
        guideline = services.switch(guideline_id, enabled, actor=actor.username, actor_role=actor.role)
    except Guideline.DoesNotExist as error:
        raise Http404 from error
    text = _("“%(title)s” answers again.") if enabled else _("“%(title)s” no longer answers.")
    messages.success(request, text % {"title": guideline.title})
    return redirect("guidelines:index")


@require_POST
@for_role("admin")
def retry(request: HttpRequest, version_id: uuid.UUID) -> HttpResponse:
    """Read a file again that could not be read."""
    actor = _actor(request)
    try:
        version = services.retry(version_id, actor=actor.username, actor_role=actor.role)
    except GuidelineVersion.DoesNotExist as error:
        raise Http404 from error
    except knowledge.KnowledgeError as error:
        messages.error(request, str(error))
    else:
        services.queue_ingestion()
        messages.success(request, _("“%(name)s” is being read again.") % {"name": version.filename})
    return redirect("guidelines:index")


@require_GET
@for_role("admin")
def progress(request: HttpRequest) -> JsonResponse:
    """The versions that are being read, or were in the last minutes, for the page's progress bars."""
    return JsonResponse({"versions": [_progress(one) for one in selectors.recent_versions()]})


def _progress(version: GuidelineVersion) -> dict[str, Any]:
    return {
        "id": str(version.pk),
        "guideline": str(version.guideline_id),
        "filename": version.filename,
        "title": version.guideline.title,
        "state": version.state,
        "ingestion": version.ingestion,
        "done": version.progress_done,
        "total": version.progress_total,
        "error": version.error,
    }


def _listed(guideline: Guideline) -> dict[str, Any]:
    versions = list(guideline.versions.all())
    current = next((one for one in versions if one.state == GuidelineVersion.State.EFFECTIVE), None)
    return {
        "id": guideline.pk,
        "title": guideline.title,
        "publisher": guideline.publisher,
        "language": guideline.language,
        "licence": guideline.licence,
        "source_url": guideline.source_url,
        "enabled": guideline.enabled,
        "versions_count": len(versions),
        "current": current
        and {
            "number": current.number,
            "pages": current.page_count,
            "chunks": getattr(current, "chunk_count", None),
            "indexed_at": current.indexed_at,
        },
        "latest": versions and _progress(versions[0]),
    }


def _actor(request: HttpRequest) -> User:
    assert isinstance(request.user, User)
    return request.user
