"""The clinician's pages. The chat itself happens over the websocket; these pages carry its beginning."""

import uuid
from dataclasses import asdict
from typing import Any

from django.core.exceptions import PermissionDenied
from django.db import DatabaseError
from django.http import Http404, HttpRequest, HttpResponse, JsonResponse
from django.shortcuts import render
from django.urls import reverse
from django.views.decorators.http import require_GET, require_POST

from portal import parts
from portal.access import for_role
from portal.accounts.models import User
from portal.audit import keys
from portal.chat import checking, presence, selectors
from portal.chat.access import NotAllowed, conversation_of, passage_of, turn_of
from portal.chat.models import Conversation
from portal.chat.protocol import MAX_QUESTION_CHARACTERS
from portal.chat.sources import Source
from portal.pictures import image_response

_CONVERSATIONS_LISTED = 100


@require_GET
@for_role("clinician")
def index(request: HttpRequest) -> HttpResponse:
    """A new conversation, and the person's earlier ones."""
    return _page(request, uuid.uuid4(), None)


@require_GET
@for_role("clinician")
def conversation(request: HttpRequest, conversation_id: uuid.UUID) -> HttpResponse:
    """One conversation; an id that nobody has used yet is a new one."""
    try:
        found = conversation_of(_user(request), conversation_id)
    except NotAllowed as error:
        raise Http404 from error
    return _page(request, conversation_id, found)


@require_GET
@for_role("clinician")
def passage(request: HttpRequest, turn_id: uuid.UUID, marker: int) -> HttpResponse:
    """The passage that a turn cites as [marker], as it stood when it was cited, on its page and in its surroundings;
    with `?page=` another page of it, or one beside."""
    source = _source(request, turn_id, marker)
    presence.stay(_user(request).pk, "source", presence.READING_SECONDS)  # and wants the answer
    wanted = request.GET.get("page", "")
    if wanted and wanted not in map(str, source.page_numbers):
        raise Http404
    picture = source.picture(int(wanted) if wanted else None)
    checking.source_opened(_user(request), source.turn, source.passage, picture.number if picture else None)
    before, after = source.surroundings
    context = {"source": source, "picture": picture, "before": before, "after": after}
    return render(request, "chat/passage.html", context)


@require_GET
@for_role("clinician")
def passage_image(request: HttpRequest, turn_id: uuid.UUID, marker: int, page: int) -> HttpResponse:
    """A page of the passage that a turn cites as [marker], with its words marked; `?large=1` for small print."""
    source = _source(request, turn_id, marker)
    if page not in source.page_numbers:
        raise Http404
    return image_response(request, lambda: source.image(page, large="large" in request.GET))


@require_POST
@for_role("clinician")
def checked(request: HttpRequest, turn_id: uuid.UUID) -> JsonResponse:
    """That the person has checked an answer against the guideline (`checked`), or, without it, takes that back."""
    try:
        found = checking.check(
            _user(request), turn_of(_user(request), turn_id), wanted=bool(request.POST.get("checked"))
        )
    except NotAllowed as error:
        raise Http404 from error
    except checking.NotNow:
        return JsonResponse({"code": "not_now"}, status=409)
    except (keys.NoAuditKey, DatabaseError):
        return JsonResponse({"code": "not_recorded"}, status=503)
    return JsonResponse({"check": found.as_said if found else None})


def _source(request: HttpRequest, turn_id: uuid.UUID, marker: int) -> Source:
    try:
        return Source(*passage_of(_user(request), turn_id, marker))
    except NotAllowed as error:
        raise Http404 from error


def _page(request: HttpRequest, conversation_id: uuid.UUID, found: Conversation | None) -> HttpResponse:
    seen = parts.look()
    present = asdict(seen) | {"model_installed": not seen.is_without_installed_model()}
    data: dict[str, Any] = {
        "conversation": str(conversation_id),
        "socket": f"/ws/chat/{conversation_id}/",
        "page": reverse("chat:conversation", args=[conversation_id]),
        "turns": selectors.turns_for_page(found) if found else [],
        "parts": {name: present[name] for name in ("valkey", "inference", "knowledge", "model_installed")},
        "status_url": reverse("status"),
        "question_limit": MAX_QUESTION_CHARACTERS,
        "checks": {
            "url": reverse("chat:checked", args=[uuid.UUID(int=0)]),
            "turns": {turn: one.as_said for turn, one in checking.checks(found.turns.all()).items()} if found else {},
        },
    }
    context = {
        "conversation": found,
        "conversations": selectors.conversations_of(_user(request))[:_CONVERSATIONS_LISTED],
        "chat_data": data,
    }
    return render(request, "chat/conversation.html", context)


def _user(request: HttpRequest) -> User:
    if not isinstance(request.user, User):
        raise PermissionDenied
    return request.user
