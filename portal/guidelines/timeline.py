"""The life of each version as a line of moments, who, when and why, and what is planned; and the history of a
guideline. Both are read from the audit trail."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import Any

from django.utils import timezone
from django.utils.dateformat import format as as_text
from django.utils.dateparse import parse_datetime
from django.utils.translation import gettext as _

from knowledge import lifecycle, selectors
from knowledge.models import Guideline, GuidelineVersion
from portal.audit.models import Event
from portal.guidelines.listing import resembled, review_of
from portal.guidelines.selectors import history as events_of
from portal.guidelines.wording import EVENTS, FIELDS, STEPS, Words

State = GuidelineVersion.State

_SYSTEM = {"", "system", "samples"}
_IN_LINE = {"uploaded", "submitted", "sent_back", "approved", "unapproved", "effective", "superseded", "expired",
            "archived", "restored", "rescheduled", "failed", "joined", "split_off"}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Moment:
    """Something that happened to a version, or is planned (`is_planned`): `who` is empty where it was the clock."""

    at: datetime | date
    words: Words
    who: str = ""
    note: str = ""
    details: tuple[str, ...] = ()
    is_planned: bool = False
    is_late: bool = False

    @property
    def has_hour(self) -> bool:
        """Whether the hour is known, not only the day."""
        return isinstance(self.at, datetime) and not self.is_planned


@dataclass(frozen=True, slots=True)
class Step:
    """What a person may do with a version now. A step that says or asks something first has a page of its own
    (`asks`)."""

    name: str
    label: Words
    asks: bool


@dataclass(frozen=True, slots=True)
class Life:
    """A version with its moments in order, what may be done with it, and how it stands beside the others."""

    version: GuidelineVersion
    moments: tuple[Moment, ...]
    steps: tuple[Step, ...]
    answers: bool
    review: str
    needs_other: str  # why this person may not approve it, where it waits for that
    wants_ocr: bool
    like: GuidelineVersion | None
    before: GuidelineVersion | None  # the one to compare it with
    can_split: bool


def lives(guideline: Guideline, actor: str, at: datetime | None = None) -> list[Life]:
    """The versions of a guideline, newest first, as `actor` sees them."""
    now = at or timezone.now()
    versions = list(guideline.versions.select_related("similar_to__guideline").defer("sketch").order_by("-number"))
    for one in versions:
        one.guideline = guideline
    answering = set(selectors.answering_versions(now).filter(guideline=guideline).values_list("pk", flat=True))
    events = list(reversed(events_of(guideline.pk, most=1000)))
    found = []
    for place, version in enumerate(versions):
        older = [one for one in versions[place + 1 :] if one.ingestion == GuidelineVersion.Ingestion.INDEXED]
        named = {one for one in (older[0] if older else None,) if one}
        refusal = lifecycle.refusal("approve", version, actor) if version.state == State.IN_REVIEW else None
        found.append(
            Life(
                version=version,
                moments=tuple(_moments(version, events, now)),
                steps=tuple(Step(name, STEPS[name], name != "submit") for name in lifecycle.steps(version, actor)),
                answers=version.pk in answering,
                review=review_of(version, timezone.localdate(now)) if version.pk in answering else "",
                needs_other=str(refusal) if refusal else "",
                wants_ocr=selectors.wants_ocr(version),
                like=resembled(version),
                before=next(iter(named), None),
                can_split=len(versions) > 1 and version.state in {State.DRAFT, State.IN_REVIEW},
            )
        )
    return found


def _moments(version: GuidelineVersion, events: list[Event], now: datetime) -> list[Moment]:
    happened = [moment for one in events if _is_about(one, version) and (moment := _moment(one))]
    if not any(one.kind == "guideline.uploaded" and _is_about(one, version) for one in events):
        happened.insert(0, Moment(version.created_at, EVENTS["guideline.uploaded"], _who(version.uploaded_by)))
    if version.state == State.IN_REVIEW and not any(one.words == EVENTS["guideline.submitted"] for one in happened):
        at = version.submitted_at or version.created_at  # while it was part of another guideline
        happened.insert(1, Moment(at, EVENTS["guideline.submitted"], _who(version.submitted_by)))
    if version.approved_at and not any(one.words == EVENTS["guideline.approved"] for one in happened):
        happened.append(Moment(version.approved_at, EVENTS["guideline.approved"], _who(version.approved_by)))
    return happened + _planned(version, now)


def _is_about(event: Event, version: GuidelineVersion) -> bool:
    return bool(event.payload.get("sha256") == version.sha256)


def _moment(event: Event) -> Moment | None:
    kind = event.kind.partition(".")[2]
    if kind not in _IN_LINE:
        return None
    payload = event.payload
    return Moment(
        event.at,
        EVENTS.get(event.kind, event.kind),
        _who(str(event.actor)),
        str(payload.get("note", "")),
        tuple(_changes(payload)) + _approval(payload),
    )


def _approval(payload: Mapping[str, Any]) -> tuple[str, ...]:
    return (_("Alone, at the terminal of the installation"),) if payload.get("alone_as_operator") else ()


def _changes(payload: Mapping[str, Any]) -> list[str]:
    """The changed fields of an event in words: "Title: old → new"."""
    said = []
    for name, pair in (payload.get("changes") or {}).items():
        if name not in FIELDS or not isinstance(pair, list) or len(pair) != 2:
            continue
        nothing = _("every department") if name == "departments" else _("empty")
        before, after = (_value(one) or nothing for one in pair)
        said.append(f"{FIELDS[name]}: {before} → {after}")
    return said


def _value(value: Any) -> str:
    if isinstance(value, list):
        return ", ".join(map(str, value))
    text = str(value)
    moment = parse_datetime(text) if "T" in text else None
    return as_text(timezone.localtime(moment), "j N Y") if moment else text


def _planned(version: GuidelineVersion, now: datetime) -> list[Moment]:
    if version.state not in {State.APPROVED, State.EFFECTIVE}:
        return []
    planned = []
    if version.effective_from and version.effective_from > now:
        planned.append(Moment(timezone.localtime(version.effective_from), _("Comes into force"), is_planned=True))
    if version.review_due:
        late = version.review_due < timezone.localdate(now)
        planned.append(Moment(version.review_due, _("Review due"), is_planned=True, is_late=late))
    if version.expires_at and version.expires_at > now:
        last = timezone.localtime(version.expires_at - timedelta(microseconds=1))
        planned.append(Moment(last, _("Last day in force"), is_planned=True))
    return sorted(planned, key=lambda one: one.at.date() if isinstance(one.at, datetime) else one.at)


def _who(name: str) -> str:
    return "" if name in _SYSTEM else name


@dataclass(frozen=True, slots=True)
class Entry:
    """A line of a guideline's history."""

    at: datetime
    words: Words
    who: str
    version: str
    note: str
    details: tuple[str, ...]


def history(guideline: Guideline) -> list[Entry]:
    """Everything that the audit trail has about a guideline, newest first."""
    return [
        Entry(
            at=one.at,
            words=EVENTS.get(one.kind, one.kind),
            who=_who(str(one.actor)),
            version=str(one.payload.get("version", "")),
            note=str(one.payload.get("note", "")),
            details=tuple(_changes(one.payload)) + _approval(one.payload),
        )
        for one in events_of(guideline.pk)
    ]
