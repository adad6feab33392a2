"""Hotline cards whose record could not be written: they are shown at once, and kept here until it can.

A file each, in the data folder, sealed with the master key; where there is no key, a file without words, so that at
least their number is recorded. Before what is sealed stands which key that was, so that a file that was spoilt, whose
record says that there was a card, is told from one whose key does not lie in its place, which waits for it. A file of
no use is kept beside them, to be given up for them when the disk is full.
"""

import errno
import hashlib
import json
import logging
import os
import secrets
import time
import uuid
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from django.conf import settings

from portal import vault

logger = logging.getLogger(__name__)

_MARK = b"\x02"  # and the first bytes of a hash of the key; what was sealed by itself begins with \x01
_OF_KEY_BYTES = 8
_SEALED, _BARE = ".sealed", ".bare"
_DRAFT_SECONDS = 60.0  # longer than any is being written
_RESERVE_BYTES = 256 * 1024
_FULL = frozenset({errno.ENOSPC, errno.EDQUOT})


class OtherKey(vault.VaultError):
    """A card was sealed with another master key than the one that lies in its place."""


@dataclass(frozen=True, slots=True)
class Kept:
    """A card that waits to be written down."""

    path: Path

    @property
    def turn(self) -> str:
        """The id of the turn that it belongs to."""
        return self.path.name.partition(".")[0]

    def is_there(self) -> bool:
        """Whether nobody has written it down meanwhile."""
        return self.path.exists()

    def is_of_other_key(self) -> bool:
        """Whether it waits for another master key than the one that lies in its place."""
        with suppress(vault.NoKey):
            try:
                self.values()
            except OtherKey:
                return True
        return False

    def shown_at(self) -> datetime:
        """When it was kept, which is when it was shown. Raises FileNotFoundError."""
        return datetime.fromtimestamp(self.path.stat().st_mtime, UTC)

    def shown_before(self, moment: float) -> bool:
        """Whether it waits since before this time (seconds since the epoch)."""
        with suppress(FileNotFoundError):
            return self.path.stat().st_mtime < moment
        return False

    def values(self) -> dict[str, Any] | None:
        """The values of a turn and who asked (`person`); None where only the card's number and time are known, or it
        cannot be opened any more. Raises NoMasterKey or OtherKey where it cannot be opened now."""
        return _opened(self.path) if self.path.suffix == _SEALED else None


def keep(name: str, values: dict[str, Any]) -> None:
    """Keep the values of a turn with a card until they can be written down; `name` is the id of the turn, and what else
    tells it from another card of that turn, behind a dot. Never raises: the card comes first."""
    try:
        try:
            key = vault.master_key()
            whole = vault.seal(key, json.dumps(values).encode(), name.encode())
            _write(_folder() / f"{name}{_SEALED}", _MARK + _which(key) + whole)
        except vault.VaultError:
            _write(_folder() / f"{name}{_BARE}", b"")
    except OSError as error:
        logger.critical("a hotline card was shown and its record can be kept nowhere: %s", error.strerror)


def kept(*, older_than: float = 0.0) -> Iterator[Kept]:
    """What waits to be written down, for so many seconds at least, the oldest first."""
    found = []
    now = time.time_ns()
    young = range(now - int(older_than * 1e9), now)  # one from the time before a clock was set back is not
    with suppress(FileNotFoundError):
        for path in _folder().iterdir():
            with suppress(FileNotFoundError):  # somebody else has written it down in this moment
                if path.suffix in {_SEALED, _BARE}:
                    found.append((path.stat().st_mtime_ns, path))
    yield from (Kept(path) for at, path in sorted(found) if at not in young)


def clear() -> None:
    """Delete what was left of cards whose process was killed while it kept them: as a rule before they were shown, but
    where a disk hangs a card waits for it no longer than half a second."""
    before = time.time() - _DRAFT_SECONDS
    with suppress(FileNotFoundError):
        for path in _folder().iterdir():
            with suppress(FileNotFoundError):
                if path.name.startswith(".") and path.stat().st_mtime < before:
                    path.unlink()


def done(one: Kept) -> None:
    """Its record is written."""
    one.path.unlink(missing_ok=True)


def drop(name: str) -> None:
    """The same for the card that was kept under this name, if one was. Never raises: who looks later finds that it is
    written."""
    for suffix in (_SEALED, _BARE):
        with suppress(OSError):
            done(Kept(_folder() / f"{name}{suffix}"))


def reserve() -> None:
    """Have room for a few cards, also on a disk that will be full."""
    path = _folder() / "reserve"
    try:
        if not path.exists():
            _write(path, secrets.token_bytes(_RESERVE_BYTES))
    except OSError as error:
        logger.warning("no room is reserved for hotline cards on this disk: %s", error.strerror)


def _opened(path: Path) -> dict[str, Any] | None:
    key = vault.master_key()
    try:
        whole = path.read_bytes()
    except FileNotFoundError:
        return None
    is_marked, head = whole.startswith(_MARK), len(_MARK) + _OF_KEY_BYTES
    try:
        values: dict[str, Any] = json.loads(vault.open(key, whole[head:] if is_marked else whole, path.stem.encode()))
    except vault.Unreadable:
        if whole[len(_MARK) : head] != _which(key) if is_marked else whole.startswith(b"\x01"):
            raise OtherKey("A hotline card was sealed with another master key.") from None
        logger.error("a hotline card that was kept cannot be opened: %s", path.name)
        return None
    return values


def _which(key: bytes) -> bytes:
    """Tells keys apart, and nothing else of them."""
    return hashlib.sha256(b"havre cards v1\n" + key).digest()[:_OF_KEY_BYTES]


def _write(path: Path, whole: bytes) -> None:
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    try:
        _write_once(path, whole)
    except OSError as error:
        if error.errno not in _FULL or not (path.parent / "reserve").exists():
            raise
        (path.parent / "reserve").unlink(missing_ok=True)
        _write_once(path, whole)


def _write_once(path: Path, whole: bytes) -> None:
    draft = path.with_name(f".{path.name}.{uuid.uuid4().hex}")
    try:
        descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "wb") as file:
            file.write(whole)
            file.flush()
            os.fsync(file.fileno())
        draft.rename(path)  # whole or not at all
        vault.keep(path.parent)
    finally:
        draft.unlink(missing_ok=True)


def _folder() -> Path:
    return Path(settings.HAVRE_DATA_DIR) / "spool" / "cards"
