"""How long things are kept, and the nightly run that erases what has been kept long enough.

Classes: the words of conversations (by their last use), and the names of people who left (by the last that was heard of
their deactivated account). Events are kept: what is personal in them is a code. A legal hold keeps everything that it
is on. Each conversation and each person goes in a transaction of its own, so that a run which is killed goes on where
it was; a summary of each run that did something is recorded.
"""

from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from datetime import datetime, timedelta
from typing import TypeVar

from django.conf import settings
from django.db import transaction
from django.db.models import Exists, Max, Min, OuterRef, Q, QuerySet
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from portal.accounts.models import RESERVED, User
from portal.audit.models import Event
from portal.audit.services import record
from portal.chat import attested, erasing
from portal.chat.erasing import By, NotErased, Target
from portal.chat.keeping import Hold
from portal.chat.models import ACTIVE, Conversation, Turn

RETENTION = "retention"
"""The reason that an erasure by the clock is recorded with."""

_AT_ONCE = 100
_T = TypeVar("_T", Conversation, User)

CLASSES = {
    "conversations": _("Questions, answers, passages, reasoning and titles, since the last use of their conversation"),
    "names": _("Names of people whose account is closed, since they were last heard of"),
    "events": _("Events of the audit trail, with codes in the place of people"),
}


@dataclass(frozen=True, slots=True)
class Due:
    """What of a class would go now. `days` is how long it is kept, 0 for ever; `oldest` of all that there is; `held`
    would go but for a legal hold; `there` is what is kept or goes, all together."""

    name: str
    days: int
    there: int
    due: int
    held: int
    oldest: datetime | None


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a run erased; `passed_by` is what it left for a reason (held, in use, the last administrator)."""

    conversations: int
    turns: int
    names: int
    passed_by: int


def look(now: datetime | None = None) -> list[Due]:
    """What would go at this moment, class by class, and what would stay."""
    now = now or timezone.now()
    words = Conversation.objects.filter(erased_at=None)
    gone = _left()
    events = Event.objects.aggregate(oldest=Min("at"), last=Max("seq"))
    return [
        Due(
            "conversations",
            settings.HAVRE_KEEP_CONVERSATIONS_DAYS,
            words.count(),
            _old_conversations(now).exclude(_conversation_is_held()).count(),
            _old_conversations(now).filter(_conversation_is_held()).count(),
            words.aggregate(oldest=Min("updated_at"))["oldest"],
        ),
        Due(
            "names",
            settings.HAVRE_KEEP_NAMES_DAYS,
            gone.count(),
            _old_people(now).exclude(_person_is_held()).count(),
            _old_people(now).filter(_person_is_held()).count(),
            gone.aggregate(oldest=Min("date_joined"))["oldest"],
        ),
        Due("events", 0, events["last"] or 0, 0, 0, events["oldest"]),
    ]


def retain(now: datetime | None = None) -> Outcome:
    """Erase what has been kept long enough. Raises keys.NoAuditKey, DatabaseError: what was erased until then stays
    erased and is recorded, and the next run goes on."""
    now = now or timezone.now()
    conversations = turns = names = passed_by = 0
    for target in _due(now):
        try:
            extent = erasing.erase(target, By("system", reason=RETENTION), still=_still_due(target, now))
        except NotErased:
            passed_by += 1
            continue
        conversations, turns = conversations + extent.conversations, turns + extent.turns
        names += isinstance(target, User)
    outcome = Outcome(conversations, turns, names, passed_by)
    held = sum(one.held for one in look(now))
    if conversations or names or held or passed_by:
        kept = {"conversations": settings.HAVRE_KEEP_CONVERSATIONS_DAYS, "names": settings.HAVRE_KEEP_NAMES_DAYS}
        with transaction.atomic():
            payload = {**asdict(outcome), "held": held, "kept_days": kept}
            record("retention.ran", actor="system", payload=payload)
    return outcome


def _due(now: datetime) -> Iterator[Target]:
    """One after another, a few read at a time; what is passed by is not met again."""
    yield from _in_batches(_old_conversations(now).exclude(_conversation_is_held()))
    yield from _in_batches(_old_people(now).exclude(_person_is_held()))


def _still_due(target: Target, now: datetime) -> Callable[[], bool]:
    """Whether it is to go, asked again when nobody can use it any more: it may have been used a moment ago, a setting
    says something else by now, or its row alone says that it is old."""
    if isinstance(target, User):
        old, days = _old_people(now).filter(pk=target.pk).exists, settings.HAVRE_KEEP_NAMES_DAYS
    else:
        old, days = _old_conversations(now).filter(pk=target.pk).exists, settings.HAVRE_KEEP_CONVERSATIONS_DAYS
    return lambda: old() and not attested.used_since(target, now - timedelta(days=days))


def _in_batches(found: QuerySet[_T]) -> Iterator[_T]:
    last = None
    while page := list((found.filter(pk__gt=last) if last else found).order_by("pk")[:_AT_ONCE]):
        yield from page
        last = page[-1].pk


def _old_conversations(now: datetime) -> QuerySet[Conversation]:
    """Those whose last use is too long ago; one that is being answered is in use."""
    days = settings.HAVRE_KEEP_CONVERSATIONS_DAYS
    if not days:
        return Conversation.objects.none()
    running = Exists(Turn.objects.filter(conversation=OuterRef("pk"), state__in=ACTIVE))
    old = Conversation.objects.filter(erased_at=None, updated_at__lt=now - timedelta(days=days))
    return old.exclude(running)


def _left() -> QuerySet[User]:
    """People whose account is closed and who still have a name here."""
    code = Q(username__regex=r"^p-[0-9a-f]{24}$")
    return User.objects.filter(is_active=False).exclude(code).exclude(username__in=RESERVED)


def _old_people(now: datetime) -> QuerySet[User]:
    """Those of them of whom nothing was heard for long: no sign-in, no question, nor that the account was closed."""
    days = settings.HAVRE_KEEP_NAMES_DAYS
    if not days:
        return User.objects.none()
    before = now - timedelta(days=days)
    lately = Exists(Conversation.objects.filter(owner=OuterRef("pk"), updated_at__gte=before))
    heard_of = Q(last_login__gte=before) | Q(closed_at__gte=before)
    return _left().filter(date_joined__lt=before).exclude(heard_of).exclude(lately)


def _conversation_is_held() -> Exists:
    on_it = Q(conversation=OuterRef("pk")) | Q(person=OuterRef("owner"))
    return Exists(Hold.objects.filter(on_it, lifted_at=None))


def _person_is_held() -> Exists:
    on_them = Q(person=OuterRef("pk")) | Q(conversation__owner=OuterRef("pk"))
    return Exists(Hold.objects.filter(on_them, lifted_at=None))
