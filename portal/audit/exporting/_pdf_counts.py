"""What the report tells, counted in one pass over the events."""

from collections import Counter
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import date, datetime
from typing import Any

from django.utils import timezone

from portal.audit.exporting._fhir_kinds import KINDS
from portal.audit.stored import Row
from portal.audit.traits import ASKS

MOST_LISTED = 500  # redirections, changes, readings: of each the first ones, with what was left out counted
_SHOWS_HOTLINES = frozenset({"redirect", "alarm"})
_CHANGES = frozenset(
    {
        *("guideline.uploaded", "guideline.approved", "guideline.unapproved", "guideline.effective"),
        *("guideline.superseded", "guideline.expired", "guideline.archived", "guideline.restored"),
        *("guideline.opened", "guideline.enabled", "guideline.disabled", "guideline.joined", "guideline.split_off"),
        *("model.imported", "model.pulled", "model.activated", "model.removed", "model.trial_failed"),
        *("safeguards.released", "safeguards.files_written_again"),
    }
)
_READINGS = frozenset({"conversation.read", "turn.reasoning_read"})
_GOING = frozenset(
    {
        *("erasure.asked", "erasure.confirmed", "erasure.declined", "erasure.withdrawn", "erasure.done"),
        *("conversation.erased", "person.erased", "hold.set", "hold.lifted", "retention.ran"),
    }
)
UNKNOWN = "(unknown)"
_MOST_PEOPLE = 20_000  # made-up names at the door must not fill the memory


@dataclass(frozen=True, slots=True)
class Redirection:
    """A message whose author saw the hotlines, instead of an answer or before it. `level` is the screen's category."""

    seq: int
    at: datetime
    level: str
    rules: tuple[str, ...]
    answered: bool


@dataclass(slots=True)
class Listed:
    """The first events of a sort, and how many there were in all."""

    first: list[Any] = field(default_factory=list)
    count: int = 0

    def add(self, one: Any) -> None:
        """Count it, and keep it while there are few."""
        self.count += 1
        if len(self.first) < MOST_LISTED:
            self.first.append(one)


