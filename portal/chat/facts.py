"""What was recorded of a turn: read from its events alone, whatever its row says or somebody made of them."""

import uuid
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.utils.dateparse import parse_datetime

from knowledge.models import GuidelineVersion
from portal.audit.stored import Row
from portal.audit.telling import Line
from portal.chat.models import Quotation

ENDINGS = ("turn.completed", "turn.cancelled", "turn.failed", "turn.refused", "turn.redirected")
LATE = "crisis.shown"
"""A hotline card that was shown while nothing could be written down, recorded afterwards."""


@dataclass(frozen=True, slots=True)
class Facts:
    """What was recorded of a turn, from its events alone. `language` and the like are empty where no event says so;
    `has_card` is whether hotlines were shown."""

    asked_at: datetime | None
    ended_at: datetime | None
    conversation: str
    language: str
    verdict: Mapping[str, Any]
    rules: tuple[str, ...]
    notices: tuple[str, ...]
    has_card: bool
    groundedness: float | None
    quotation: str
    code: str
    model: Mapping[str, Any]
    usage: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Source:
    """A passage that was found, as the audit trail knows it: no words of it. `title` is the guideline's as it is called
    now; empty where it is no longer in the library."""

    marker: Any
    title: str
    guideline_id: str
    version_id: str
    version: str
    page: str
    score: Any
    is_cited: bool


def said(event: Row) -> dict[str, Any]:
    """What an event holds; nothing where somebody made something else of it."""
    return dict(event.payload)


def mapping(value: Any) -> dict[str, Any]:
    """The value if it is a mapping, as recorded ones are; an empty one otherwise."""
    return value if isinstance(value, dict) else {}


def mappings(value: Any) -> list[dict[str, Any]]:
    """The mappings in a list, as recorded ones are; none otherwise."""
    return [one for one in value if isinstance(one, dict)] if isinstance(value, list) else []


def ids(value: Any) -> list[str]:
    """The ids in a list, as recorded ones are; none otherwise."""
    return [one for one in value if isinstance(one, str) and _is_id(one)] if isinstance(value, list) else []


def number(value: Any) -> int:
    """The value if it is a whole number; 0 otherwise."""
    return value if isinstance(value, int) else 0


def facts(events: Sequence[Row], asked: Line | None, ended: Line | None) -> Facts:
    """What was recorded; `asked` and `ended` are the events of the question and of the end."""
    first = said(asked.event) if asked else {}
    end = said(ended.event) if ended else {}
    verdict = mapping(first.get("verdict"))
    late = _moment(first.get("shown_at")) if asked and asked.event.kind == LATE else None
    refused = end.get("rule") if ended and ended.event.kind == "turn.refused" else ""
    models = [found for one in events if (found := mapping(said(one).get("model")))]
    quotation = str(end.get("quotation", ""))
    has_card = any(one.kind == "turn.card_shown" for one in events) or bool(hashes(events).get("card_sha256"))
    has_card = has_card or verdict.get("action") in ("redirect", "alarm")
    return Facts(
        asked_at=late or (asked.event.at if asked else None),
        ended_at=ended.event.at if ended else late,
        conversation=next((str(said(one)["conversation"]) for one in events if "conversation" in said(one)), ""),
        language=str(first.get("language", "")),
        verdict=verdict,
        rules=_texts(verdict.get("rules")),
        notices=_texts(end.get("notices")),
        has_card=has_card or (asked is not None and asked.event.kind == LATE),
        groundedness=_share(end.get("groundedness")),
        quotation=str(Quotation(quotation).label) if quotation in Quotation.values else quotation,
        code=str(end.get("code") or refused or first.get("code") or ""),
        model=models[-1] if models else {},
        usage=mapping(end.get("usage")),
    )


def hashes(events: Sequence[Row]) -> dict[str, str]:
    """The hashes of the hotline card, and of the sentence in the place of an answer, that were shown last: empty where
    none was, and those missing of which no event says anything, as those of earlier versions."""
    found: dict[str, str] = {}
    for one in events:
        found |= {name: str(said(one)[name]) for name in ("card_sha256", "message_sha256") if name in said(one)}
    return found


def sources(told: Sequence[Line]) -> Iterator[Source]:
    """The passages that were found."""
    found = last(told, "turn.passages")
    ended = last(told, *ENDINGS)
    passages = mappings(said(found.event).get("passages")) if found else []
    cited = mapping(said(ended.event).get("citations")).get("markers", []) if ended else []
    versions = {str(one["version_id"]) for one in passages if _is_id(one.get("version_id"))}
    titles = {
        str(key): title
        for key, title in GuidelineVersion.objects.filter(pk__in=versions).values_list("pk", "guideline__title")
    }
    for one in passages:
        yield Source(
            marker=one.get("marker", 0),
            title=titles.get(str(one.get("version_id", "")), ""),
            guideline_id=str(one.get("guideline_id", "")),
            version_id=str(one.get("version_id", "")),
            version=str(one.get("version", "")),
            page="" if one.get("page") is None else str(one["page"]),
            score=_share(one.get("score")),
            is_cited=isinstance(cited, list) and one.get("marker") in cited,
        )


def _is_id(value: Any) -> bool:
    try:
        return bool(uuid.UUID(str(value)))
    except ValueError:
        return False


def _moment(value: Any) -> datetime | None:
    try:
        return parse_datetime(str(value))
    except ValueError:
        return None


def _share(value: Any) -> float | None:
    return float(value) if isinstance(value, int | float) else None


def _texts(value: Any) -> tuple[str, ...]:
    return tuple(map(str, value)) if isinstance(value, list) else ()


def every(told: Sequence[Line], *kinds: str) -> tuple[Line, ...]:
    """The events of these kinds."""
    return tuple(one for one in told if one.event.kind in kinds)


def last(told: Sequence[Line], *kinds: str) -> Line | None:
    """The last event of these kinds."""
    return next((one for one in reversed(told) if one.event.kind in kinds), None)
