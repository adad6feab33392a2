"""Files of models: the parts of a split one, and their hashes. Nothing here looks into a file.

llama.cpp splits large models into NAME-00001-of-00003.gguf and so on, and is given the first part. The hash of a split
model is the SHA-256 of the hashes of its parts, in order and a line each; that of a whole model is its file's.
"""

import hashlib
import re
from collections.abc import Callable, Sequence
from pathlib import Path

from inference._errors import ModelNotFound, ModelRejected

_CHUNK = 4 * 1024 * 1024
_PART = re.compile(r"(?P<stem>.+)-(?P<number>\d{5})-of-(?P<count>\d{5})\.gguf", re.IGNORECASE)
_MOST_PARTS = 500

Progress = Callable[[int, int], None]


def parts_of(path: Path) -> tuple[Path, ...]:
    """The files that make up the model at `path`, which may be any part of it, first part first.

    A file whose name is not that of a part stands alone. Raises ModelNotFound, which names the first part that is
    missing, and ModelRejected when the name makes no sense.
    """
    match = _PART.fullmatch(path.name)
    if not match or int(match["count"]) == 1:
        return (path,)
    count = int(match["count"])
    if not 1 <= int(match["number"]) <= count <= _MOST_PARTS:
        raise ModelRejected("part_miscounted", file=path.name)
    found = tuple(path.with_name(part_name(match["stem"], number, count)) for number in range(1, count + 1))
    for one in found:
        if not one.exists():
            raise ModelNotFound("part_missing", file=path.name, count=count, missing=one.name)
    return found


def part_name(stem: str, number: int, count: int) -> str:
    """What the file of one part of a model is called, so that the engine finds the others."""
    return f"{stem}-{number:05}-of-{count:05}.gguf" if count > 1 else f"{stem}.gguf"


def stem_of(path: Path) -> str:
    """The name of a model's file without its ending and without the number of its part."""
    match = _PART.fullmatch(path.name)
    return match["stem"] if match else path.stem


def sha256_of(path: Path, on_progress: Progress | None = None) -> str:
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
        raise ModelRejected("file_unreadable", path=str(path), reason=error.strerror or "") from error
    return digest.hexdigest()


def combined(hashes: Sequence[str]) -> str:
    """The hash of a model from those of its parts."""
    return hashes[0] if len(hashes) == 1 else hashlib.sha256("\n".join(hashes).encode("ascii")).hexdigest()


def shifted(on_progress: Progress | None, before: int, total: int) -> Progress:
    """Progress of one file as that of several: `before` bytes of `total` were done when it began."""
    return lambda done, _: on_progress(before + done, total) if on_progress else None
