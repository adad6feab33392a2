"""Citations bound in code: from the markers that an answer may carry to the very words of the passages behind them."""

import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import guardrails
from portal.chat import stored

_MARKER = re.compile(r" ?\[(\d{1,2})\]")
_UNSUPPORTED = "[?]"

Passage = Mapping[str, Any]
RestingPlaces = Callable[[Sequence[str], str], Sequence[tuple[int, int]]]


def citations(
    passages: Sequence[Passage], markers: Sequence[int], answer: str, resting_places: RestingPlaces
) -> list[dict[str, Any]]:
    """The citations of an answer: of each passage that it cites what a browser gets, with `exact`, the sentences that
    the citing ones rest on, as [first character, last but one, page] of the quotation. Where a passage goes over the
    edge of a page, the citation names the page of those words. `resting_places` is that of the screen which has read
    the answer."""
    said = _said(answer)
    found = []
    for one in passages:
        if one["marker"] not in markers:
            continue
        spans = resting_places(said.get(one["marker"], ()), one["quote"])
        found.append(stored.public_passage(one) | place_of(one, spans))
    return found


def place_of(passage: Passage, spans: Sequence[tuple[int, int]]) -> dict[str, Any]:
    """`exact` with the pages of the words, and the page that the citation names."""
    pages = passage.get("pages") or [{"number": passage["page"], "label": passage["page_label"], "start": 0}]
    exact = [
        [max(begin, starts), min(end, stops), page["number"]]
        for begin, end in spans
        for page, starts, stops in _stretches(pages, len(passage["quote"]))
        if max(begin, starts) < min(end, stops)
    ]
    named = next((page for page in pages if exact and page["number"] == exact[0][2]), pages[0])
    return {"exact": exact, "page": named["number"], "page_label": named["label"]}


def _stretches(pages: Sequence[Mapping[str, Any]], length: int) -> list[tuple[Mapping[str, Any], int, int]]:
    """Each page of a quotation with its first character in it and the one behind its last."""
    ends = [*(page["start"] for page in pages[1:]), length]
    return [(page, page["start"], end) for page, end in zip(pages, ends, strict=True)]


def _said(answer: str) -> dict[int, list[str]]:
    """The sentences that cite each marker, without markers; those that nothing supports are not among them."""
    found: dict[int, list[str]] = {}
    for sentence in guardrails.sentences(answer):
        if _UNSUPPORTED in sentence:
            continue
        bare = _MARKER.sub("", sentence)
        for marker in _MARKER.findall(sentence):
            found.setdefault(int(marker), []).append(bare)
    return found
