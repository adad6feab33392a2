"""The audit key: signs checkpoints, and marks events as recorded by who holds it.

One file (HAVRE_AUDIT_KEY_FILE) with 32 random bytes in base64, outside the database: the seed of an Ed25519 key, and,
through HKDF, the key of the events' marks. Without it nothing is recorded, and so nothing is answered.
"""

import fcntl
import functools
import hashlib
import hmac
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from django.conf import settings

from portal import vault

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

_CHECKPOINT = b"havre audit checkpoint v1\n"
_SUCCESSION = b"havre audit key replaced v1\n"
_MANIFEST = b"havre audit manifest v1\n"


class NoAuditKey(vault.NoKey):
    """The file of the audit key is missing, cannot be read, or holds no key."""


class WrongAuditKey(NoAuditKey):
    """The file holds another key than the one that the ledger goes on with."""

    def __init__(self, expected: bytes, found: "AuditKey") -> None:
        super().__init__(
            f"{settings.HAVRE_AUDIT_KEY_FILE} holds another key ({found.key_id}) than the one that signs this audit "
            f"trail ({id_of(expected)})."
        )


@dataclass(frozen=True, slots=True)
class AuditKey:
    """What is made of the file. `public` is the raw Ed25519 public key, 32 bytes; `key_id` its short name."""

    _private: "Ed25519PrivateKey"
    _mac: bytes
    public: bytes
    key_id: str

    def mark(self, leaf: bytes) -> bytes:
        """The mark of an event, by its hash."""
        return hmac.digest(self._mac, leaf, "sha256")

    def has_marked(self, leaf: bytes, mark: bytes) -> bool:
        """Whether this key made the mark."""
        return hmac.compare_digest(self.mark(leaf), mark)

    def mark_last(self, leaf: bytes) -> bytes:
        """The mark of the head behind the last event, by that event's hash."""
        return self.mark(b"havre audit last event v1\n" + leaf)

    def has_marked_last(self, leaf: bytes, mark: object) -> bool:
        """Whether this key marked the head behind the event with this hash. A mark may be whatever somebody wrote."""
        return isinstance(mark, bytes | memoryview) and hmac.compare_digest(self.mark_last(leaf), mark)

    def sign(self, body: bytes) -> bytes:
        """The signature of a checkpoint's body, 64 bytes."""
        return self._private.sign(_CHECKPOINT + body)

    def sign_manifest(self, manifest: bytes) -> bytes:
        """The signature of an export's manifest, 64 bytes."""
        return self._private.sign(_MANIFEST + manifest)

    def sign_off(self, statement: bytes) -> bytes:
        """The signature by which this key hands over to another one (`_succession.statement`)."""
        return self._private.sign(_SUCCESSION + statement)


def has_signed(public: bytes, body: bytes, signature: bytes) -> bool:
    """Whether the holder of a public key signed this body of a checkpoint."""
    return _verifies(public, _CHECKPOINT + body, signature)


def has_signed_off(public: bytes, statement: bytes, signature: bytes) -> bool:
    """Whether the holder of a public key handed over to the key that the statement names."""
    return _verifies(public, _SUCCESSION + statement, signature)


def _verifies(public: bytes, message: bytes, signature: bytes) -> bool:
    from cryptography.exceptions import InvalidSignature
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

    try:
        Ed25519PublicKey.from_public_bytes(public).verify(signature, message)
    except (InvalidSignature, ValueError):
        return False
    return True


def id_of(public: bytes) -> str:
    """The short name of a public key: the beginning of its SHA-256."""
    return hashlib.sha256(public).hexdigest()[:16]


def current() -> AuditKey:
    """The installation's audit key; the file is looked at each time and read again when it changed. Raises
    NoAuditKey."""
    return _at(Path(settings.HAVRE_AUDIT_KEY_FILE))


def make() -> bool:
    """Write a new audit key unless there is a file already; returns whether it was written. Raises NoKey."""
    return vault.make_key(Path(settings.HAVRE_AUDIT_KEY_FILE))


