"""The models folder of an installation: the files, and a register of what is known about them.

    models/
      register.json                 names, hashes, what the headers say, which one is active
      smollm2-135m-instruct.gguf    the file, or a link to where it lies

The register is written whole and renamed into place, under a lock that other processes honour.
"""

import errno
import fcntl
import json
import os
import re
import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

from inference import _catalogue
from inference._errors import InferenceError, ModelNotFound, ModelRejected
from inference._files import sha256_of
from inference._gguf import read_header
from inference._templates import family_of
from inference._types import ModelInfo

_NAME = re.compile(r"[a-z0-9][a-z0-9._-]{0,63}")
_CHUNK = 4 * 1024 * 1024

Progress = Callable[[int, int], None]


@dataclass(frozen=True, slots=True)
class Verification:
    """Whether a model's file still has the hash that it was registered with; `problem` is a sentence where not."""

    name: str
    problem: str = ""

    @property
    def ok(self) -> bool:
        """Nothing is wrong with the file."""
        return not self.problem


class ModelStore:
    """The models of one folder. `offline` refuses everything that would use a network."""

    def __init__(self, folder: Path, *, offline: bool = False) -> None:
        self.folder = folder
        self.offline = offline

    def list(self) -> list[ModelInfo]:
        """Every registered model, by name."""
        return sorted((self._info(row) for row in self._read()["models"]), key=lambda one: one.name)

    def get(self, name: str) -> ModelInfo:
        """The model of this name. Raises ModelNotFound."""
        return self._info(self._row(self._read(), name))

    def active(self) -> ModelInfo | None:
        """The model that workers load, or None."""
        register = self._read()
        name = register["active"]
        return self._info(self._row(register, name)) if name else None

    def import_file(
        self, path: Path, name: str | None = None, *, link: bool = False, on_progress: Progress | None = None
    ) -> ModelInfo:
        """Check a GGUF file, copy it into the folder (or, with `link`, leave it where it is) and register it.

        `on_progress` gets bytes done and bytes in all. A file that is registered already is not copied again. Raises
        ModelNotFound, ModelRejected, and InferenceError when the disk does not take it.
        """
        name = _checked_name(name or re.sub(r"[^a-z0-9._-]+", "-", path.stem.lower()).strip("-._"))
        header = read_header(path)
        family_of(header, path.name)
        self._make_folder()
        with self._locked() as register:
            known = next((row for row in register["models"] if row["name"] == name), None)
            target = self.folder / f"{name}.gguf"
            if link:
                digest = sha256_of(path, on_progress)
                self._refuse_other(known, digest)
                self._link(path.absolute(), target)
            else:
                digest = self._copy(path, target, known, on_progress)
            licence = header.licence
            for one in _catalogue.catalogue():
                licence = one.licence if one.sha256 == digest else licence
            row = {
                "name": name,
                "file": target.name,
                "sha256": digest,
                "size": header.size,
                "architecture": header.architecture,
                "quantization": header.quantization,
                "context": header.context,
                "licence": licence,
                "demonstration": any(one.demonstration and one.sha256 == digest for one in _catalogue.catalogue()),
            }
            register["models"] = [other for other in register["models"] if other["name"] != name] + [row]
            return self._info(row)

    def pull(self, name: str, on_progress: Progress | None = None) -> ModelInfo:
        """Fetch a model of the catalogue, check its hash and register it. Does nothing when it is there already.

        Raises ModelNotFound, ModelRejected, and InferenceError when offline or when the download fails.
        """
        wanted = _catalogue.entry(name)
        for one in self.list():
            if one.name == name and one.sha256 == wanted.sha256 and one.path.exists():
                return one
        if self.offline:
            raise InferenceError(
                f"{name} was not pulled: this installation is set to use no network. "
                "Bring the file by hand and `manage.py models import FILE`."
            )
        self._make_folder()
        with _disk_errors(), tempfile.TemporaryDirectory(prefix=".pull-", dir=self.folder) as working:
            return self.import_file(_catalogue.fetch(wanted, Path(working), on_progress), name)

    def activate(self, name: str) -> ModelInfo:
        """Make this the model that workers load when they start. Raises ModelNotFound, ModelRejected."""
        if problem := self._problem(self.get(name), by_hash=False):
            raise ModelRejected(problem)
        with self._locked() as register:
            row = self._row(register, name)
            register["active"] = name
            return self._info(row)

    def verify(self, name: str | None = None, on_progress: Progress | None = None) -> tuple[Verification, ...]:
        """Hash one model's file, or all, again. Raises ModelNotFound for an unknown name."""
        models = [self.get(name)] if name else self.list()
        return tuple(Verification(one.name, self._problem(one, on_progress)) for one in models)

    def remove(self, name: str) -> ModelInfo:
        """Remove a model and its file; of a linked one only the link. Raises ModelNotFound, and ModelRejected when it
        is active and others are there to take its place."""
        with self._locked() as register:
            row = self._row(register, name)
            if register["active"] == name:
                if len(register["models"]) > 1:
                    raise ModelRejected(f"{name} is active; activate another model before it is removed.")
                register["active"] = ""
            register["models"].remove(row)
            (self.folder / row["file"]).unlink(missing_ok=True)
            return self._info(row)

    def _problem(self, one: ModelInfo, on_progress: Progress | None = None, *, by_hash: bool = True) -> str:
        if not one.path.exists():
            return f"The file of {one.name} is gone: {one.path} is not there."
        try:
            if by_hash and sha256_of(one.path, on_progress) != one.sha256:
                return f"The file of {one.name} has changed since it was registered: its SHA-256 is a different one."
        except ModelRejected as error:
            return str(error)
        return ""

    def _copy(self, path: Path, target: Path, known: dict[str, Any] | None, on_progress: Progress | None) -> str:
        size = path.stat().st_size
        free = shutil.disk_usage(self.folder).free
        if free < size and not (known and known["size"] == size):
            raise InferenceError(
                f"The disk of {self.folder} is full: {path.name} needs {_megabytes(size)}, "
                f"{_megabytes(free)} are free. "
                "With --link the file stays where it is."
            )
        if known and sha256_of(path, on_progress) == known["sha256"] and target.exists():
            return str(known["sha256"])
        if known:
            raise _taken(target.stem)
        part = self.folder / f".{target.name}.part"
        try:
            with _disk_errors():
                digest = _copy_and_hash(path, part, size, on_progress)
                part.replace(target)
        finally:
            part.unlink(missing_ok=True)
        return digest

    def _link(self, path: Path, target: Path) -> None:
        with _disk_errors():
            if target.is_symlink():
                target.unlink()
            elif target.exists():
                raise _taken(target.stem)
            target.symlink_to(path)

    def _refuse_other(self, known: dict[str, Any] | None, digest: str) -> None:
        if known and known["sha256"] != digest:
            raise _taken(known["name"])

    def _make_folder(self) -> None:
        with _disk_errors():
            self.folder.mkdir(parents=True, exist_ok=True)

    @contextmanager
    def _locked(self) -> Iterator[dict[str, Any]]:
        """The register, to be changed: nobody else changes it meanwhile, and it is written when all went well."""
        self._make_folder()
        with _disk_errors(), (self.folder / ".lock").open("a") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            register = self._read()
            yield register
            descriptor, name = tempfile.mkstemp(prefix=".register-", dir=self.folder)
            with os.fdopen(descriptor, "w", encoding="utf-8") as file:
                json.dump(register, file, indent=2)
                file.flush()
                os.fsync(file.fileno())
            Path(name).replace(self.folder / "register.json")

    def _read(self) -> dict[str, Any]:
        path = self.folder / "register.json"
        try:
            register: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
            if not isinstance(register.get("active"), str):
                raise ValueError
            for row in register["models"]:
                self._info(row)
        except FileNotFoundError:
            return {"models": [], "active": ""}
        except OSError as error:
            raise InferenceError(f"{path} cannot be read ({error.strerror}).") from error
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise InferenceError(f"{path} is damaged. Remove it and import the models again.") from error
        return register

    def _row(self, register: dict[str, Any], name: str) -> dict[str, Any]:
        for row in register["models"]:
            if row["name"] == name:
                return dict(row)
        known = ", ".join(row["name"] for row in register["models"]) or "none"
        raise ModelNotFound(f"There is no model called {name} here. Known: {known}.")

    def _info(self, row: dict[str, Any]) -> ModelInfo:
        values = {field.name: row[field.name] for field in fields(ModelInfo) if field.name != "path"}
        return ModelInfo(path=self.folder / row["file"], **values)


