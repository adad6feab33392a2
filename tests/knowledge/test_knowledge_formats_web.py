"""Web pages, Markdown, EPUB and OpenDocument: their content alone, in the order in which it is read."""

import io
from pathlib import Path

import pytest

import knowledge
from knowledge import selectors
from knowledge.parsing import Limits, ParsedDocument, ParsedPage
from knowledge.parsing._epub import parse_epub
from knowledge.parsing._html import parse_html
from knowledge.parsing._limits import ParseFailed
from knowledge.parsing._markdown import parse_markdown
from knowledge.parsing._odt import parse_odt
from knowledge.parsing._rows import Cell, row_lines
from knowledge.parsing._text import decode, parse_text

from .documents import epub, make_pdf, open_document

FILL = "<p>" + "The team reviews the level of observation every day on the ward. " * 6 + "</p>"


def page(document: ParsedDocument) -> ParsedPage:
    return document.pages[0]


def lines(document: ParsedDocument) -> list[str]:
    return page(document).text.split("\n")


def headings(document: ParsedDocument) -> list[tuple[int, str]]:
    return [(h.level, page(document).text[h.start : h.end]) for h in page(document).headings]


def blocks(document: ParsedDocument) -> list[tuple[str, str]]:
    return [(b.kind, page(document).text[b.start : b.end]) for b in page(document).blocks]


def web(body: str) -> ParsedDocument:
    return parse_html(f"<!doctype html><html><body>{body}</body></html>".encode())


def wrote(body: str) -> list[str]:
    """The lines of a page, without those of the paragraph that makes it long enough to be one."""
    return [line for line in lines(web(body + FILL)) if not line.startswith("The team reviews")]


GONE = [
    '<nav><a href="/">x</a></nav>',
    '<div class="cookie-banner"><p>x</p></div>',
    '<div id="tarteaucitronRoot" class="tarteaucitron">x</div>',
    '<div id="consent-popup">x</div>',
    '<ul class="breadcrumb"><li><a href="/">x</a></li></ul>',
    '<div class="share"><a href="/f">x</a></div>',
    '<ul><li><a href="#one">x</a></li><li><a href="#two">x</a></li></ul>',
    '<p hidden>x</p>', '<p style="display: none">x</p>', '<span class="sr-only">x</span>',
    '<span aria-hidden="true">x</span>', "<dialog>x</dialog>", '<div role="navigation">x</div>', "<header>x</header>",
    "<footer>x</footer>", "<aside>x</aside>", "<script>x</script>", "<!-- x -->", "<form><label>x</label></form>",
    "<template>x</template>", '<a href="#here">¶</a>',
]  # fmt: skip


@pytest.mark.parametrize("markup", GONE)
def test_furniture_is_left_out(markup: str) -> None:
    assert wrote(markup) == []


KEPT = [
    "<form><h1>Care</h1>x</form>",
    '<section id="social-anxiety"><p>x</p></section>',
    '<section id="consentement"><p>x</p></section>',
    '<div class="accordion" style="display:none"><p>x</p></div>',
    '<ul class="menu"><li>x</li></ul>',
    '<p hidden="until-found">x</p>',
    '<p>See <a href="#one">x</a></p>',
    "<article><header><p>x</p></header></article>",
]


@pytest.mark.parametrize("markup", KEPT)
def test_content_that_only_looks_like_furniture_stays(markup: str) -> None:
    assert "x" in " ".join(wrote(markup))


def test_a_page_that_seems_to_be_all_furniture_is_kept() -> None:
    links = "".join(f'<p><a href="/{n}">Guideline number {n} of the ward</a></p>' for n in range(60))
    assert len(lines(web(f'<div class="links">{links}</div>'))) == 60


