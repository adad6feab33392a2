"""What is shown of a passage that a turn cites: its words with the very words marked, where they stand, the page as a
picture, and what has become of the version since."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise
from typing import Any

from django.urls import reverse
from django.utils import timezone
from django.utils.formats import date_format
from django.utils.translation import gettext, pgettext

from knowledge import citations, pages
from knowledge.citations import PageStart, Place, Quotation, Span, Standing
from portal.chat.models import Turn


@dataclass(frozen=True, slots=True)
class Piece:
    """A run of the quotation: `exact` where the answer rests on it, `page` the name of the page that begins with it."""

    text: str
    exact: bool
    page: str = ""


@dataclass(frozen=True, slots=True)
class Picture:
    """A page to be looked at. `marked_from` is how far down the words begin, in hundredths of its height."""

    number: int
    name: str
    url: str
    large_url: str
    marked_from: int | None
    is_beside: bool  # a neighbour, on which nothing of the passage stands
    previous: int | None
    following: int | None


class Source:
    """A passage that `turn` cites, as it may be shown now."""

    def __init__(self, turn: Turn, passage: Mapping[str, Any]) -> None:
        self.turn, self.passage = turn, passage
        self.citation = next((one for one in turn.citations if one["marker"] == passage["marker"]), passage)
        self.quotation = Quotation(
            passage["version_id"], passage["quote"], passage["page"], passage.get("last_page"), passage.get("start")
        )

    @property
    def exact(self) -> list[Span]:
        """The characters of the quotation on which the answer rests."""
        return [(begin, end) for begin, end, _ in self.citation.get("exact", ())]

    @cached_property
    def starts(self) -> tuple[PageStart, ...]:
        """The pages of the quotation."""
        if self.passage["page"] is None:
            return ()
        kept = self.passage.get("pages") or [
            {"number": self.passage["page"], "label": self.passage["page_label"], "start": 0}
        ]
        return tuple(PageStart(**one) for one in kept)

    @cached_property
    def places(self) -> tuple[Place, ...]:
        """Where the quotation stands in its version as it is read now; none where it is not found there."""
        return citations.places(self.quotation)

    def exact_places(self, page: int) -> list[Span]:
        """The characters of a page on which the answer rests."""
        return [(one.start, one.end) for one in citations.places(self.quotation, self.exact) if one.page == page]

    def place_on(self, page: int) -> Place | None:
        """Where the quotation stands on a page."""
        return next((one for one in self.places if one.page == page), None)

    @property
    def pieces(self) -> Iterator[Piece]:
        """The quotation, cut where the very words and where pages begin and end."""
        quote, exact = self.passage["quote"], self.exact
        begins = {one.start: page_name(one.number, one.label) for one in self.starts[1:]}
        cuts = sorted({0, len(quote), *begins, *(edge for span in exact for edge in span)})
        for start, end in pairwise(cuts):
            is_exact = any(begin <= start < stop for begin, stop in exact)
            yield Piece(quote[start:end], is_exact, begins.get(start, ""))

    @cached_property
    def surroundings(self) -> tuple[str, str]:
        """What stands before and after it."""
        return citations.surroundings(self.quotation)

    @property
    def place(self) -> str:
        """The page or pages of the quotation in words; empty in formats without pages."""
        if not self.starts:
            return ""
        names = [page_name(one.number, one.label) for one in self.starts]
        return (
            names[0] if len(names) == 1 else gettext("%(first)s to %(last)s") % {"first": names[0], "last": names[-1]}
        )

    @property
    def note(self) -> str:
        """Why the version is no longer what answers, in a sentence; empty where it is."""
        return standing_note(citations.standing(self.passage["version_id"]))

    @cached_property
    def _pictures(self) -> pages.Pictures | None:
        return pages.pictures(self.passage["version_id"]) if self.starts else None

    @property
    def is_lost(self) -> bool:
        """Whether its file is no longer there, so that only the words can be shown."""
        return self._pictures is not None and self._pictures.lost

    @property
    def page_numbers(self) -> range:
        """The pages that may be looked at: those of the quotation and one on either side."""
        if self._pictures is None:
            return range(0)
        first, last = self.starts[0].number, self.starts[-1].number
        return range(max(1, first - 1), min(self._pictures.count, last + 1) + 1)

    def picture(self, number: int | None = None) -> Picture | None:
        """A page, by default that of the very words; None where there is none that could be shown, or not this one."""
        number = number or self.citation["page"]
        if self.is_lost or number not in self.page_numbers:
            return None
        own = next((one for one in self.starts if one.number == number), None)
        place = self.place_on(number)
        spans = self.exact_places(number) or ([(place.start, place.end)] if place else [])
        down = pages.marked_from(self.passage["version_id"], number, spans)
        url = reverse("chat:passage_image", args=[self.turn.id, self.passage["marker"], number])
        return Picture(
            number=number,
            name=page_name(number, own.label if own else ""),
            url=url,
            large_url=f"{url}?large=1",
            marked_from=None if down is None else round(100 * down),
            is_beside=own is None,
            previous=number - 1 if number - 1 in self.page_numbers else None,
            following=number + 1 if number + 1 in self.page_numbers else None,
        )

    def image(self, number: int, *, large: bool) -> bytes:
        """A page with the quotation marked. Raises KnowledgeError (`knowledge.pages.page_image`)."""
        place = self.place_on(number)
        return pages.page_image(
            self.passage["version_id"],
            number,
            place.start if place else None,
            place.end if place else None,
            exact=self.exact_places(number) if place else (),
            large=large,
            person=str(self.turn.conversation.owner_id),  # who alone may open it
        )


def page_name(number: int, label: str) -> str:
    """A page as it is printed, and as it is counted in the file where that is another number."""
    if label and label != str(number):
        return gettext("page %(label)s (file page %(number)s)") % {"label": label, "number": number}
    return gettext("page %(number)s") % {"number": number}


def standing_note(standing: Standing) -> str:
    """What has become of a version that was cited, in a sentence; empty where it is in force."""
    day = date_format(timezone.localtime(standing.since), "DATE_FORMAT") if standing.since else ""
    said = {
        "in_force": "",
        "superseded": gettext("No longer in force: superseded by version %(number)s on %(day)s."),
        "expired": gettext("No longer in force: it expired on %(day)s."),
        "archived": gettext("No longer in force: archived on %(day)s.")
        if day
        else pgettext("a version of a guideline", "No longer in force: archived."),
        "withdrawn": gettext("No longer in force: its approval was taken back."),
        "switched_off": gettext("This guideline is switched off: no answer stands on it now."),
        "removed": gettext("This version is no longer in the library."),
        "not_yet": gettext("Not in force before %(day)s.") if day else gettext("Not in force now."),
    }[standing.code]
    return said % {"number": standing.number, "day": day}
