"""The audit key: signs checkpoints, and marks events as recorded by who holds it.

One file (HAVRE_AUDIT_KEY_FILE) with 32 random bytes in base64, outside the database: the seed of an Ed25519 key, and,
through HKDF, the key of the events' marks. Without it nothing is recorded, and so nothing is answered.
"""

import functools
import hashlib
import hmac
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from django.conf import settings

from portal import vault

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

_DOMAIN = b"havre audit checkpoint v1\n"
_MANIFEST = b"havre audit manifest v1\n"


class NoAuditKey(vault.NoKey):
    """The file of the audit key is missing, cannot be read, or holds no key."""


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

    def sign(self, body: bytes) -> bytes:
        """The signature of a checkpoint's body, 64 bytes."""
        return self._private.sign(_DOMAIN + body)

    def sign_manifest(self, manifest: bytes) -> bytes:
        """The signature of an export's manifest, 64 bytes."""
        return self._private.sign(_MANIFEST + manifest)


def has_signed(public: bytes, body: bytes, signature: bytes) -> bool:
    """Whether the holder of a public key signed this body of a checkpoint."""
    from cryptography.exceptions import InvalidSignature
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

    try:
        Ed25519PublicKey.from_public_bytes(public).verify(signature, _DOMAIN + body)
    except (InvalidSignature, ValueError):
        return False
    return True


def id_of(public: bytes) -> str:
    """The short name of a public key: the beginning of its SHA-256."""
    return hashlib.sha256(public).hexdigest()[:16]


def current() -> AuditKey:
    """The installation's audit key; the file is looked at each time and read again when it changed. Raises
    NoAuditKey."""
    path = Path(settings.HAVRE_AUDIT_KEY_FILE)
    try:
        now = path.stat()
    except OSError as error:
        raise NoAuditKey(f"The audit key {path} cannot be read ({error.strerror}).") from None
    return _read(path, (now.st_ino, now.st_mtime_ns, now.st_size))


def make() -> bool:
    """Write a new audit key unless there is a file already; returns whether it was written. Raises NoKey."""
    return vault.make_key(Path(settings.HAVRE_AUDIT_KEY_FILE))


@functools.lru_cache(maxsize=1)
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
