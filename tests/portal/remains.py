"""Where a word may be left after an erasure: every byte of the database, of the data folder, and of Valkey."""

import json
import zipfile
from pathlib import Path
from typing import Any

from django.conf import settings
from django.db import connection

from portal import valkey

_MOST_BYTES = 64 << 20  # a larger file is a model


def everything_stored() -> bytes:
    """All bytes of the database, free pages and logs included; on PostgreSQL each row of each table."""
    if connection.vendor == "sqlite":
        file = Path(connection.settings_dict["NAME"])
        return b"".join(path.read_bytes() for path in file.parent.glob(f"{file.name}*"))
    rows = []
    with connection.cursor() as cursor:
        for table in connection.introspection.table_names(cursor):
            cursor.execute(f'SELECT t::text FROM "{table}" t')
            rows += [row[0] for row in cursor.fetchall()]
    return "\n".join(rows).encode()


def files(folder: Path | None = None) -> bytes:
    """Every file of the data folder: exports, cards that wait, the search index, whatever lies there."""
    found = Path(folder or settings.HAVRE_DATA_DIR).rglob("*")
    return b"".join(one.read_bytes() for one in found if one.is_file() and one.stat().st_size < _MOST_BYTES)


def in_valkey() -> bytes:
    """Every key with its value: streams, stop signs, messages to workers, presence."""
    client = valkey.client()
    reads: dict[str, Any] = {
        "string": client.get,
        "list": lambda name: client.lrange(name, 0, -1),
        "hash": client.hgetall,
        "set": lambda name: sorted(client.smembers(name)),
        "zset": lambda name: client.zrange(name, 0, -1),
        "stream": client.xrange,
    }
    found = [(name, reads[client.type(name)](name)) for name in client.scan_iter() if client.type(name) in reads]
    return json.dumps(found, default=str).encode()


def unzipped(file: Path) -> bytes:
    """What a bundle holds."""
    with zipfile.ZipFile(file) as archive:
        return b"".join(archive.read(name) for name in archive.namelist())


def hits(haystack: bytes, words: list[str]) -> list[str]:
    """The words that are found, as they are or in hexadecimal."""
    return [one for one in words if one.encode() in haystack or one.encode().hex().encode() in haystack]
