"""Damaged and hostile files of every format but PDF: each ends in a clear sentence or in clean text."""

import io
import zipfile
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from knowledge import DocumentRejected, DocumentUnreadable
from knowledge.ingestion._chunking import Sizes, cut
from knowledge.parsing import Limits, ParsedDocument, ParsedPage, parse, sniff
from knowledge.parsing._docx import parse_docx
from knowledge.parsing._epub import parse_epub
from knowledge.parsing._html import parse_html
from knowledge.parsing._limits import ParseFailed
from knowledge.parsing._markdown import parse_markdown
from knowledge.parsing._odt import parse_odt
from knowledge.parsing._text import parse_text

from .documents import HTML, MARKDOWN, bomb_docx, epub, make_docx, make_pdf, open_document, word_xml, zipped

SMALL = Limits(memory_bytes=1024 * 1024 * 1024, unpacked_bytes=8 * 1024 * 1024, xml_bytes=4 * 1024 * 1024)
WORDS = "<w:p><w:r><w:t>Words.</w:t></w:r></w:p>"
CHAPTER = {"a.xhtml": "<html><body><p>Words of a chapter.</p></body></html>"}
LAUGHS = (
    '<!DOCTYPE x [<!ENTITY a "ha">'
    + "".join(f'<!ENTITY {new} "{("&" + old + ";") * 10}">' for old, new in zip("abcdefgh", "bcdefghi", strict=True))
    + "]>"
)
FETCH = '<!DOCTYPE x [<!ENTITY a SYSTEM "file:///etc/hostname">]>'
ENTITY = "<w:p><w:r><w:t>Words &a; &i;.</w:t></w:r></w:p>"
BOMB = b"\0" * (9 * 1024 * 1024)
LOCKED = (
    '<encryption><EncryptedData><EncryptionMethod Algorithm="aes"/><CipherData>'
    '<CipherReference URI="OEBPS/a.xhtml"/></CipherData></EncryptedData></encryption>'
)
OFFICE = "http://schemas.openxmlformats.org/officeDocument/2006/relationships"
OUTSIDE = f'<R><Relationship Type="{OFFICE}/officeDocument" Target="../../etc/passwd"/></R>'
INSIDE = zipfile.ZipFile(io.BytesIO(word_xml(WORDS))).read("word/document.xml")
OLE = b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + bytes(504)


def read(path: Path, data: bytes, filename: str, limits: Limits = SMALL) -> ParsedDocument:
    path.write_bytes(data)
    return parse(path, sniff(path, filename).media_type, filename, limits)


def marked_encrypted(data: bytes) -> bytes:
    """The same archive with the sign of a password on its entries."""
    changed = bytearray(data)
    for sign, place in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
        start = changed.find(sign)
        while start >= 0:
            changed[start + place] |= 1
            start = changed.find(sign, start + 4)
    return bytes(changed)


def lying(data: bytes) -> bytes:
    """The same archive, whose directory says that every part is one byte long."""
    changed = bytearray(data)
    start = changed.find(b"PK\x01\x02")
    while start >= 0:
        changed[start + 24 : start + 28] = (1).to_bytes(4, "little")
        start = changed.find(b"PK\x01\x02", start + 4)
    return bytes(changed)


