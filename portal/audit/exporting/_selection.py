"""Which events: filters that are the same for the page, the command and every format."""

import uuid
from array import array
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, fields
from datetime import date, datetime, time, timedelta
from typing import Any

from django.db import connection
from django.db.models import Q, QuerySet
from django.utils import timezone

from knowledge.models import GuidelineVersion
from portal.audit.models import Actor, Event
from portal.audit.stored import Marks, Row, rows
from portal.audit.traits import ASKS, found, is_rule, key, readable

_EVENTS_AT_ONCE = 1000
_REDIRECT = "redirect"


@dataclass(frozen=True, slots=True)
class Selection:
    """What to export; a field that is empty asks for nothing, and all that are set must hold.

    `first_day` and `last_day` are days of the installation's time zone, inclusive. `actor` is a name or a code, `role`
    the role in which somebody acted, `kind` a kind of event or its beginning ("turn" finds "turn.completed"), `subject`
    an id, a person's name or code.

    The other five choose *turns*, and of a chosen turn every event, so that its story is whole: `conversation` (its
    id), `document` (the id of a guideline or of a version, or the SHA-256 of a version's file), `rule` (the id of a
    guardrail rule), `verdict` (a category or action of the screen, "redirect"), `model` (name or SHA-256). Beside one
    of these, days, actor and role are those of the question: a turn asked before midnight is not cut in two. Where only
    one of the five is set, the events about that conversation, document or model itself come along.
    """

    first_day: date | None = None
    last_day: date | None = None
    actor: str = ""
    role: str = ""
    conversation: str = ""
    document: str = ""
    rule: str = ""
    verdict: str = ""
    model: str = ""
    kind: str = ""
    subject: str = ""

    def filters(self) -> dict[str, str]:
        """The filters that are set, as text: for the record of an export. Names stand as they were given."""
        values = ((one.name, getattr(self, one.name)) for one in fields(self))
        return {name: value.isoformat() if isinstance(value, date) else value for name, value in values if value}

    @property
    def is_everything(self) -> bool:
        """Whether no filter is set."""
        return not self.filters()


def events(selection: Selection, up_to_seq: int) -> QuerySet[Event]:
    """The chosen events with numbers up to `up_to_seq`, oldest first."""
    chosen_events = Event.objects.filter(seq__lte=up_to_seq)
    asked = _asked(selection)
    turns = _turns(selection, up_to_seq)
    if turns:
        if asked:
            of_turns = Event.objects.filter(asked, kind__in=ASKS, seq__lte=up_to_seq).order_by()
            turns.append(Q(subject__in=of_turns.values("subject")))
        chosen = Q()
        for one in turns:
            chosen &= one
        if len(turns) == 1:
            chosen |= Q(subject__in=_themselves(selection))
        chosen_events = chosen_events.filter(chosen)
    elif asked:
        chosen_events = chosen_events.filter(asked)
    if selection.kind:
        chosen_events = chosen_events.filter(kind__in=_kinds(selection.kind))
    if selection.subject:
        chosen_events = chosen_events.filter(subject__in=[selection.subject, *_codes(selection.subject)])
    return chosen_events.order_by("seq")


def numbers(selection: Selection, up_to_seq: int) -> "array[int] | range":
    """The numbers of the chosen events, in order: eight bytes each, and none for a whole ledger."""
    if selection.is_everything:
        return range(1, up_to_seq + 1)
    found = events(selection, up_to_seq).values_list("seq", flat=True).iterator(chunk_size=5000)
    return array("q", (seq for seq in found if type(seq) is int))  # SQLite keeps whatever it is given


def read(seqs: "array[int] | range") -> Iterator[Row]:
    """The rows with these numbers, in their order, also those that somebody changed. No read transaction is held
    meanwhile: other processes write, and so may this one. An event that has gone is left out."""
    marks = Marks()
    for start in range(0, len(seqs), _EVENTS_AT_ONCE):
        yield from rows(seqs[start : start + _EVENTS_AT_ONCE], marks)


def midnight(day: date) -> datetime:
    """The beginning of a day in the installation's time zone."""
    return timezone.make_aware(datetime.combine(day, time.min))


