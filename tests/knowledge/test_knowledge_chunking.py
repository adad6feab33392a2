"""Chunks hold whole sentences, tables and boxes, lose nothing and say where they stand."""

from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from knowledge._sentences import goes_on, sentences
from knowledge.ingestion._chunking import SEPARATOR, Piece, Sizes, cut
from knowledge.parsing import Heading, ParsedPage
from knowledge.parsing._document import PageWriter

SIZES = Sizes(most=40, small=12, longest=100)


def count(text: str) -> int:
    return len(text.split())


# What a page is made of: a heading of a level with so many words; a paragraph of sentences, a table of rows or a box of
# sentences with so many words each.
lengths = st.lists(st.integers(2, 50), min_size=1, max_size=4)
part = st.tuples(st.sampled_from(["1", "2", "3", "text", "text", "text", "table", "box"]), lengths)


@st.composite
def documents(draw: st.DrawFn) -> list[ParsedPage]:
    """Pages; some begin with the second half of the sentence that the page before ends with."""
    pages, half = [], 0
    for number, parts in enumerate(draw(st.lists(st.lists(part, max_size=7), min_size=1, max_size=4)), start=1):
        writer = PageWriter()
        if half:
            writer.line(" ".join(["reste"] * half) + ".")
        for kind, sizes in parts:
            place = writer.place
            if kind.isdigit():
                writer.heading(" ".join(["Titre"] * min(sizes[0], 6)), int(kind))
            elif kind == "table":
                for size in sizes:
                    writer.line("Dose:" + " mg" * (size - 1))
                writer.block(place, "table")
            else:
                writer.line(" ".join("Soin" + " noté" * (size - 1) + "." for size in sizes))
                if kind == "box":
                    writer.block(place, "box")
        half = draw(st.integers(0, 12))
        if half:
            writer.line("Soin" + " noté" * draw(st.integers(1, 20)))
        pages.append(writer.page(number))
    if half:
        pages.append(ParsedPage(len(pages) + 1, "", " ".join(["reste"] * half) + "."))
    return pages


def places(pages: list[ParsedPage], pieces: list[Piece]) -> list[tuple[int, int]]:
    """Where pieces stand in the text of all pages."""
    starts = [0]
    for page in pages:
        starts.append(starts[-1] + len(page.text) + 1)
    number = {id(page): index for index, page in enumerate(pages)}
    return [(starts[number[id(p.page)]] + p.start, starts[number[id(p.last_page)]] + p.end) for p in pieces]


@settings(max_examples=200, deadline=None)
@given(documents())
def test_nothing_is_lost_doubled_or_cut(pages: list[ParsedPage]) -> None:
    pieces = list(cut(pages, count, SIZES))
    text = "\n".join(page.text for page in pages)
    spans = places(pages, pieces)
    assert all(a[1] <= b[0] for a, b in pairwise(spans))
    assert [text[start:end] for start, end in spans] == [piece.text for piece in pieces]
    inside = set().union(*(range(*span) for span in spans)) if spans else set()
    said = {title for piece in pieces for title in piece.heading.split(SEPARATOR)}
    offset = 0
    for page in pages:
        for heading in page.headings:
            if offset + heading.start not in inside:
                assert page.text[heading.start : heading.end] in said
                inside |= set(range(offset + heading.start, offset + heading.end))
        offset += len(page.text) + 1
    assert all(place in inside or char.isspace() for place, char in enumerate(text))
    for piece, (_start, end) in zip(pieces, spans, strict=True):
        assert piece.text == piece.text.strip() != ""
        assert piece.text[0].isupper(), "begins inside a sentence"
        assert piece.kind == "table" or text[end - 1] == "." or text[end : end + 1] in {"", "\n"}, "ends inside one"
        assert not text[end:].lstrip().startswith("reste"), "the half on the next page is missing"
        assert piece.page is piece.last_page or "reste" in piece.text
    assert pieces == list(cut(pages, count, SIZES))


@settings(max_examples=200, deadline=None)
@given(documents())
def test_sizes_and_blocks(pages: list[ParsedPage]) -> None:
    pieces = list(cut(pages, count, SIZES))
    for piece in pieces:
        whole = len(list(sentences(piece.text.replace("\nreste", " reste")))) == 1
        assert count(piece.text) <= SIZES.most or whole
    for page in pages:
        for block in page.blocks:
            here = [p for p in pieces if p.page is page and p.start < block.end and block.start < p.end]
            size = count(page.text[block.start : block.end])
            assert {p.kind for p in here} == {block.kind}
            assert len(here) == 1 or size > SIZES.most
            assert all(p.kind == "table" or (block.start <= p.start and p.end <= block.end) for p in here)
            assert here[-1].end == block.end  # a table may bring the line above it along, never what follows it


