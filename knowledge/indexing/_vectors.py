"""Vector indexes: the only module that touches Chroma.

Chroma lies in a folder that this process alone has open, or is a server that several knowledge workers share. An
embedded store must have one owner: two processes on one folder lose vectors without a word. So a folder is opened under
a lock file, which the kernel lets go when the process dies. Whenever an index is lost, SQL has all that is needed to
make it again. Chroma's own embedding function, which downloads, is never used.
"""

import fcntl
import ipaddress
import logging
import os
import shutil
import socket
import threading
from collections import OrderedDict
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, Any
from urllib.parse import urlsplit
from uuid import UUID

from knowledge._errors import IndexLocked, IndexUnavailable

logger = logging.getLogger(__name__)
ADD_BATCH = 200  # vectors; a question waits at most for one batch
PAGE = 5000  # vectors whose numbers are listed at a time
NAME = "index-"  # what the names of our collections begin with
SHAPE = {"space": "cosine", "ef_construction": 200, "ef_search": 500, "max_neighbors": 16}
SMALL = 10_000  # chunks among which the nearest are found one by one
WIDEST = 4000  # neighbours that are asked for before Chroma has to filter by itself, which takes ten times as long
KEPT = 40_000  # vectors of small selections that are kept in memory: 30 MB with 384 numbers each
WIDE = 500  # neighbours that are asked for at least: the graph is sure of its nearest, less so of those far behind


class VectorStore:
    """Chroma, opened: a folder or a server with the indexes of this installation."""

    def __init__(self, place: Path | str) -> None:
        """Open the folder, or the server at an address. Raises IndexLocked and IndexUnavailable."""
        self.place = place
        self._lock_file = _lock(place) if isinstance(place, Path) else None
        try:
            self.client: Any = self._open()
        except BaseException:
            self._unlock()
            raise

    def index(self, number: UUID, embedder: str) -> "VectorIndex":
        """The index of this number, made when there is none. Raises IndexUnavailable."""
        try:
            collection = self.client.get_or_create_collection(
                f"{NAME}{number}", embedding_function=None, configuration={"hnsw": SHAPE}
            )
        except Exception as error:
            raise IndexUnavailable("index_failed", reason=str(error)) from error
        return VectorIndex(self, number, embedder, collection)

    def keep(self, numbers: Collection[UUID]) -> None:
        """Delete all indexes but these; on a server, what others have made stays. Raises IndexUnavailable."""
        kept = {f"{NAME}{number}" for number in numbers}
        try:
            for one in self.client.list_collections():
                if one.name not in kept and (isinstance(self.place, Path) or one.name.startswith(NAME)):
                    self.client.delete_collection(one.name)
        except Exception as error:
            raise IndexUnavailable("index_failed", reason=str(error)) from error

    def drop(self, number: UUID) -> None:
        """Delete an index, if it is there."""
        with suppress(Exception):
            self.client.delete_collection(f"{NAME}{number}")

    def exists(self) -> bool:
        """Whether the folder is still there, should somebody have deleted it."""
        return not isinstance(self.place, Path) or (self.place / "chroma.sqlite3").exists()

    def close(self) -> None:
        """Let go of the store and its lock."""
        with suppress(Exception):
            self.client.close()
        self._forget()
        self._unlock()

    def _unlock(self) -> None:
        if self._lock_file:
            self._lock_file.close()

    def _open(self) -> Any:
        if not isinstance(self.place, Path):
            return _connect(self.place)
        try:
            return _embedded(self.place)
        except IndexUnavailable:
            raise
        except Exception as error:  # what a damaged store raises is not documented
            logger.warning("The vector index in %s cannot be opened (%s); it is made again.", self.place, error)
            self._forget()
            shutil.rmtree(self.place, ignore_errors=True)
        try:
            return _embedded(self.place)
        except Exception as error:
            raise IndexUnavailable("index_broken", folder=str(self.place), reason=str(error)) from error

    def _forget(self) -> None:
        """Chroma keeps stores open by path in the process; a folder that was deleted must not live on there."""
        from chromadb.api.shared_system_client import SharedSystemClient

        with suppress(Exception):
            system = SharedSystemClient._identifier_to_system.pop(str(self.place), None)
            SharedSystemClient._identifier_to_refcount.pop(str(self.place), None)
            if system is not None:
                system.stop()