def _asked(selection: Selection) -> Q:
    found = Q()
    if selection.first_day:
        found &= Q(at__gte=midnight(selection.first_day))
    if selection.last_day:
        found &= Q(at__lt=midnight(selection.last_day + timedelta(days=1)))
    if selection.actor:
        found &= Q(actor_id__in=[selection.actor, *_codes(selection.actor)])
    if selection.role:
        found &= Q(actor_role=selection.role)
    return found


def _turns(selection: Selection, up_to_seq: int) -> list[Q]:
    """For each filter that chooses turns the condition that an event belongs to one of them."""
    conditions = []
    if value := _uuid(selection.conversation):
        asked = Q(kind__in=ASKS) & readable(Q(payload__conversation=value))
        conditions.append(found([key("conversation", value)], asked, up_to_seq))
    if selection.document:
        versions = _versions(selection.document)
        drawn = Q(pk__isnull=True)
        for version in versions:
            drawn |= Q(payload__passages__icontains=version)
        keys = [key("version", version) for version in versions]
        conditions.append(found(keys, Q(kind="turn.passages") & readable(drawn), up_to_seq))
    if selection.rule:
        conditions.append(found([key("rule", selection.rule.lower())], _rule(selection.rule), up_to_seq))
    if value := selection.verdict:
        given = Q(payload__verdict__category=value) | Q(payload__verdict__action=value)
        shown = Q(kind__in=ASKS) & readable(given)
        if value == _REDIRECT:  # that the hotlines were shown is all that is known
            shown |= Q(kind="crisis.shown") & readable(Q(payload__verdict__isnull=True))
        conditions.append(found([key("verdict", value)], shown, up_to_seq))
    if value := selection.model:
        answered = readable(Q(payload__model__name=value) | Q(payload__model__sha256=value))
        conditions.append(found([key("model", value)], Q(kind__in=_kinds("turn.")) & answered, up_to_seq))
    return conditions


def _rule(rule: str) -> Q:
    """Of the question's screen, of the answer's, or why a turn was refused."""
    if not is_rule(rule):
        return Q(pk__isnull=True)
    quoted = f'"{rule}"'  # one whole member of a list
    asked = Q(kind__in=ASKS) & readable(Q(payload__verdict__rules__icontains=quoted))
    ended = Q(payload__notices__icontains=quoted) | Q(payload__code__iexact=rule) | Q(payload__rule__iexact=rule)
    return asked | (Q(kind__in=_kinds("turn.")) & readable(ended))


def _themselves(selection: Selection) -> list[str]:
    """The subjects of events about what was asked for itself, and not about a turn."""
    if selection.document:
        of_versions = GuidelineVersion.objects.filter(pk__in=_versions(selection.document))
        guidelines = of_versions.order_by().values_list("guideline_id", flat=True).distinct()
        return [_uuid(selection.document), *map(str, guidelines)]
    return [_uuid(value) for value in (selection.conversation, selection.model) if value]


def _versions(document: str) -> set[str]:
    """The ids of the versions that a guideline's id, a version's id or a file's hash stands for."""
    with suppress(ValueError):
        given = uuid.UUID(document)
        of_guideline = GuidelineVersion.objects.filter(guideline_id=given).values_list("pk", flat=True)
        return {str(given), *map(str, of_guideline)}
    by_hash: QuerySet[GuidelineVersion, Any] = GuidelineVersion.objects.filter(sha256=document.lower())
    return set(map(str, by_hash.values_list("pk", flat=True)))


def kinds() -> list[str]:
    """The kinds of event that occur, also in rows that somebody changed."""
    column = "kind" if connection.vendor == "postgresql" else "CAST(kind AS BLOB)"
    with connection.cursor() as cursor:
        cursor.execute(f"SELECT {column} FROM audit_event GROUP BY kind")  # noqa: S608
        found = [one for (one,) in cursor.fetchall()]
    return [one if isinstance(one, str) else bytes(one or b"").decode(errors="replace") for one in found]


def _kinds(beginning: str) -> list[str]:
    """The kinds that occur and begin so: an exact list is looked up in the index, on every database alike."""
    return [kind for kind in kinds() if kind.startswith(beginning)]


def _codes(name: str) -> list[str]:
    return list(Actor.objects.filter(name=name).values_list("code", flat=True))


def _uuid(value: str) -> str:
    """An id as events hold it, however it was typed; anything else as it is."""
    with suppress(ValueError):
        return str(uuid.UUID(value))
    return value
