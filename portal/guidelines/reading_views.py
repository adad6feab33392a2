"""Reading what a version says: its passages beside the picture of their page, and two versions side by side."""

import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Any

from django.core.paginator import Page as Listed
from django.core.paginator import Paginator
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import render
from django.urls import reverse
from django.views.decorators.http import require_GET

import knowledge
from knowledge.comparing import SectionChange
from knowledge.models import Chunk, GuidelineVersion, Page
from knowledge.pages import marked_from, pictures
from portal.access import for_role
from portal.guidelines.views import version_of

_CHUNKS_A_PAGE = 25
_CHANGES_A_PAGE = 200
_FOLD_ABOVE, _BESIDE = 800, 250  # characters of unchanged words


@dataclass(frozen=True, slots=True)
class Shown:
    """A passage, its picture (the page with its words marked; empty where there is none), how far down the page they
    begin (0 to 1), and its neighbours."""

    chunk: Chunk
    picture: str
    begins: float | None
    before: str
    after: str


@dataclass(frozen=True, slots=True)
class Piece:
    """Words of a section that is compared: "same", "inserted", "deleted", or `words` unchanged ones that are "folded"
    away or "skipped"."""

    kind: str
    text: str
    words: int = 0


@dataclass(frozen=True, slots=True)
class Section:
    """A section of a comparison, and whether anything is different about it; `id` names its place on the page."""

    id: str
    change: SectionChange
    has_change: bool
    pieces: tuple[Piece, ...]

    @property
    def title(self) -> str:
        """Its own heading; empty for what stands before the first."""
        return self.change.heading[-1] if self.change.heading else ""

    @property
    def path(self) -> str:
        """The headings above it."""
        return " › ".join(self.change.heading[:-1])

    @property
    def old_title(self) -> str:
        """What it was called before, where it was called something else."""
        before = self.change.old_heading
        return before[-1] if before and before[-1] != self.title else ""


@require_GET
@for_role("admin")
def passages(request: HttpRequest, version_id: uuid.UUID) -> HttpResponse:
    """The passages of a version, those of one page at a time where it has pages."""
    version = version_of(request, version_id)
    chunks = version.chunks.defer("terms").order_by("ordinal")
    context: dict[str, Any] = {"version": version, "count": chunks.count()}
    if version.page_count:
        context |= _page_of(request, version)
    else:
        listed = Paginator(chunks, _CHUNKS_A_PAGE).get_page(request.GET.get("page"))
        context |= {"listed": listed, "shown": [_shown(one, version, None, context["count"]) for one in listed]}
    return render(request, "guidelines/passages.html", context)


def _page_of(request: HttpRequest, version: GuidelineVersion) -> dict[str, Any]:
    """One page with its passages."""
    last = version.page_count or 1
    number = _page_number(request, version, last)
    page = Page.objects.filter(version=version, number=number).defer("boxes").first()
    chunks = version.chunks.filter(page__lte=number, last_page__gte=number).defer("terms").order_by("ordinal")
    pictured = pictures(version.pk)
    image = "" if pictured is None or pictured.lost else reverse("guidelines:page_image", args=[version.pk, number])
    count = version.chunks.count()
    return {
        "page": page,
        "number": number,
        "previous": number - 1 if number > 1 else None,
        "next": number + 1 if number < last else None,
        "image": image,
        "is_lost": pictured is not None and pictured.lost,
        "shown": [_shown(one, version, page if image else None, count) for one in chunks],
    }


def _page_number(request: HttpRequest, version: GuidelineVersion, last: int) -> int:
    """The page that was asked for: by its number, by its printed label, or by a passage on it; the first where there is
    no such page."""
    ordinal, asked = request.GET.get("passage", ""), request.GET.get("page", "").strip()
    if ordinal.isdecimal() and len(ordinal) < 9:
        found = version.chunks.filter(ordinal=int(ordinal)).values_list("page", flat=True).first()
        return found or 1
    if asked.isdecimal() and len(asked) < 9:
        return min(max(int(asked), 1), last)
    labelled = version.pages.filter(label__iexact=asked[:40]) if asked else version.pages.none()
    return labelled.order_by("number").values_list("number", flat=True).first() or 1


