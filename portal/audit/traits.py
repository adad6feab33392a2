"""An index of what turns are searched by: conversation, verdict, rule, model, version of a guideline.

They stand within the payloads of events, where a database looks for them one by one. The clock derives them from the
payloads, a block of events at a time and never while something is recorded; what it has not reached yet is looked for
in the payloads (`found`), with the same result. Each is kept as the first eight bytes of a hash: the index holds no
word of anything. It can be made anew from the events, and each night it is compared with them.
"""

import hashlib
import json
import logging
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from django.db import connection, transaction
from django.db.models import BooleanField, Case, Func, Q, QuerySet, When

from portal.audit import stored
from portal.audit.models import Event, Head, Trait, TraitIndex
from portal.audit.services import record
from portal.database import one_at_a_time

logger = logging.getLogger(__name__)

VERSION = 1
"""Of the rules in `traits_of`: an index by other rules is made anew."""
BLOCK = 1000  # events; of a turn each trait is kept once a block
ASKS = frozenset({"turn.started", "crisis.shown"})
"""The kinds that begin a question; the second where nothing could be recorded when the hotlines were shown."""
_MOST_READ = 5000  # events that are read for a search, some hundredths of a second; a minute has fewer, as a rule
MENDED = "audit.index_mended"
"""The event that says that the index was not what the events give, and was mended."""

Entry = tuple[int, int]  # number of an event, trait


@dataclass(frozen=True, slots=True)
class Difference:
    """What a comparison found: entries that were not there, entries that no event has, and the first event of these;
    None where there was none."""

    missing: int = 0
    extra: int = 0
    first: int | None = None


def key(what: str, value: str) -> int:
    """The number that stands for a trait."""
    return int.from_bytes(hashlib.sha256(f"{what}\0{value}".encode(errors="replace")).digest()[:8], signed=True)


def is_rule(text: str) -> bool:
    """Whether this may be the id of a rule: nothing else is looked for within lists."""
    return text.isascii() and text.isprintable() and not {'"', "\\"} & set(text)


def traits_of(kind: str, payload: Any) -> set[int]:
    """The traits that an event gives to its turn."""
    if not isinstance(payload, dict) or not (kind.startswith("turn.") or kind in ASKS):
        return set()
    found: list[tuple[str, Any]] = []
    if kind in ASKS:
        verdict = _mapping(payload.get("verdict"))
        found += [("conversation", payload.get("conversation"))]
        found += [("verdict", verdict.get("category")), ("verdict", verdict.get("action"))]
        found += [("rule", one) for one in _list(verdict.get("rules"))]
        if "verdict" not in payload and kind == "crisis.shown":
            found.append(("verdict", "redirect"))  # that the hotlines were shown is all that is known
    if kind == "turn.passages":
        found += [("version", _mapping(one).get("version_id")) for one in _list(payload.get("passages"))]
    if kind.startswith("turn."):
        model = _mapping(payload.get("model"))
        found += [("model", model.get("name")), ("model", model.get("sha256"))]
        found += [("rule", one) for one in (*_list(payload.get("notices")), payload.get("code"), payload.get("rule"))]
    return {
        key(what, value.lower() if what == "rule" else value)
        for what, value in found
        if isinstance(value, str) and (what != "rule" or is_rule(value))
    }


def _mapping(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, dict) else {}


def _list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []


# --- searching -------------------------------------------------------------------------------------------------------


def found(keys: Iterable[int], in_payloads: Q, up_to_seq: int) -> Q:
    """The condition that an event belongs to a turn with one of these traits. `in_payloads` says the same of single
    events: it is asked where the index is far behind, as after an upgrade."""
    wanted = set(keys)
    reached = TraitIndex.objects.filter(pk=1, version=VERSION).values_list("up_to", flat=True).first() or 0
    if up_to_seq - reached > _MOST_READ:
        asked = Event.objects.filter(in_payloads, seq__gt=reached, seq__lte=up_to_seq).order_by()
        later: Any = asked.values("subject")
    else:  # a database would look through all events of a kind for them
        later = {turn for _, turn, given in _given(range(reached + 1, up_to_seq + 1)) if given & wanted}
    indexed = Trait.objects.filter(trait__in=wanted, seq__lte=min(reached, up_to_seq)).order_by()
    turns = Event.objects.filter(seq__in=indexed.values("seq")).order_by().values("subject")
    return Q(subject__in=turns) | Q(subject__in=later)


def readable(condition: Q) -> Q:
    """The condition on payloads, asked only of those that are JSON: on SQLite one that is none ends a whole query."""
    if connection.vendor == "postgresql":
        return condition
    is_json = Func("payload", function="JSON_VALID", output_field=BooleanField())
    return Q(Case(When(is_json, then=condition), default=False, output_field=BooleanField()))


# --- filling ---------------------------------------------------------------------------------------------------------


