"""Every format becomes text with headings; every bad file becomes a sentence."""

import io
import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from knowledge import DocumentRejected, DocumentUnreadable, ParsingLimitExceeded
from knowledge.parsing import Limits, ParsedDocument, parse, sniff
from knowledge.parsing._html import parse_html
from knowledge.parsing._limits import ParseFailed
from knowledge.parsing._markdown import parse_markdown
from knowledge.parsing._text import decode, parse_text

from .documents import HTML, MARKDOWN, TEXT, bomb_docx, encrypted_pdf, make_docx, make_pdf

SAMPLES = Path(__file__).resolve().parent.parent.parent / "knowledge" / "samples"


def read(tmp_path: Path, data: bytes, filename: str, limits: Limits | None = None) -> ParsedDocument:
    path = tmp_path / "stored"
    path.write_bytes(data)
    return parse(path, sniff(path, filename).media_type, filename, limits)


def outline(document: ParsedDocument) -> list[tuple[int, str]]:
    return [(h.level, page.text[h.start : h.end]) for page in document.pages for h in page.headings]


def test_pdf_gives_pages_headings_and_whole_paragraphs(tmp_path: Path) -> None:
    data = make_pdf(
        [
            [
                ("Lithium protocol", 20), "", ("Before the start", 15), "", "Blood is taken for creati-",
                "nine and thyroid values. The result is read",
                "by the physician before the first tablet is given on the ward.", "", "Nothing else.",
            ],
            [
                ("Monitoring", 15), "", "The level is measured after five days.", "- in the morning",
                "- twelve hours after the last tablet",
            ],
        ]
    )  # fmt: skip
    document = read(tmp_path, data, "lithium.pdf")
    assert [page.number for page in document.pages] == [1, 2]
    assert outline(document) == [(1, "Lithium protocol"), (2, "Before the start"), (2, "Monitoring")]
    assert "thyroid values. The result is read by the physician before the first tablet" in document.pages[0].text
    assert document.pages[1].text.split("\n")[-2:] == ["- in the morning", "- twelve hours after the last tablet"]


def test_pdf_running_heads_and_margin_numbers_go_and_printed_numbers_become_labels(tmp_path: Path) -> None:
    numbered = [
        [
            "Draft of the ward",
            *(f"{100 * page + line} Sentence {'abcdefghij'[line] * page} is here." for line in range(10)),
            str(page + 5),
        ]
        for page in range(1, 5)
    ]
    document = read(tmp_path, make_pdf(numbered), "draft.pdf")
    assert [page.label for page in document.pages] == ["6", "7", "8", "9"]
    text = document.pages[2].text
    assert "Draft of the ward" not in text
    assert "Sentence aaa is here." in text
    assert "300" not in text
    assert "305" not in text


def test_pdf_page_labels_of_the_file(tmp_path: Path) -> None:
    labels = "<< /Nums [0 << /S /r >> 2 << /S /D /St 1 >>] >>"
    document = read(tmp_path, make_pdf([["Preface."], ["Contents."], ["Chapter one."]], labels=labels), "book.pdf")
    assert [page.label for page in document.pages] == ["i", "ii", "1"]


@pytest.mark.parametrize("language", ["en", "fr"])
def test_sample_protocol_has_its_headings_from_the_outline(language: str) -> None:
    path = SAMPLES / f"safety-plan-{language}-sample-protocol.pdf"
    document = parse(path, "application/pdf", path.name)
    assert len(document.pages) == 3
    titles = [title for _, title in outline(document)]
    assert {"en": "The steps of a safety plan", "fr": "Les étapes d'un plan de sécurité"}[language] in titles
    assert len(titles) == 17


def test_docx(tmp_path: Path) -> None:
    document = read(tmp_path, make_docx(), "seclusion.docx")
    assert document.title == "Seclusion protocol"
    assert outline(document) == [(1, "Seclusion protocol"), (1, "When seclusion is allowed"), (1, "Checks")]
    lines = document.pages[0].text.split("\n")
    assert "• The room has been checked." in lines
    assert lines[-2:] == ["Check | Every", "Breathing | 15 minutes"]
    assert document.pages[0].number is None


def test_html_keeps_the_main_content_only(tmp_path: Path) -> None:
    document = read(tmp_path, HTML.encode(), "levels.html")
    text = document.pages[0].text
    assert outline(document) == [(1, "Observation levels"), (2, "Level one")]
    assert "There are three levels of observation, which the team" in text
    assert "• The checks are written down." in text.split("\n")
    assert "Level: Two; Interval: 15 minutes" in text.split("\n")
    for gone in ("Menu of the hospital", "Banner", "Imprint", "alert", "color"):
        assert gone not in text


def test_markdown_treats_markup_inside_as_text(tmp_path: Path) -> None:
    document = read(tmp_path, MARKDOWN.encode(), "leave.md")
    text = document.pages[0].text
    assert [title for _, title in outline(document)] == ["Leave from the ward", "Before leave", "After leave"]
    assert "It lasts four hours at most." in text
    assert "Day: Monday; Hours: 4" in text.split("\n")
    assert "nobody" not in text
    assert "<script>alert(1)</script>" in text  # as words; nothing renders it


def test_plain_text(tmp_path: Path) -> None:
    document = read(tmp_path, TEXT.encode(), "round.txt")
    assert outline(document) == [(1, "Medication round")]
    assert "Two nurses take part and check each name." in document.pages[0].text
    assert "- The physician is told." in document.pages[0].text.split("\n")


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "cp1252"])
def test_text_encodings(encoding: str) -> None:
    sentence = "L'équipe évalue le risque à l'entrée : œdème, 15 €."
    assert decode(sentence.encode(encoding)) == sentence


