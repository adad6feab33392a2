"""What the test bench shows of an explanation that was kept with a trial."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from django.urls import reverse
from django.utils.translation import gettext_lazy as _

from knowledge.models import Chunk
from portal.guidelines.wording import Words, language_name

DROPPED: dict[str, Words] = {
    "near_duplicate": _("Says nearly the same as a passage that is shown."),
    "same_document": _("Its document has enough passages among those shown, and others have something to say."),
}
REMOVED: dict[str, Words] = {
    "department": _("It is for other departments."),
    "switched_off": _("The guideline is switched off."),
    "not_in_force": _("This version is not in force now."),
}
_MOST_BELOW = 15


@dataclass(frozen=True, slots=True)
class Row:
    """A passage or a candidate: `found` is what was kept of it, `place` its rank from 1, `merged` how many chunks it is
    put together from, `url` leads to it in the library, empty where it is there no more."""

    found: Mapping[str, Any]
    place: int
    merged: int
    url: str
    reason: Words = ""


@dataclass(frozen=True, slots=True)
class Lost:
    """What a filter took away of one version: on which pages, with which best score, and why."""

    document: str
    version: str
    pages: tuple[int, ...]
    score: float
    reason: Words


@dataclass(frozen=True, slots=True)
class Shown:
    """An explanation, sorted for its page."""

    passages: tuple[Row, ...]
    dropped: tuple[Row, ...]
    below: tuple[Row, ...]
    removed: tuple[Lost, ...]
    language: str


def shown(result: Mapping[str, Any]) -> Shown:
    """The passages that the model would get, the candidates that rules dropped, those that others were better than, and
    what filters removed."""
    candidates = result["candidates"]
    known = _addresses([one["chunk_id"] for one in [*candidates, *result["passages"]]])

    def row(place: int, one: Mapping[str, Any], reason: Words = "") -> Row:
        return Row(one, place, len(one.get("chunk_ids", ())), known.get(one["chunk_id"], ""), reason)

    ranked = list(enumerate(candidates, start=1))
    return Shown(
        passages=tuple(row(place, one) for place, one in enumerate(result["passages"], start=1)),
        dropped=tuple(row(place, one, DROPPED[one["outcome"]]) for place, one in ranked if one["outcome"] in DROPPED),
        below=tuple(row(place, one) for place, one in ranked if one["outcome"] == "below")[:_MOST_BELOW],
        removed=_lost(result["removed"]),
        language=language_name(result["language"]),
    )


def _lost(removed: Sequence[Mapping[str, Any]]) -> tuple[Lost, ...]:
    """One line a version and reason, best first."""
    grouped: dict[tuple[str, str, str], list[Mapping[str, Any]]] = {}
    for one in removed:
        grouped.setdefault((one["document"], one["version"], one["reason"]), []).append(one)
    found = [
        Lost(
            document,
            version,
            tuple(sorted({one["page"] for one in group if one["page"]})),
            max(one["score"] for one in group),
            REMOVED[reason],
        )
        for (document, version, reason), group in grouped.items()
    ]
    return tuple(sorted(found, key=lambda one: -one.score))


def _addresses(numbers: Sequence[int]) -> dict[int, str]:
    """Where in the library chunks stand, of those that are still there."""
    chunks = Chunk.objects.filter(pk__in=numbers).values_list("pk", "version", "ordinal")
    return {
        number: f"{reverse('guidelines:passages', args=[version])}?passage={ordinal}#passage-{ordinal}"
        for number, version, ordinal in chunks
    }