REFUSED = [
    # protected
    ("password.docx", OLE + "EncryptedPackage".encode("utf-16-le"), "encrypted"),
    ("old.doc", OLE, "old_office"),
    ("zip.docx", marked_encrypted(make_docx()), "encrypted"),
    ("locked.odt", open_document("", **{"META-INF/manifest.xml": "<encryption-data/>"}), "encrypted"),
    ("drm.epub", epub(CHAPTER, **{"META-INF/encryption.xml": LOCKED}), "encrypted"),
    # not what they seem
    ("notes.docx", zipped({"notes.txt": "Words."}), "foreign_type"),
    ("sheet.docx", zipped({"[Content_Types].xml": "<Types/>", "xl/workbook.xml": "<x/>"}), "foreign_type"),
    ("slides.odp", zipped({"mimetype": "application/vnd.oasis.opendocument.presentation"}), "foreign_type"),
    ("page.pdf", HTML.encode(), "mislabelled"),
    ("book.docx", epub(CHAPTER), "mislabelled"),
    ("text.epub", open_document("<text:p>Words.</text:p>"), "mislabelled"),
    ("page.odt", make_docx(), "mislabelled"),
    ("scan.html", make_pdf([["Words."]]), "mislabelled"),
    ("saved.html", b"From: <Saved by a browser>\r\nSubject: =?utf-8?Q?=C3=A9?=\r\n\tfolded\r\nMIME-Version: 1.0\r\n"
     b"Content-Transfer-Encoding: quoted-printable\r\n\r\n<p>L=C3=A9quipe=\r\n", "foreign_type"),
    # damaged
    ("cut.docx", make_docx()[:-300], "damaged"), ("cut.odt", open_document("")[:-60], "damaged"),
    ("cut.epub", epub(CHAPTER)[:-60], "damaged"), ("noise.docx", b"PK\x03\x04" + bytes(range(256)) * 8, "damaged"),
    ("empty.docx", word_xml(""), "no_text"), ("broken.docx", word_xml("<w:p>"), "damaged"),
    ("nothing.odt", zipped({"mimetype": "application/vnd.oasis.opendocument.text"}), "damaged"),
    ("nothing.epub", zipped({"mimetype": "application/epub+zip"}), "damaged"),
    ("spineless.epub", epub({}), "no_text"),
    # made to do harm
    ("bomb.docx", bomb_docx(9), "bomb"), ("lying.docx", lying(bomb_docx(9)), "damaged"),
    ("bomb.odt", open_document("", **{"Pictures/1.png": BOMB.decode()}), "bomb"),
    ("bomb.epub", epub(CHAPTER, **{"OEBPS/font": BOMB}), "bomb"),
    ("parts.docx", zipped({f"p{number}": "" for number in range(5001)} | {"word/document.xml": WORDS}), "bomb"),
    ("laughs.docx", word_xml(ENTITY, prolog=LAUGHS), "damaged"),
    ("fetch.docx", word_xml(ENTITY, prolog=FETCH), "damaged"),
    ("laughs.odt", open_document("<text:p>&i;</text:p>", prolog=LAUGHS), "damaged"),
    ("fetch.odt", open_document("<text:p>&a;</text:p>", prolog=FETCH), "damaged"),
    ("fetch.epub", epub(CHAPTER, package=FETCH + "<package><title>&a;</title></package>"), "damaged"),
    ("deep.docx", word_xml("<w:sdt>" * 3000 + WORDS + "</w:sdt>" * 3000), "too_deep"),
    ("deep.odt", open_document("<text:section>" * 3000 + "</text:section>" * 3000), "too_deep"),
    ("deep.html", b"<!doctype html><body>" + b"<div>" * 100_000 + b"Words.", "too_deep"),
    ("lists.html", b"<!doctype html><body>" + b"<ul class=box><li>" * 5_000 + b"Words.", "too_deep"),
]  # fmt: skip


@pytest.mark.parametrize(("filename", "data", "code"), REFUSED, ids=[name for name, *_ in REFUSED])
def test_each_ends_in_a_sentence(tmp_path: Path, filename: str, data: bytes, code: str) -> None:
    with pytest.raises((DocumentRejected, DocumentUnreadable)) as caught:
        read(tmp_path / "stored", data, filename)
    assert caught.value.code == code
    assert filename in str(caught.value)


READ = [
    ("slip.docx", zipped({"../../etc/cron.d/x": "evil", "/abs": "evil", "_rels/.rels": OUTSIDE,
     "word/document.xml": INSIDE})),
    ("nul.txt", b"Words." + b"\0" * 2 + b" More words of the ward are here, and they go on for a while. " * 20),
    ("nul.html", b"<!doctype html><p>Wo\0rds." + b" More words. " * 200),
    ("bidi.md", "\u202eWords.\u2066\u200f".encode()),
    ("mac.txt", "Words. L'équipe évalue le risque à l'entrée.".encode("mac_roman")),
    ("mixed.md", "Words. Décidé à l'entrée ".encode() + "déjà".encode("cp1252")),
    ("quoted.txt", b"Words. L=C3=A9quipe =E9value=\n le risque =3D 3"),
    ("dtd.html", (FETCH.replace(" x", " html") + "<html><body><p>Words. &a;</p></body></html>").encode()),
    ("dtd.epub", epub({"a.xhtml": FETCH + "<html><body><p>Words. &a;</p></body></html>"})),
    ("wide.html", b"<!doctype html><table><tr>" + b"<td rowspan=999 colspan=999>Words.</td>" * 20 + b"<tr><td>x" * 500),
    ("line.txt", b"Words " * 300_000),
    ("stars.md", b"Words. " + b"*a **b `c " * 5_000),
    ("quotes.md", b"Words.\n\n" + b">" * 5_000 + b" x"),
    ("loop.docx", word_xml(WORDS.replace("<w:p>", '<w:p><w:pPr><w:pStyle w:val="A"/></w:pPr>'), styles=
     '<w:style w:styleId="A"><w:basedOn w:val="B"/></w:style><w:style w:styleId="B"><w:basedOn w:val="A"/></w:style>')),
    ("notes.docx", word_xml('<w:p><w:r><w:t>Words.</w:t><w:footnoteReference w:id="1"/></w:r></w:p>', footnotes=
     '<w:footnote w:id="1"><w:p><w:r><w:t>See</w:t><w:footnoteReference w:id="1"/></w:r></w:p></w:footnote>')),
]  # fmt: skip


