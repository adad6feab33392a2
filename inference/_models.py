"""What is known of a model: from its header, its hash, the catalogue and the trial that it passed."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from inference._gguf import Header
from inference._sentences import NOTHING, Sentence, sentence_from

# How a model came, where it did not come from an address: what stands behind is the name of a file, or of a package
IMPORTED, PACKAGED = "file:", "package:"
_LONGEST_VALUE = 200  # characters of a header's text that are kept; a chat template is longer, and never used


@dataclass(frozen=True, slots=True)
class PartFile:
    """One file of a model, by its name in the models folder. `size` is bytes."""

    file: str
    sha256: str
    size: int


@dataclass(frozen=True, slots=True)
class Smoke:
    """How a model did with the smoke prompt, in a process of its own with the installation's settings.

    `at` is ISO time in UTC; `load_seconds` from the start of the process until it could answer, hashing included;
    `memory` the most bytes that the process held at a time. `problem` says nothing when it passed; `note` says where it
    was not tried as it would run.
    """

    at: str
    problem: Sentence = NOTHING
    load_seconds: float = 0.0
    answer_seconds: float = 0.0
    tokens: int = 0
    tokens_per_second: float = 0.0
    memory: int = 0
    note: Sentence = NOTHING

    @property
    def passed(self) -> bool:
        """Whether the model may become the active one."""
        return not self.problem


@dataclass(frozen=True, slots=True)
class ModelInfo:
    """What is known of a model file from its header and its hash.

    `path` is its first file. `parameters` counts weights, `active_parameters` those that one token passes through.
    `publisher`, `title` and `licence` are the catalogue's where it knows the hash, else what the file says of itself.
    `source` is the address that it came from, or a name behind `IMPORTED` or `PACKAGED`.
    `header` is what memory can be estimated from. `smoke` is the last trial, None before the first. `added` and
    `removed` are ISO times in UTC; `removed` is empty while the model is here.
    """

    name: str
    path: Path
    sha256: str
    size: int
    architecture: str
    quantization: str
    context: int
    licence: str
    demonstration: bool
    title: str = ""
    publisher: str = ""
    variant: str = ""
    family: str = ""
    parameters: int = 0
    active_parameters: int = 0
    source: str = ""
    added: str = ""
    removed: str = ""
    verified: str = ""
    parts: tuple[PartFile, ...] = ()
    header: Header | None = None
    smoke: Smoke | None = None


def header_row(header: Header) -> dict[str, Any]:
    """A header as JSON, without its vocabulary and its chat template."""
    kept = {key: value for key, value in header.metadata.items() if key.startswith(("general.", header.architecture))}
    return {
        "metadata": {key: value for key, value in kept.items() if len(str(value)) <= _LONGEST_VALUE},
        "arrays": {key: list(values) for key, values in header.arrays.items()},
        **{name: getattr(header, name) for name in _HEADER_NUMBERS},
    }


_HEADER_NUMBERS = (
    "tensors", "quantization", "size", "architecture", "vocabulary", "parameters", "active_parameters",
)  # fmt: skip


def header_from(row: dict[str, Any]) -> Header:
    """The header of such a row. Raises KeyError or TypeError when it is none."""
    arrays = {key: tuple(values) for key, values in row["arrays"].items()}
    rest = {name: row[name] for name in _HEADER_NUMBERS}
    return Header(metadata=dict(row["metadata"]), markers=frozenset(), arrays=arrays, **rest)


def facts(header: Header) -> dict[str, Any]:
    """The fields of ModelInfo that a header gives by itself."""
    general = {key: str(header.metadata.get(f"general.{key}", "")) for key in _GENERAL}
    words = [general["basename"], general["size_label"], general["finetune"]]
    return {
        "size": header.size,
        "architecture": header.architecture,
        "quantization": header.quantization,
        "context": header.context,
        "licence": header.licence,
        "title": general["name"][:_LONGEST_VALUE],
        "publisher": (general["organization"] or general["author"])[:_LONGEST_VALUE],
        "variant": " ".join(one for one in words if one)[:_LONGEST_VALUE],
        "parameters": header.parameters,
        "active_parameters": header.active_parameters,
        "header": header_row(header),
    }


_GENERAL = ("name", "basename", "size_label", "finetune", "organization", "author")


def info_from(row: dict[str, Any], folder: Path) -> ModelInfo:
    """The model of a row of the register. Raises KeyError or TypeError when it is none. A row of an older installation
    has fewer fields: what is not there stays empty."""
    values = {name: row[name] for name in _ALWAYS} | {name: row[name] for name in _LATER if name in row}
    parts = row.get("parts") or [{"file": row["file"], "sha256": row["sha256"], "size": row["size"]}]
    return ModelInfo(
        path=folder / row["file"],
        parts=tuple(PartFile(**one) for one in parts),
        header=header_from(row["header"]) if row.get("header") else None,
        smoke=_smoke_from(row["smoke"]) if row.get("smoke") else None,
        **values,
    )


def _smoke_from(row: dict[str, Any]) -> Smoke:
    said: dict[str, Any] = {name: sentence_from(row[name]) for name in ("problem", "note") if name in row}
    return Smoke(**{**row, **said})


_ALWAYS = (
    "name", "sha256", "size", "architecture", "quantization", "context", "licence", "demonstration",
)  # fmt: skip
_LATER = (
    "title", "publisher", "variant", "family", "parameters", "active_parameters", "source", "added", "removed",
    "verified",
)  # fmt: skip
