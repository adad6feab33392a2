"""Reading a version's file, and storing what was read: its pages and chunks."""

from collections.abc import Callable, Iterator
from pathlib import Path

from django.conf import settings

from knowledge._analysis import chunk_terms, guess_language
from knowledge._errors import DocumentUnreadable
from knowledge.indexing._embedder import get_embedder, token_counter
from knowledge.ingestion import READER
from knowledge.ingestion._chunking import Sizes, cut
from knowledge.models import Chunk, GuidelineVersion, Page
from knowledge.parsing import ParsedDocument, parse


def stored_file(version: GuidelineVersion) -> Path:
    """Where the bytes of a version lie."""
    return Path(settings.HAVRE_DATA_DIR) / "guidelines" / (version.sha256 + Path(version.filename).suffix.lower())


def read(version: GuidelineVersion, on_page: Callable[[int, int, str], None] | None = None) -> ParsedDocument:
    """What stands in a version's file. Raises DocumentUnreadable and its kin."""
    path = stored_file(version)
    if not path.is_file():
        raise DocumentUnreadable("file_lost", name=version.filename)
    return parse(path, version.media_type, version.filename, ocr=version.ocr_language, on_page=on_page)


def language_of(version: GuidelineVersion, document: ParsedDocument) -> str:
    """The language that people gave a version or its guideline, else the one that its words are in."""
    found = "\n".join(page.text for page in document.pages)[:50_000]
    return version.language or version.guideline.language or guess_language(found, default="en")


def sizes() -> Sizes:
    """How large chunks are for the embedder of the settings. Raises EmbedderUnavailable."""
    return Sizes.fitting(get_embedder().max_tokens)


def cut_up(version: GuidelineVersion, document: ParsedDocument, language: str) -> Iterator[Chunk]:
    """The chunks of a document, not stored yet."""
    title, count = version.guideline.title, token_counter()
    for ordinal, piece in enumerate(cut(document.pages, count, sizes())):
        # Title and headings are searched with the text that stands below them.
        words = chunk_terms(title, piece.heading, piece.text, language)
        yield Chunk(
            version=version,
            ordinal=ordinal,
            kind=piece.kind,
            page=piece.page.number,
            last_page=piece.last_page.number,
            page_label=piece.page.label[:40],
            heading=piece.heading,
            text=piece.text,
            start=piece.start,
            end=piece.end,
            tokens=count(piece.text),
            language=language,
            terms=words,
        )


def store(version: GuidelineVersion, document: ParsedDocument, chunks: list[Chunk], language: str) -> None:
    """Put pages and chunks in the place of those that were there, in the caller's transaction."""
    version.pages.all().delete()
    version.chunks.all().delete()
    Page.objects.bulk_create(_pages(version, document), batch_size=200)
    Chunk.objects.bulk_create(chunks, batch_size=200)
    paged = any(page.number for page in document.pages)
    version.page_count, version.language, version.reader = len(document.pages) if paged else None, language, READER
    version.chunk_limit = sizes().most
    version.save(update_fields=["page_count", "language", "reader", "chunk_limit"])
    if not version.guideline.language:
        version.guideline.language = language
        version.guideline.save(update_fields=["language"])


def _pages(version: GuidelineVersion, document: ParsedDocument) -> Iterator[Page]:
    for page in document.pages:
        yield Page(
            version=version,
            number=page.number or 1,
            label=page.label[:40],
            text=page.text,
            headings=[[one.start, one.end, one.level] for one in page.headings],
            blocks=[[one.start, one.end, one.kind] for one in page.blocks],
            boxes=page.boxes or None,
            width=page.width or None,
            height=page.height or None,
            ocr=page.ocr,
        )