def _checked_name(name: str) -> str:
    if not _NAME.fullmatch(name):
        raise ModelRejected(
            f"{name!r} cannot be a model's name: use up to 64 small letters, digits, dots, hyphens and underscores."
        )
    return name


def _taken(name: str) -> ModelRejected:
    return ModelRejected(
        f"Another file is registered as {name}. Give this one another --name, or remove that one first."
    )


def _copy_and_hash(path: Path, part: Path, size: int, on_progress: Progress | None) -> str:
    import hashlib

    digest, done = hashlib.sha256(), 0
    with path.open("rb") as source, part.open("wb") as copy:
        while chunk := source.read(_CHUNK):
            digest.update(chunk)
            copy.write(chunk)
            done += len(chunk)
            if on_progress:
                on_progress(done, size)
        copy.flush()
        os.fsync(copy.fileno())
    return digest.hexdigest()


def _megabytes(size: int) -> str:
    return f"{size / 1e6:,.0f} MB"


@contextmanager
def _disk_errors() -> Iterator[None]:
    try:
        yield
    except OSError as error:
        if error.errno in {errno.ENOSPC, errno.EDQUOT}:
            raise InferenceError("The disk is full: the model was not kept.") from error
        raise InferenceError(f"The models folder cannot be written ({error.strerror}): {error.filename}.") from error
