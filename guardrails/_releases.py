"""Where a facility's released additions lie, and which of them holds.

    guardrails/                         a folder in the data folder of the installation
      current.toml                      the release that holds, and the hash of its files: renamed into place
      releases/r0003-1a2b3c4d5e6f/
        additions.toml                  words, help lines, regions
        release.toml                    its number
        held                            empty: it was in force once, so that some release always has to be

Every process asks `current` at every message: a few `stat` calls, and a reading only where something changed. A
release that is missing, unreadable or not what was released raises ReleaseError, at every message, until it is put
right: the screen then fails closed.
"""

import hashlib
import logging
import os
import shutil
import tempfile
import threading
import tomllib
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, replace
from pathlib import Path

from guardrails._errors import AdditionError, ReleaseError
from guardrails._facility import FacilityAdditions, from_toml, to_toml

_log = logging.getLogger(__name__)

_POINTER = "current.toml"
_FILES = ("additions.toml", "release.toml")
_HELD = "held"
_REMEDY = "Open the page Safeguards as an administrator, or run `manage.py doctor`."


@dataclass(frozen=True, slots=True)
class Release:
    """Additions under a number. `sha256` is over the files, and so over every word of them."""

    id: str
    number: int
    sha256: str
    additions: FacilityAdditions


@dataclass(frozen=True, slots=True)
class _Known:
    """What a look at the folder found, and the stamps of the files by which a change is noticed."""

    folder: Path | None
    watched: tuple[Path, ...]
    stamps: tuple[tuple[int, int, int] | None, ...]
    found: Release | None
    problem: str


_folder: Path | None = None
_known: _Known | None = None
_lock = threading.Lock()
_tried: ContextVar[Release | None] = ContextVar("tried", default=None)


def use_releases(folder: Path | None) -> None:
    """Where this process looks for the facility's releases; None: nowhere, the shipped rules alone hold."""
    global _folder, _known
    with _lock:
        _folder, _known = folder, None


def releases_folder() -> Path | None:
    """The folder that `use_releases` named."""
    return _folder


def current() -> Release | None:
    """The release that holds; None where the facility has released nothing. Raises ReleaseError with a sentence for
    the operator where a release ought to be there and is not, or is not what was released."""
    if (tried := _tried.get()) is not None:
        return tried
    global _known  # noqa: PLW0603
    known = _known
    if known is None or known.folder != _folder or _stamps(known.watched) != known.stamps:
        with _lock:
            before, known = known, _look(_folder)
            gone = known.stamps[:1] == (None,) and not (known.found or known.problem)
            if gone and before is not None and before.folder == _folder and (before.found or before.problem):
                known = replace(known, problem=f"The released rules in {_folder} have vanished. {_REMEDY}")
            _known = known
        if known.problem and (before is None or before.problem != known.problem):
            _log.error("%s Every message is treated as a crisis until then.", known.problem)
    if known.problem:
        raise ReleaseError(known.problem)
    return known.found


@contextmanager
def trying(content: FacilityAdditions, *, number: int = 0) -> Iterator[None]:
    """Within this block, and in this thread alone, the screen works with these additions instead of the released."""
    token = _tried.set(make_release(number, content))
    try:
        yield
    finally:
        _tried.reset(token)


def make_release(number: int, content: FacilityAdditions) -> Release:
    """The release that these additions would be under this number; nothing is written."""
    text = _texts(number, content)
    digest = _digest(text)
    return Release(f"r{number:04d}-{digest[:12]}", number, digest, content)


def write_release(number: int, content: FacilityAdditions) -> Release:
    """Write the files of a release; it does not hold before `point_at`. What lies there under its name is replaced.

    Raises ReleaseError where the folder cannot be written."""
    release = make_release(number, content)
    try:
        parent = _needed_folder() / "releases"
        parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        working = Path(tempfile.mkdtemp(prefix=".writing-", dir=parent))
        try:
            for name, text in zip(_FILES, _texts(number, content), strict=True):
                _write(working / name, text)
            if (target := parent / release.id).exists():
                target.rename(Path(tempfile.mkdtemp(prefix=".replaced-", dir=parent)) / release.id)
            working.rename(target)
        finally:
            for left in (working, *parent.glob(".replaced-*")):
                shutil.rmtree(left, ignore_errors=True)
    except OSError as error:
        raise ReleaseError(f"The release cannot be written ({error.strerror}): {error.filename}.") from error
    return release


