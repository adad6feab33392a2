"""The files of a model, held from before they are hashed until the model is unloaded.

Whoever can write the models folder could put another file in the place of one that was hashed, before the engine opens
it; or write into it, then or later, as long as the engine has it mapped. So

- every file is opened once and hashed through that descriptor, and header reader and engine are given links to the
  descriptors, in a folder that this user alone can enter: what they open is what was hashed, whatever lies by now in
  the models folder (Linux; elsewhere they open the files themselves);
- each descriptor has a read lease, where the system gives one (Linux, a file of this user's own, a local disk): nobody
  has the file open for writing, nor mapped, and who wants to waits until the lease is taken back (45 seconds);
- device, inode, size and both times of each file have to be the same after loading as before hashing. The time of
  change cannot be set by anybody; with it, what was written shows also without a lease.

What is proven by that, and what is not, stands in docs/decisions/models-and-gate.md.
"""

import errno
import fcntl
import hashlib
import os
import shutil
import signal
import stat
import tempfile
import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from inference._errors import ModelNotFound, ModelRejected
from inference._files import combined, parts_of

_CHUNK = 4 * 1024 * 1024
_FOLDER_PREFIX = "havre-model-"
_DESCRIPTORS = Path("/proc/self/fd")
_MOUNTS = Path("/proc/self/mountinfo")
_LEASE_TRIES = 10  # a process that was just started may have the file open for a moment, until it runs its program
_LEASE_PAUSE = 0.1
_TICK = 0.02  # seconds within which two changes may bear the same time
# Where "busy" can only mean that somebody has the file open for writing; a network's file system says it for less
_LOCAL = {"ext2", "ext3", "ext4", "xfs", "btrfs", "f2fs", "tmpfs", "overlay"}

Stamp = tuple[int, ...]


@dataclass(frozen=True, slots=True)
class _File:
    path: Path
    descriptor: int
    stamp: Stamp
    leased: bool


class HeldModel:
    """The files of one model. Give it back with `close`, in any case.

    Raises ModelNotFound and ModelRejected when a file is not there, is none, cannot be read, or is being written.
    """

    def __init__(self, model: Path) -> None:
        self._files: list[_File] = []
        self._folder: Path | None = None
        self.path = model  # what header reader and engine are to open
        try:
            self._files.extend(_opened(one) for one in parts_of(model))
            self._link()
        except BaseException:
            self.close()
            raise

    @property
    def leased(self) -> bool:
        """Whether nobody can write into the files unnoticed, not even through a mapping that he had before."""
        return all(one.leased for one in self._files)

    def sha256(self) -> str:
        """The hash of the model, read through the descriptors. Raises ModelRejected when it cannot be read."""
        _wait_for_tick([one.stamp for one in self._files])
        return combined([_sha256(one) for one in self._files])

    def changed(self) -> bool:
        """Whether a file was written to since it was opened, or somebody waits to."""
        return any(_changed(one) for one in self._files)

    def unlink(self) -> None:
        """Take the links away, once everybody has opened what he has to; the files stay held."""
        if self._folder is not None:
            shutil.rmtree(self._folder, ignore_errors=True)
            self._folder = None

    def close(self) -> None:
        """Give the files back."""
        self.unlink()
        while self._files:
            os.close(self._files.pop().descriptor)

    def _link(self) -> None:
        if not _DESCRIPTORS.is_dir():
            return
        self._folder = Path(tempfile.mkdtemp(prefix=_FOLDER_PREFIX))
        for one in self._files:
            link = self._folder / one.path.name
            link.symlink_to(_DESCRIPTORS / str(one.descriptor))
            try:
                same = os.path.samestat(link.stat(), os.fstat(one.descriptor)) and os.access(link, os.R_OK)
            except OSError:
                same = False
            if not same:  # a system that does not let processes see their own descriptors
                self.unlink()
                return
        self.path = self._folder / self._files[0].path.name


def _opened(path: Path) -> _File:
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK)  # what is no file, a pipe, must not hold us up
    except FileNotFoundError as error:
        raise ModelNotFound("file_missing", path=str(path)) from error
    except OSError as error:
        raise ModelRejected("file_unreadable", path=str(path), reason=error.strerror or "") from error
    try:
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            raise ModelRejected("no_file", file=path.name)
        leased = _lease(descriptor, path)
        return _File(path, descriptor, _stamp(descriptor), leased)
    except BaseException:
        os.close(descriptor)
        raise


def _stamp(descriptor: int) -> Stamp:
    found = os.fstat(descriptor)
    return found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns, found.st_ctime_ns


def _changed(one: _File) -> bool:
    if one.leased and fcntl.fcntl(one.descriptor, fcntl.F_GETLEASE) != fcntl.F_RDLCK:
        return True
    return _stamp(one.descriptor) != one.stamp


def _lease(descriptor: int, path: Path) -> bool:
    """Have the system keep writers out of the file. False where it does not do that; raises ModelRejected where
    somebody has the file open for writing."""
    if not hasattr(fcntl, "F_SETLEASE"):
        return False
    for _ in range(_LEASE_TRIES):
        try:
            # instead of SIGIO, which ends a process: a signal that nobody hears. The lease itself is looked at.
            fcntl.fcntl(descriptor, fcntl.F_SETSIG, signal.SIGURG)
            fcntl.fcntl(descriptor, fcntl.F_SETLEASE, fcntl.F_RDLCK)
        except OSError as error:
            if error.errno != errno.EAGAIN or _filesystem(descriptor) not in _LOCAL:
                return False
            time.sleep(_LEASE_PAUSE)
        else:
            return True
    raise ModelRejected("open_for_writing", file=path.name)


def _filesystem(descriptor: int) -> str:
    """The kind of file system that an open file lies on; empty where that is not known."""
    device = os.fstat(descriptor).st_dev
    wanted = f"{os.major(device)}:{os.minor(device)}"
    with suppress(OSError, ValueError):
        for line in _MOUNTS.read_text(encoding="utf-8", errors="replace").splitlines():
            words = line.split()
            if words[2] == wanted:
                return words[words.index("-") + 1]
    return ""


def _wait_for_tick(stamps: list[Stamp]) -> None:
    """Files that were changed this very moment could be changed again under the same time."""
    youngest = time.time() - max(stamp[-1] for stamp in stamps) / 1e9
    if -1 < youngest < _TICK:
        time.sleep(_TICK)


def _sha256(one: _File) -> str:
    digest, done, size = hashlib.sha256(), 0, one.stamp[2]
    try:
        while done < size and (chunk := os.pread(one.descriptor, min(_CHUNK, size - done), done)):
            digest.update(chunk)
            done += len(chunk)
    except OSError as error:
        raise ModelRejected("file_unreadable", path=str(one.path), reason=error.strerror or "") from error
    return digest.hexdigest()
