"""Pages of a PDF as pictures, with words marked: made in a limited process, a few at a time, and kept for a while."""

import fcntl
import hashlib
import json
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from uuid import UUID

from django.conf import settings

from knowledge import _kept, parsing
from knowledge._errors import DocumentUnreadable, NoSuchPage, RenderingBusy
from knowledge.citations import Span
from knowledge.ingestion._reading import stored_file
from knowledge.models import GuidelineVersion, Page
from knowledge.parsing import Rect, boxes_of, unpack_boxes

SCALE, LARGE_SCALE = 1.6, 3.0  # pixels a point: a letter page is 980 or 1,840 pixels wide
_RENDERING = 1  # counts up when the same words would be drawn differently
_AT_ONCE = 2
_PATIENCE_SECONDS = 15.0
_LOOK_SECONDS = 0.05
_PDF = "application/pdf"


@dataclass(frozen=True, slots=True)
class Pictures:
    """Whether the pages of a version can be shown: `count` of them, or the file is `lost`."""

    count: int
    lost: bool


def pictures(version_id: UUID | str) -> Pictures | None:
    """The pages of a version that can be shown as pictures; None for formats without, and where the version is gone."""
    version = GuidelineVersion.objects.filter(pk=version_id, media_type=_PDF).first()
    if version is None or not version.page_count:
        return None
    return Pictures(version.page_count, lost=not stored_file(version).is_file())


def marked_from(version_id: UUID | str, page: int, spans: Sequence[Span]) -> float | None:
    """How far down a page the first of some words stand, 0 (top) to 1; None where that is not known."""
    found = Page.objects.filter(version__pk=version_id, number=page).first()
    rects = _rects(found, spans) if found else []
    if found is None or not rects or not found.height:
        return None
    return min(1.0, max(0.0, min(top for _, top, _, _ in rects) / found.height))


def page_image(
    version_id: UUID | str,
    page: int,
    start: int | None = None,
    end: int | None = None,
    *,
    exact: Sequence[Span] = (),
    large: bool = False,
    person: str = "",
) -> bytes:
    """A page of a PDF as PNG, with characters `start` to `end` of its text marked, and `exact` ones among them more
    strongly. Nothing is marked where `start` or `end` is None, or where the places of the words are not known.

    For one `person` (any name for them; empty: nobody in particular) one page is drawn at a time: whoever asks for many
    waits for themselves, and not everybody else for them.

    Takes some tenths of a second, a few milliseconds where it was made before. Raises NoSuchPage where the version has
    no such page to show, DocumentUnreadable where its file is lost or cannot be drawn, RenderingBusy after 15 seconds
    of waiting for others.
    """
    version = GuidelineVersion.objects.filter(pk=version_id).first()
    if version is None or version.media_type != _PDF or not 1 <= page <= (version.page_count or 0):
        raise NoSuchPage("no_such_page", page=page)
    path = stored_file(version)
    if not path.is_file():
        raise DocumentUnreadable("file_lost", name=version.filename)
    found = Page.objects.filter(version=version, number=page).first()
    marks = _rects(found, [(start, end)] if start is not None and end is not None else [])
    strong = _rects(found, exact)
    scale = LARGE_SCALE if large else SCALE
    kept = _folder() / f"{_key(version, page, marks, strong, scale)}.png"
    if known := _kept.known(kept):
        return known
    with _slot(person, version.filename):
        if known := _kept.known(kept):  # drawn while this one waited
            return known
        data = parsing.page_image(path, page, marks, strong=strong, scale=scale, name=version.filename)
    _kept.keep(kept, data, settings.HAVRE_PAGE_CACHE_MB * 1024 * 1024)
    return data


def _rects(page: Page | None, spans: Sequence[Span]) -> list[Rect]:
    if page is None or page.boxes is None:
        return []
    boxes = unpack_boxes(page.boxes)
    return [rect for start, end in spans for rect in boxes_of(boxes, start, end)]


def _key(version: GuidelineVersion, *drawn: object) -> str:
    return hashlib.sha256(json.dumps([version.sha256, *drawn, _RENDERING]).encode()).hexdigest()


def _folder() -> Path:
    return _kept.folder("pages")


@contextmanager
def _slot(person: str, name: str) -> Iterator[None]:
    """The one place of a person, and one of those in which pages may be drawn, whatever the process; given back also by
    one that dies."""
    until = time.monotonic() + _PATIENCE_SECONDS
    with ExitStack() as held:
        if person:
            own = hashlib.sha256(person.encode()).hexdigest()[:24]
            held.enter_context(_place([f".drawing-by-{own}.lock"], until, name))
        held.enter_context(_place([f".drawing-{number}.lock" for number in range(_AT_ONCE)], until, name))
        yield


@contextmanager
def _place(locks: Sequence[str], until: float, name: str) -> Iterator[None]:
    while True:
        for lock in locks:
            try:
                place = (_folder() / lock).open("w")
            except OSError as error:
                raise RenderingBusy("rendering_busy", name=name) from error
            with place as file:
                try:
                    fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                except BlockingIOError:
                    continue
                yield
                return
        if time.monotonic() > until:
            raise RenderingBusy("rendering_busy", name=name)
        time.sleep(_LOOK_SECONDS)