class VectorIndex:
    """The vectors of one embedder. Safe to use from threads.

    Which version a chunk belongs to is kept in memory: Chroma's own filters take 70 to 190 ms at 100,000 vectors.
    """

    def __init__(self, store: VectorStore, number: UUID, embedder: str, collection: Any) -> None:
        self.store, self.number, self.embedder = store, number, embedder
        self.lock = threading.RLock()
        self._collection = collection
        self._owners: dict[int, UUID] = {}  # the version of each chunk, as far as this process has seen
        self._chunks: dict[UUID, set[int]] = {}
        self._rows: OrderedDict[UUID, tuple[list[int], Any]] = (
            OrderedDict()
        )  # vectors of versions lately looked through

    @property
    def versions(self) -> set[UUID]:
        """The versions that are in, as far as this process has seen."""
        return set(self._chunks)

    def lacks(self, versions: Collection[UUID]) -> set[UUID]:
        """Those of these versions that are not in, as far as this process has seen."""
        return {version for version in versions if version not in self._chunks}

    def add(self, version: UUID, chunks: Sequence[tuple[int, bytes]]) -> None:
        """Put vectors of a version's chunks in; those that are in already are written over. A version without any
        counts as being in."""
        for start in range(0, len(chunks), ADD_BATCH):
            batch = chunks[start : start + ADD_BATCH]
            with self._guarded():
                self._collection.upsert(
                    ids=[str(chunk) for chunk, _ in batch],
                    embeddings=[_vector(data) for _, data in batch],
                    metadatas=[{"version": str(version)}] * len(batch),
                )
                self._learn([(chunk, version) for chunk, _ in batch])
        self._chunks.setdefault(version, set())

    def missing(self, version: UUID, chunks: Sequence[int]) -> set[int]:
        """Those of a version's chunks that are not in: another worker may have put them in already."""
        found: set[int] = set()
        for start in range(0, len(chunks), PAGE):
            with self._guarded():
                got = self._collection.get(ids=[str(chunk) for chunk in chunks[start : start + PAGE]], include=[])
                page = [int(chunk) for chunk in got["ids"]]
                self._learn([(chunk, version) for chunk in page])
            found.update(page)
        return set(chunks) - found

    def remove(self, chunks: Collection[int]) -> None:
        """Take vectors out."""
        numbers = sorted(chunks)
        for start in range(0, len(numbers), ADD_BATCH):
            batch = numbers[start : start + ADD_BATCH]
            with self._guarded():
                self._collection.delete(ids=[str(chunk) for chunk in batch])
                for chunk in batch:
                    version = self._owners.pop(chunk, None)
                    if version is not None:
                        self._chunks[version].discard(chunk)
                        self._rows.pop(version, None)

    def forget(self, versions: Collection[UUID]) -> None:
        """No longer count versions as being in: somebody else may have taken them out."""
        with self.lock:
            for version in versions:
                for chunk in self._chunks.pop(version, ()):
                    self._owners.pop(chunk, None)
                self._rows.pop(version, None)

    def contents(self) -> dict[int, UUID]:
        """Every chunk in the index with its version, asked of Chroma."""
        found: dict[int, UUID] = {}
        known: dict[str, UUID] = {}  # one object a version, however many chunks it has
        while True:
            with self._guarded():
                page = self._collection.get(include=["metadatas"], limit=PAGE, offset=len(found))
            for chunk, metadata in zip(page["ids"], page["metadatas"], strict=True):
                text = metadata["version"]
                found[int(chunk)] = known.setdefault(text, UUID(text))
            if len(page["ids"]) < PAGE:
                break
        with self.lock:
            self._owners, self._chunks = {}, {}
            self._rows.clear()
            self._learn(found.items())
        return found

    def search(
        self, vector: bytes, limit: int, allowed_versions: Collection[UUID] | None = None
    ) -> list[tuple[int, float]]:
        """The `limit` chunks nearest to a vector with their cosine similarity, nearest first; with `allowed_versions`
        only chunks of these. Raises IndexUnavailable."""
        with self._guarded():
            if not self._owners or limit < 1:
                return []
            if allowed_versions is None:
                return self._nearest(vector, limit)
            allowed = {version for version in allowed_versions if self._chunks.get(version)}
            inside = sum(len(self._chunks[version]) for version in allowed)
            if inside <= SMALL:
                return self._among(vector, limit, allowed)
            # As many more neighbours as there are chunks outside, and some: more of the near ones may be outside.
            likely = max(WIDE, 3 * limit * len(self._owners) // (2 * inside))
            for wide in sorted({min(likely, WIDEST), min(3 * likely, WIDEST)}):
                found = [one for one in self._nearest(vector, wide) if self._owners.get(one[0]) in allowed]
                if len(found) >= limit or wide >= len(self._owners):
                    return found[:limit]
            return self._nearest(vector, limit, {"version": {"$in": [str(version) for version in allowed]}})

    def _nearest(self, vector: bytes, limit: int, where: dict[str, Any] | None = None) -> list[tuple[int, float]]:
        found = self._collection.query(
            query_embeddings=[_vector(vector)],
            n_results=min(limit, len(self._owners)),
            include=["distances"],
            where=where,
        )
        numbers = [int(chunk) for chunk in found["ids"][0]]
        if unknown := [chunk for chunk in numbers if chunk not in self._owners]:
            self._ask(unknown)  # another worker has put them in
        return [(chunk, 1.0 - float(far)) for chunk, far in zip(numbers, found["distances"][0], strict=True)]

    def _among(self, vector: bytes, limit: int, versions: Collection[UUID]) -> list[tuple[int, float]]:
        """The nearest chunks of few versions, by looking at each."""
        import numpy as np

        asked = np.frombuffer(vector, "<f4")
        found: list[tuple[int, float]] = []
        for version in versions:
            numbers, rows = self._vectors_of(version)
            if numbers:
                near = rows.astype("<f4") @ asked
                best = np.argsort(-near)[:limit]
                found += [(numbers[place], float(near[place])) for place in best]
        return sorted(found, key=lambda one: (-one[1], one[0]))[:limit]

    def _vectors_of(self, version: UUID) -> tuple[list[int], Any]:
        """The chunks of a version and their vectors, kept for the next question."""
        import numpy as np

        if version in self._rows:
            self._rows.move_to_end(version)
            return self._rows[version]
        got = self._collection.get(ids=[str(chunk) for chunk in self._chunks[version]], include=["embeddings"])
        rows = np.asarray(got["embeddings"], "<f2").reshape(len(got["ids"]), -1)  # half precision: cosines to 0.001
        self._rows[version] = [int(chunk) for chunk in got["ids"]], rows
        while len(self._rows) > 1 and sum(len(numbers) for numbers, _ in self._rows.values()) > KEPT:
            self._rows.popitem(last=False)
        return self._rows[version]

    def _ask(self, chunks: Sequence[int]) -> None:
        got = self._collection.get(ids=[str(chunk) for chunk in chunks], include=["metadatas"])
        metadatas = zip(got["ids"], got["metadatas"], strict=True)
        self._learn([(int(chunk), UUID(metadata["version"])) for chunk, metadata in metadatas])

    def _learn(self, owners: Collection[tuple[int, UUID]]) -> None:
        for chunk, version in owners:
            self._owners[chunk] = version
            self._chunks.setdefault(version, set()).add(chunk)
            self._rows.pop(version, None)

    @contextmanager
    def _guarded(self) -> Iterator[None]:
        """Holds the lock, and turns what Chroma raises into an error of this package."""
        with self.lock:
            try:
                yield
            except Exception as error:
                raise IndexUnavailable("index_failed", reason=str(error)) from error


def _settings() -> Any:
    os.environ["ANONYMIZED_TELEMETRY"] = "False"
    from chromadb.config import Settings

    return Settings(anonymized_telemetry=False, allow_reset=False)


def _embedded(folder: Path) -> Any:
    settings = _settings()
    import chromadb

    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        reason = error.strerror or str(error)
        raise IndexUnavailable("index_folder", folder=str(folder), reason=reason) from error
    return chromadb.PersistentClient(path=str(folder), settings=settings)


def _connect(address: str) -> Any:
    """A Chroma server that `private` allows. Raises IndexUnavailable."""
    if not private(address):
        raise IndexUnavailable("chroma_public", address=address)
    settings = _settings()
    import chromadb

    parts = urlsplit(address)
    secure = parts.scheme == "https"
    try:
        client = chromadb.HttpClient(parts.hostname or "", parts.port or 8000, ssl=secure, settings=settings)
        client.heartbeat()
    except Exception as error:
        raise IndexUnavailable("chroma_silent", address=address, reason=str(error)) from error
    return client


def private(address: str) -> bool:
    """Whether an http(s) address leads to this machine or a private network only. A name that is unknown at the moment
    may pass: nothing can be sent to it."""
    parts = urlsplit(address)
    if parts.scheme not in {"http", "https"} or not parts.hostname:
        return False
    try:
        found = {info[4][0] for info in socket.getaddrinfo(parts.hostname, parts.port or 8000)}
    except OSError:
        return True
    return all(not ipaddress.ip_address(str(one).partition("%")[0]).is_global for one in found)


def _vector(data: bytes) -> Any:
    import numpy as np

    return np.frombuffer(data, dtype="<f4")


def _lock(folder: Path) -> IO[str]:
    path = folder.with_name(folder.name + ".lock")
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        file = path.open("a+")
    except OSError as error:
        reason = error.strerror or str(error)
        raise IndexUnavailable("index_lock_file", path=str(path), reason=reason) from error
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        file.seek(0)
        owner = file.read().strip()
        file.close()
        raise IndexLocked("index_locked", folder=str(folder), process=owner or "?") from error
    file.truncate(0)
    file.write(str(os.getpid()))
    file.flush()
    return file
