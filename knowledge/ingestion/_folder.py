"""The watched folder: what people put there is taken in as drafts; nothing in it is ever changed, moved or deleted.

A file is taken in when it is settled: two looks in a row saw the same size and time of change, so that nobody is still
copying it. Whatever is not taken in is kept with the reason (`FolderFile`). Links are not followed, so that nobody who
may write into the folder can have files from elsewhere taken in: folders and files are opened one below the other,
each refusing to be a link. A look is bounded in entries, depth, files taken in and time; the next one goes on.
"""

import hashlib
import os
import stat
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import BinaryIO

from django.conf import settings
from django.utils import timezone

from knowledge._claims import claim
from knowledge._errors import DocumentRejected, DuplicateDocument, KnowledgeError
from knowledge.models import FolderFile, GuidelineVersion
from knowledge.parsing._sniff import MEDIA_TYPES

MOST_ENTRIES = 20_000  # files and folders that a look sees
DEEPEST = 16  # folders inside each other
MOST_TAKEN = 20  # files that a look takes in
LONGEST = 40.0  # seconds after which a look takes in no further file
FOLDER = ""  # the path of the row that says what is wrong with the folder itself
_LONGEST_PATH = 1000  # characters
_PASSING = {"disk_full", "storage", "not_opened"}  # reasons that may be gone at the next look
_IGNORED = {"thumbs.db", "desktop.ini"}
_SUFFIXES = {suffix for kind in MEDIA_TYPES for suffix in kind.extensions}

TakeIn = Callable[[BinaryIO, str, GuidelineVersion | None], GuidelineVersion]
"""Takes a file of this name into the library; given the version that the same file was before it changed."""


@dataclass(slots=True)
class FolderLook:
    """What a look did: files `taken` in, files `left` with a reason, files that are `waiting` to be settled."""

    taken: int = 0
    left: int = 0
    waiting: int = 0


@dataclass(frozen=True, slots=True)
class _Found:
    path: str  # below the watched folder
    name: str
    parent: int  # descriptor of the folder that it lies in
    mode: int
    size: int
    modified_ns: int


@dataclass(slots=True)
class _Walk:
    seen: int = 0
    is_cut: bool = False
    closed: list[tuple[str, OSError]] = field(default_factory=list)  # folders that cannot be opened


def look(folder: Path, take_in: TakeIn) -> FolderLook:
    """Look once through the folder. A second look at the same time does nothing."""
    report = FolderLook()
    with claim("watched-folder") as is_alone:
        if not is_alone:
            return report
        try:
            top = os.open(_checked(folder), os.O_RDONLY | os.O_DIRECTORY)
        except KnowledgeError as error:
            _say_of_folder(error)
            return report
        except OSError as error:
            reason = error.strerror or str(error)
            _say_of_folder(KnowledgeError("folder_missing", folder=str(folder), reason=reason))
            return report
        try:
            _look_through(top, take_in, report)
        finally:
            os.close(top)
    return report


def _look_through(top: int, take_in: TakeIn, report: FolderLook) -> None:
    rows = {row.path: row for row in FolderFile.objects.select_related("version__guideline").exclude(path=FOLDER)}
    walk, there, until = _Walk(), set[str](), time.monotonic() + LONGEST
    first_seen: list[FolderFile] = []
    for found in _files(top, "", 1, walk):
        there.add(found.path)
        row = rows.get(found.path)
        if row is None:
            row = FolderFile(path=found.path, size=found.size, modified_ns=found.modified_ns)
            _refuse_at_sight(row, found)
            first_seen.append(row)
        elif (row.size, row.modified_ns) != (found.size, found.modified_ns):
            row.size, row.modified_ns, row.seen_at = found.size, found.modified_ns, timezone.now()
            row.error_code, row.error_parameters = "", {}
            _refuse_at_sight(row, found)
            row.save()
        elif _is_to_be_taken(row) and report.taken < MOST_TAKEN and time.monotonic() < until:
            report.taken += _take(row, found, take_in)
        elif row.error_code == "folder_gone":
            _note(row, "", {})
        report.left += bool(row.error_code)
        report.waiting += _is_to_be_taken(row)
    for path, error in walk.closed:
        there.add(path)
        row = rows.get(path) or FolderFile(path=path, size=0, modified_ns=0)
        _note(row, "not_opened", {"name": path, "reason": error.strerror or str(error)})
    FolderFile.objects.bulk_create(first_seen, ignore_conflicts=True, batch_size=500)
    if walk.is_cut:
        _say_of_folder(KnowledgeError("folder_too_many", most=MOST_ENTRIES, deep=DEEPEST))
        return  # who was not seen may still be there
    FolderFile.objects.filter(path=FOLDER).delete()
    for row in rows.values():
        if row.path not in there and row.error_code != "folder_gone":
            _note(row, "folder_gone", {"name": row.path})


