"""Reads of the guideline library. Nothing here changes anything, loads a model or opens the index."""

from collections.abc import Collection
from datetime import datetime, timedelta
from functools import lru_cache
from uuid import UUID

from django.db.models import Count, Exists, OuterRef, Prefetch, Q, QuerySet, TextField
from django.db.models.functions import Cast
from django.utils import timezone

from knowledge._analysis import query_terms, stemmer_language
from knowledge.models import Chunk, Guideline, GuidelineVersion, Page

_ANSWERING = [GuidelineVersion.State.APPROVED, GuidelineVersion.State.EFFECTIVE]
_PAST = [
    GuidelineVersion.State.SUPERSEDED,
    GuidelineVersion.State.EXPIRED,
    GuidelineVersion.State.ARCHIVED,
]
_MOST_WORDS = 12  # that a place is looked for by
_ENDED = [GuidelineVersion.Ingestion.INDEXED, GuidelineVersion.Ingestion.FAILED]


def list_guidelines() -> QuerySet[Guideline]:
    """All guidelines by title, each with its versions prefetched, newest first (`guideline.versions.all()`)."""
    versions = GuidelineVersion.objects.order_by("-number").annotate(chunk_count=Count("chunks"))
    return Guideline.objects.order_by("title", "created_at").prefetch_related(Prefetch("versions", versions))


def get_guideline(guideline_id: UUID | str) -> Guideline:
    """One guideline with its versions prefetched. Raises Guideline.DoesNotExist."""
    return list_guidelines().get(pk=guideline_id)


def get_version(version_id: UUID | str) -> GuidelineVersion:
    """One version with its guideline. Raises GuidelineVersion.DoesNotExist."""
    return GuidelineVersion.objects.select_related("guideline").get(pk=version_id)


def restorable(version: GuidelineVersion) -> GuidelineVersion | None:
    """The version before this one that `lifecycle.restore` could bring back if this one stopped answering; None where
    there is none."""
    earlier = GuidelineVersion.objects.filter(
        guideline_id=version.guideline_id,
        number__lt=version.number,
        approved_at__isnull=False,
        state__in=_PAST,
        ingestion=GuidelineVersion.Ingestion.INDEXED,
    )
    return earlier.select_related("guideline").order_by("-number").first()


def wants_ocr(version: GuidelineVersion) -> bool:
    """Whether a version failed because it has pages and no text, so that it could be read by OCR."""
    failed = version.ingestion == GuidelineVersion.Ingestion.FAILED
    return failed and (version.error_code == "scan" or bool(version.ocr_language))


def get_chunk(chunk_id: int) -> Chunk:
    """One chunk with its version and guideline, whatever their state. Raises Chunk.DoesNotExist."""
    return Chunk.objects.select_related("version__guideline").defer("terms").get(pk=chunk_id)


def chunks_with_words(words: str, most: int = 20) -> list[Chunk]:
    """Chunks in which every one of some words stands in one of its forms, of versions that are not archived; those that
    may answer now first, and marked `answers`. None where the words say nothing ("the", "de la").

    For a person who looks for a place in the library; questions are `retrieve`'s business.
    """
    held = Q(pk__in=[])
    for language in Chunk.objects.order_by().values_list("language", flat=True).distinct():
        stems = query_terms(words, stemmer_language(language))[:_MOST_WORDS]
        if stems:
            held |= Q(*(Q(terms__contains=stem) for stem in stems), language=language)
    found = Chunk.objects.filter(held, version__ingestion=GuidelineVersion.Ingestion.INDEXED)
    found = found.exclude(version__state=GuidelineVersion.State.ARCHIVED).defer("terms")
    found = found.annotate(answers=Exists(answering_versions().filter(pk=OuterRef("version_id"))))
    order = ("-answers", "version__guideline__title", "-version__number", "ordinal")
    return list(found.select_related("version__guideline").order_by(*order)[:most])