@dataclass(slots=True)
class Counts:
    """The numbers of the whole selection. Days are those of the installation's time zone."""

    events: int = 0
    first: datetime | None = None
    last: datetime | None = None
    kinds: Counter[str] = field(default_factory=Counter)
    days: dict[date, Counter[str]] = field(default_factory=dict)
    hotline_days: Counter[date] = field(default_factory=Counter)
    levels: Counter[str] = field(default_factory=Counter)
    rules: Counter[tuple[str, str]] = field(default_factory=Counter)
    refusals: Counter[str] = field(default_factory=Counter)
    failures: Counter[str] = field(default_factory=Counter)
    quotations: Counter[str] = field(default_factory=Counter)
    refused_people: Counter[str] = field(default_factory=Counter)
    redirected_late: int = 0
    grounded: int = 0
    groundedness: float = 0.0
    verified: set[str] = field(default_factory=set)
    redirections: Listed = field(default_factory=Listed)
    changes: Listed = field(default_factory=Listed)
    readings: Listed = field(default_factory=Listed)
    going: Listed = field(default_factory=Listed)
    damaged: Listed = field(default_factory=Listed)

    @property
    def turns(self) -> int:
        """Questions that were asked, also those that could be recorded only after the hotlines were shown."""
        return sum(self.kinds[kind] for kind in ASKS)

    @property
    def redirected(self) -> int:
        """Messages that got the hotlines and no answer."""
        return self.kinds["turn.redirected"] + self.redirected_late

    def turns_on(self, day: date) -> int:
        """`turns` of one day."""
        return sum(self.days[day][kind] for kind in ASKS) if day in self.days else 0

    @property
    def answers(self) -> int:
        """Turns that ended with an answer."""
        return self.kinds["turn.completed"]

    @property
    def mean_groundedness(self) -> float | None:
        """The mean over the answers that have one, between 0 and 1."""
        return self.groundedness / self.grounded if self.grounded else None

    def add(self, event: Row) -> None:
        """Count one event. A row that is not what was recorded counts under the kind that it claims, on the day that it
        claims if it is one, and as nothing else: nothing more of it is believed."""
        self.events += 1
        if event.problem:
            self.damaged.add(event)
        kind = event.kind if not event.problem or event.kind in KINDS else UNKNOWN  # no end of made-up ones
        self.kinds[kind] += 1
        if event.at is None:
            return
        day = timezone.localtime(event.at).date()
        self.days.setdefault(day, Counter())[kind] += 1
        if not event.problem:
            self._count(event, event.at, day)

    def _count(self, event: Row, at: datetime, day: date) -> None:
        self.first, self.last = self.first or at, at
        if event.kind.startswith("turn.") or event.kind == "crisis.shown":
            self._turn(event, at, day)
        elif event.kind in {"session.refused", "session.locked"}:
            self._refused(event.subject)
        if event.kind in _CHANGES:
            self.changes.add(event)
        elif event.kind in _READINGS:
            self.readings.add(event)
        elif event.kind in _GOING:
            self.going.add(event)

    def _refused(self, who: str) -> None:
        if who in self.refused_people or len(self.refused_people) < _MOST_PEOPLE:
            self.refused_people[who] += 1

    def _turn(self, event: Row, at: datetime, day: date) -> None:
        payload = event.payload
        match event.kind:
            case "turn.started":
                self._screened(event, payload.get("verdict"), at, day)
            case "crisis.shown":
                self._shown_late(event, at, day)
            case "turn.refused":
                self.refusals[_word(payload, "rule", "code")] += 1
            case "turn.failed":
                self.failures[_word(payload, "code")] += 1
            case "turn.completed":
                self._answered(payload)
            case "turn.verified":
                self.verified.add(event.subject)
            case "turn.verification_withdrawn":
                self.verified.discard(event.subject)
        for rule in _rules(payload.get("notices")):
            self.rules[rule, "notice"] += 1

    def _shown_late(self, event: Row, at: datetime, day: date) -> None:
        """Hotlines that were shown when nothing could be recorded: one event says what was asked and how it ended. It
        belongs to the day of its record, as every event does; `shown_at` is when the person saw them."""
        payload = event.payload
        with suppress(KeyError, ValueError, TypeError, OverflowError):
            shown = datetime.fromisoformat(payload["shown_at"])
            at = timezone.localtime(shown)
        verdict = payload["verdict"] if isinstance(payload.get("verdict"), dict) else {}
        if verdict.get("action") not in _SHOWS_HOTLINES:
            verdict = verdict | {"action": "redirect"}  # nothing but the time is known of it
        self.redirected_late += verdict["action"] == "redirect"
        self._screened(event, verdict, at, day)

    def _screened(self, event: Row, verdict: object, at: datetime, day: date) -> None:
        if not isinstance(verdict, dict):
            return
        action, rules = str(verdict.get("action", "")), _rules(verdict.get("rules"))
        if action != "allow":
            for rule in rules or ("",):
                self.rules[rule, action] += 1
        if action in _SHOWS_HOTLINES:
            level = str(verdict.get("category", ""))
            self.levels[level] += 1
            self.hotline_days[day] += 1
            self.redirections.add(Redirection(event.seq, at, level, rules, action == "alarm"))

    def _answered(self, payload: Mapping[str, Any]) -> None:
        if quotation := payload.get("quotation"):
            self.quotations[str(quotation)] += 1
        value = payload.get("groundedness")
        if isinstance(value, int | float):
            self.grounded += 1
            self.groundedness += value


def _rules(value: object) -> tuple[str, ...]:
    return tuple(str(one) for one in value) if isinstance(value, list) else ()


def _word(payload: Mapping[str, Any], *names: str) -> str:
    return next((str(payload[name]) for name in names if payload.get(name)), "")
