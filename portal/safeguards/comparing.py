"""The difference between two rule sets, on labelled messages: what newly fires, what no longer does, recall, false
alarms. Reports name messages, they do not quote them."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any

from guardrails import Category, Verdict, releases, screen_input
from guardrails.releases import FacilityAdditions

QUIET = frozenset({Category.CLINICAL_DISCUSSION.value, Category.BENIGN.value})
ALARMS = frozenset(
    {Category.FIRST_PERSON_CRISIS.value, Category.THIRD_PERSON_EMERGENCY.value, Category.UNSCREENED.value}
)
NEVER_LOWER = (Category.FIRST_PERSON_CRISIS.value, Category.THIRD_PERSON_EMERGENCY.value)
"""A release that no longer finds one of these that is found today, in any language, is blocked."""
_NEW_ALARMS = 0.05
"""The share of ordinary messages, in any language, that may newly get a card: more, and it is blocked. What it caught
besides could not be given up again by a release, because recall would fall."""

OnProgress = Callable[[int, int], None]


@dataclass(frozen=True, slots=True)
class Case:
    """A labelled message under the name that reports give it."""

    name: str
    text: str
    language: str
    label: str
    history: tuple[str, ...] = ()


@dataclass(slots=True)
class _Row:
    """Counts of one label in one language, before and after."""

    cases: int = 0
    found: list[int] = field(default_factory=lambda: [0, 0])
    lost: int = 0
    alarms: list[int] = field(default_factory=lambda: [0, 0])

    @property
    def floods(self) -> bool:
        """More than one ordinary message in twenty newly gets a card."""
        new = self.alarms[1] - self.alarms[0]
        return new > max(1, _NEW_ALARMS * self.cases)


def compare(
    before: FacilityAdditions, after: FacilityAdditions, cases: Iterable[Case], on_progress: OnProgress
) -> dict[str, Any]:
    """Screen every message with both and say what differs, as values for JSON. Raises RuleError."""
    known = list(cases)
    rows: dict[tuple[str, str], _Row] = {}
    changes: dict[str, list[dict[str, Any]]] = {"newly": [], "no_longer": [], "changed": []}
    unscreened = 0
    for done, case in enumerate(known):
        on_progress(done, len(known))
        first, second = _verdict(case, before), _verdict(case, after)
        row = rows.setdefault((case.language, case.label), _Row())
        row.cases += 1
        for place, verdict in enumerate((first, second)):
            row.found[place] += is_right(case.label, verdict)
            row.alarms[place] += verdict.category.value in ALARMS
        row.lost += is_right(case.label, first) and not is_right(case.label, second)
        unscreened += second.category == Category.UNSCREENED
        if kind := _kind_of_change(first, second):
            changes[kind].append(_change(case, first, second))
    on_progress(len(known), len(known))
    with releases.trying(after):
        rule_set_after = releases.rule_set_id()
    table = [_as_values(key, rows[key]) for key in sorted(rows)]
    return {
        "rule_set_after": rule_set_after,
        "cases": len(known),
        "own": sorted(own := [case.name for case in known if case.name.startswith("own:")]),
        "own_cases": len(own),
        "rows": table,
        **changes,
        "unscreened": unscreened,
        # each message for itself: one that is newly found does not make good for one that is newly missed
        "blocked": [row for row in table if row["label"] in NEVER_LOWER and row["lost"]],
        "flooded": [_as_values(key, rows[key]) for key in sorted(rows) if key[1] in QUIET and rows[key].floods],
    }


def is_right(label: str, verdict: Verdict) -> bool:
    """Whether the screen said what the label asks for; what is answered without a word is all the same."""
    category = verdict.category.value
    return category in QUIET if label in QUIET else category == label


def _verdict(case: Case, additions: FacilityAdditions) -> Verdict:
    with releases.trying(additions):
        return screen_input(case.text, language=case.language, history=case.history)


def _kind_of_change(first: Verdict, second: Verdict) -> str:
    before, after = first.category.value in QUIET, second.category.value in QUIET
    if before and not after:
        return "newly"
    if after and not before:
        return "no_longer"
    return "changed" if not before and first.category != second.category else ""


def _change(case: Case, first: Verdict, second: Verdict) -> dict[str, Any]:
    return {
        "case": case.name,
        "lang": case.language,
        "label": case.label,
        "before": first.category.value,
        "after": second.category.value,
        "right": is_right(case.label, second),
        "rules": list(second.rules or first.rules)[:6],
    }


def _as_values(key: tuple[str, str], row: _Row) -> dict[str, Any]:
    language, label = key
    return {
        "lang": language,
        "label": label,
        "cases": row.cases,
        "found_before": row.found[0],
        "found_after": row.found[1],
        "lost": row.lost,
        "alarms_before": row.alarms[0],
        "alarms_after": row.alarms[1],
    }
