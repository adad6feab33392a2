"""Keeping the vector index in step with SQL, which is the truth. A process has one store open, and in it the index that
answers."""

import errno
import logging
import threading
import time
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from datetime import datetime
from itertools import islice
from pathlib import Path
from typing import TypeVar
from uuid import UUID

from django.conf import settings
from django.db import IntegrityError, OperationalError, transaction
from django.db.models import Count, QuerySet
from django.utils import timezone

from knowledge._errors import EmbedderUnavailable
from knowledge._types import IndexReport
from knowledge.indexing._embedder import BATCH, Embedder, get_embedder
from knowledge.indexing._vectors import VectorIndex, VectorStore
from knowledge.models import Chunk, Embedding, GuidelineVersion, Index
from knowledge.signals import index_changed

T = TypeVar("T")
logger = logging.getLogger(__name__)
AGAIN = 60.0  # seconds after which an embedder that could not be loaded is tried again
State = GuidelineVersion.State
_guard = threading.RLock()
_store: VectorStore | None = None
_opened: VectorIndex | None = None
_verified: datetime | None = None  # when the opened index was last compared with SQL, as this process knows
_broken: dict[str, float] = {}  # sources of embedders that cannot be loaded, and when that was tried


def place() -> Path | str:
    """Where the vector indexes of this installation are: a folder, or the address of a server."""
    return settings.HAVRE_CHROMA_URL or Path(settings.HAVRE_DATA_DIR) / "index"


def active() -> Index:
    """The index that answers; when there is none yet, it begins with the embedder of the vectors that there are, else
    with that of the settings. Raises EmbedderUnavailable."""
    found = Index.objects.filter(state=Index.State.ACTIVE).first()
    if found is None:
        embedder = _first_embedder()
        try:
            with transaction.atomic():
                now = timezone.now()
                found = Index.objects.create(
                    embedder=embedder.id, source=embedder.source, state=Index.State.ACTIVE, finished_at=now
                )
        except IntegrityError:  # another process was faster
            found = Index.objects.get(state=Index.State.ACTIVE)
    return found


def _first_embedder() -> Embedder:
    wanted = get_embedder()
    made = Embedding.objects.values("embedder").annotate(many=Count("pk")).order_by("-many").first()
    if made and made["embedder"] != wanted.id:
        for source in ("minilm", "e5"):  # of an installation that is older than the table of indexes
            try:
                if get_embedder(source).id == made["embedder"]:
                    return get_embedder(source)
            except EmbedderUnavailable:
                continue
    return wanted


def embedder_now() -> Embedder | None:
    """The embedder of the index that answers, loaded. None when it cannot be had: then words alone must do."""
    try:
        row = active()
    except EmbedderUnavailable:
        return None
    tried = _broken.get(row.source)
    if tried is not None and time.monotonic() - tried < AGAIN:
        return None
    try:
        embedder = get_embedder(row.source)
        if embedder.id != row.embedder:
            raise EmbedderUnavailable("embedder_changed", folder=row.source)
        embedder.load()
    except EmbedderUnavailable as error:
        logger.error("Words alone answer: %s", error)
        _broken[row.source] = time.monotonic()
        return None
    _broken.pop(row.source, None)
    return embedder


def embedder_for_passages() -> Embedder:
    """With which new passages are embedded: as the index that answers, or, where that cannot be had, as the settings
    want it. Raises EmbedderUnavailable."""
    return embedder_now() or get_embedder()


def open_store() -> VectorStore:
    """The store of this installation, opened on first use. Raises IndexLocked, IndexUnavailable."""
    global _store  # noqa: PLW0603 - one process has one store, as it has one lock
    with _guard:
        if _store and (_store.place != place() or not _store.exists()):
            close_index()
        if _store is None:
            _store = VectorStore(place())
        return _store