def _shown(chunk: Chunk, version: GuidelineVersion, page: Page | None, count: int) -> Shown:
    picture, begins = "", None
    if page is not None:
        start = chunk.start if chunk.page == page.number else 0
        end = chunk.end if chunk.last_page == page.number else len(page.text)
        address = reverse("guidelines:page_image", args=[version.pk, page.number])
        picture = f"{address}?start={start}&end={end}"
        begins = marked_from(version.pk, page.number, [(start, end)])
    address = reverse("guidelines:passages", args=[version.pk])
    before, after = (
        f"{address}?passage={one}#passage-{one}" if 0 <= one < count else ""
        for one in (chunk.ordinal - 1, chunk.ordinal + 1)
    )
    return Shown(chunk, picture, begins, before, after)


@require_GET
@for_role("admin")
def compare(request: HttpRequest, version_id: uuid.UUID) -> HttpResponse:
    """How a version differs from another one, section by section."""
    new = version_of(request, version_id)
    others = GuidelineVersion.objects.filter(guideline=new.guideline_id).exclude(pk=new.pk).defer("sketch")
    choices = list(others.filter(ingestion=GuidelineVersion.Ingestion.INDEXED).order_by("-number"))
    if new.similar_to is not None and new.similar_to not in choices:
        choices.append(new.similar_to)
    old = _old(request, new, choices)
    changes = knowledge.compare(old.pk, new.pk) if old else ()
    numbers = [number for number, one in enumerate(changes) if _has_change(one)]
    listed = Paginator(numbers, _CHANGES_A_PAGE).get_page(request.GET.get("page"))
    sections = [_section(number, changes[number]) for number in _shown_with(listed, len(changes))]
    context = {
        "new": new,
        "old": old,
        "choices": choices,
        "groups": _grouped(sections),
        "listed": listed,
        "query": f"old={old.pk}" if old else "",
        "changed": [one for one in sections if one.has_change],
        "count": len(numbers),
        "is_cut": any(not one.is_compared or any(run.kind == "skipped" for run in one.runs) for one in changes),
        "uncompared": sum(not changes[number].is_compared for number in numbers),
    }
    return render(request, "guidelines/compare.html", context)


def _has_change(change: SectionChange) -> bool:
    return change.kind != "unchanged" or change.moved


def _shown_with(listed: Listed[int], count: int) -> range:
    """The sections of a page of changes: those changes and what stands between them, up to the next page's first."""
    if not listed.object_list:
        return range(count)
    begin = listed.object_list[0] if listed.has_previous() else 0
    return range(begin, listed.paginator.object_list[listed.end_index()] if listed.has_next() else count)


def _section(number: int, change: SectionChange) -> Section:
    pieces: list[Piece] = []
    for run in change.runs:
        pieces += _folded(run.text) if run.kind == "same" else [Piece(run.kind, run.text, run.words)]
    return Section(f"section-{number}", change, _has_change(change), tuple(pieces))


def _folded(text: str) -> list[Piece]:
    """Unchanged words: of many, those beside the changes, with the others folded away between them."""
    if len(text) <= _FOLD_ABOVE:
        return [Piece("same", text)]
    begin, end = text.rfind(" ", 0, _BESIDE) + 1, text.find(" ", len(text) - _BESIDE)
    if not 0 < begin < end:
        return [Piece("same", text)]
    middle = text[begin:end]
    return [Piece("same", text[:begin]), Piece("folded", middle, len(middle.split())), Piece("same", text[end:])]


def _grouped(sections: Sequence[Section]) -> list[tuple[bool, list[Section]]]:
    """Runs of sections that changed (True), and of those that did not, which the page folds."""
    return [(kind, list(group)) for kind, group in groupby(sections, key=lambda one: one.has_change)]


def _old(request: HttpRequest, new: GuidelineVersion, choices: list[GuidelineVersion]) -> GuidelineVersion | None:
    """The version that was chosen among those on offer, else the one before."""
    asked = request.GET.get("old", "")
    if asked:
        found = next((one for one in choices if str(one.pk) == asked), None)
        if found is None:
            raise Http404
        return found
    same = [one for one in choices if one.guideline_id == new.guideline_id]
    return next((one for one in same if one.number < new.number), next(iter(choices), None))