@pytest.mark.parametrize(
    ("markup", "expected"),
    [
        ("<ol start=3><li>Ask<ul><li>how</li></ul></li><li value=7>Act</li><li>End</li></ol>",
         ["3. Ask", "– how", "7. Act", "8. End"]),
        ("<ol type=a><li>One<li>Two</ol>", ["a. One", "b. Two"]),
        ("<ul><li><p>One</p><p>more</p></li><li></li></ul>", ["• One", "more"]),
        ("<dl><dt>Lithium :</dt><dd>a salt</dd><dt>A</dt><dt>B</dt><dd><p>two</p><p>lines</p></dd><dt>C</dt></dl>",
         ["Lithium: a salt", "A, B: two", "lines", "C"]),
        ("<p>One<br>Two<br>goes on. <br>Three</p>", ["One", "Two goes on.", "Three"]),
        ("<p>Pain<sup>12</sup> of 10<sup>9</sup>/L, 5 m<sup>2</sup>, H<sub>2</sub>O, 1<sup>er</sup></p>",
         ["Pain[12] of 10⁹/L, 5 m², H2O, 1er"]),
        ("<p>He <q>said</q> <b>n</b>o</p>", ["He “said” no"]),
        ("<pre>one\n two</pre>", ["one", "two"]),
    ],
)  # fmt: skip
def test_inline_and_lists(markup: str, expected: list[str]) -> None:
    assert wrote(markup) == expected


def test_foldable_parts_are_sections_where_nothing_else_follows_them() -> None:
    fold = (
        "<details><summary>Dose</summary><p>300 mg.</p></details><details><summary>End</summary><p>Slow.</p></details>"
    )
    assert headings(web(f"<h2>Lithium</h2>{fold}<h2>Next</h2>{FILL}"))[1:3] == [(3, "Dose"), (3, "End")]
    assert headings(web(f"<h2>Lithium</h2>{fold}{FILL}")) == [(2, "Lithium"), (3, "Dose")]


def test_tables_and_boxes_are_blocks() -> None:
    table = (
        "<table><caption>Doses</caption><thead><tr><th>Drug</th><th>Dose</th></tr></thead>"
        "<tr><td rowspan=2>Lithium</td><td>300 mg</td></tr><tr><td>600<br>mg</td></tr></table>"
    )
    box = '<div class="callout callout-info"><h4>Recommendation</h4><p>Ask about suicide directly.</p></div>'
    assert blocks(web(table + box + FILL)) == [
        ("table", "Doses\nDrug: Lithium; Dose: 300 mg\nDrug: Lithium; Dose: 600 mg"),
        ("box", "Recommendation\nAsk about suicide directly."),
    ]
    layout = f"<table><tr><td><h2>Left</h2>{FILL}</td><td><p>Right</p></td></tr></table>"
    assert (blocks(web(layout)), headings(web(layout))) == ([], [(2, "Left")])
    assert blocks(web(f'<div class="box">{FILL * 8}</div>')) == []  # the page itself is no box


@pytest.mark.parametrize(
    ("table", "expected"),
    [
        ([[Cell("a"), Cell("b")], [Cell("c"), Cell("")]], ["a | b", "c"]),
        ([[Cell("A", head=True), Cell("B", head=True)]], ["A | B"]),
        ([[Cell("A:", head=True), Cell("B", head=True)], [Cell("x."), Cell("y")]], ["A: x. B: y"]),
        ([[Cell("", head=True), Cell("Dose", 2, head=True)], [Cell("", head=True), Cell("min", head=True),
          Cell("max", head=True)], [Cell("Li"), Cell("1"), Cell("2")]], ["Li; Dose – min: 1; Dose – max: 2"]),
        ([[Cell("A" * 130, head=True), Cell("B", head=True)], [Cell("x"), Cell("y")]], ["A" * 130 + " | B", "x | y"]),
        ([[Cell("A", 10**6, 10**6, head=True)], [Cell("x", 10**6, 10**6)], [], []], ["A"] * 3),
        ([], []),
    ],
)  # fmt: skip
def test_rows_of_tables(table: list[list[Cell]], expected: list[str]) -> None:
    assert row_lines(table, 0 if expected == ["a | b", "c"] else None) == expected


MARKDOWN = """---
title: "Leave: who grants it"
tags: [a]
---

# Leave

Lithium[^b] is first.[^a] <!-- a remark -->
It lasts.

[^a]: Smith 1998,
    p. 3.
[^b]: A salt.

> A plain quotation.

> [!WARNING]
> Call 15 at once when there is danger.

!!! note "Before leave"
    The risk is assessed
    and written down.

After it.

::: tip
Ask the family.
:::

> **À savoir :** le patient décide de ce qui est dit.

- One
    - deeper
1. First

| Day | Hours |
|---|---|
| Monday | 4 |

```
[^a]: in code
```
"""


