"""Files that were worked out and can be again: kept in the data folder up to a bound, the last used the longest."""

import os
import tempfile
from contextlib import suppress
from pathlib import Path

from django.conf import settings


def folder(name: str) -> Path:
    """A folder of the data folder, for nobody else to read; made where that is possible."""
    found = Path(settings.HAVRE_DATA_DIR) / name
    with suppress(OSError):
        found.mkdir(mode=0o700, parents=True, exist_ok=True)
    return found


def known(path: Path) -> bytes | None:
    """What was kept; None where it was not, or is gone."""
    try:
        data = path.read_bytes()
        os.utime(path)  # the last used go last
    except OSError:
        return None
    return data


def keep(path: Path, data: bytes, most: int) -> None:
    """Keep something, and let those beside it with the same ending go that were not used for longest, where together
    they are more than `most` bytes. A full disk costs time, not the work: then nothing is kept."""
    with suppress(OSError):
        _write(path, data)
        _make_room(path, most)


def _write(path: Path, data: bytes) -> None:
    handle, name = tempfile.mkstemp(prefix=".kept-", dir=path.parent)
    try:
        with os.fdopen(handle, "wb") as target:
            target.write(data)
        Path(name).replace(path)
    finally:
        Path(name).unlink(missing_ok=True)


def _make_room(path: Path, most: int) -> None:
    found = []
    for one in path.parent.glob(f"*{path.suffix}"):
        with suppress(OSError):  # another process may have let it go
            status = one.stat()
            found.append((status.st_mtime_ns, status.st_size, one))
    for _, size, one in sorted(found, reverse=True):
        most -= size
        if most < 0:
            one.unlink(missing_ok=True)
