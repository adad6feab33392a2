"""Chunks hold whole sentences, lose nothing and say where they stand."""

from itertools import pairwise

from hypothesis import given, settings
from hypothesis import strategies as st

from knowledge._sentences import sentences
from knowledge.ingestion._chunking import SEPARATOR, Sizes, cut
from knowledge.parsing import Heading, ParsedPage
from knowledge.parsing._document import PageWriter

SIZES = Sizes(most=40, small=12, longest=100)


def count(text: str) -> int:
    return len(text.split())


# A block is a heading of a level with so many words, or (level 0) a paragraph of sentences with so many words each.
block = st.tuples(st.integers(0, 3), st.lists(st.integers(1, 50), min_size=1, max_size=4))


@st.composite
def documents(draw: st.DrawFn) -> list[ParsedPage]:
    pages = []
    for number, blocks in enumerate(draw(st.lists(st.lists(block, max_size=8), min_size=1, max_size=3)), start=1):
        writer = PageWriter()
        for level, sizes in blocks:
            if level:
                writer.heading(" ".join(["titre"] * min(sizes[0], 6)), level)
            else:
                writer.line(" ".join("Soin" + " noté" * (size - 1) + "." for size in sizes))
        pages.append(writer.page(number))
    return pages


@settings(max_examples=150, deadline=None)
@given(documents())
def test_nothing_is_lost_doubled_or_cut(pages: list[ParsedPage]) -> None:
    pieces = list(cut(pages, count, SIZES))
    for page in pages:
        own = [piece for piece in pieces if piece.page is page]
        spans = [(piece.start, piece.end) for piece in own]
        assert spans == sorted(spans)
        assert all(a[1] <= b[0] for a, b in pairwise(spans))
        inside = set().union(*(range(*span) for span in spans)) if spans else set()
        headings = set().union(*(range(h.start, h.end) for h in page.headings)) if page.headings else set()
        for place, char in enumerate(page.text):
            assert char.isspace() or place in inside or place in headings
        for start, end in sentences(page.text):
            covered = [span for span in spans if span[0] < end and start < span[1]]
            assert len(covered) <= 1 or count(page.text[start:end]) > SIZES.longest
    said = {title for piece in pieces for title in piece.heading.split(SEPARATOR)}
    for page in pages:
        for heading in page.headings:
            title = page.text[heading.start : heading.end]
            assert title in said or any(p.page is page and p.start <= heading.start < p.end for p in pieces)
    for piece in pieces:
        assert piece.text == piece.text.strip() != ""
        assert count(piece.text) <= SIZES.most or len(list(sentences(piece.text))) == 1


@settings(max_examples=200, deadline=None)
@given(st.text(max_size=400))
def test_any_text_is_cut_into_sentences_without_loss(text: str) -> None:
    spans = list(sentences(text))
    assert all(a[1] <= b[0] for a, b in pairwise(spans))
    inside = set().union(*(range(*span) for span in spans)) if spans else set()
    assert all(place in inside or char.isspace() for place, char in enumerate(text))


def split(text: str) -> list[str]:
    return [text[start:end] for start, end in sentences(text)]


def test_sentences_of_english_and_french() -> None:
    assert split("Dr. Brown called at 3.30 p.m. The patient, e.g. a minor, stays. Why? Nobody knows.") == [
        "Dr. Brown called at 3.30 p.m. The patient, e.g. a minor, stays.", "Why?", "Nobody knows.",
    ]  # fmt: skip
    assert split("Le Dr. Martin prescrit 2,5 mg. Cf. art. 12 du code. « Est-ce sûr ? » demande-t-il.") == [
        "Le Dr. Martin prescrit 2,5 mg.", "Cf. art. 12 du code.", "« Est-ce sûr ? » demande-t-il.",
    ]  # fmt: skip
    assert split("1. Ask first. 2. Listen.\n• Write it down") == ["1. Ask first.", "2. Listen.", "• Write it down"]


def test_headings_become_a_path_that_goes_on_over_pages() -> None:
    first = PageWriter()
    first.heading("Suicide risk", 1)
    first.heading("Assessment", 2)
    second = PageWriter()
    second.line("Ask directly. " * 3)
    second.heading("Follow-up", 2)
    second.line("Call within 72 hours. " * 3)
    pieces = list(cut([first.page(1), second.page(2)], count, Sizes(most=40, small=5)))
    assert [(p.page.number, p.heading) for p in pieces] == [
        (2, "Suicide risk › Assessment"),
        (2, "Suicide risk › Follow-up"),
    ]


def test_a_text_without_sentences_is_cut_between_words_in_the_end() -> None:
    text = "word " * 1000
    pieces = list(cut([ParsedPage(None, "", text.strip(), ())], count, SIZES))
    assert all(count(piece.text) <= SIZES.longest for piece in pieces)
    assert sum(count(piece.text) for piece in pieces) == 1000


def test_a_lonely_heading_stays_as_text() -> None:
    page = ParsedPage(1, "", "Only a title", (Heading(0, 12, 1),))
    assert [piece.text for piece in cut([page], count, SIZES)] == ["Only a title"]