def fill(is_over: Callable[[], bool] = lambda: False) -> int:
    """Go on with the index, block by block, until all whole blocks are in it or `is_over`; returns how far it is."""
    state = TraitIndex.objects.get_or_create(pk=1)[0]
    if state.version != VERSION or not _is_possible(state):
        state = _begin_anew()
    while not is_over() and state.up_to + BLOCK <= (Head.objects.values_list("last_seq", flat=True).first() or 0):
        block = range(state.up_to + 1, state.up_to + BLOCK + 1)
        entries = expected(block)
        with transaction.atomic():
            one_at_a_time("audit traits")
            is_next = TraitIndex.objects.filter(pk=1, up_to=state.up_to, version=VERSION)
            if is_next.update(up_to=block[-1]):
                _insert(entries)
        state = TraitIndex.objects.get(pk=1)
    return int(state.up_to)


def _is_possible(state: TraitIndex) -> bool:
    last = Head.objects.values_list("last_seq", flat=True).first() or 0
    return 0 <= state.up_to <= last and state.up_to % BLOCK == 0


def _begin_anew() -> TraitIndex:
    with transaction.atomic():
        one_at_a_time("audit traits")
        Trait.objects.all().delete()
        return TraitIndex.objects.update_or_create(pk=1, defaults={"up_to": 0, "version": VERSION})[0]


def expected(block: range) -> set[Entry]:
    """What the events of a block give to the index: of a turn each trait at its first event."""
    entries: set[Entry] = set()
    seen: set[tuple[str, int]] = set()
    for seq, turn, given in _given(block):
        for trait in given:
            if (turn, trait) not in seen:
                seen.add((turn, trait))
                entries.add((seq, trait))
    return entries


def _given(block: range) -> Iterator[tuple[int, str, set[int]]]:
    """Number, turn and traits of the events that have some, as far as they can be read."""
    if not block:
        return
    columns = "kind, subject, payload::text" if connection.vendor == "postgresql" else _AS_BYTES
    statement = f"SELECT seq, {columns} FROM audit_event WHERE seq BETWEEN %s AND %s ORDER BY seq"  # noqa: S608
    with connection.cursor() as cursor:
        cursor.execute(statement, [block[0], block[-1]])
        page = cursor.fetchall()
    for seq, kind, subject, payload in page:
        kind_text = kind if isinstance(kind, str) else bytes(kind or b"").decode(errors="replace")
        if type(seq) is int and (kind_text.startswith("turn.") or kind_text in ASKS):
            try:
                held = json.loads(payload)
            except (ValueError, TypeError, RecursionError):
                continue
            if given := traits_of(kind_text, held):
                yield seq, subject if isinstance(subject, str) else bytes(subject).decode(errors="replace"), given


_AS_BYTES = "CAST(kind AS BLOB), CAST(subject AS BLOB), CAST(payload AS BLOB)"


def _insert(entries: Iterable[Entry]) -> None:
    with connection.cursor() as cursor:
        cursor.executemany(
            "INSERT INTO audit_trait (seq, trait) VALUES (%s, %s) ON CONFLICT DO NOTHING", sorted(entries)
        )


# --- comparing -------------------------------------------------------------------------------------------------------


def compare() -> Difference:
    """Compare the index with the events, block by block, and mend it. What was found is an event and a line in the log.
    What the index has of an event that was changed since stays: it tells what was recorded."""
    state = TraitIndex.objects.filter(pk=1, version=VERSION).first() or TraitIndex()
    if not _is_possible(state):
        logger.critical("the index of the audit trail says that it goes up to event %s: it is made anew", state.up_to)
        state = _begin_anew()
    reached = state.up_to
    missing = extra = 0
    first: int | None = None
    for start in range(1, reached + 1, BLOCK):
        block = range(start, start + BLOCK)
        lacks, has = _differences(block)
        if lacks or has:
            first = first or min(seq for seq, _ in lacks | has)
            missing, extra = missing + len(lacks), extra + len(has)
            _mend(lacks, has)
    beyond = Trait.objects.filter(Q(seq__gt=reached) | Q(seq__lt=1))
    if loose := beyond.count():
        first, extra = first or beyond.values_list("seq", flat=True).order_by("seq").first(), extra + loose
        beyond.delete()
    difference = Difference(missing, extra, first)
    if first is not None:
        logger.critical("the index of the audit trail was not what the events give: %s", difference)
        with transaction.atomic():
            record(MENDED, actor="system", payload={"missing": missing, "extra": extra, "first": first})
    return difference


def _differences(block: range) -> tuple[set[Entry], set[Entry]]:
    there = set(_entries(block))
    wanted = expected(block)
    if there == wanted:
        return set(), set()
    numbers = sorted({seq for seq, _ in there ^ wanted})
    whole = {one.seq for one in stored.rows(numbers, stored.Marks()) if not one.problem}
    lacks, has = ({one for one in entries if one[0] in whole} for entries in (wanted - there, there - wanted))
    return lacks, has


def _entries(block: range) -> QuerySet[Trait, Entry]:
    return Trait.objects.filter(seq__range=(block[0], block[-1])).order_by().values_list("seq", "trait")


def _mend(lacks: set[Entry], has: set[Entry]) -> None:
    with transaction.atomic():
        one_at_a_time("audit traits")
        with connection.cursor() as cursor:
            cursor.executemany("DELETE FROM audit_trait WHERE seq = %s AND trait = %s", sorted(has))
        _insert(lacks)
