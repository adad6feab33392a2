"""Reads of conversations and turns."""

import uuid
from datetime import timedelta
from typing import Any

from django.conf import settings
from django.db.models import Q, QuerySet
from django.utils import timezone

from portal.accounts.models import User
from portal.chat import sealed, stored
from portal.chat.models import ACTIVE, Conversation, State, Turn
from portal.chat.reading import readings


def conversations_of(user: User) -> QuerySet[Conversation]:
    """A person's conversations, the last used first."""
    return Conversation.objects.filter(owner=user).select_related("key").order_by("-updated_at")


def turns_for_page(conversation: Conversation) -> list[dict[str, Any]]:
    """The turns of a conversation as the chat page needs them: ended ones with their events, running ones without (the
    page asks for those over its socket)."""
    return [
        {
            "turn": str(turn.id),
            "client_ref": str(turn.client_ref),
            "question": read.question,
            "effort": turn.effort,
            "answer": stored.wanted(turn),
            "asked_at": turn.created_at.isoformat(),
            "state": turn.state,
            "events": [] if turn.is_active else stored.events(turn, read=read),
        }
        for read in readings(conversation.turns.order_by("created_at"))
        for turn in [read.turn]
    ]


def get_turn(turn_id: uuid.UUID) -> Turn:
    """A turn with its conversation, its key and owner, for workers (they act for nobody). Raises Turn.DoesNotExist."""
    return Turn.objects.select_related(*sealed.WITH_KEY).get(pk=turn_id)


def history_before(turn: Turn, most: int = 6) -> list[Turn]:
    """The completed turns before this one in its conversation, oldest first. What was redirected or refused is not
    among them: it never reaches the model, not even later."""
    earlier = turn.conversation.turns.filter(state=State.COMPLETED, created_at__lt=turn.created_at)
    return list(earlier.order_by("-created_at")[:most])[::-1]


def history_for_model(turn: Turn) -> list[Turn]:
    """The same as a model may read it: without the turns whose answers are withheld from the person. A model repeats
    what it reads."""
    return [read.turn for read in readings(history_before(turn)) if not read.is_withheld]


def earlier_questions(conversation_id: uuid.UUID, most: int = 10) -> list[str]:
    """What the person wrote before in this conversation, oldest first, whatever became of it: the crisis screen reads
    the dialogue, not the line. Raises sealed.Erased, VaultError."""
    found = Turn.objects.filter(conversation_id=conversation_id).select_related("conversation__key")
    latest = found.defer("found", "said", "reasoning").order_by("-created_at")[:most]
    return [one.question for one in latest][::-1]


def running_turns(user: User) -> QuerySet[Turn]:
    """This person's turns that have not ended."""
    return Turn.objects.filter(conversation__owner=user, state__in=ACTIVE)


def recent_starts(user: User) -> int:
    """How many turns this person has started in the last minute."""
    since = timezone.now() - timedelta(minutes=1)
    return Turn.objects.filter(conversation__owner=user, created_at__gte=since).count()


def queue_length() -> int:
    """How many turns run or wait for a model in the whole installation."""
    return Turn.objects.filter(state__in=ACTIVE, quotation="").count()


def ready_for_model() -> list[uuid.UUID]:
    """The turns whose passages are stored and that wait for a slot, the first come first, as they are told their
    places."""
    ready = Turn.objects.filter(state__in=ACTIVE, quotation="", covered__isnull=False, lease_until=None)
    return list(ready.filter(cancel_requested=False).order_by("created_at", "id").values_list("id", flat=True))


def waiting_quotations() -> int:
    """How many turns run or wait that are answered with quotations."""
    return Turn.objects.filter(state__in=ACTIVE).exclude(quotation="").count()


def abandoned_turns() -> QuerySet[Turn]:
    """Running turns whose worker stopped renewing, or that wait longer than a lost message would explain. Times too far
    ahead are from before the clock was set back."""
    now, far = timezone.now(), Turn.no_claim_ends_after()
    waiting_since = now - timedelta(seconds=2 * settings.HAVRE_LEASE_SECONDS)
    lost = Q(lease_until__lt=now) | Q(lease_until__gt=far)
    unheard = Q(enqueued_at__lt=waiting_since) | Q(enqueued_at__gt=far) | Q(enqueued_at=None)
    return Turn.objects.filter(lost | (Q(lease_until=None) & unheard), state__in=ACTIVE)
