"""Files of models: their hashes."""

import hashlib
from collections.abc import Callable
from pathlib import Path

from inference._errors import ModelRejected

_CHUNK = 4 * 1024 * 1024


def sha256_of(path: Path, on_progress: Callable[[int, int], None] | None = None) -> str:
    """The SHA-256 of a file, in hexadecimal. `on_progress` gets bytes done and bytes in all. Raises ModelRejected when
    the file cannot be read."""
    digest, done = hashlib.sha256(), 0
    try:
        size = path.stat().st_size
        with path.open("rb") as file:
            while chunk := file.read(_CHUNK):
                digest.update(chunk)
                done += len(chunk)
                if on_progress:
                    on_progress(done, size)
    except OSError as error:
        raise ModelRejected(f"{path} cannot be read ({error.strerror}).") from error
    return digest.hexdigest()
