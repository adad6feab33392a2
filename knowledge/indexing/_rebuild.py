"""A new index is made beside the one that answers, and takes its place when it is complete and has passed a check.

Vectors go into SQL batch by batch, so that a building that was killed goes on where it was. Whatever goes wrong, the
old index answers on and the new one's row says why.
"""

import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from datetime import timedelta

from django.conf import settings
from django.db import IntegrityError, transaction
from django.utils import timezone

from knowledge._claims import claim
from knowledge._errors import EmbedderUnavailable, IndexBuilding, IndexUnavailable, KnowledgeError
from knowledge.indexing import _sync
from knowledge.indexing._embedder import BATCH, Embedder, get_embedder, let_go
from knowledge.indexing._vectors import VectorIndex
from knowledge.models import Chunk, Embedding, GuidelineVersion, Index
from knowledge.signals import index_changed

logger = logging.getLogger(__name__)
State = Index.State
SAMPLE = 100  # chunks that a new index must find by their own vectors before it answers
DELETED = 2000  # rows a transaction: others want to write meanwhile
KEPT = timedelta(days=2)  # the vectors of a building that failed
AFTER = timedelta(minutes=1)  # until what an index needed is deleted: a question may still be on its way
OnBuilt = Callable[[int, int], None]
"""Called with the chunks that are embedded and those that have to be, since this building began."""


def due() -> bool:
    """Whether the settings want another embedder than the one that answers, or a building was interrupted."""
    row = _sync.active()
    try:
        wanted = get_embedder().id
    except EmbedderUnavailable:
        return row.source != str(settings.HAVRE_EMBEDDER)
    return wanted != row.embedder or Index.objects.filter(state=State.BUILDING).exists()


def build(on_built: OnBuilt | None = None) -> Index:
    """Make an index with the embedder of the settings beside the one that answers, and let it take its place.

    Takes up one that was interrupted. Raises IndexBuilding when somebody is at it, and KnowledgeError when it failed:
    the row (`Index.error`) has the reason too, and the old index answers on. Raises IndexLocked when another process
    has the store.
    """
    with _claimed():
        _sync.open_store()
        row = _begin()
        try:
            embedder = get_embedder(row.source)
            row.embedder = embedder.id
            row.save(update_fields=["embedder"])
            _embed_all(row, embedder, on_built)
            _switch(row, _fill(row, embedder))
        except Exception as error:
            known = _failed(row, error)
            if known is error:
                raise
            raise known from error
    logger.info("The index with %s answers.", row.embedder)
    return row


@contextmanager
def _claimed() -> Iterator[None]:
    """Nobody else builds meanwhile; the claim of a process that dies ends with it."""
    with claim("index") as mine:
        if not mine:
            raise IndexBuilding("index_building")
        yield


def _begin() -> Index:
    """The row of this building: of the one that was interrupted, or a new one."""
    _sync.active()  # there is one to go on answering
    source = str(settings.HAVRE_EMBEDDER)
    interrupted = Index.objects.filter(state=State.BUILDING)
    with suppress(EmbedderUnavailable):
        row = interrupted.filter(source=source, embedder=get_embedder(source).id).first()
        if row:
            interrupted.exclude(pk=row.pk).update(state=State.FAILED, error_code="index_given_up")
            row.started_at, row.done, row.total = timezone.now(), 0, 0
            row.save(update_fields=["started_at", "done", "total"])
            return row
    now = timezone.now()
    interrupted.update(state=State.FAILED, error_code="index_given_up", finished_at=now)
    return Index.objects.create(embedder="", source=source, state=State.BUILDING, started_at=now)


def _embed_all(row: Index, embedder: Embedder, on_built: OnBuilt | None) -> None:
    """Compute the vectors that are missing of all indexed versions, also of those that come meanwhile. `row.done` and
    `row.total` count what this building had to do, so that the time left can be told from them."""
    while waiting := _without_vector(embedder.id):
        row.total = row.done + len(waiting)
        for numbers in _sync.batches(iter(waiting), BATCH * 2):
            chunks = Chunk.objects.filter(pk__in=numbers).select_related("version__guideline").defer("terms")
            try:
                _sync.embed(list(chunks), embedder)
            except IntegrityError:  # a document was read anew meanwhile: its chunks are others
                logger.info("Chunks went away while they were embedded.")
            row.done += len(numbers)
            row.save(update_fields=["done", "total"])
            if on_built:
                on_built(row.done, row.total)


def _without_vector(embedder: str) -> list[int]:
    indexed = Chunk.objects.filter(version__ingestion=GuidelineVersion.Ingestion.INDEXED)
    return list(indexed.exclude(embeddings__embedder=embedder).order_by("pk").values_list("pk", flat=True))


