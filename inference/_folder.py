"""The models folder as a place on a disk: what is made in it, under which locks, and what the disk says to that.

Others may be able to write into the folder, so nothing that is made here can be changed by anybody but its owner, and
nothing that lies there already is trusted to be what its name says: a link, or a file of somebody else, in the place of
one that is to be written is put aside, not written through.
"""

import errno
import fcntl
import os
import shutil
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from inference._errors import InferenceError

FILE_MODE = 0o644  # no secrets: the worker that reads may be another user than who imports. The umask may take more
_FOLDER_MODE = 0o755
_OTHERS_WRITE = stat.S_IWGRP | stat.S_IWOTH
_TRIES = 5


class Busy(InferenceError):
    """Another process works on the same model at this moment."""


def make_folder(folder: Path) -> None:
    """Make the folder, if it is not there, so that its owner alone can write to it. Raises InferenceError."""
    with disk_errors():
        folder.mkdir(mode=_FOLDER_MODE, parents=True, exist_ok=True)


def open_part(path: Path) -> BinaryIO:
    """A file of this user's own, to be read and written, at its beginning; what it holds already stays. Whatever else
    lies at that path is put aside. Raises OSError."""
    for _ in range(_TRIES):
        try:
            descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, FILE_MODE)
        except OSError as error:
            if error.errno not in {errno.ELOOP, errno.EACCES, errno.ENXIO} or not os.path.lexists(path):
                raise
            path.unlink()
            continue
        found = os.fstat(descriptor)
        if stat.S_ISREG(found.st_mode) and found.st_uid == os.geteuid() and found.st_nlink == 1:
            os.fchmod(descriptor, stat.S_IMODE(found.st_mode) & ~_OTHERS_WRITE)
            return os.fdopen(descriptor, "r+b")
        os.close(descriptor)
        path.unlink(missing_ok=True)
    raise OSError(errno.EBUSY, os.strerror(errno.EBUSY), str(path))


@contextmanager
def claimed(lock: Path, busy: str) -> Iterator[None]:
    """Nobody else does meanwhile what `lock` stands for, in whichever process or thread. The lock's file goes when it
    is given back: whoever opened it before that finds that it is not the one at that path any more, and begins again.

    Raises Busy with the text `busy`, and InferenceError when the folder cannot be written.
    """
    with disk_errors():
        descriptor = _locked(lock, busy)
    try:
        yield
    finally:
        lock.unlink(missing_ok=True)
        os.close(descriptor)


def _locked(lock: Path, busy: str) -> int:
    while True:
        descriptor = os.open(lock, os.O_RDONLY | os.O_CREAT | os.O_NOFOLLOW, FILE_MODE)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if os.path.samestat(lock.stat(follow_symlinks=False), os.fstat(descriptor)):
                return descriptor
        except BlockingIOError as error:
            os.close(descriptor)
            raise Busy(busy) from error
        except FileNotFoundError:
            pass  # its holder gave it back between the two calls
        os.close(descriptor)


def refuse_full(folder: Path, needed: int, *, what: str, spare: int = 0, instead: str = "") -> None:
    """Raise InferenceError when `folder` has no room for `needed` bytes, with `spare` bytes left. `what` needs them,
    `instead` is a sentence on what else can be done."""
    free = shutil.disk_usage(folder).free
    if free < needed + spare:
        raise InferenceError(
            f"The disk of {folder} is full: {what} needs {needed / 1e6:,.0f} MB, {free / 1e6:,.0f} MB are free. "
            f"{instead}".rstrip()
        )


def open_to_all(path: Path) -> bool:
    """Whether every user of the machine may write to what lies at this path (behind a link, its target)."""
    try:
        return bool(path.stat().st_mode & stat.S_IWOTH)
    except OSError:
        return False


@contextmanager
def disk_errors() -> Iterator[None]:
    """Whatever the disk says becomes a sentence. Raises InferenceError."""
    try:
        yield
    except OSError as error:
        if error.errno in {errno.ENOSPC, errno.EDQUOT}:
            raise InferenceError("disk_full") from error
        raise InferenceError("folder_unwritable", reason=error.strerror or "", path=str(error.filename)) from error
