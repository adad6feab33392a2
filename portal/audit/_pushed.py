"""Checkpoints that were sent elsewhere, read back: a file of lines, as a syslog server keeps them, the folder that they
were dropped into, or a bundle that somebody kept."""

import hashlib
import json
import zipfile
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

_LONGEST_LINE = 1024 * 1024


class Unusable(Exception):
    """A file of checkpoints cannot be read, or holds none."""


@dataclass(frozen=True, slots=True)
class Pushed:
    """What a checkpoint says that lay elsewhere. `where` tells people which line or file it was."""

    where: str
    number: int
    tree_size: int
    ledger: str
    body: bytes
    signature: bytes

    @property
    def digest(self) -> bytes:
        """The hash of what was signed."""
        return hashlib.sha256(self.body).digest()


def read(path: Path) -> Iterator[Pushed]:
    """Every checkpoint that is there; whatever else is there is passed over. Raises Unusable."""
    found = 0
    try:
        for where, line in _lines(path):
            if one := _parsed(where, line):
                found += 1
                yield one
    except OSError as error:
        raise Unusable(f"{path} cannot be read ({error.strerror}).") from error
    except (zipfile.BadZipFile, zlib.error, KeyError, EOFError, RuntimeError) as error:
        raise Unusable(f"{path} is no bundle, or a damaged one.") from error
    if not found:
        raise Unusable(f"{path} holds no checkpoint.")


def _lines(path: Path) -> Iterator[tuple[str, bytes]]:
    if path.is_file() and zipfile.is_zipfile(path):
        with zipfile.ZipFile(path) as bundle, bundle.open("checkpoints.jsonl") as lines:
            yield from _numbered(lines)
        return
    for file in sorted(path.glob("*.json")) if path.is_dir() else [path]:
        with file.open("rb") as lines:
            for where, line in _numbered(lines):
                yield (file.name if path.is_dir() else where), line


def _numbered(lines: IO[bytes]) -> Iterator[tuple[str, bytes]]:
    number = 0
    while line := lines.readline(_LONGEST_LINE):
        number += 1
        yield f"line {number}", line


def _parsed(where: str, line: bytes) -> Pushed | None:
    begins = line.find(b"{")
    if begins < 0 or b'"signature"' not in line:
        return None
    try:
        found: dict[str, Any] = json.loads(line[begins:])
        body = found["body"].encode("utf-8")
        said = json.loads(body)
        return Pushed(
            where,
            int(said["number"]),
            int(said["tree_size"]),
            str(said["ledger"]),
            body,
            bytes.fromhex(found["signature"]),
        )
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return None
