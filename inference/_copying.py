"""Bringing the files of a model into the models folder: copied, moved or linked."""

import hashlib
import os
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from inference._errors import InferenceError
from inference._files import Progress, shifted
from inference._folder import disk_errors, open_part, refuse_full
from inference._models import PartFile

_CHUNK = 4 * 1024 * 1024


def copy(files: Sequence[Path], targets: Sequence[Path], on_progress: Progress | None = None) -> tuple[PartFile, ...]:
    """Copy files to their targets, hashing on the way. All come into place, or none.

    What an interrupted copy has written is kept and taken up again. Raises InferenceError when the disk does not take
    it, and leaves nothing behind then. Whoever calls it has claimed the name that the targets have.
    """
    parts = [target.with_name(f".{target.name}.part") for target in targets]
    sizes = [one.stat().st_size for one in files]
    missing = sum(sizes) - sum(_held(one) for one in parts)
    instead = "With --link the file stays where it is."
    refuse_full(targets[0].parent, missing, what=files[0].name, instead=instead)
    done, found = 0, []
    try:
        with disk_errors():
            for file, part, target, size in zip(files, parts, targets, sizes, strict=True):
                digest = _copy_and_hash(file, part, shifted(on_progress, done, sum(sizes)))
                found.append(PartFile(target.name, digest, size))
                done += size
            for part, target in zip(parts, targets, strict=True):
                part.replace(target)
    except InferenceError:
        for part in parts:
            with suppress(OSError):
                part.unlink()
        raise
    return tuple(found)


def link(files: Sequence[Path], targets: Sequence[Path]) -> None:
    """Let the targets be links to the files. Raises InferenceError."""
    with disk_errors():
        for file, target in zip(files, targets, strict=True):
            if target.is_symlink():
                target.unlink()
            target.symlink_to(file.absolute())


def move(files: Sequence[Path], targets: Sequence[Path]) -> None:
    """Bring the files to their targets in the same folder. Raises InferenceError."""
    with disk_errors():
        for file, target in zip(files, targets, strict=True):
            file.replace(target)


def _copy_and_hash(file: Path, part: Path, on_progress: Progress) -> str:
    """Copy, going on behind what is there already as far as it is the same."""
    digest, done, size = hashlib.sha256(), 0, file.stat().st_size
    with file.open("rb") as source, open_part(part) as kept:
        while chunk := source.read(_CHUNK):
            digest.update(chunk)
            if kept.read(len(chunk)) != chunk:
                kept.seek(done)
                kept.truncate()
                kept.write(chunk)
            done += len(chunk)
            on_progress(done, size)
        kept.truncate(done)
        kept.flush()
        os.fsync(kept.fileno())
    return digest.hexdigest()


def _held(part: Path) -> int:
    return part.stat().st_size if part.exists() else 0