def open_index() -> VectorIndex:
    """The index that answers, opened, compared with SQL and mended on first use. Raises IndexLocked, IndexUnavailable,
    EmbedderUnavailable."""
    global _verified  # noqa: PLW0603
    with _guard:
        row, store = active(), open_store()
        if _opened is None or _opened.number != row.pk or _opened.store is not store:
            index = store.index(row.pk, row.embedder)
            reconcile(index)
            adopt(index)
        elif row.verified_at != _verified:
            # Whoever compared it may have taken out what no longer answers.
            _opened.forget(_opened.versions - live_versions())
            _verified = row.verified_at
        assert _opened is not None
        return _opened


def adopt(index: VectorIndex) -> None:
    """From now on this index is the one that `open_index` gives."""
    global _opened, _verified  # noqa: PLW0603
    with _guard:
        _opened = index
        _verified = Index.objects.filter(pk=index.number).values_list("verified_at", flat=True).first()


def close_index() -> None:
    """Close the store if this process has it open."""
    global _store, _opened  # noqa: PLW0603
    with _guard:
        if _store:
            _store.close()
        _store = _opened = None


def live_versions() -> set[UUID]:
    """Versions that the index holds: all that may answer now or when their time comes. Whether they answer at this
    moment, and to whom, is asked of SQL with each question."""
    live = GuidelineVersion.objects.filter(
        state__in=[State.APPROVED, State.EFFECTIVE], ingestion=GuidelineVersion.Ingestion.INDEXED
    )
    return set(live.values_list("pk", flat=True))


def sync(index: VectorIndex, wanted: Collection[UUID] | None = None) -> None:
    """Put in those of the `wanted` versions that are not in the index yet, wherever it was decided that they answer.

    Give it the versions that may answer the question; None asks for all live ones. What no longer answers stays in
    until the nightly comparison: `VectorIndex.search` is told what is allowed.
    """
    for version in index.lacks(live_versions() if wanted is None else wanted):
        put_in(index, version)


def put_in(index: VectorIndex, version: UUID) -> None:
    """Put those vectors of a version into the index that are not in it."""
    numbers = index.missing(version, list(Chunk.objects.filter(version_id=version).values_list("pk", flat=True)))
    for some in batches(iter(sorted(numbers)), 500):
        index.add(version, list(vectors(Chunk.objects.filter(pk__in=some), index.embedder)))
    index.add(version, [])


@dataclass(frozen=True, slots=True)
class Difference:
    """What is in SQL and not in the index, what is in the index and nowhere in SQL, and what has ceased to answer."""

    expected: dict[int, UUID]
    missing: tuple[int, ...]
    stray: tuple[int, ...]
    ceased: tuple[int, ...]


def compare(index: VectorIndex) -> Difference:
    """Compare the index with SQL, chunk by chunk."""
    expected = dict(Chunk.objects.filter(version__in=live_versions()).values_list("pk", "version_id"))
    contents = index.contents()
    missing = tuple(sorted(chunk for chunk, version in expected.items() if contents.get(chunk) != version))
    outside = {chunk: version for chunk, version in contents.items() if chunk not in expected}
    making = _in_the_making()
    known: dict[int, UUID] = {}
    for numbers in batches(iter(outside), 500):
        known.update(Chunk.objects.filter(pk__in=numbers).values_list("pk", "version_id"))
    stray = tuple(sorted(chunk for chunk, version in outside.items() if known.get(chunk) != version))
    gone = set(stray)
    ceased = tuple(sorted(chunk for chunk, v in outside.items() if chunk not in gone and v not in making))
    return Difference(expected, missing, stray, ceased)