def page_texts(version_id: UUID | str, first: int, last: int) -> dict[int, str]:
    """The texts of the pages `first` to `last` of a version that are there, by number. Formats without pages have one,
    number 1."""
    pages = Page.objects.filter(version__pk=version_id, number__range=(first, last))
    return dict(pages.values_list("number", "text"))


def source_text(version_id: UUID | str, page: int | None, start: int, last_page: int | None, end: int) -> str:
    """The words of a version from character `start` of a page to character `end` of the same or a later one, pages
    joined by a line break. Raises Page.DoesNotExist."""
    first, last = page or 1, last_page or page or 1
    texts = page_texts(version_id, first, last)
    if first not in texts or last not in texts:
        raise Page.DoesNotExist
    texts[last] = texts[last][:end]
    texts[first] = texts[first][start:]
    return "\n".join(texts[number] for number in sorted(texts))


def recent_versions(most: int = 50) -> list[GuidelineVersion]:
    """Versions that wait for ingestion, are in it, or ended it in the last ten minutes; newest first."""
    since = timezone.now() - timedelta(minutes=10)
    return list(
        GuidelineVersion.objects.select_related("guideline")
        .filter(Q(created_at__gte=since) | Q(indexed_at__gte=since) | ~Q(ingestion__in=_ENDED))
        .exclude(state=GuidelineVersion.State.ARCHIVED)
        .order_by("-created_at")[:most]
    )


def pending_versions() -> QuerySet[GuidelineVersion]:
    """Versions that wait for ingestion or were interrupted in it, oldest first. Failed ones wait for a person."""
    unfinished = [
        GuidelineVersion.Ingestion.PENDING,
        GuidelineVersion.Ingestion.PARSING,
        GuidelineVersion.Ingestion.EMBEDDING,
    ]
    return (
        GuidelineVersion.objects.select_related("guideline")
        .filter(ingestion__in=unfinished)
        .exclude(state=GuidelineVersion.State.ARCHIVED)
        .order_by("created_at")
    )


def answering_ids(departments: Collection[UUID] | None = None) -> set[UUID]:
    """The keys of `answering_versions` at this moment."""
    found = answering_versions(departments=departments).order_by()  # in no order: sorting costs more than finding
    # As text, whose keys are remembered: of thousands of versions, making the keys anew took longer than finding them.
    return set(map(_key, found.values_list(Cast("pk", TextField()), flat=True)))


@lru_cache(maxsize=50_000)
def _key(text: str) -> UUID:
    return UUID(text)


def answering_versions(
    at: datetime | None = None, departments: Collection[UUID] | None = None
) -> QuerySet[GuidelineVersion]:
    """The versions that may answer at this moment, asked of the clock: approved, begun and not over, not overtaken by a
    later version that has begun, completely indexed, of an enabled guideline.

    `departments` is those of the person who asks: guidelines for other departments are left out, those for nobody in
    particular stay. None asks without regard to departments.
    """
    now = at or timezone.now()
    begun = GuidelineVersion.objects.filter(
        state__in=_ANSWERING, effective_from__lte=now, ingestion=GuidelineVersion.Ingestion.INDEXED
    )
    later = begun.filter(guideline=OuterRef("guideline"), number__gt=OuterRef("number"))
    found = begun.filter(Q(expires_at=None) | Q(expires_at__gt=now), ~Exists(later), guideline__enabled=True)
    if departments is not None:
        found = found.filter(_open_to(departments, "guideline"))
    return found


def guidelines_open_to(departments: Collection[UUID]) -> QuerySet[Guideline]:
    """The guidelines for everybody or for one of these departments, whatever the state of their versions."""
    return Guideline.objects.filter(_open_to(departments, "pk"))


def _open_to(departments: Collection[UUID], guideline: str) -> Q:
    """That the guideline of this field is for nobody in particular or for one of these departments. Two lists that are
    looked up: a join of all guidelines with their departments takes three times as long."""
    rows = Guideline.departments.through.objects
    theirs = rows.filter(department__in=departments)
    named = f"{guideline}__in"
    return ~Q(**{named: rows.values("guideline")}) | Q(**{named: theirs.values("guideline")})