def test_markdown() -> None:
    document = parse_markdown(MARKDOWN.encode())
    assert document.title == "Leave: who grants it"
    assert lines(document) == [
        "Leave", "Lithium[1] is first.[2] It lasts.", "[1 A salt.]", "[2 Smith 1998, p. 3.]", "A plain quotation.",
        "Warning: Call 15 at once when there is danger.", "Before leave", "The risk is assessed and written down.",
        "After it.", "Tip:", "Ask the family.", "À savoir : le patient décide de ce qui est dit.",
        "• One", "– deeper", "1. First", "Day: Monday; Hours: 4", "[^a]: in code",
    ]  # fmt: skip
    kinds = [(kind, text.split("\n")[0]) for kind, text in blocks(document)]
    assert kinds == [
        ("box", "Warning: Call 15 at once when there is danger."), ("box", "Before leave"),
        ("box", "À savoir : le patient décide de ce qui est dit."), ("table", "Day: Monday; Hours: 4"),
    ]  # fmt: skip


def test_a_line_at_the_top_is_no_front_matter() -> None:
    assert lines(parse_markdown(b"---\n\nSome words.\n\n---\n\nMore.\n")) == ["Some words.", "More."]


ODT = """<text:tracked-changes><text:p>Deleted.</text:p></text:tracked-changes>
<text:p text:style-name="P1">Leave from
 the ward</text:p><text:table-of-content><text:p>Contents 1</text:p></text:table-of-content>
<text:h text:outline-level="2">Before<text:s/>leave</text:h>
<text:p>The risk<text:note><text:note-citation>1</text:note-citation><text:note-body><text:p>See 3.2.</text:p>
</text:note-body></text:note> is <text:span text:style-name="Hid">not </text:span>assessed.<office:annotation>
<text:p>Why?</text:p></office:annotation></text:p>
<text:list text:style-name="L1"><text:list-item><text:p>One</text:p><text:list><text:list-item><text:p>deeper</text:p>
</text:list-item></text:list></text:list-item><text:list-item><text:p>Two</text:p></text:list-item></text:list>
<table:table><table:table-header-rows><table:table-row><table:table-cell><text:p>Day</text:p></table:table-cell>
<table:table-cell><text:p>Hours</text:p></table:table-cell></table:table-row></table:table-header-rows>
<table:table-row>
<table:table-cell><text:p>Monday</text:p></table:table-cell><table:table-cell><text:p>4</text:p></table:table-cell>
</table:table-row></table:table>
<text:p>Beside.<draw:frame><draw:text-box><text:p>Call 15 at once.</text:p></draw:text-box></draw:frame></text:p>"""
ODT_STYLES = """<style:style style:name="P1" style:parent-style-name="Title"/>
<style:style style:name="Hid"><style:text-properties text:display="none"/></style:style>
<text:list-style style:name="L1">
<text:list-level-style-number text:level="1" style:num-format="1" style:num-suffix=")"/>
</text:list-style>"""


def test_open_document() -> None:
    document = parse_odt(open_document(ODT, styles=ODT_STYLES), Limits())
    assert document.title == "Leave from the ward"
    assert headings(document) == [(1, "Leave from the ward"), (2, "Before leave")]
    assert lines(document)[2:] == [
        "The risk[1] is assessed.", "[1 See 3.2.]", "1) One", "– deeper", "2) Two", "Day: Monday; Hours: 4", "Beside.",
        "Call 15 at once.",
    ]  # fmt: skip
    assert blocks(document) == [("table", "Day: Monday; Hours: 4"), ("box", "Call 15 at once.")]
    locked = open_document("", **{"META-INF/manifest.xml": "<manifest:encryption-data/>"})
    with pytest.raises(ParseFailed, match="encrypted"):
        parse_odt(locked, Limits())


