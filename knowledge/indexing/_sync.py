"""Keeping the vector index in step with SQL, which is the truth. One index is open in a process at a time."""

import logging
import shutil
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import TypeVar
from uuid import UUID

from django.conf import settings
from django.db.models import QuerySet

from knowledge import selectors
from knowledge._types import IndexReport
from knowledge.indexing._embedder import BATCH, get_embedder
from knowledge.indexing._vectors import VectorIndex
from knowledge.models import Chunk, Embedding, GuidelineVersion

T = TypeVar("T")
logger = logging.getLogger(__name__)
_guard = threading.RLock()
_opened: VectorIndex | None = None


def index_folder() -> Path:
    """Where the vector index of this installation lies."""
    return Path(settings.HAVRE_DATA_DIR) / "index"


def open_index() -> VectorIndex:
    """The index of this installation, opened, compared with SQL and mended on first use. Raises IndexLocked,
    IndexUnavailable."""
    global _opened  # noqa: PLW0603 - one process has one index, as it has one lock
    with _guard:
        embedder = get_embedder().id
        if _opened and (
            _opened.folder != index_folder() or _opened.embedder != embedder or not _opened.folder.exists()
        ):
            close_index()
        if _opened is None:
            index = VectorIndex(index_folder(), embedder)
            try:
                reconcile(index)
            except BaseException:
                index.close()
                raise
            _opened = index
        return _opened


def close_index() -> None:
    """Close the index if this process has it open."""
    global _opened  # noqa: PLW0603
    with _guard:
        if _opened:
            _opened.close()
            _opened = None


def discard_index() -> None:
    """Delete the index, which the next use makes again. Raises IndexLocked when another process has it open."""
    with _guard:
        close_index()
        index = VectorIndex(index_folder(), get_embedder().id)  # so that nobody else has it
        shutil.rmtree(index.folder, ignore_errors=True)
        index.close()


def sync(index: VectorIndex) -> None:
    """Put in the versions that have begun to answer and take out those that have ceased to, wherever that was
    decided."""
    with index.lock:
        wanted = set(selectors.answering_versions().values_list("pk", flat=True))
        for version in wanted - index.versions:
            for batch in batches(_vectors(Chunk.objects.filter(version_id=version)), 1000):
                index.add(version, batch)
            index.versions.add(version)
        for version in index.versions - wanted - _in_the_making():
            index.remove_version(version)


@dataclass(frozen=True, slots=True)
class Difference:
    """What is in SQL and not in the index, and the other way round."""

    expected: int
    missing: tuple[int, ...]
    stray: tuple[int, ...]


def compare(index: VectorIndex) -> Difference:
    """Compare the index with SQL, chunk by chunk."""
    with index.lock:
        answering = Chunk.objects.filter(version__in=selectors.answering_versions())
        expected = dict(answering.values_list("pk", "version_id"))
        contents = index.contents()
        making = _in_the_making()
        missing = tuple(sorted(chunk for chunk, version in expected.items() if contents.get(chunk) != version))
        stray = tuple(sorted(c for c, v in contents.items() if c not in expected and v not in making))
        index.versions = set(contents.values()) | set(expected.values())
        return Difference(len(expected), missing, stray)


def reconcile(index: VectorIndex) -> IndexReport:
    """Mend the index where it differs from SQL; vectors of another embedder are computed anew."""
    with index.lock:
        found = compare(index)
        if found.stray:
            index.remove(found.stray)
        for numbers in batches(iter(found.missing), 500):
            by_version: dict[UUID, list[tuple[int, bytes]]] = {}
            versions = dict(Chunk.objects.filter(pk__in=numbers).values_list("pk", "version_id"))
            for chunk, vector in _vectors(Chunk.objects.filter(pk__in=numbers)):
                by_version.setdefault(versions[chunk], []).append((chunk, vector))
            for version, chunks in by_version.items():
                index.add(version, chunks)
        index.versions = set(selectors.answering_versions().values_list("pk", flat=True)) | (
            index.versions & _in_the_making()
        )
    mended = bool(found.missing or found.stray)
    if mended:
        logger.warning(
            "The vector index differed from the database (%d of %d chunks missing, %d stray); it was mended.",
            len(found.missing), found.expected, len(found.stray),
        )  # fmt: skip
    return IndexReport(found.expected, len(found.missing), len(found.stray), 0, mended)


def unfindable(index: VectorIndex, sample: int = 50) -> int:
    """How many of a sample of chunks the index does not find by their own vectors: it counts right and yet has lost
    them."""
    answering = Embedding.objects.filter(chunk__version__in=selectors.answering_versions(), embedder=index.embedder)
    lost = 0
    for chunk, vector in answering.order_by("?").values_list("chunk", "vector")[:sample]:
        near = index.search(bytes(vector), 20)
        lost += not any(found == chunk or similarity > 0.9999 for found, similarity in near)
    return lost


def embedded_text(chunk: Chunk, title: str) -> str:
    """What the embedder reads of a chunk: title and headings say what the words are about."""
    return "\n".join(
        part for part in (f"{title}. {chunk.heading.split(title)[-1].strip(' ›')}".strip(), chunk.text) if part
    )


def _vectors(chunks: QuerySet[Chunk]) -> Iterator[tuple[int, bytes]]:
    """The vectors of chunks, from SQL where they are of the present embedder, else computed and stored."""
    embedder = get_embedder()
    for batch in batches(
        chunks.select_related("version__guideline").defer("terms").iterator(chunk_size=500), BATCH * 4
    ):
        stored = Embedding.objects.filter(chunk__in=batch, embedder=embedder.id)
        known = {chunk: bytes(vector) for chunk, vector in stored.values_list("chunk", "vector")}
        new = [chunk for chunk in batch if chunk.pk not in known]
        texts = [embedded_text(chunk, chunk.version.guideline.title) for chunk in new]
        for chunk, vector in zip(new, embedder.embed_passages(texts), strict=True):
            known[chunk.pk] = vector
        made = [Embedding(chunk=chunk, embedder=embedder.id, vector=known[chunk.pk]) for chunk in new]
        Embedding.objects.bulk_create(made, ignore_conflicts=True)
        yield from ((chunk.pk, known[chunk.pk]) for chunk in batch)


def _in_the_making() -> set[UUID]:
    """Versions whose vectors are being put in by an ingestion, before they begin to answer."""
    making = GuidelineVersion.objects.filter(ingestion=GuidelineVersion.Ingestion.EMBEDDING)
    return set(making.values_list("pk", flat=True))


def batches(items: Iterator[T], size: int) -> Iterator[list[T]]:
    """Lists of at most `size` items."""
    while batch := list(islice(items, size)):
        yield batch