def _fill(row: Index, embedder: Embedder) -> VectorIndex:
    """A new collection with the vectors of all live versions, checked. Raises IndexUnavailable when it is not right."""
    store = _sync.open_store()
    store.drop(row.pk)  # what an interrupted building has left
    index = store.index(row.pk, embedder.id)
    for version in sorted(_sync.live_versions()):
        chunks = Embedding.objects.filter(chunk__version=version, embedder=embedder.id).order_by("chunk")
        found = chunks.values_list("chunk", "vector").iterator(chunk_size=1000)
        for batch in _sync.batches(((chunk, bytes(vector)) for chunk, vector in found), 1000):
            _check_vectors(batch, embedder.dimension)
            index.add(version, batch)
        index.add(version, [])
    _check(index)
    return index


def _check_vectors(batch: list[tuple[int, bytes]], dimension: int) -> None:
    """Vectors must be numbers, of the right length, and not nothing. Raises IndexUnavailable."""
    import numpy as np

    if any(len(vector) != 4 * dimension for _, vector in batch):
        raise IndexUnavailable("index_check_dimension", dimension=dimension)
    rows = np.frombuffer(b"".join(vector for _, vector in batch), "<f4").reshape(len(batch), -1)
    lengths = np.linalg.norm(rows.astype("f8"), axis=1)
    if not (np.abs(lengths - 1) < 0.01).all():  # also false for what is not a number
        raise IndexUnavailable("index_check_numbers")


def _check(index: VectorIndex) -> None:
    """The index must hold what SQL says, and find chunks by their own vectors. Raises IndexUnavailable."""
    difference = _sync.compare(index)
    if difference.stray or difference.ceased:
        raise IndexUnavailable("index_check_contents", missing=0, stray=len(difference.stray + difference.ceased))
    if difference.missing:  # versions that were indexed meanwhile
        for version in {difference.expected[chunk] for chunk in difference.missing}:
            _sync.put_in(index, version)
        difference = _sync.compare(index)
    missing = Embedding.objects.filter(chunk__in=difference.missing[:1000], embedder=index.embedder).count()
    if missing or len(difference.missing) > max(100, len(difference.expected) // 20):
        raise IndexUnavailable("index_check_contents", missing=len(difference.missing), stray=0)
    lost = _sync.unfindable(index, SAMPLE)
    if lost:
        raise IndexUnavailable("index_check_lost", lost=lost)


def _switch(row: Index, index: VectorIndex) -> None:
    """The new index answers from here on. What came in during the last moments is put in with the next question."""
    before = _sync.active()
    now = timezone.now()
    with transaction.atomic():
        Index.objects.filter(state=State.ACTIVE).update(state=State.RETIRED, finished_at=now)
        row.state, row.finished_at, row.verified_at = State.ACTIVE, now, now
        row.error_code, row.error_parameters = "", {}
        row.save(update_fields=["state", "finished_at", "verified_at", "error_code", "error_parameters"])
        index_changed.send(Index, index=row, kind="switched", details={"before": before.embedder})
    _sync.adopt(index)
    if before.source != row.source:
        let_go(before.source)


def _failed(row: Index, error: Exception) -> KnowledgeError:
    """Write down why, and give the error to raise."""
    known = _known(error)
    logger.error("The index with %s was not made: %s", row.embedder or row.source, known)
    with suppress(Exception):
        _sync.open_store().drop(row.pk)
    with suppress(Exception), transaction.atomic():
        row.state, row.finished_at = State.FAILED, timezone.now()
        row.error_code, row.error_parameters = known.code, known.parameters
        row.save(update_fields=["state", "finished_at", "error_code", "error_parameters"])
        same = Index.objects.filter(
            state=State.FAILED, source=row.source, embedder=row.embedder, error_code=known.code
        ).exclude(pk=row.pk)
        same.delete()  # trying again and again leaves one row
        index_changed.send(Index, index=row, kind="failed", details={"error": known.code})
    return known


def _known(error: Exception) -> KnowledgeError:
    if isinstance(error, KnowledgeError):
        return error
    if isinstance(error, MemoryError):
        return KnowledgeError("index_memory")
    if _sync.out_of_room(error):
        return KnowledgeError("index_disk_full")
    logger.exception("Building an index failed")
    return KnowledgeError("internal")


def clean_up() -> None:
    """Delete what no index needs any more: vectors of former embedders, former collections."""
    row = _sync.active()
    if row.finished_at and row.finished_at > timezone.now() - AFTER:
        return
    needed = Index.objects.filter(state__in=[State.ACTIVE, State.BUILDING])
    failed = Index.objects.filter(state=State.FAILED, finished_at__gt=timezone.now() - KEPT)  # tried again at night
    embedders = {one.embedder for one in [*needed, *failed]}
    former = Embedding.objects.exclude(embedder__in=embedders)
    while numbers := list(former.values_list("pk", flat=True)[:DELETED]):
        Embedding.objects.filter(pk__in=numbers).delete()
    _sync.open_store().keep(set(needed.values_list("pk", flat=True)))
