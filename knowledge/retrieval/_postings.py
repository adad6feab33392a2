"""In which chunks a word stands: asked of the full-text index of the database (FTS5 on SQLite, a GIN index on
PostgreSQL) and kept in memory until the library changes. Both databases give the same chunks for the same word, so that
what is made of them is the same too."""

import threading
from collections import OrderedDict
from collections.abc import Collection
from typing import Any
from uuid import UUID

from django.db import connection
from django.db.models import Count, Max

from knowledge.models import Chunk, GuidelineVersion

COMMON = 20_000  # chunks, or …
COMMON_SHARE = 0.25  # … of the library; a word in more of them says too little to look them all up
KEPT = 8_000_000  # places of words kept in memory, four bytes each

_SQLITE = "SELECT rowid FROM knowledge_chunk_fts WHERE knowledge_chunk_fts MATCH %s LIMIT %s"
_POSTGRESQL = (
    "WITH found AS MATERIALIZED (SELECT id FROM knowledge_chunk WHERE lexemes @@ %s::tsquery) "
    "SELECT id FROM found LIMIT %s"
)


class Library:
    """The chunks of all versions that are indexed, as they are at one moment. A chunk is named by its place among them.

    Safe to use from threads.
    """

    def __init__(self, stamp: object) -> None:
        import numpy as np

        self.stamp = stamp
        with connection.cursor() as cursor:
            cursor.execute(
                "SELECT c.id, c.version_id FROM knowledge_chunk c JOIN knowledge_guidelineversion v "
                "ON v.id = c.version_id WHERE v.ingestion = 'indexed' ORDER BY c.id"
            )
            rows = cursor.fetchall()
        known: dict[object, int] = {}
        self.numbers: Any = np.fromiter((row[0] for row in rows), np.int64, len(rows))
        self._owner: Any = np.fromiter((known.setdefault(row[1], len(known)) for row in rows), np.int32, len(rows))
        self._versions = [one if isinstance(one, UUID) else UUID(str(one)) for one in known]
        self.common = max(COMMON, int(COMMON_SHARE * len(rows)))
        self._kept: OrderedDict[str, Any] = OrderedDict()
        self._places = 0
        self._lock = threading.Lock()

    def __len__(self) -> int:
        return len(self.numbers)

    def of(self, versions: Collection[UUID]) -> Any:
        """For each chunk whether it belongs to one of these versions."""
        import numpy as np

        allowed = set(versions)
        return np.array([one in allowed for one in self._versions] or [False], bool)[self._owner]

    def containing(self, word: str) -> Any:
        """The places of the chunks with a word (a stem, marked or not), in order; None for a common word."""
        with self._lock:
            if word in self._kept:
                self._kept.move_to_end(word)
                return self._kept[word]
        found = self._ask(word)
        with self._lock:
            self._kept[word] = found
            self._places += 0 if found is None else len(found)
            while self._places > KEPT and len(self._kept) > 1:
                _, old = self._kept.popitem(last=False)
                self._places -= 0 if old is None else len(old)
        return found

    def _ask(self, word: str) -> Any:
        import numpy as np

        sql, query = (_SQLITE, f'"{word}"') if connection.vendor == "sqlite" else (_POSTGRESQL, f"'{word}'")
        with connection.cursor() as cursor:
            cursor.execute(sql, [query, self.common + 1])
            rows = cursor.fetchall()
        if len(rows) > self.common:
            return None
        numbers = np.sort(np.fromiter((row[0] for row in rows), np.int64, len(rows)))
        places = np.searchsorted(self.numbers, numbers)
        inside = places < len(self.numbers)
        places, numbers = places[inside], numbers[inside]
        return places[self.numbers[places] == numbers].astype(np.int32)


_current: Library | None = None
_guard = threading.Lock()


def library() -> Library:
    """The library as it is now: read again when a version has been indexed or has gone since the last time."""
    global _current  # noqa: PLW0603 - one process asks of one library
    indexed = GuidelineVersion.objects.filter(ingestion=GuidelineVersion.Ingestion.INDEXED)
    versions = indexed.aggregate(count=Count("pk"), last=Max("indexed_at"))
    last = Chunk.objects.aggregate(last=Max("pk"))["last"]
    stamp = (str(connection.settings_dict["NAME"]), versions["count"], versions["last"], last)
    with _guard:
        if _current is None or _current.stamp != stamp:
            _current = Library(stamp)
        return _current