@settings(max_examples=100, deadline=None)
@given(
    st.lists(st.text(alphabet="aA .\n1:é", max_size=60), max_size=4),
    st.lists(st.tuples(st.integers(0, 3), st.integers(0, 60), st.integers(0, 60)), max_size=6),
)
def test_marks_at_any_place_lose_nothing(texts: list[str], marks: list[tuple[int, int, int]]) -> None:
    pages = []
    for number, text in enumerate(texts, start=1):
        mine = sorted({(min(a, b), max(a, b), at) for at, a, b in marks if max(a, b) <= len(text)})
        headings = tuple(Heading(a, b, at) for a, b, at in mine if at)
        pages.append(ParsedPage(number, "", text, headings))
    pieces = list(cut(pages, count, SIZES))
    spans = places(pages, pieces)
    assert all(a[1] <= b[0] for a, b in pairwise(spans))
    kept = "".join(piece.text + piece.heading for piece in pieces)
    for page in pages:
        assert set(page.text) - set(" \n") <= set(kept)


@settings(max_examples=200, deadline=None)
@given(st.text(max_size=400))
def test_any_text_is_cut_into_sentences_without_loss(text: str) -> None:
    spans = list(sentences(text))
    assert all(a[1] <= b[0] for a, b in pairwise(spans))
    inside = set().union(*(range(*span) for span in spans)) if spans else set()
    assert all(place in inside or char.isspace() for place, char in enumerate(text))


SENTENCES = [
    ["Dr. Brown called at 3.30 p.m. The patient, e.g. a minor, stays.", "Why?", "Nobody knows."],
    ["Le Dr. Martin prescrit 2,5 mg.", "Cf. art. 12 du code.", "« Est-ce sûr ? » demande-t-il."],
    ["1. Ask first.", "2. Listen."],
    ["Selon l'art. L. 3212-1 du code, M. Dupont reste.", "Il prend 5 mg.", "Puis 10 mg.", "C'est tout."],
    ["Voir p. ex. les troubles anxieux (insomnie, etc.) et la fig. 3.", "On note le poids, l'âge, etc.", "Bien."],
    ["He said no.", "The nurse told me.", "See fig. 3 and p. 12.", "Take max. 4 mg.", "That is the max.", "Good."],
    ["Opioids relieve pain.12,13", "Patients should be told.[4]", "They decide."],
    ["Take 2.5 mg b.i.d. and 3 mg i.v. if needed, i.e. when pain persists vs. placebo.", "Good."],
    ["Son IMC est de 27.3 kg.", "Rien d'autre… mais il mange.", "Pourquoi ?", "Parce que."],
    ["S. Freud wrote it.", "Smith et al. Suicide risk is assessed.", "(It was 1998.)", "“Is it?” she asks."],
    ["La Pr. Blanc, Mme. Noir et Mlle. Vert partent le 5 janv. 2024.", "C.-à-d. demain.", "N.B. : rien."],
]  # fmt: skip


@pytest.mark.parametrize("expected", SENTENCES, ids=[said[0][:30] for said in SENTENCES])
def test_sentences_of_english_and_french(expected: list[str]) -> None:
    text = " ".join(expected)
    assert [text[start:end] for start, end in sentences(text)] == expected


def test_a_line_ends_a_sentence() -> None:
    assert list(sentences("Ask.\n• Write it down")) == [(0, 4), (5, 20)]


@pytest.mark.parametrize(
    ("before", "after", "on"),
    [
        ("The patient and the", "family decide.", True),
        ("A dose of", "25 mg is given.", True),
        ("Le médecin de", "Monsieur Dupont décide.", True),
        ("risk factors (", "Age, sex)", True),
        ("as found by others (Chou et al., 2020;", "Skelly et al., 2020). In them", True),
        ("and 1.4 million have a disorder", "(decreased from 2.0 million)", True),
        ("a) is first; (see above)", "Age b) is next", False),
        ("The patient decides.", "family", False),
        ("Pain is common.12", "patients", False),
        ("Monitoring", "The level is measured.", False),
        ("The room has been checked", "b) The door is open.", False),
        ("Steps:", "the first one", False),
        ("", "word", False),
        ("word", "", False),
    ],
)
def test_sentences_that_go_on_on_the_next_page(before: str, after: str, on: bool) -> None:
    assert goes_on(before, after) is on


