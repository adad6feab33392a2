"""The clinician's pages. The chat itself happens over the websocket; these pages carry its beginning."""

import uuid
from dataclasses import asdict
from typing import Any

from django.core.exceptions import PermissionDenied
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import render
from django.urls import reverse
from django.views.decorators.http import require_GET

from knowledge import selectors as library
from portal import parts
from portal.access import for_role
from portal.accounts.models import User
from portal.chat import selectors
from portal.chat.access import NotAllowed, conversation_of, turn_of
from portal.chat.models import Conversation
from portal.chat.protocol import MAX_QUESTION_CHARACTERS

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
    """The passage that a turn cites as [marker], as it stood when it was cited, in its surroundings."""
    try:
        turn = turn_of(_user(request), turn_id)
    except NotAllowed as error:
        raise Http404 from error
    found = next((one for one in turn.passages if one["marker"] == marker), None)
    if found is None:
        raise Http404
    before, after = library.surroundings(found["chunk_id"])
    context = {"passage": found, "turn": turn, "before": before, "after": after}
    return render(request, "chat/passage.html", context)


def _page(request: HttpRequest, conversation_id: uuid.UUID, found: Conversation | None) -> HttpResponse:
    present = asdict(parts.look())
    data: dict[str, Any] = {
        "conversation": str(conversation_id),
        "socket": f"/ws/chat/{conversation_id}/",
        "page": reverse("chat:conversation", args=[conversation_id]),
        "turns": selectors.turns_for_page(found) if found else [],
        "parts": {name: present[name] for name in ("valkey", "inference", "knowledge")},
        "status_url": reverse("status"),
        "question_limit": MAX_QUESTION_CHARACTERS,
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