def reconcile(index: VectorIndex) -> IndexReport:
    """Mend the index where it differs from SQL."""
    found = compare(index)
    index.remove([*found.stray, *found.ceased])
    for numbers in batches(iter(found.missing), 500):
        by_version: dict[UUID, list[tuple[int, bytes]]] = {}
        for chunk, vector in vectors(Chunk.objects.filter(pk__in=numbers), index.embedder):
            by_version.setdefault(found.expected[chunk], []).append((chunk, vector))
        for version, chunks in by_version.items():
            index.add(version, chunks)
    for version in index.lacks(set(found.expected.values())):
        index.add(version, [])
    index.forget(index.versions - live_versions() - _in_the_making())
    mended = bool(found.missing or found.stray)
    if mended:
        logger.warning(
            "The vector index differed from the database (%d of %d chunks missing, %d stray); it was mended.",
            len(found.missing), len(found.expected), len(found.stray),
        )  # fmt: skip
    with transaction.atomic():
        row = Index.objects.get(pk=index.number)
        row.verified_at = timezone.now()
        row.save(update_fields=["verified_at"])
        if mended:
            index_changed.send(
                Index,
                index=row,
                kind="mended",
                details={"missing": len(found.missing), "stray": len(found.stray), "expected": len(found.expected)},
            )
    return IndexReport(len(found.expected), len(found.missing), len(found.stray), 0, mended)


def unfindable(index: VectorIndex, sample: int = 50) -> int:
    """How many of a sample of chunks the index does not find by their own vectors: it counts right and yet has lost
    them."""
    live = Embedding.objects.filter(chunk__version__in=live_versions(), embedder=index.embedder)
    lost = 0
    for chunk, vector in live.order_by("?").values_list("chunk", "vector")[:sample]:
        near = index.search(bytes(vector), 20)
        lost += not any(found == chunk or similarity > 0.9999 for found, similarity in near)
    return lost


def embedded_text(chunk: Chunk, title: str) -> str:
    """What the embedder reads of a chunk: title and headings say what the words are about."""
    below = (chunk.heading.split(title)[-1] if title else chunk.heading).strip(" ›")
    above = f"{title}. {below}".strip() if title else below
    return f"{above}\n{chunk.text}" if above else chunk.text


def vectors(chunks: QuerySet[Chunk], embedder: str) -> Iterator[tuple[int, bytes]]:
    """The vectors of chunks by the embedder of this id: from SQL, those that are missing computed and stored. When it
    cannot be had, those that are missing are left out."""
    able: Embedder | None = None
    for batch in batches(
        chunks.select_related("version__guideline").defer("terms").iterator(chunk_size=500), BATCH * 4
    ):
        stored = Embedding.objects.filter(chunk__in=batch, embedder=embedder)
        known = {chunk: bytes(vector) for chunk, vector in stored.values_list("chunk", "vector")}
        new = [chunk for chunk in batch if chunk.pk not in known]
        if new and able is None:
            able = embedder_now()
        if new and able and able.id == embedder:
            known |= embed(new, able)
        yield from ((chunk.pk, known[chunk.pk]) for chunk in batch if chunk.pk in known)


def embed(chunks: Collection[Chunk], embedder: Embedder) -> dict[int, bytes]:
    """Compute and store the vectors of chunks, which come with their versions and guidelines."""
    texts = [embedded_text(chunk, chunk.version.guideline.title) for chunk in chunks]
    made = dict(zip((chunk.pk for chunk in chunks), embedder.embed_passages(texts), strict=True))
    rows = [Embedding(chunk_id=chunk, embedder=embedder.id, vector=vector) for chunk, vector in made.items()]
    Embedding.objects.bulk_create(rows, ignore_conflicts=True)
    return made


def _in_the_making() -> set[UUID]:
    """Versions whose vectors are being put in by an ingestion, before they begin to answer."""
    making = GuidelineVersion.objects.filter(ingestion=GuidelineVersion.Ingestion.EMBEDDING)
    return set(making.values_list("pk", flat=True))


def out_of_room(error: Exception) -> bool:
    """Whether the disk, or what this process may write on it, is full: of the data folder, or of the database."""
    if isinstance(error, OSError):
        return error.errno in {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}
    return isinstance(error, OperationalError) and "full" in str(error)


def batches(items: Iterator[T], size: int) -> Iterator[list[T]]:
    """Lists of at most `size` items."""
    while batch := list(islice(items, size)):
        yield batch
