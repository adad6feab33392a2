"""What a document is called: by whoever uploads it, by itself where that can be trusted, else by its file name."""

import io
from collections.abc import Callable
from pathlib import Path

import docx
import pytest
from hypothesis import given
from hypothesis import strategies as st

import knowledge
from knowledge.ingestion._intake import same_document, title_of
from knowledge.models import GuidelineVersion
from knowledge.parsing import ParsedDocument, Title, read_title, sniff
from knowledge.parsing._title import find_title, looks_like_title

from .documents import HTML, MARKDOWN, TEXT, encrypted_pdf, make_docx, make_pdf

Add = Callable[..., GuidelineVersion]
SAMPLES = Path(__file__).resolve().parent.parent.parent / "knowledge" / "samples"


def pdf(*lines: str | tuple[str, float], title: str = "") -> bytes:
    return make_pdf([lines], title=title)


def word(title: str, *headings: str, styled: str = "") -> bytes:
    document = docx.Document()
    document.core_properties.title = title
    if styled:
        document.add_paragraph(styled, style="Title")
    for heading in headings:
        document.add_heading(heading, 1)
        document.add_paragraph("A sentence stands here.")
    if not headings:
        document.add_paragraph("A sentence stands here.")
    target = io.BytesIO()
    document.save(target)
    return target.getvalue()


BODY = ("", "This protocol is for the ward. It says what is to be done when a patient arrives at night.")
TITLES = [
    ("metadata that are printed too.pdf", pdf("Lithium on the ward", *BODY, title="Lithium on the ward"),
     "Lithium on the ward", True),
    ("largest print.pdf", pdf(("Lithium on the ward", 20), *BODY), "Lithium on the ward", False),
    ("left over.pdf", pdf(("Lithium on the ward", 20), *BODY, title="Seclusion on the ward"),
     "Lithium on the ward", False),
    ("program.pdf", pdf(("Lithium on the ward", 20), *BODY, title="Microsoft Word - draft3.doc"),
     "Lithium on the ward", False),
    ("metadata alone.pdf", pdf(*BODY, title="Lithium on the ward"), "Lithium on the ward", False),
    ("template.pdf", pdf(*BODY, title="Protocole"), "", False),
    ("file name.pdf", pdf(*BODY, title="lithium_v3_final"), "", False),
    ("house.pdf", pdf(("Centre hospitalier de la Côte", 20), *BODY), "", False),
    ("section.pdf", pdf(("1. Objet", 20), *BODY), "", False),
    ("browser.pdf", pdf(("Panic disorder", 20), *BODY, title="Panic disorder - Institute of Health (IH)"),
     "Panic disorder", True),
    ("locked.pdf", encrypted_pdf(), "", False),
    ("core.docx", make_docx(), "Seclusion protocol", True),
    ("styled.docx", word("Modèle", "Objet", "Déroulement", styled="Mise en isolement"), "Mise en isolement", True),
    ("sections.docx", word("Word Document", "Premiers gestes", "Surveillance"), "Premiers gestes", False),
    ("nothing.docx", word("Document1"), "", False),
    ("page.html", HTML.encode(), "Observation levels", True),
    ("site.html", HTML.replace("<title>Observation levels", "<title>Observation levels | Ward 3").encode(),
     "Observation levels", True),
    ("h1.html", HTML.replace("<title>Observation levels</title>", "").encode(), "Observation levels", True),
    ("heading.md", MARKDOWN.encode(), "Leave from the ward", True),
    ("front.md", MARKDOWN.replace("author: nobody", 'title: "Leave from the ward"').encode(),
     "Leave from the ward", True),
    ("several.md", b"# Visits\n\nOne hour.\n\n# Leave\n\nFour hours.\n", "Visits", False),
    ("round.txt", TEXT.encode(), "Medication round", True),
    ("plain.txt", b"The round begins at eight.\n", "", False),
]  # fmt: skip


@pytest.mark.parametrize(("filename", "data", "title", "sure"), TITLES, ids=[name for name, *_ in TITLES])
def test_the_title_that_a_document_has(tmp_path: Path, filename: str, data: bytes, title: str, sure: bool) -> None:
    path = tmp_path / "stored"
    path.write_bytes(data)
    assert read_title(path, sniff(path, filename).media_type, filename) == Title(title, sure)


