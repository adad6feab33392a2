"""Every error is a sentence in the language of whoever reads it, also where a worker kept it."""

import io
import re
from pathlib import Path

import pytest
from django.utils import translation

import knowledge
from knowledge._messages import MESSAGES, sentence
from knowledge.models import GuidelineVersion

from .documents import TEXT, encrypted_pdf, make_pdf

SOURCES = Path(__file__).resolve().parent.parent.parent / "knowledge"


@pytest.mark.parametrize(
    ("filename", "data", "english", "french"),
    [
        ("vide.pdf", b"", "“vide.pdf” is empty.", "«\u00a0vide.pdf\u00a0» est vide."),
        ("photo.png", b"\x89PNG\r\n\x1a\n" + bytes(100), "is a PNG image, not", "est une image PNG, pas"),
        ("tour.pdf", TEXT.encode(), "named like PDF, but its content is plain text", "(texte brut)"),
        ("100 % (s).csv", b"a;b\n", "“100 % (s).csv” is of a type", "«\u00a0100 % (s).csv\u00a0» est d’un type"),
    ],
)
def test_a_rejection_is_in_the_language_of_the_person(
    data_folder: Path, filename: str, data: bytes, english: str, french: str
) -> None:
    with pytest.raises(knowledge.DocumentRejected) as caught:
        knowledge.receive(io.BytesIO(data), filename=filename)
    with translation.override("en"):
        assert english in str(caught.value)
    with translation.override("fr"):
        assert french in str(caught.value)


def test_the_same_file_twice_in_french(db: None, data_folder: Path) -> None:
    knowledge.add_version(io.BytesIO(TEXT.encode()), filename="round.txt")
    with translation.override("fr"), pytest.raises(knowledge.DuplicateDocument) as caught:
        knowledge.add_version(io.BytesIO(TEXT.encode()), filename="tour.txt")
    with translation.override("fr"):
        assert "est déjà dans la bibliothèque\u00a0: c’est «\u00a0Medication round\u00a0», version 1." in str(
            caught.value
        )


def test_what_a_worker_kept_is_read_in_every_language(db: None, data_folder: Path) -> None:
    version = knowledge.add_version(io.BytesIO(encrypted_pdf()), filename="verrou.pdf")
    steps: list[knowledge.Progress] = []
    with pytest.raises(knowledge.DocumentUnreadable):
        knowledge.ingest(version.pk, steps.append)
    kept = GuidelineVersion.objects.get()
    assert (kept.error_code, kept.error_parameters) == ("encrypted", {"name": "verrou.pdf"})
    with translation.override("en"):
        assert kept.error == "“verrou.pdf” is protected by a password. Please upload it without one."
        assert steps[-1].error == kept.error
    with translation.override("fr"):
        assert kept.error.startswith("«\u00a0verrou.pdf\u00a0» est protégé par un mot de passe.")
    assert knowledge.retry(kept.pk).error == ""


def test_parameters_of_the_child_process_reach_the_sentence(tmp_path: Path) -> None:
    from knowledge.parsing import Limits, parse

    path = tmp_path / "long.pdf"
    path.write_bytes(make_pdf([["Page."]] * 6))
    with pytest.raises(knowledge.ParsingLimitExceeded) as caught:
        parse(path, "application/pdf", "long.pdf", Limits(pages=5))
    with translation.override("fr"):
        assert "a 6 pages\u202f; 5 au plus" in str(caught.value)


def test_numbers_are_written_as_the_language_writes_them() -> None:
    parameters = {"name": "long.pdf", "pages": 12000, "most": 5000}
    with translation.override("en"):
        assert "has 12,000 pages; at most 5,000" in sentence("too_many_pages", parameters)
    with translation.override("fr"):
        assert "a 12\u00a0000 pages" in sentence("too_many_pages", parameters).replace("\u202f", "\u00a0")


def test_an_unknown_code_is_a_sentence_too() -> None:
    assert "error in the program" in sentence("of a later version", {"name": "x"})


def test_every_code_that_is_raised_has_its_sentence() -> None:
    sources = [path for folder in (SOURCES, SOURCES.parent / "portal") for path in folder.rglob("*.py")]
    text = "\n".join(path.read_text(encoding="utf-8") for path in sources if path.name != "_messages.py")
    kinds = r"(?:DocumentRejected|DocumentUnreadable|ParsingLimitExceeded|ParseFailed|IngestionRunning|KnowledgeError"
    raised = set(re.findall(kinds + r'|EmbedderUnavailable|Index\w+|NotPossible|NoSuchPage)\(\s*"(\w+)"', text))
    assert len(raised) > 50
    assert raised - {"internal"} <= set(MESSAGES)
    assert {code for code in MESSAGES if f'"{code}"' not in text} == set()  # a sentence that nothing says
