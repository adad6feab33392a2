"""Work that one process at a time may do: a claim on it is a locked file, so that it ends with the process that has
it, however that dies."""

import fcntl
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from django.conf import settings


@contextmanager
def claim(name: str) -> Iterator[bool]:
    """Hold the work called `name`. False where another process or thread holds it."""
    folder = Path(settings.HAVRE_DATA_DIR) / "run"
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    with (folder / f"{name}.lock").open("w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            yield False
            return
        yield True