def _files(folder: int, above: str, depth: int, walk: _Walk) -> Iterator[_Found]:
    """The files in a folder and below it. What is hidden, or the mark of an editor, is passed over."""
    with os.scandir(folder) as listing:
        entries = sorted(islice(listing, MOST_ENTRIES - walk.seen + 1), key=lambda entry: entry.name)
    for entry in entries:
        if walk.seen >= MOST_ENTRIES:
            walk.is_cut = True
            return
        walk.seen += 1
        if entry.name.startswith((".", "~$")) or entry.name.lower() in _IGNORED:
            continue
        path = f"{above}{entry.name}"
        try:
            known = entry.stat(follow_symlinks=False)
            if not stat.S_ISDIR(known.st_mode):
                yield _Found(_key(path), entry.name, folder, known.st_mode, known.st_size, known.st_mtime_ns)
                continue
            if depth == DEEPEST:
                walk.is_cut = True
                continue
            inner = os.open(entry.name, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW, dir_fd=folder)
        except FileNotFoundError:
            continue  # gone between the listing and now
        except OSError as error:
            walk.closed.append((_key(path), error))
            continue
        try:
            yield from _files(inner, f"{path}/", depth + 1, walk)
        finally:
            os.close(inner)


def _is_to_be_taken(row: FolderFile) -> bool:
    """Whether this state of the file is not in the library and nothing says why. `seen_at` is when it was first seen;
    a version that is older was the file before it changed."""
    if row.error_code and row.error_code not in _PASSING | {"folder_gone"}:
        return False
    return row.version is None or row.version.created_at < row.seen_at


def _refuse_at_sight(row: FolderFile, found: _Found) -> None:
    """Reasons that need no look into the file."""
    code = ""
    if stat.S_ISLNK(found.mode):
        code = "folder_link"
    elif not stat.S_ISREG(found.mode):
        code = "folder_special"
    elif Path(found.name).suffix.lower() not in _SUFFIXES:
        code = "unknown_type"
    if code:
        row.error_code, row.error_parameters = code, {"name": found.path}


def _take(row: FolderFile, found: _Found, take_in: TakeIn) -> bool:
    """Take a settled file in; False when it is left with a reason."""
    before = row.version
    try:
        handle = os.open(found.name, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK, dir_fd=found.parent)
        with os.fdopen(handle, "rb") as file:
            if not stat.S_ISREG(os.fstat(handle).st_mode):
                raise DocumentRejected("folder_special", name=found.path)
            row.version = take_in(file, _key(found.name), before)
    except DuplicateDocument as error:
        if before is not None and error.version_id == before.pk:  # touched, not changed
            row.seen_at = before.created_at
            return _note(row, "", {})
        return _note(row, error.code, error.parameters)
    except KnowledgeError as error:
        return _note(row, error.code, error.parameters)
    except OSError as error:
        return _note(row, "not_opened", {"name": found.path, "reason": error.strerror or str(error)})
    _note(row, "", {})
    return True


def _note(row: FolderFile, code: str, parameters: dict[str, str | int]) -> bool:
    row.error_code, row.error_parameters = code, parameters
    row.save()
    return False


def _say_of_folder(error: KnowledgeError) -> None:
    said = {"size": 0, "modified_ns": 0, "error_code": error.code, "error_parameters": error.parameters}
    FolderFile.objects.update_or_create(path=FOLDER, defaults=said)


def _checked(folder: Path) -> Path:
    """The folder itself, links on the way to it followed; never the data folder, which has the library's own files."""
    resolved, data = folder.resolve(), Path(settings.HAVRE_DATA_DIR).resolve()
    if resolved.is_relative_to(data) or data.is_relative_to(resolved):
        raise KnowledgeError("folder_overlaps", folder=str(folder))
    return resolved


def _key(path: str) -> str:
    """A path that the database can keep: names that are no UTF-8 escaped, long ones cut with a mark of their own."""
    text = path.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")
    if len(text) <= _LONGEST_PATH:
        return text
    return f"{text[: _LONGEST_PATH - 20]}…{hashlib.sha256(text.encode()).hexdigest()[:16]}"