def pages_of(*texts: str) -> list[ParsedPage]:
    return [ParsedPage(number, "", text) for number, text in enumerate(texts, start=1)]


def test_a_sentence_over_the_edge_of_a_page_is_completed_there() -> None:
    pages = pages_of("It is noted. The patient and the", "family are told. They agree.")
    first, second = cut(pages, count, SIZES)
    assert first.text == "It is noted. The patient and the\nfamily are told."
    assert (first.page.number, first.start, first.last_page.number, first.end) == (1, 0, 2, 16)
    assert (second.text, second.page.number) == ("They agree.", 2)


def test_footnotes_between_the_halves_of_a_sentence_come_along() -> None:
    pages = pages_of("The level is measured by the\n1 See Smith, 1998. Also Jones.", "physician every day. Then rest.")
    first, second = cut(pages, count, SIZES)
    assert first.text.startswith("The level is")
    assert first.text.endswith("physician every day.")
    assert second.text == "Then rest."


def test_a_sentence_over_three_pages() -> None:
    (only,) = cut(pages_of("The patient and the", "family of the", "patient agree."), count, SIZES)
    assert (only.page.number, only.last_page.number, only.end) == (1, 3, 14)


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


def test_small_sections_stand_together_with_their_headings_in_the_text() -> None:
    writer = PageWriter()
    writer.heading("Lithium", 1)
    for title, text in [("Dose", "It is low."), ("Level", "It is measured."), ("End", "It is slow. " * 12)]:
        writer.heading(title, 2)
        writer.line(text)
    pieces = list(cut([writer.page()], count, SIZES))
    assert [(p.heading, p.text.split("\n")[0]) for p in pieces] == [
        ("Lithium", "Dose"),
        ("Lithium › End", "It is slow. " * 11 + "It is slow."),
    ]
    assert pieces[0].text == "Dose\nIt is low.\nLevel\nIt is measured."


def test_a_table_stays_whole_takes_its_caption_along_and_a_long_one_is_cut_between_rows() -> None:
    writer = PageWriter()
    writer.heading("Doses", 1)
    writer.line("Table 1 shows the doses:")
    place = writer.place
    for row in range(4):
        writer.line(f"Drug: lithium {row}; Dose: {row} mg")
    writer.block(place, "table")
    writer.line("After the table.")
    place = writer.place
    for row in range(30):
        writer.line(f"Drug: valproate {row}. As needed; Dose: {row} mg")
    writer.block(place, "table")
    pieces = list(cut([writer.page()], count, SIZES))
    assert pieces[0].kind == "table"
    assert pieces[0].text.startswith("Table 1 shows the doses:\nDrug: lithium 0")
    assert pieces[0].text.endswith("3 mg")
    rows = [line for piece in pieces[1:] for line in piece.text.split("\n")]
    assert rows == ["After the table.", *(f"Drug: valproate {row}. As needed; Dose: {row} mg" for row in range(30))]
    assert {p.kind for p in pieces} == {"table"}
    assert {p.heading for p in pieces} == {"Doses"}


def test_a_text_is_cut_between_paragraphs_rather_than_inside_of_one() -> None:
    paragraphs = ["One is here. " * 8, "Two is here. " * 6, "Three is. " * 9]
    page = ParsedPage(None, "", "\n".join(p.strip() for p in paragraphs))
    assert [p.text for p in cut([page], count, Sizes(most=50, small=5))] == [
        paragraphs[0].strip(), "\n".join(p.strip() for p in paragraphs[1:]),
    ]  # fmt: skip


def test_a_text_without_sentences_is_cut_between_words_in_the_end() -> None:
    text = "word " * 1000
    pieces = list(cut([ParsedPage(None, "", text.strip(), ())], count, SIZES))
    assert all(count(piece.text) <= SIZES.most for piece in pieces)
    assert sum(count(piece.text) for piece in pieces) == 1000


def test_a_lonely_heading_stays_as_text() -> None:
    page = ParsedPage(1, "", "Only a title", (Heading(0, 12, 1),))
    assert [piece.text for piece in cut([page], count, SIZES)] == ["Only a title"]


@pytest.mark.parametrize(("positions", "most", "small"), [(256, 204, 61), (512, 409, 150), (8192, 450, 150)])
def test_sizes_fit_the_embedder(positions: int, most: int, small: int) -> None:
    sizes = Sizes.fitting(positions)
    assert (sizes.most, sizes.small) == (most, small)