BAD = [
    ("locked.pdf", encrypted_pdf(), "encrypted", "password"),
    ("none.pdf", make_pdf([]), "no_pages", "no pages"),
    ("scan.pdf", make_pdf([[], []]), "scan", "OCR"),
    ("cut.pdf", make_pdf([["A sentence that is long enough."]])[:120], "damaged", "damaged"),
    ("noise.pdf", b"%PDF-1.7\n" + bytes(range(256)) * 40, "damaged", "damaged"),
    ("cut.docx", make_docx()[:-400], "damaged", "damaged"),
    ("bomb.docx", bomb_docx(), "bomb", "unpacks"),
    ("blank.txt", b" \n\t \n", "no_text", "no text"),
    ("blank.html", b"<!doctype html><html><body><script>x()</script></body></html>", "no_text", "no text"),
]


@pytest.mark.parametrize(("filename", "data", "code", "words"), BAD, ids=[name for name, *_ in BAD])
def test_bad_documents_get_a_sentence(tmp_path: Path, filename: str, data: bytes, code: str, words: str) -> None:
    with pytest.raises((DocumentUnreadable, DocumentRejected)) as caught:
        read(tmp_path, data, filename)
    assert caught.value.code == code
    assert words in str(caught.value)
    assert filename in str(caught.value)


FOREIGN = [
    ("protocol.pdf", HTML.encode(), "mislabelled"),
    ("protocol.pdf", TEXT.encode(), "mislabelled"),
    ("protocol.html", make_pdf([["Text."]]), "mislabelled"),
    ("protocol.txt", make_docx(), "mislabelled"),
    ("photo.png", b"\x89PNG\r\n\x1a\n" + bytes(100), "foreign_type"),
    ("photo.pdf", b"\x89PNG\r\n\x1a\n" + bytes(100), "foreign_type"),
    ("old.doc", b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + bytes(600), "old_office"),
    ("table.csv", b"a,b\n1,2\n", "unknown_type"),
    ("core.txt", bytes(range(256)) * 20, "damaged"),
]


@pytest.mark.parametrize(("filename", "data", "code"), FOREIGN, ids=[f"{name}-{code}" for name, _, code in FOREIGN])
def test_files_of_the_wrong_type_are_named(tmp_path: Path, filename: str, data: bytes, code: str) -> None:
    path = tmp_path / "stored"
    path.write_bytes(data)
    with pytest.raises(DocumentRejected) as caught:
        sniff(path, filename)
    assert caught.value.code == code
    assert filename in str(caught.value)


@pytest.mark.parametrize(
    ("limits", "code"),
    [
        (Limits(wall_seconds=0.02), "time"),
        (Limits(cpu_seconds=0), "time"),
        (Limits(characters=1000), "too_much_text"),
    ],
    ids=["wall", "cpu", "characters"],
)
def test_a_document_cannot_take_more_than_its_limits(tmp_path: Path, limits: Limits, code: str) -> None:
    with pytest.raises(ParsingLimitExceeded) as caught:
        read(tmp_path, make_docx(fill=200), "large.docx", limits)
    assert caught.value.code == code
    assert "large.docx" in str(caught.value)


def test_a_small_word_file_cannot_fill_the_memory(tmp_path: Path) -> None:
    body = "<w:p/>" * 2_000_000
    data = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(make_docx())) as good, zipfile.ZipFile(data, "w", zipfile.ZIP_DEFLATED) as bad:
        for name in good.namelist():
            part = good.read(name)
            bad.writestr(
                name, part.replace(b"<w:body>", b"<w:body>" + body.encode()) if "document.xml" in name else part
            )
    with pytest.raises(ParsingLimitExceeded) as caught:
        read(tmp_path, data.getvalue(), "small.docx", Limits(memory_bytes=256 * 1024 * 1024))
    assert caught.value.code == "memory"


def test_too_many_pages(tmp_path: Path) -> None:
    with pytest.raises(ParsingLimitExceeded, match="6 pages; at most 5"):
        read(tmp_path, make_pdf([["Page."]] * 6), "long.pdf", Limits(pages=5))


def test_deeply_nested_html_is_read_or_refused_never_fatal(tmp_path: Path) -> None:
    data = ("<!doctype html><body>" + "<div>" * 5_000 + "Deep words stand here." + "</div>" * 5_000).encode()
    try:
        document = read(tmp_path, data, "deep.html")
    except DocumentUnreadable as error:
        assert "deep.html" in str(error) or "nested" in str(error)
    else:
        assert "Deep words" in document.pages[0].text or document.pages[0].text


def test_the_child_sees_no_secrets_of_the_installation() -> None:
    code = (
        "import subprocess, knowledge.parsing._run as run\n"
        "seen = {}\n"
        "def fake(*a, **k):\n    seen.update(k['env']); raise OSError\n"
        "run.subprocess.Popen = fake\n"
        "from pathlib import Path\n"
        "try:\n    run.parse(Path('x'), 'text/plain', 'x')\nexcept Exception:\n    pass\n"
        "print(sorted(seen))\n"
    )
    environment = os.environ | {"HAVRE_SECRET_KEY": "s3cret", "HAVRE_DATABASE_PASSWORD": "pw"}
    shown = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=environment, check=True)
    assert "HAVRE" not in shown.stdout


@settings(max_examples=150, deadline=None)
@given(st.binary(max_size=3000))
def test_text_parsers_take_any_bytes(data: bytes) -> None:
    for parser in (parse_text, parse_html, parse_markdown):
        try:
            document = parser(data)
        except ParseFailed:
            continue
        for page in document.pages:
            assert "\x00" not in page.text
            for heading in page.headings:
                assert page.text[heading.start : heading.end].strip()