def point_at(release: Release | None) -> None:
    """Make a written release the one that holds, in every process, at its next message; None: the shipped rules alone,
    after a first release that failed. Raises ReleaseError."""
    try:
        folder = _needed_folder()
        release_id, sha256 = ("", "") if release is None else (release.id, release.sha256)
        descriptor, name = tempfile.mkstemp(prefix=".current-", dir=folder)
        os.close(descriptor)
        _write(Path(name), f'release = "{release_id}"\nsha256 = "{sha256}"\n')
        Path(name).replace(folder / _POINTER)
        if release is not None:
            (folder / "releases" / release_id / _HELD).touch()
    except OSError as error:
        raise ReleaseError(f"The release cannot be put into force ({error.strerror}): {error.filename}.") from error


def _write(path: Path, text: str) -> None:
    with path.open("w", encoding="utf-8") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    path.chmod(0o440)


def _needed_folder() -> Path:
    if _folder is None:
        raise ReleaseError("No folder for releases is set.")
    return _folder


def _texts(number: int, content: FacilityAdditions) -> tuple[str, str]:
    return to_toml(content), f"number = {number}\n"


def _digest(texts: tuple[str, ...]) -> str:
    digest = hashlib.sha256()
    for name, text in zip(_FILES, texts, strict=True):
        digest.update(name.encode() + b"\0" + text.encode() + b"\0")
    return digest.hexdigest()


def _stamps(paths: tuple[Path, ...]) -> tuple[tuple[int, int, int] | None, ...]:
    return tuple(_stamp(path) for path in paths)


def _stamp(path: Path) -> tuple[int, int, int] | None:
    try:
        said = path.stat()
    except OSError:
        return None
    return said.st_mtime_ns, said.st_ino, said.st_size


def _look(folder: Path | None) -> _Known:
    """Read what holds. The stamps are taken before the reading, so that no change in between is overlooked."""
    if folder is None:
        return _Known(None, (), (), None, "")
    pointer = folder / _POINTER
    watched: tuple[Path, ...] = (pointer, folder / "releases")
    stamps = _stamps(watched)
    try:
        if stamps[0] is None and not _any_release(folder):
            return _Known(folder, watched, stamps, None, "")
        named = tomllib.loads(pointer.read_text(encoding="utf-8"))
        name, expected = str(named["release"]), str(named["sha256"])
        if not name:  # said outright, by `point_at(None)`
            return _Known(folder, watched, stamps, None, "")
        if Path(name).name != name or not name.startswith("r"):
            raise ReleaseError(f"{pointer} names no release. {_REMEDY}")
        files = tuple(folder / "releases" / name / file for file in _FILES)
        watched, stamps = (*watched, *files), (*stamps, *_stamps(files))  # the pointer's stamp stays the one before
        return _Known(folder, watched, stamps, _read(folder / "releases" / name, expected), "")
    except ReleaseError as error:
        problem = str(error)
    except (OSError, UnicodeDecodeError, KeyError, tomllib.TOMLDecodeError) as error:
        problem = f"{pointer} is missing or cannot be read ({type(error).__name__}). {_REMEDY}"
    return _Known(folder, watched, stamps, None, problem)


def _any_release(folder: Path) -> bool:
    try:
        return any((one / _HELD).exists() for one in (folder / "releases").iterdir())
    except FileNotFoundError:
        return False


def _read(folder: Path, expected: str) -> Release:
    """The release that lies in a folder. Raises ReleaseError."""
    try:
        texts = tuple((folder / name).read_text(encoding="utf-8") for name in _FILES)
        number = int(tomllib.loads(texts[1])["number"])
        if (digest := _digest(texts)) != expected:
            raise ReleaseError(f"The released rules in {folder} are not those that were released. {_REMEDY}")
        return Release(folder.name, number, digest, from_toml(texts[0]))
    except AdditionError as error:
        raise ReleaseError(f"The released rules in {folder} cannot be used ({error}). {_REMEDY}") from error
    except (OSError, UnicodeDecodeError, KeyError, TypeError, ValueError) as error:
        raise ReleaseError(
            f"The released rules in {folder} are missing or cannot be read ({type(error).__name__}). {_REMEDY}"
        ) from error
