"""Taking files in: what they are, whether they are new, where they are kept."""

import errno
import hashlib
import os
import re
import tempfile
from dataclasses import dataclass
from pathlib import Path, PurePath
from typing import BinaryIO

from django.conf import settings

from knowledge._errors import DocumentRejected
from knowledge.parsing import sniff
from knowledge.parsing._limits import ParseFailed


@dataclass(frozen=True, slots=True)
class Stored:
    """A file in the data folder."""

    path: Path
    sha256: str
    size: int
    media_type: str


def safe_name(filename: str) -> str:
    """A file's name without folders and control characters, at most 255 characters."""
    name = re.sub(r"[\x00-\x1f\x7f]", "", PurePath(filename.replace("\\", "/")).name).strip()
    stem, suffix = PurePath(name).stem, PurePath(name).suffix
    return (stem[: 255 - len(suffix)] + suffix) or "document"


def store(source: Path | str | BinaryIO, filename: str) -> Stored:
    """Copy a file into the data folder under its SHA-256. Raises DocumentRejected with a sentence."""
    folder = Path(settings.HAVRE_DATA_DIR) / "guidelines"
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(prefix=".incoming-", dir=folder)
    except OSError as error:
        raise DocumentRejected(_disk_sentence(filename, error), code="storage") from error
    temporary = Path(name)
    try:
        with os.fdopen(handle, "wb") as target:
            sha256, size = _copy(source, target, filename)
        kind = sniff(temporary, filename)
        path = folder / (sha256 + Path(filename).suffix.lower())
        temporary.replace(path)
        return Stored(path, sha256, size, kind.media_type)
    except ParseFailed as error:
        raise DocumentRejected(str(error), code=error.code) from error
    except OSError as error:
        raise DocumentRejected(_disk_sentence(filename, error), code="storage") from error
    finally:
        temporary.unlink(missing_ok=True)


def _copy(source: Path | str | BinaryIO, target: BinaryIO, filename: str) -> tuple[str, int]:
    most = settings.HAVRE_UPLOAD_MAX_BYTES
    digest, size = hashlib.sha256(), 0
    stream = _opened(source, filename)
    try:
        while block := stream.read(1 << 20):
            size += len(block)
            if size > most:
                message = f"“{filename}” is larger than the {most // (1024 * 1024)} MB that a document may have."
                raise DocumentRejected(message, code="too_large")
            digest.update(block)
            target.write(block)
    finally:
        if isinstance(source, Path | str):
            stream.close()
    if size == 0:
        raise DocumentRejected(f"“{filename}” is empty.", code="empty")
    target.flush()
    os.fsync(target.fileno())
    return digest.hexdigest(), size


def _opened(source: Path | str | BinaryIO, filename: str) -> BinaryIO:
    if not isinstance(source, Path | str):
        return source
    path = Path(source)
    if path.is_dir():
        raise DocumentRejected(f"“{filename}” is a folder, not a file.", code="unreadable")
    try:
        return path.open("rb")
    except FileNotFoundError as error:
        raise DocumentRejected(f"There is no file {path}.", code="missing") from error
    except OSError as error:
        raise DocumentRejected(f"“{filename}” cannot be opened: {error.strerror}.", code="unreadable") from error


def _disk_sentence(filename: str, error: OSError) -> str:
    if error.errno in {errno.ENOSPC, errno.EDQUOT}:
        return f"“{filename}” could not be stored: the disk is full."
    return f"“{filename}” could not be stored in the data folder: {error.strerror or error}."
