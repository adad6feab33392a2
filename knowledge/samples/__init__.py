"""The sample guidelines that a new installation starts with; README.md beside this file names their sources and
licences."""

import tomllib
from dataclasses import dataclass
from pathlib import Path

FOLDER = Path(__file__).resolve().parent


@dataclass(frozen=True, slots=True)
class Sample:
    """One sample document and what is known of it."""

    path: Path
    title: str
    publisher: str
    language: str
    licence: str
    source_url: str


def read_samples() -> list[Sample]:
    """The samples in the order of samples.toml."""
    entries = tomllib.loads((FOLDER / "samples.toml").read_text(encoding="utf-8"))["sample"]
    return [Sample(path=FOLDER / entry.pop("file"), **entry) for entry in entries]
