"""Versions that an older reader has read, or whose chunks were cut for an embedder that reads more or less than the one
that answers now, are read and cut anew while their old passages go on answering."""

import logging
from contextlib import ExitStack, suppress

from django.db import transaction
from django.db.models import Case, IntegerField, Q, QuerySet, Value, When

from knowledge._errors import EmbedderUnavailable, IndexLocked, KnowledgeError
from knowledge.indexing import _sync
from knowledge.indexing._embedder import BATCH, Embedder, get_embedder
from knowledge.ingestion import READER
from knowledge.ingestion._reading import cut_up, language_of, read, sizes, store
from knowledge.ingestion._steps import check_room, claimed
from knowledge.models import Chunk, Embedding, GuidelineVersion, Index
from knowledge.parsing import ParsedDocument
from knowledge.signals import ingestion_ended

logger = logging.getLogger(__name__)
State = GuidelineVersion.State


def outdated() -> QuerySet[GuidelineVersion]:
    """Indexed versions that have to be read anew, those that answer first. Loads no model."""
    first = Case(
        When(state__in=[State.APPROVED, State.EFFECTIVE], then=Value(0)), default=Value(1), output_field=IntegerField()
    )
    old = Q(reader__lt=READER)
    limit = _limit()
    if limit:
        old |= Q(chunk_limit__gt=0) & ~Q(chunk_limit=limit)
    found = GuidelineVersion.objects.filter(old, ingestion=GuidelineVersion.Ingestion.INDEXED)
    return found.select_related("guideline").order_by(first, "created_at")


def _limit() -> int | None:
    """The tokens that a chunk may have, when the embedder that the settings want is the one that answers. Before, and
    where it cannot be had, chunks stay as the one that answers likes them."""
    try:
        wanted = get_embedder().id
    except EmbedderUnavailable:
        return None
    answers = Index.objects.filter(state=Index.State.ACTIVE, embedder=wanted).exists()
    return sizes().most if answers else None


def reread(version: GuidelineVersion) -> bool:
    """Read and cut a version anew and let the new passages take the place of the old ones. True when they did.

    A file that cannot be read any more leaves the old passages. Raises IngestionRunning when somebody else is at it,
    and KnowledgeError when the vectors cannot be made.
    """
    with claimed(version):
        version.refresh_from_db()
        if not outdated().filter(pk=version.pk).exists():
            return False
        try:
            document = read(version)
        except KnowledgeError as error:
            logger.warning("Version %s cannot be read anew: %s", version.pk, error.code)
            GuidelineVersion.objects.filter(pk=version.pk).update(reader=READER, chunk_limit=0)
            return False
        check_room(version)
        _swap(version, document, _sync.embedder_for_passages())
        return True


def _swap(version: GuidelineVersion, document: ParsedDocument, embedder: Embedder) -> None:
    """New passages for old ones: in SQL in one transaction, in the index while no question is asked of it."""
    language = language_of(version, document)
    chunks = list(cut_up(version, document, language))
    vectors = _vectors(version, chunks, embedder)
    index = None
    with suppress(IndexLocked):
        index = _sync.open_index()
    with ExitStack() as held:
        if index:  # first: whoever holds the index may be about to write
            held.enter_context(index.lock)
        with transaction.atomic():
            old = set(version.chunks.values_list("pk", flat=True))
            store(version, document, chunks, language)
            made = [(chunk.pk, vector) for chunk, vector in zip(chunks, vectors, strict=True)]
            rows = [Embedding(chunk_id=chunk, embedder=embedder.id, vector=vector) for chunk, vector in made]
            Embedding.objects.bulk_create(rows, batch_size=500)
            ingestion_ended.send(GuidelineVersion, version=version)
        if index and version.pk in index.versions:
            index.remove(old)
            index.add(version.pk, made if index.embedder == embedder.id else [])


def _vectors(version: GuidelineVersion, chunks: list[Chunk], embedder: Embedder) -> list[bytes]:
    """The vectors of new chunks; those of old ones that read the same are taken over."""
    title = version.guideline.title
    stored = Embedding.objects.filter(chunk__version=version, embedder=embedder.id).select_related("chunk")
    known = {_sync.embedded_text(one.chunk, title): bytes(one.vector) for one in stored}
    texts = [_sync.embedded_text(chunk, title) for chunk in chunks]
    for batch in _sync.batches(iter(dict.fromkeys(text for text in texts if text not in known)), BATCH):
        known |= zip(batch, embedder.embed_passages(batch), strict=True)
    return [known[text] for text in texts]