@pytest.mark.parametrize(
    ("filename", "title"),
    [
        ("safety-plan-fr-sample-protocol.pdf", "Plan de sécurité : exemple de protocole local"),
        ("nimh-generalized-anxiety-disorder.pdf", "Generalized Anxiety Disorder: What You Need to Know"),
        ("service-public-hospitalisation-troubles-mentaux.html", "Hospitalisation pour troubles mentaux"),
        ("nih-self-harm.md", "Self-harm"),
    ],
)
def test_the_titles_of_the_samples(filename: str, title: str) -> None:
    path = SAMPLES / filename
    assert read_title(path, sniff(path, filename).media_type, filename).text == title


@given(st.text(max_size=300), st.text(max_size=300))
def test_whatever_a_file_says_its_title_is_one_line_or_none(said: str, printed: str) -> None:
    from knowledge.parsing._document import PageWriter

    writer = PageWriter()
    writer.heading(printed, 1)
    found = find_title(ParsedDocument(said, (writer.page(),)))
    assert not found.text or looks_like_title(found.text)
    assert "\n" not in found.text


@pytest.mark.parametrize(
    ("filename", "title"),
    [
        ("plan_de_soins-2024.pdf", "Plan de soins 2024"),
        ("isolement - version 2.docx", "Isolement - version 2"),
        ("LITHIUM.pdf", "LITHIUM"),
        ("éléments.md", "Éléments"),
        (".txt", ".txt"),
    ],
)
def test_a_file_name_made_readable(filename: str, title: str) -> None:
    assert title_of(filename) == title


def test_file_names_of_revisions() -> None:
    assert same_document("isolement_v2.pdf", "Isolement - 2024 final.pdf")
    assert not same_document("protocole isolement.pdf", "protocole contention.pdf")
    assert not same_document("2023.pdf", "2024.pdf")


@pytest.fixture
def add(db: None, data_folder: Path) -> Add:
    def add(data: bytes | str, filename: str, **fields: str) -> GuidelineVersion:
        raw = data.encode() if isinstance(data, str) else data
        return knowledge.add_version(io.BytesIO(raw), filename=filename, **fields)

    return add


def test_a_second_file_with_the_same_title_is_the_next_version(add: Add) -> None:
    first = add("# Leave from the ward\n\nFour hours.", "leave.md", publisher="Ward 3")
    second = add("# Leave from the ward\n\nSix hours.", "sorties 2025.md", publisher="Ward 3")
    elsewhere = add("# Leave from the ward\n\nOne hour.", "leave.md", publisher="Ward 4")
    assert first.guideline.title == "Leave from the ward"
    assert (second.guideline_id, second.number) == (first.guideline_id, 2)
    assert (elsewhere.guideline_id != first.guideline_id, elsewhere.number) == (True, 1)


def test_the_title_given_by_a_person_wins(add: Add) -> None:
    first = add("# Leave from the ward\n\nFour hours.", "leave.md", title="  Sorties\n autorisées ")
    second = add(pdf(("Something else", 20), *BODY), "x.pdf", title="Sorties autorisées")
    assert first.guideline.title == "Sorties autorisées"
    assert (second.guideline_id, second.number) == (first.guideline_id, 2)


def test_without_a_title_the_file_name_is_one(add: Add) -> None:
    assert add("The round begins at eight.", "tour_des-médicaments.txt").guideline.title == "Tour des médicaments"
    assert add("The round begins at nine.", "tour_des-médicaments.txt").number == 2


def test_a_guessed_title_takes_no_other_guideline_away(add: Add) -> None:
    """Both files have the name of a unit in large print; the second one must not replace the first in answers."""
    first = add(pdf(("Ward of the hospital", 20), *BODY), "isolement.pdf")
    other = add(pdf(("Ward of the hospital", 20), *BODY, "Restraint is a last resort."), "contention.pdf")
    revised = add(pdf(("Ward of the hospital", 20), *BODY, "Seclusion is a last resort."), "isolement_v2.pdf")
    assert (other.guideline.title, other.number) == ("Contention", 1)
    assert (revised.guideline_id, revised.number) == (first.guideline_id, 2)


def test_a_file_received_before_the_transaction(db: None, data_folder: Path) -> None:
    file = knowledge.receive(io.BytesIO(MARKDOWN.encode()), filename="../leave.md")
    assert (file.filename, file.title) == ("leave.md", "Leave from the ward")
    assert knowledge.add_version(file, uploaded_by="anna").guideline.title == "Leave from the ward"