class Exchange:
    """A new key on its way into the key's file; see `exchanged`."""

    def __init__(self, path: Path) -> None:
        self._path, self._is_there = path, False
        self._draft, self._before = (path.with_name(f".{path.name}.{word}") for word in ("new", "before"))
        if self._before.exists():
            raise NoAuditKey(
                f"An exchange of the audit key was cut short: {self._before} is the key from before. Put it back in "
                "its place when `manage.py doctor` speaks of another key; otherwise delete it."
            )
        self._draft.unlink(missing_ok=True)
        try:
            vault.make_key(self._draft)
            self._look_like_the_old_one()
        except (vault.NoKey, OSError) as error:
            self._draft.unlink(missing_ok=True)
            said = error.strerror if isinstance(error, OSError) else error
            raise NoAuditKey(f"The audit key {path} cannot be replaced ({said}).") from None
        self.new = _at(self._draft)

    def _look_like_the_old_one(self) -> None:
        """Whoever could read the old key can read the new one: root may do this for a service."""
        if self._path.exists():
            old = self._path.stat()
            if (old.st_uid, old.st_gid) != (os.geteuid(), os.getegid()):
                os.chown(self._draft, old.st_uid, old.st_gid)
            self._draft.chmod(old.st_mode & 0o777)

    def put(self) -> None:
        """Let the file hold the new key from now on. Raises NoAuditKey."""
        try:
            if self._path.exists():
                os.link(self._path, self._before)
            self._draft.replace(self._path)
            vault.keep(self._path.parent)
        except OSError as error:
            raise NoAuditKey(f"The audit key {self._path} cannot be written ({error.strerror}).") from None
        self._is_there = True

    def undo(self) -> None:
        """Let it hold what it held before."""
        if self._before.exists():
            self._before.replace(self._path)
        elif self._is_there:
            self._path.unlink()

    def end(self) -> None:
        """Destroy what is left: the old key, or the new one."""
        for left in (self._draft, self._before):
            left.unlink(missing_ok=True)


@contextmanager
def exchanged() -> Iterator[Exchange]:
    """A new key, which stands in the file in the place of the old one from `put` on. When the block ends well the old
    one is destroyed; when it raises, everything is as before. Raises NoAuditKey when the folder cannot be written."""
    path = Path(settings.HAVRE_AUDIT_KEY_FILE)
    with _alone(path.parent):
        exchange = Exchange(path)
        try:
            yield exchange
        except BaseException:
            exchange.undo()
            raise
        finally:
            exchange.end()


@contextmanager
def _alone(folder: Path) -> Iterator[None]:
    """Nobody else exchanges the key in this folder meanwhile: the second one's draft would become the first one's key.
    Raises NoAuditKey."""
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    except OSError as error:
        raise NoAuditKey(f"The folder of the audit key, {folder}, cannot be used ({error.strerror}).") from None
    try:
        _lock(descriptor)
        yield
    finally:
        os.close(descriptor)


def _lock(descriptor: int) -> None:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        raise NoAuditKey("The audit key is being replaced by another exchange at this moment.") from None


def _at(path: Path) -> AuditKey:
    try:
        now = path.stat()
    except OSError as error:
        raise NoAuditKey(f"The audit key {path} cannot be read ({error.strerror}).") from None
    return _read(path, (now.st_ino, now.st_mtime_ns, now.st_size))


@functools.lru_cache(maxsize=2)
def _read(path: Path, _version: tuple[int, int, int]) -> AuditKey:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
    from cryptography.hazmat.primitives.hashes import SHA256
    from cryptography.hazmat.primitives.kdf.hkdf import HKDF

    try:
        seed = vault.read_key(path, "audit key")
    except vault.NoKey as error:
        raise NoAuditKey(str(error)) from None
    private = Ed25519PrivateKey.from_private_bytes(seed)
    mac = HKDF(algorithm=SHA256(), length=32, salt=None, info=b"havre audit event mark v1").derive(seed)
    public = private.public_key().public_bytes_raw()
    return AuditKey(private, mac, public, id_of(public))