def test_epub_follows_its_spine_and_takes_missing_headings_from_its_contents() -> None:
    chapters = {
        "b.xhtml": f"<html><body><h1>One</h1>{FILL}</body></html>",
        "a.xhtml": f"<html><body>{FILL}<table><tr><th>Day</th><th>Hours</th></tr><tr><td>1</td><td>4</td></tr>"
        "<tr><td>2</td><td>5</td></tr></table></body></html>",
    }
    document = parse_epub(epub(chapters), Limits())
    assert (document.title, headings(document)) == ("Ward handbook", [(1, "One")])
    assert blocks(document) == [("table", "Day: 1; Hours: 4\nDay: 2; Hours: 5")]
    package = (
        '<package xmlns="http://www.idpf.org/2007/opf"><manifest><item id="a" href="a.xhtml" '
        'media-type="application/xhtml+xml"/><item id="n" href="toc.ncx" media-type="application/x-dtbncx+xml"/>'
        '<item id="x" href="../../../../etc/passwd" media-type="application/xhtml+xml"/></manifest>'
        '<spine><itemref idref="a"/><itemref idref="x"/><itemref idref="none"/></spine></package>'
    )
    point = "<navPoint><navLabel><text>Visits</text></navLabel><content src='a.xhtml#top'/></navPoint>"
    contents = f"<ncx><navMap>{point}</navMap></ncx>"
    document = parse_epub(epub(chapters, package=package, **{"OEBPS/toc.ncx": contents}), Limits())
    assert headings(document) == [(1, "Visits")]
    assert "root:" not in page(document).text


@pytest.mark.parametrize(
    "encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be", "utf-32", "cp1252", "mac_roman"]
)
@pytest.mark.parametrize("text", ["L'équipe évalue le risque à l'entrée : œdème, 15 €. Très bientôt.", "Plain words."])
def test_encodings(encoding: str, text: str) -> None:
    assert decode(text.encode(encoding)) == text


def test_mixed_encodings_and_old_ones() -> None:
    mixed = "L'équipe évalue le risque à l'entrée, déjà décidé ".encode() + "“ici”".encode("cp1252")
    assert decode(mixed) == "L'équipe évalue le risque à l'entrée, déjà décidé “ici”"
    dos = "Le médecin est appelé à la tête du lit, très tôt."
    assert decode(dos.encode("cp850")) == dos
    arabic = "تقييم خطر الانتحار عند الدخول"
    assert decode(arabic.encode("utf-16-le")) == arabic
    assert decode(bytes(range(256)) * 8) is None


def test_text_from_right_to_left_stays_in_logical_order() -> None:
    for parser, data in [(parse_text, "\u202bשלום עולם\u202c"), (parse_html, f"<p dir=rtl>\u200fשלום עולם</p>{FILL}")]:
        assert lines(parser(data.encode()))[0] == "שלום עולם"


def test_accents_are_one_character_with_their_letters() -> None:
    assert lines(parse_text("E\u0301valuer le de\u0301lai".encode())) == ["Évaluer le délai"]


STORED = [
    ("leave.odt", open_document("<text:p>Leave is granted by the physician.</text:p>")),
    ("ward.epub", epub({"a.xhtml": f"<html><body><h1>One</h1>{FILL}</body></html>"})),
    ("edge.pdf", make_pdf([["Leave is granted by the physician", "who knows the patient and the"],
     ["family well. Then they rest."]])),
]  # fmt: skip


@pytest.mark.django_db
@pytest.mark.parametrize(("filename", "data"), STORED, ids=[name for name, _ in STORED])
def test_stored_chunks_stand_word_for_word_in_their_pages(data_folder: Path, filename: str, data: bytes) -> None:
    version = knowledge.add_version(io.BytesIO(data), filename=filename)
    knowledge.ingest(version.pk)
    chunks = list(version.chunks.all())
    assert chunks
    for chunk in chunks:
        place = (chunk.page, chunk.start, chunk.last_page, chunk.end)
        assert selectors.source_text(version.pk, *place) == chunk.text
    over = [(c.page, c.last_page) for c in chunks if c.page != c.last_page]
    assert over == ([(1, 2)] if filename == "edge.pdf" else [])
