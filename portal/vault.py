"""Sealing texts: AES-256-GCM, a key for each thing that can be erased, and one master key that seals those keys.

The master key is a file outside the database (HAVRE_MASTER_KEY_FILE): whoever has only a copy of the database reads
nothing that was sealed. Whoever destroys a sealed key has erased everything that was sealed with it, wherever copies of
it lie.

    VaultError
    ├── Unreadable     the wrong key, or what was sealed was changed, cut short, or belongs to something else
    └── NoKey          the file of a key is missing, cannot be read, or holds no key
        └── NoMasterKey

No error holds anything of a key or a text.
"""

import base64
import binascii
import os
import secrets
from pathlib import Path
from typing import TYPE_CHECKING

from django.conf import settings

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.ciphers.aead import AESGCM

KEY_BYTES = 32
_NONCE_BYTES = 12  # random: a key here seals a few texts, far below the 2**32 where random nonces begin to collide
_TAG_BYTES = 16
_VERSION = b"\x01"  # AES-256-GCM: version, nonce, ciphertext with tag; another format gets another number


class VaultError(Exception):
    """Something could not be sealed or opened."""


class Unreadable(VaultError):
    """The wrong key, or what was sealed was changed, cut short, or belongs to something else."""


class NoKey(VaultError):
    """The file of a key is missing, cannot be read, or holds no key."""


class NoMasterKey(NoKey):
    """The master key's."""


def new_key() -> bytes:
    """A new random key."""
    return secrets.token_bytes(KEY_BYTES)


def seal(key: bytes, plaintext: bytes, aad: bytes) -> bytes:
    """Seal a text. `aad` says what it is and where it belongs ("<turn id>:reasoning"): opening needs the same, so that
    nothing sealed can be put in another's place. Raises ValueError for a key of the wrong length."""
    nonce = secrets.token_bytes(_NONCE_BYTES)
    return _VERSION + nonce + _cipher(key).encrypt(nonce, plaintext, _VERSION + aad)


def open(key: bytes, sealed: bytes | memoryview, aad: bytes) -> bytes:
    """What was sealed with this key for this purpose. Raises Unreadable; ValueError for a key of the wrong length."""
    from cryptography.exceptions import InvalidTag

    whole = raw(sealed)
    if whole[:1] != _VERSION or len(whole) < 1 + _NONCE_BYTES + _TAG_BYTES:
        raise Unreadable("What was sealed has a format that is not known here, or is not whole.")
    nonce, ciphertext = whole[1 : 1 + _NONCE_BYTES], whole[1 + _NONCE_BYTES :]
    try:
        return _cipher(key).decrypt(nonce, ciphertext, _VERSION + aad)
    except InvalidTag:
        raise Unreadable("What was sealed cannot be opened with this key, or was changed.") from None


def raw(value: object) -> bytes:
    """The bytes of a column: some databases return memoryviews; a file that somebody edited holds whatever he wrote,
    which is told as it stands there and never opens."""
    if isinstance(value, bytes | bytearray | memoryview):
        return bytes(value)
    return b"" if value is None else str(value).encode("utf-8", errors="replace")


def master_key() -> bytes:
    """The installation's master key, read from its file each time: nothing keeps it longer than needed. Raises
    NoMasterKey."""
    try:
        return read_key(Path(settings.HAVRE_MASTER_KEY_FILE), "master key")
    except NoKey as error:
        raise NoMasterKey(str(error)) from None


def make_master_key() -> bool:
    """Write a new master key as `make_key` does. Raises NoMasterKey when the folder cannot be written."""
    try:
        return make_key(Path(settings.HAVRE_MASTER_KEY_FILE))
    except NoKey as error:
        raise NoMasterKey(str(error)) from None


def read_key(path: Path, name: str) -> bytes:
    """The key in a file: 32 bytes in base64. `name` is what errors call it. Raises NoKey."""
    try:
        key = base64.b64decode(path.read_bytes().strip(), validate=True)
    except OSError as error:
        raise NoKey(f"The {name} {path} cannot be read ({error.strerror}).") from None
    except binascii.Error:
        key = b""
    if len(key) != KEY_BYTES:
        raise NoKey(f"{path} holds no {name}: 32 random bytes in base64 (head -c 32 /dev/urandom | base64).")
    return key


def make_key(path: Path) -> bool:
    """Write a new random key, readable by this user alone, unless there is a file already; returns whether it was
    written. Of several processes that try at once one writes. Raises NoKey when the folder cannot be written."""
    if path.exists():
        return False
    draft = path.with_name(f".{path.name}.{secrets.token_hex(8)}")
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        try:
            with os.fdopen(descriptor, "wb") as file:
                file.write(base64.b64encode(new_key()) + b"\n")
                file.flush()
                os.fsync(file.fileno())
            os.link(draft, path)  # whole or not at all, and never over another
            keep(path.parent)
        finally:
            draft.unlink()
    except FileExistsError:
        return False
    except OSError as error:
        raise NoKey(f"The key {path} cannot be written ({error.strerror}).") from None
    return True


def keep(folder: Path) -> None:
    """Force the names in a folder to the disk: a file whose bytes are there may still be lost with its name. Raises
    OSError."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _cipher(key: bytes) -> "AESGCM":
    from cryptography.hazmat.primitives.ciphers.aead import AESGCM

    if len(key) != KEY_BYTES:
        raise ValueError("A key has 32 bytes.")
    return AESGCM(key)
