"""The values that cross the border of guardrails: frozen, typed, without behaviour."""

from dataclasses import dataclass
from enum import StrEnum


class Category(StrEnum):
    """What a message is, as far as safety is concerned."""

    FIRST_PERSON_CRISIS = "first_person_crisis"
    THIRD_PERSON_EMERGENCY = "third_person_emergency"
    METHOD_SEEKING = "method_seeking"
    PROMPT_INJECTION = "prompt_injection"
    PATIENT_IDENTIFIER = "patient_identifier"
    DEVICE_BOUNDARY = "device_boundary"
    CLINICAL_DISCUSSION = "clinical_discussion"
    BENIGN = "benign"
    UNSCREENED = "unscreened"  # the screen itself failed: treated as a crisis, never as a pass


class Action(StrEnum):
    """What the portal must do with the message."""

    ALLOW = "allow"  # answer
    WARN = "warn"  # show a notice, then answer
    ALARM = "alarm"  # emergency numbers first, then answer
    REDIRECT = "redirect"  # hotline card; the message never reaches the model
    REFUSE = "refuse"  # a reason and the rule's name; the message never reaches the model


@dataclass(frozen=True, slots=True)
class Verdict:
    """The result of `screen_input`. `rules` are ids of the rules that fired, `matched` the words that they matched,
    `rule_set` the version and hash of the rules, `milliseconds` the time that screening took."""

    category: Category
    action: Action
    score: float
    rules: tuple[str, ...]
    matched: tuple[str, ...]
    rule_set: str
    language: str
    milliseconds: float


@dataclass(frozen=True, slots=True)
class Hotline:
    """A line of help. Empty strings where a field is not known; `checked_on` is the ISO date of the day on which
    somebody last made sure of it."""

    name: str
    phone: str
    sms: str
    url: str
    hours: str
    languages: tuple[str, ...]
    region: str
    audience: str  # "public" | "staff" | "youth" | "emergency"
    checked_on: str = ""


@dataclass(frozen=True, slots=True)
class CrisisCard:
    """What is shown instead of, or before, an answer. `level` is "first_person" or "third_party"."""

    level: str
    message: str
    hotlines: tuple[Hotline, ...]


@dataclass(frozen=True, slots=True)
class SourcePassage:
    """A passage that an answer may stand on; `marker` is the number that the answer cites it by."""

    marker: int
    text: str


@dataclass(frozen=True, slots=True)
class Notice:
    """Something the screen did or wants said, with the rule's name and one sentence."""

    rule: str
    message: str


@dataclass(frozen=True, slots=True)
class GroundedAnswer:
    """The end of an output screen: `tail` is the last text to show, `text` all that was shown,
    `markers` the passages cited (bound in code: only markers that exist), `groundedness` the share
    of sentences that a passage supports (0 to 1, None when there was nothing to check)."""

    tail: str
    text: str
    markers: tuple[int, ...]
    groundedness: float | None
    notices: tuple[Notice, ...]
