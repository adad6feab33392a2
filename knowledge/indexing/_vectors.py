"""The vector index: the only module that touches Chroma.

Chroma's embedded store must have one owner: two processes on one folder lose vectors without a word. So an index is
opened under a lock file, which the kernel lets go when the process dies. It holds vectors of the versions that answer
and nothing else that matters; whenever it is lost, SQL has all that is needed to make it again. Chroma's own
embedding function, which downloads, is never used.
"""

import fcntl
import logging
import os
import shutil
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, Any
from uuid import UUID

from knowledge._errors import IndexLocked, IndexUnavailable

logger = logging.getLogger(__name__)
ADD_BATCH = 1000  # vectors; below the largest that SQLite takes in one statement


class VectorIndex:
    """An open index for the vectors of one embedder. Safe to use from threads."""

    def __init__(self, folder: Path, embedder: str) -> None:
        """Open or make the index in `folder`. Raises IndexLocked and IndexUnavailable."""
        self.folder = folder
        self.embedder = embedder
        self.lock = threading.RLock()
        self.versions: set[UUID] = set()  # whose vectors are in, as far as this process has seen
        self._lock_file = _lock(folder)
        try:
            self._client, self._collection = self._open()
        except BaseException:
            self._lock_file.close()
            raise

    def _open(self) -> tuple[Any, Any]:
        try:
            return self._connect()
        except IndexUnavailable:
            raise
        except Exception as error:  # what a damaged store raises is not documented
            logger.warning("The vector index in %s cannot be opened (%s); it is made again.", self.folder, error)
            self._forget()
            shutil.rmtree(self.folder, ignore_errors=True)
        try:
            return self._connect()
        except Exception as error:
            raise IndexUnavailable("index_broken", folder=str(self.folder), reason=str(error)) from error

    def _connect(self) -> tuple[Any, Any]:
        os.environ["ANONYMIZED_TELEMETRY"] = "False"
        import chromadb
        from chromadb.config import Settings

        try:
            self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        except OSError as error:
            reason = error.strerror or str(error)
            raise IndexUnavailable("index_folder", folder=str(self.folder), reason=reason) from error
        client = chromadb.PersistentClient(
            path=str(self.folder), settings=Settings(anonymized_telemetry=False, allow_reset=False)
        )
        name = "chunks-" + "".join(c if c.isalnum() else "-" for c in self.embedder)[-50:].strip("-")
        for other in client.list_collections():
            if other.name != name:
                client.delete_collection(other.name)  # of another embedder: its vectors cannot be compared with ours
        collection = client.get_or_create_collection(
            name, embedding_function=None, configuration={"hnsw": {"space": "cosine", "ef_search": 200}}
        )
        return client, collection

    def close(self) -> None:
        """Let go of the store and its lock."""
        with self.lock:
            with suppress(Exception):
                self._client.close()
            self._forget()
            self._lock_file.close()

    def _forget(self) -> None:
        """Chroma keeps stores open by path in the process; a folder that was deleted must not live on there."""
        from chromadb.api.shared_system_client import SharedSystemClient

        with suppress(Exception):
            system = SharedSystemClient._identifier_to_system.pop(str(self.folder), None)
            SharedSystemClient._identifier_to_refcount.pop(str(self.folder), None)
            if system is not None:
                system.stop()

    def add(self, version: UUID, chunks: Sequence[tuple[int, bytes]]) -> None:
        """Put the vectors of a version's chunks in; those that are in already are written over."""
        with self._guarded():
            for start in range(0, len(chunks), ADD_BATCH):
                batch = chunks[start : start + ADD_BATCH]
                self._collection.upsert(
                    ids=[str(chunk) for chunk, _ in batch],
                    embeddings=[_vector(data) for _, data in batch],
                    metadatas=[{"version": str(version)}] * len(batch),
                )
            self.versions.add(version)

    def remove_version(self, version: UUID) -> None:
        """Take the vectors of a version out."""
        with self._guarded():
            self._collection.delete(where={"version": str(version)})
            self.versions.discard(version)

    def remove(self, chunks: Sequence[int]) -> None:
        """Take single vectors out."""
        with self._guarded():
            for start in range(0, len(chunks), ADD_BATCH):
                self._collection.delete(ids=[str(chunk) for chunk in chunks[start : start + ADD_BATCH]])

    def contents(self) -> dict[int, UUID]:
        """Every chunk in the index with its version."""
        found: dict[int, UUID] = {}
        with self._guarded():
            offset = 0
            while True:
                page = self._collection.get(include=["metadatas"], limit=5000, offset=offset)
                for chunk, metadata in zip(page["ids"], page["metadatas"], strict=True):
                    found[int(chunk)] = UUID(metadata["version"])
                if len(page["ids"]) < 5000:
                    return found
                offset += 5000

    def search(self, vector: bytes, limit: int) -> list[tuple[int, float]]:
        """The chunks nearest to a vector with their cosine similarity, nearest first."""
        with self._guarded():
            count = self._collection.count()
            if not count:
                return []
            found = self._collection.query(
                query_embeddings=[_vector(vector)], n_results=min(limit, count), include=["distances"]
            )
        return [(int(chunk), 1.0 - float(d)) for chunk, d in zip(found["ids"][0], found["distances"][0], strict=True)]

    @contextmanager
    def _guarded(self) -> Iterator[None]:
        """Holds the lock, and turns what Chroma raises into an error of this package."""
        with self.lock:
            try:
                yield
            except Exception as error:
                raise IndexUnavailable("index_failed", reason=str(error)) from error


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
