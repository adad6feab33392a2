"""What the audit trail says of decisions about erasing and keeping. Whoever reaches the database can change the rows
that pages and lists go by; before anything is destroyed, the events are asked, which nobody writes without the key.
"""

import json
import uuid
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TypeVar

from django.db.models import Max, QuerySet
from django.utils.translation import gettext as _

from portal.accounts.models import User
from portal.audit import exporting, stored
from portal.audit.models import Actor, Event, Head
from portal.audit.proving import proofs
from portal.audit.services import is_code
from portal.audit.stored import Row
from portal.chat.keeping import Erasure
from portal.chat.models import Conversation, Turn

HOLD_SET, HOLD_LIFTED = "hold.set", "hold.lifted"
_ENDS = frozenset({"erasure.declined", "erasure.withdrawn", "erasure.done"})
_GONE = frozenset({"conversation.erased", "person.erased"})
_ASKS = ("turn.started", "crisis.shown")
_ACCOUNT = ("user.closed", "user.reopened")
_AT_ONCE = 500
_T = TypeVar("_T")


class NotAttested(Exception):
    """The audit trail does not say what the row says; the text is a sentence about it."""


@dataclass(frozen=True, slots=True)
class Asked:
    """That somebody asked for an erasure: by which code, and why."""

    by: str
    reason: str


@dataclass(frozen=True, slots=True)
class Confirmed:
    """That a second person confirmed it: by which code, in which role, and when."""

    by: str
    role: str
    at: datetime


@dataclass(frozen=True, slots=True)
class InForce:
    """A legal hold that was set and never lifted: the id of its row, and the conversation's id or the person's code."""

    hold: str
    subject: str


def subject_of(target: Conversation | User) -> str:
    """What events call it: the conversation's id, or the person's code; empty where the person has none yet."""
    if isinstance(target, Conversation):
        return str(target.pk)
    if is_code(target.username):
        return target.username
    return Actor.objects.filter(name=target.username).values_list("code", flat=True).first() or ""


def asked(erasure: Erasure) -> Asked:
    """Who asked for it, of exactly this target. Raises NotAttested."""
    return _asked(erasure, _about(erasure))


def confirmed(erasure: Erasure) -> tuple[Asked, Confirmed]:
    """Who asked for it and who confirmed it, two people, and that nothing ended it. Raises NotAttested."""
    rows = _about(erasure)
    begun = _asked(erasure, rows)
    found = [one for one in rows if one.kind == "erasure.confirmed"]
    decided_by = erasure.decided_by_id
    if len(found) != 1 or found[0].actor_id != decided_by or decided_by == begun.by or found[0].at is None:
        raise NotAttested(
            _("The audit trail does not say that a second person confirmed this: somebody changed the database. ")
            + _("Nothing is erased. Decline it, and tell your IT.")
        )
    if any(one.kind in _ENDS for one in rows):
        raise NotAttested(_("The audit trail says that this ended before: somebody changed the database."))
    return begun, Confirmed(found[0].actor_id, found[0].actor_role, found[0].at)


def never_carried_out() -> list[tuple[str, str]]:
    """Request and subject of each erasure that two people decided, of which nothing was erased and that nobody declined
    afterwards, whatever its row says. That it was erased may have been recorded first, as by earlier versions."""
    confirmed_ones = _rows(list(_numbers(Event.objects.filter(kind="erasure.confirmed"))))
    subjects = sorted({one.subject for one in confirmed_ones})
    ends = [
        one
        for some in _parts(subjects)
        for one in _rows(list(_numbers(Event.objects.filter(kind__in=_ENDS | _GONE, subject__in=some))))
        if not one.problem
    ]
    return [
        (_request(one), one.subject)
        for one in confirmed_ones
        if not any(
            end.subject == one.subject
            and (end.kind in _GONE or (end.seq > one.seq and end.payload.get("request") == _request(one)))
            for end in ends
        )
    ]


def holds(subjects: Iterable[str] | None = None) -> list[InForce]:
    """The legal holds on these subjects, or all that there are, that were set and not lifted, whatever their rows say.
    Where the event itself was changed, the hold is taken to be in force."""
    events = Event.objects.filter(kind__in=(HOLD_SET, HOLD_LIFTED))
    if subjects is None:
        seqs = list(_numbers(events))
    else:
        some_of = _parts([one for one in subjects if one])
        seqs = sorted({seq for some in some_of for seq in _numbers(events.filter(subject__in=some))})
    rows = _rows(seqs)
    lifted = {(_request(one), one.subject) for one in _believed(rows) if one.kind == HOLD_LIFTED}
    were_set = [(_request(one), one.subject) for one in rows if one.kind == HOLD_SET]
    return [InForce(*one) for one in were_set if one not in lifted]


