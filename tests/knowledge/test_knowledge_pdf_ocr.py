"""Pages that are images: refused as a scan, or read by OCR where it is asked for, without any network."""

import io
import socket
from difflib import SequenceMatcher
from pathlib import Path

import numpy
import pypdfium2
import pytest
from PIL import Image

from knowledge import DocumentUnreadable
from knowledge.parsing import ParsedDocument, boxes_of, parse, unpack_boxes
from knowledge.parsing._limits import Limits, ParseFailed
from knowledge.parsing._pdf import parse_pdf

from .pdfs import Sheet, draw, stream, words

FRENCH = [
    "Dès l'entrée, le patient bénéficie d'un examen",
    "complet. Où que ce soit, l'isolement dépasse",
    "rarement douze heures ; ça reste exceptionnel.",
]
SIZE = (900, 420)  # pixels, at 150 dots an inch


def image_of(lines: list[str], tilt: float = 0.0) -> Image.Image:
    """Lines of print as an image, laid askew by so many degrees."""
    drawn = "".join(words(line, 30, 160 - 24 * number, 14) for number, line in enumerate(lines))
    with pypdfium2.PdfDocument(draw([Sheet(drawn, "[0 0 432 201.6]")])) as document:
        image: Image.Image = document[0].render(scale=SIZE[0] / 432).to_pil().convert("L")
    return image.crop((0, 0, *SIZE)).rotate(tilt, fillcolor=255, resample=Image.Resampling.BICUBIC)


def scan(image: Image.Image, stamp: str = "") -> bytes:
    """A PDF of one page that is an image, with a text in a corner, and one page of text behind it."""
    data = io.BytesIO()
    image.save(data, "JPEG", quality=90)
    entries = f"/Type /XObject /Subtype /Image /Width {SIZE[0]} /Height {SIZE[1]} /ColorSpace /DeviceGray "
    picture = stream(data.getvalue(), entries=entries + "/BitsPerComponent 8 /Filter /DCTDecode")
    width, height = SIZE[0] * 72 / 150, SIZE[1] * 72 / 150
    content = f"q {width} 0 0 {height} 0 0 cm /X Do Q\n" + (words(stamp, 20, height - 12, 6) if stamp else "")
    page = Sheet(content, f"[0 0 {width} {height}]", resources="/XObject << /X 5 0 R >>")
    return draw([page, Sheet(words("This page has text of its own, which is enough.", 60, 700))], more=(picture,))


def only_image(data: bytes) -> bytes:
    """The same without the page of text."""
    return data.replace(b"/Kids [6 0 R 8 0 R] /Count 2", b"/Kids [6 0 R      ] /Count 1")


@pytest.fixture(scope="module")
def read(tmp_path_factory: pytest.TempPathFactory) -> tuple[ParsedDocument, list[tuple[int, int, str]]]:
    """A document of one scanned page, askew by a degree, and one with text; with what was told while it was read."""
    path = tmp_path_factory.mktemp("scan") / "stored.pdf"
    path.write_bytes(scan(image_of(FRENCH, 1.0), "Archive 12"))
    told: list[tuple[int, int, str]] = []
    document = parse(path, "application/pdf", "scan.pdf", ocr="fr", on_page=lambda *step: told.append(step))
    return document, told


def test_french_is_read_off_a_page_that_lies_askew(read: tuple[ParsedDocument, list[tuple[int, int, str]]]) -> None:
    page = read[0].pages[0]
    assert page.ocr
    wanted = " ".join(["Archive 12", *FRENCH])
    likeness = SequenceMatcher(None, wanted, " ".join(page.text.split())).ratio()
    assert likeness > 0.97, page.text
    accents = [char for char in page.text if char in "àâçéèêëîïôûùœ"]
    assert len(accents) >= 0.9 * sum(char in "àâçéèêëîïôûùœ" for char in wanted)


def test_pages_with_text_are_not_read_off_their_image(
    read: tuple[ParsedDocument, list[tuple[int, int, str]]],
) -> None:
    document, told = read
    assert not document.pages[1].ocr
    assert document.pages[1].text == "This page has text of its own, which is enough."
    assert told[-1][1:] == (1, "ocr")


def test_words_of_a_scan_have_their_places(read: tuple[ParsedDocument, list[tuple[int, int, str]]]) -> None:
    """As they are on the page, not as they would be if it lay straight."""
    page = read[0].pages[0]
    boxes = unpack_boxes(page.boxes)
    word = page.text.split()[-1]
    ((left, top, right, bottom),) = boxes_of(boxes, len(page.text) - len(word), len(page.text))
    image = image_of(FRENCH, 1.0)
    scale = SIZE[0] / page.width
    inside = image.crop((int(left * scale) - 3, int(top * scale) - 3, int(right * scale) + 3, int(bottom * scale) + 3))
    below = image.crop((int(left * scale), int(bottom * scale) + 8, int(right * scale), int(bottom * scale) + 30))
    assert inside.getextrema()[0] < 80
    assert below.getextrema()[0] > 200
    assert right - left < 0.5 * page.width


def test_a_scan_without_ocr_is_told_so(tmp_path: Path) -> None:
    path = tmp_path / "stored.pdf"
    path.write_bytes(only_image(scan(image_of(FRENCH), "Archive 12")))
    with pytest.raises(DocumentUnreadable) as caught:
        parse(path, "application/pdf", "scan.pdf")
    assert caught.value.code == "scan"
    assert "OCR" in str(caught.value)


def test_a_document_with_some_images_is_read_without_ocr(tmp_path: Path) -> None:
    path = tmp_path / "stored.pdf"
    path.write_bytes(scan(image_of(FRENCH)))
    pages = parse_pdf(path, Limits()).pages
    assert [page.text for page in pages] == ["", "This page has text of its own, which is enough."]


def test_more_images_than_may_be_read_are_refused_before_any_is(tmp_path: Path) -> None:
    path = tmp_path / "stored.pdf"
    path.write_bytes(scan(image_of(FRENCH)))
    with pytest.raises(ParseFailed) as caught:
        parse_pdf(path, Limits(ocr_pages=0), ocr="fr")
    assert caught.value.code == "too_many_pages"


def test_the_models_come_from_the_package_and_nothing_is_fetched(monkeypatch: pytest.MonkeyPatch) -> None:
    """rapidocr would download a model that it is not given."""
    from knowledge.parsing import _ocr

    def refused(*_: object, **__: object) -> None:
        raise AssertionError("a connection was opened")

    monkeypatch.setattr(socket.socket, "connect", refused)
    monkeypatch.setattr(socket, "getaddrinfo", refused)
    reader = _ocr.Reader()
    lines = list(reader._lines(numpy.asarray(image_of(["Lithium"]).crop((0, 0, 300, 130)).convert("RGB"))))
    assert [text for text, *_ in lines] == ["Lithium"]


def test_only_french_and_english_can_be_asked_for(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="French and English"):
        parse(tmp_path / "none.pdf", "application/pdf", "none.pdf", ocr="de")
