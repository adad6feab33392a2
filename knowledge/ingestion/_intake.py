"""Taking files in: what they are, what they are called, where they are kept."""

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
from knowledge.parsing import read_title, sniff

_REVISION = re.compile(r"\d+|v\d+|rev\d*|version|vf|final|finale|new|copy|copie", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class ReceivedFile:
    """A file that lies in the data folder and is not in the library yet. `title` is what to call it; `certain` whether
    a guideline that is called the same is surely the same guideline."""

    path: Path
    filename: str
    sha256: str
    size: int
    media_type: str
    title: str
    certain: bool


def receive(source: Path | str | BinaryIO, filename: str, title: str | None = None) -> ReceivedFile:
    """Copy a file into the data folder under its SHA-256 and find out what it is and, where `title` does not say it,
    what it is called. Raises DocumentRejected."""
    filename = safe_name(filename or (str(source) if isinstance(source, Path | str) else "document"))
    path, sha256, size, media_type = _store(source, filename)
    certain, title = True, tidy(title or "")
    if not title:
        found = read_title(path, media_type, filename)
        title, certain = (found.text, found.sure) if found.text else (title_of(filename), True)
    return ReceivedFile(path, filename, sha256, size, media_type, title[:300], certain)


def safe_name(filename: str) -> str:
    """A file's name without folders and control characters, at most 255 characters."""
    name = re.sub(r"[\x00-\x1f\x7f]", "", PurePath(filename.replace("\\", "/")).name).strip()
    stem, suffix = PurePath(name).stem, PurePath(name).suffix
    return (stem[: 255 - len(suffix)] + suffix) or "document"


def tidy(text: str) -> str:
    """A text on one line, white space made single."""
    return " ".join(text.split())


def title_of(filename: str) -> str:
    """A file's name made readable: "plan_de-soins.pdf" is "Plan de soins"."""
    title = tidy(re.sub(r"[_\s]+|(?<=\S)-+(?=\S)", " ", PurePath(filename).stem)) or filename
    return title[:1].upper() + title[1:]


def same_document(filename: str, other: str) -> bool:
    """Whether two file names differ in nothing but the marks of revisions: numbers, dates, "v2", "final"."""
    words, others = ({word for word in _words(name) if not _REVISION.fullmatch(word)} for name in (filename, other))
    return bool(words) and words == others


def _words(filename: str) -> list[str]:
    return re.findall(r"[^\W\d_]+\d*|\d+", PurePath(filename).stem.lower())


def _store(source: Path | str | BinaryIO, filename: str) -> tuple[Path, str, int, str]:
    """Path, SHA-256, size in bytes and media type of the file's copy."""
    folder = Path(settings.HAVRE_DATA_DIR) / "guidelines"
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(prefix=".incoming-", dir=folder)
    except OSError as error:
        raise _not_stored(filename, error) from error
    temporary = Path(name)
    try:
        with os.fdopen(handle, "wb") as target:
            sha256, size = _copy(source, target, filename)
        kind = sniff(temporary, filename)
        path = folder / (sha256 + Path(filename).suffix.lower())
        temporary.replace(path)
        return path, sha256, size, kind.media_type
    except OSError as error:
        raise _not_stored(filename, error) from error
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
                raise DocumentRejected("too_large", name=filename, megabytes=most // (1024 * 1024))
            digest.update(block)
            target.write(block)
    finally:
        if isinstance(source, Path | str):
            stream.close()
    if size == 0:
        raise DocumentRejected("empty", name=filename)
    target.flush()
    os.fsync(target.fileno())
    return digest.hexdigest(), size


def _opened(source: Path | str | BinaryIO, filename: str) -> BinaryIO:
    if not isinstance(source, Path | str):
        return source
    path = Path(source)
    if path.is_dir():
        raise DocumentRejected("folder", name=filename)
    try:
        return path.open("rb")
    except FileNotFoundError as error:
        raise DocumentRejected("missing", path=str(path)) from error
    except OSError as error:
        raise DocumentRejected("not_opened", name=filename, reason=error.strerror or str(error)) from error


def _not_stored(filename: str, error: OSError) -> DocumentRejected:
    if error.errno in {errno.ENOSPC, errno.EDQUOT}:
        return DocumentRejected("disk_full", name=filename)
    return DocumentRejected("storage", name=filename, reason=error.strerror or str(error))