def holds_on(target: Conversation | User) -> list[InForce]:
    """Those on a conversation or its person, or on a person or anything of theirs. Whose a conversation is, is also
    asked of the events of its questions: a name or an owner is a column, too."""
    if isinstance(target, Conversation):
        return holds([str(target.pk), subject_of(target.owner), *_askers(_questions_in(target))])
    talks = list(Conversation.objects.filter(owner=target).order_by().values_list("pk", flat=True))
    turns = list(Turn.objects.filter(conversation__owner=target).order_by().values_list("pk", flat=True))
    return holds([subject_of(target), *map(str, talks), *_askers(_questions_of(turns))])


def used_since(target: Conversation | User, moment: datetime) -> bool:
    """Whether the audit trail knows of a question in this conversation, or of anything that this person did or that was
    done with their account, since then; or of something whose time nobody can tell any more."""
    if isinstance(target, Conversation):
        seqs = _questions_in(target)
    elif code := subject_of(target):
        theirs = Event.objects.filter(actor_id=code), Event.objects.filter(subject=code, kind__in=_ACCOUNT)
        newest = [events.order_by().aggregate(newest=Max("seq"))["newest"] for events in theirs]
        seqs = [seq for seq in newest if seq]
    else:
        return False
    return any(one.problem or one.at is None or one.at >= moment for one in _rows(sorted(seqs)))


def _questions_in(conversation: Conversation) -> list[int]:
    """The numbers of the events by which questions in it began: by its turns, and by what the events say, where a turn
    was moved elsewhere."""
    turns = list(Turn.objects.filter(conversation=conversation).order_by().values_list("pk", flat=True))
    last = Head.objects.filter(pk=1).values_list("last_seq", flat=True).first() or 0
    chosen = exporting.events(exporting.Selection(conversation=str(conversation.pk)), last)
    return sorted({*_questions_of(turns), *chosen.filter(kind__in=_ASKS).values_list("seq", flat=True)})


def _questions_of(turns: Sequence[uuid.UUID]) -> list[int]:
    begun = Event.objects.filter(kind__in=_ASKS).order_by()
    return [
        seq
        for some in _parts(turns)
        for seq in begun.filter(subject__in=list(map(str, some))).values_list("seq", flat=True)
    ]


def _askers(seqs: Sequence[int]) -> set[str]:
    events = Event.objects.order_by()
    return {
        code
        for some in _parts(seqs)
        for code in events.filter(seq__in=some).values_list("actor_id", flat=True).distinct()
    }


def _asked(erasure: Erasure, rows: Sequence[Row]) -> Asked:
    found = [one for one in rows if one.kind == "erasure.asked"]
    if len(found) != 1 or found[0].actor_id != erasure.asked_by_id:
        raise NotAttested(
            _("The audit trail does not say that this was asked for by whom it says: somebody changed the database. ")
            + _("Nothing is erased. Decline it, and tell your IT.")
        )
    return Asked(found[0].actor_id, str(found[0].payload.get("reason", "")))


def _about(erasure: Erasure) -> list[Row]:
    """The events of this request that are about its target and are what was recorded."""
    subject = subject_of(erasure.target)
    rows = _rows(list(_numbers(Event.objects.filter(kind__startswith="erasure.", subject=subject))))
    return [one for one in _believed(rows) if one.payload.get("request") == str(erasure.pk)]


def _numbers(events: QuerySet[Event]) -> Iterable[int]:
    return events.order_by("seq").values_list("seq", flat=True)


def _rows(seqs: Sequence[int]) -> list[Row]:
    return stored.rows(seqs, stored.Marks()) if seqs else []


def _parts(values: Sequence[_T]) -> Iterator[Sequence[_T]]:
    for start in range(0, len(values), _AT_ONCE):
        yield values[start : start + _AT_ONCE]


def _believed(rows: Sequence[Row]) -> list[Row]:
    found = proofs(rows)
    return [one for one in rows if not one.problem and found[one.seq].is_believed]


def _request(row: Row) -> str:
    """The hold that an event is about, also where the event is not what was recorded."""
    if not row.problem:
        return str(row.payload.get("request"))
    try:
        return str(uuid.UUID(json.loads((row.values or {}).get("payload") or "")["request"]))
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError):
        return f"event {row.seq}"
