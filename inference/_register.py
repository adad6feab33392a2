"""The register of the models folder: one JSON file, written whole and renamed into place, under a lock that other
processes honour."""

import fcntl
import json
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from functools import lru_cache
from pathlib import Path
from typing import Any

from inference._errors import InferenceError, ModelNotFound, ModelRejected
from inference._folder import FILE_MODE, disk_errors, make_folder
from inference._gguf import Header, read_header
from inference._models import ModelInfo, facts, info_from
from inference._templates import family_of

_FILE = "register.json"

Row = dict[str, Any]


class Register:
    """The rows of one folder: `models`, which of them is `active`, and what was `removed`, of which the facts stay, so
    that an answer of long ago still has a model to name."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.path = folder / _FILE

    def read(self) -> Row:
        """The register as it stands. Raises InferenceError when it is damaged or cannot be read."""
        path = self.path
        try:
            register: Row = json.loads(path.read_text(encoding="utf-8"))
            if not isinstance(register.get("active"), str):
                raise ValueError
            register.setdefault("removed", [])
            for row in [*register["models"], *register["removed"]]:
                _refuse_elsewhere(row["file"], info_from(row, self.folder))
        except FileNotFoundError:
            return {"models": [], "active": "", "removed": []}
        except OSError as error:
            raise InferenceError("file_unreadable", path=str(path), reason=error.strerror or "") from error
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise InferenceError("register_damaged", path=str(path)) from error
        return register

    @contextmanager
    def changing(self) -> Iterator[Row]:
        """The register, to be changed: nobody else changes it meanwhile, and it is written when all went well."""
        make_folder(self.folder)
        with disk_errors(), (self.folder / ".lock").open("a") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            register = self.read()
            yield register
            descriptor, name = tempfile.mkstemp(prefix=".register-", dir=self.folder)
            os.fchmod(descriptor, FILE_MODE)
            with os.fdopen(descriptor, "w", encoding="utf-8") as file:
                json.dump(register, file, indent=2)
                file.flush()
                os.fsync(file.fileno())
            Path(name).replace(self.path)

    def info(self, row: Row) -> ModelInfo:
        """What is known of the model of a row. What an older installation did not write down is read from the file."""
        if not row.get("header") and (path := self.folder / row["file"]).exists():
            return info_from({**_known_of(path, path.stat().st_mtime_ns), **row}, self.folder)
        return info_from(row, self.folder)


def row_of(register: Row, name: str) -> Row:
    """The row of this name, to be changed. Raises ModelNotFound."""
    for row in register["models"]:
        if row["name"] == name:
            found: Row = row
            return found
    known = ", ".join(row["name"] for row in register["models"]) or "–"
    raise ModelNotFound("unknown_model", name=name, known=known)


def known_of(header: Header, name: str) -> Row:
    """The part of a row that the header gives. Raises ModelRejected when the model's chat format is not known."""
    return {**facts(header), "family": family_of(header, name).name}


def _refuse_elsewhere(first: str, one: ModelInfo) -> None:
    """A register that was tampered with must not lead anywhere out of its folder. Raises ValueError."""
    for name in (first, *(part.file for part in one.parts)):
        if name in {"", ".."} or Path(name).name != name:
            raise ValueError(name)


@lru_cache(maxsize=32)
def _known_of(path: Path, changed: int) -> Row:
    try:
        return known_of(read_header(path), path.name)
    except (ModelRejected, ModelNotFound):
        return {}