@pytest.mark.parametrize(("filename", "data"), READ, ids=[name for name, _ in READ])
def test_each_ends_in_clean_text(tmp_path: Path, filename: str, data: bytes) -> None:
    before = sorted(tmp_path.parent.iterdir())
    document = read(tmp_path / "stored", data, filename)
    text = document.pages[0].text
    assert text.startswith("Words")
    assert not set(text) & set("\0\u202e\u2066\u200f\ufeff")
    assert "root:" not in text
    assert Path("/etc/hostname").read_text().strip() not in text.split()
    assert sorted(tmp_path.parent.iterdir()) == before  # nothing was unpacked
    assert all(piece.text.strip() for piece in cut(document.pages, lambda words: len(words.split()), Sizes()))


@settings(max_examples=60, deadline=None)
@given(st.data())
def test_archives_with_changed_bytes_never_end_in_anything_else(data: st.DataObject) -> None:
    parser, whole = data.draw(st.sampled_from(ARCHIVES))
    changed = bytearray(whole)
    for _ in range(data.draw(st.integers(1, 6))):
        changed[data.draw(st.integers(0, len(changed) - 1))] = data.draw(st.integers(0, 255))
    try:
        document = parser(bytes(changed[: data.draw(st.integers(len(changed) // 2, len(changed)))]), SMALL)
    except (ParseFailed, MemoryError):
        return
    check(document.pages[0])


ARCHIVES = [
    (parse_docx, make_docx()),
    (parse_docx, word_xml(WORDS)),
    (parse_odt, open_document("<text:p>Words.</text:p>")),
    (parse_epub, epub(CHAPTER)),
]

tags = st.sampled_from(
    ["<div>", "</div>", "<table>", "<tr>", "<td rowspan=3>", "<th>", "</table>", "<ul>", "<li>", "</ul>", "<h2>",
     "</h2>", "<dl>", "<dt>", "<dd>", "<details>", "<summary>", "<aside>", "<br>", "<sup>1</sup>", "<p class='note'>",
     "<nav>",
     "<form>", "<main>", "<pre>", "<q>", "<!--", "-->", "&amp;", "<script>", "</script>", "words ", "Mot. ", "é"]
)  # fmt: skip
marks = st.sampled_from(
    ["# ", "## ", "- ", "1. ", "> ", "> [!NOTE]\n", "|a|b|\n|---|---|\n", "| c | d |\n", "\n", "\n\n", "    ", "```\n",
     "[^1]", "[^1]: ", "!!! note\n", "::: tip\n", ":::\n", "---\n", "title: x\n", "<!--", "-->", "words ", "Mot. ", "é"]
)  # fmt: skip


def check(page: ParsedPage) -> None:
    """Headings and blocks are words of the page, and nothing in it cannot be stored or seen."""
    assert not set(page.text) & set("\0\x7f\ufeff\u200b")
    assert all(line == line.strip() != "" for line in page.text.split("\n")) or not page.text
    for mark in (*page.headings, *page.blocks):
        assert page.text[mark.start : mark.end].strip()
        assert page.text[mark.start - 1 : mark.start] in {"", "\n"}
        assert page.text[mark.end : mark.end + 1] in {"", "\n"}


@settings(max_examples=150, deadline=None)
@given(st.lists(st.one_of(tags, st.text(max_size=8)), max_size=40).map("".join))
def test_any_web_page_is_read(markup: str) -> None:
    try:
        document = parse_html(("<!doctype html><body>" + markup).encode("utf-8", errors="ignore"))
    except ParseFailed as error:
        assert error.code == "damaged"
    else:
        check(document.pages[0])


@settings(max_examples=150, deadline=None)
@given(st.lists(st.one_of(marks, st.text(max_size=8)), max_size=40).map("".join))
def test_any_markdown_is_read(markup: str) -> None:
    for parser in (parse_markdown, parse_text):
        try:
            document = parser(markup.encode("utf-8", errors="ignore"))
        except ParseFailed as error:
            assert error.code == "damaged"
        else:
            check(document.pages[0])


def test_markdown_that_was_changed_by_one_letter_keeps_its_words() -> None:
    words = {"Leave", "granted", "relative", "Monday"}
    for place in range(0, len(MARKDOWN), 7):
        text = parse_markdown((MARKDOWN[:place] + "_" + MARKDOWN[place:]).encode()).pages[0].text
        assert len([word for word in words if word in text]) >= 3
