"""What the pages show: the models, whether they fit the machine that answers, and how they did here."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.db.models import QuerySet

import inference
from inference import Estimate, Gpu, Hardware, Kind, ModelInfo, Sentence
from portal import parts
from portal.chat.models import State, Turn
from portal.modelcards.models import Trial
from portal.modelcards.services import store
from portal.workers import engine_settings

_TURNS_LOOKED_AT = 1000


@dataclass(frozen=True, slots=True)
class Results:
    """How the last turns with a model went, as counts and shares from 0 to 1 (None where there is nothing to divide).

    `opened` had to have their answer begun for the model, because its output ended without one; `again` needed a second
    try; `failed` ended without an answer that could be kept. `groundedness` is the mean over the answers that have one.
    """

    turns: int
    malformed: float | None
    opened: float | None
    again: float | None
    failed: float | None
    groundedness: float | None
    grounded_turns: int
    since: datetime | None


@dataclass(frozen=True, slots=True)
class Row:
    """A model as the list shows it. `fit` is None where no inference worker says what its machine has; `refusal` says
    why the settings cannot be used with it."""

    model: ModelInfo
    active: bool
    fit: Estimate | None
    refusal: Sentence


@dataclass(frozen=True, slots=True)
class Card:
    """Everything on a model's card. `model` is None for one that is known from answers alone, of which `name`,
    `architecture` and `quantization` were kept."""

    sha256: str
    name: str
    architecture: str
    quantization: str
    model: ModelInfo | None
    kind: Kind | None
    active: bool
    results: Results


def rows() -> list[Row]:
    """Every model that is installed. Raises inference.InferenceError when the register is damaged."""
    models = store()
    active, machine = models.active(), _machine()
    return [_row(one, active, machine) for one in models.list()]


def catalogue_not_here(here: list[Row]) -> list[inference.CatalogueEntry]:
    """What could be pulled and is not installed."""
    known = {row.model.name for row in here} | {row.model.sha256 for row in here}
    return [one for one in inference.catalogue() if not {one.name, one.sha256} & known]


def card(sha256: str) -> Card | None:
    """The card of the model with this hash: installed, removed, or known from an answer. None where nothing is."""
    models = store()
    try:
        model, active = models.by_hash(sha256), models.active()
    except inference.InferenceError:
        model = active = None
    results = _results(sha256)
    if model:
        names = " ".join((model.name, model.title, model.variant))
        kind = inference.kind_of(model.architecture, model.family, names)
        is_active = active is not None and active.sha256 == sha256
        return Card(sha256, model.name, model.architecture, model.quantization, model, kind, is_active, results)
    last = _turns(sha256).first()
    if last is None:
        return None
    kept: dict[str, Any] = {"name": "", "architecture": "", "quantization": ""} | last.model
    kind = inference.kind_of(kept["architecture"], "", kept["name"])
    return Card(sha256, kept["name"], kept["architecture"], kept["quantization"], None, kind, False, results)


def last_trial() -> Trial | None:
    """The trial that was asked for last."""
    return Trial.objects.first()


def _row(one: ModelInfo, active: ModelInfo | None, machine: Hardware | None) -> Row:
    fit, refusal = None, Sentence()
    if machine is not None:
        try:
            fit = inference.room(one, engine_settings(one.path), machine)
        except inference.InferenceError as error:
            refusal = error.said
    return Row(one, active is not None and active.name == one.name, fit, refusal)


def _machine() -> Hardware | None:
    """The machine of the inference worker that speaks for all, as it last said itself."""
    said = parts.look().details.get("inference", {}).get("machine")
    if not said:
        return None
    gpus = tuple(Gpu(**one) for one in said["gpus"])
    return Hardware(**{**said, "gpus": gpus})


def _turns(sha256: str) -> QuerySet[Turn]:
    return Turn.objects.filter(model_sha256=sha256).order_by("-created_at")


def _results(sha256: str) -> Results:
    """Counted over the last turns of this model; holds no word of them."""
    wanted = ("state", "failure_code", "usage", "groundedness", "created_at")
    found = list(_turns(sha256).filter(finished_at__isnull=False).values(*wanted)[:_TURNS_LOOKED_AT])
    grounded = [one["groundedness"] for one in found if one["groundedness"] is not None]
    malformed = [one for one in found if one["failure_code"] == "malformed_output"]
    opened = [one for one in found if one["usage"].get("opened") == "malformed"]
    again = [one for one in found if one["usage"].get("tries", 1) > 1]
    failed = [one for one in found if one["state"] == State.FAILED]

    def share(some: list[Any]) -> float | None:
        return len(some) / len(found) if found else None

    return Results(
        turns=len(found),
        malformed=share(malformed),
        opened=share(opened),
        again=share(again),
        failed=share(failed),
        groundedness=sum(grounded) / len(grounded) if grounded else None,
        grounded_turns=len(grounded),
        since=found[-1]["created_at"] if found else None,
    )
