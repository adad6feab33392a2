"""Where words stand: kept through all cleaning, right on turned and cut pages, and marked on the image of the page."""

import io
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from knowledge import DocumentUnreadable
from knowledge.parsing import Box, ParsedDocument, boxes_of, pack_boxes, page_image, unpack_boxes
from knowledge.parsing._limits import Limits
from knowledge.parsing._pdf import parse_pdf

from .documents import encrypted_pdf, make_pdf
from .pdfs import Sheet, draw, words

SAMPLES = sorted((Path(__file__).resolve().parent.parent.parent / "knowledge" / "samples").glob("*.pdf"))


def read(tmp_path: Path, data: bytes) -> ParsedDocument:
    path = tmp_path / "stored.pdf"
    path.write_bytes(data)
    return parse_pdf(path, Limits())


def without_place(text: str, boxes: tuple[Box, ...]) -> list[str]:
    """The words of which some character is in no box."""
    covered = bytearray(len(text))
    for start, end, *_ in boxes:
        covered[start:end] = b"\1" * (end - start)
    places, at = [], 0
    for word in text.split():
        at = text.index(word, at)
        places.append((word, at))
        at += len(word)
    return [word for word, at in places if not all(covered[at : at + len(word)])]


def test_there_are_samples() -> None:
    assert len(SAMPLES) >= 2


@pytest.mark.parametrize("path", SAMPLES, ids=lambda path: path.stem)
def test_every_word_of_the_samples_has_its_place(path: Path) -> None:
    for page in parse_pdf(path, Limits()).pages:
        boxes = unpack_boxes(page.boxes)
        assert without_place(page.text, boxes) == []
        for start, end, left, top, right, bottom in boxes:
            assert 0 <= start < end <= len(page.text)
            assert page.text[start:end].strip()
            assert 0 <= left < right <= page.width
            assert 0 <= top < bottom <= page.height


def test_places_follow_the_words_through_cleaning(tmp_path: Path) -> None:
    """Margin numbers and running heads go, lines are joined, a broken word stands on two lines."""

    def lines(page: int) -> list[str]:
        sentences = [f"Sentence {'abcdefghijk'[line] * page} stands here." for line in range(10)]
        sentences[5:7] = ["The creatinine is measured, and the creati-", "nine is written down."]
        return ["Draft of the ward", *(f"{20 * page + n} {text}" for n, text in enumerate(sentences)), str(page)]

    pages = [lines(page) for page in range(1, 5)]
    page = read(tmp_path, make_pdf(pages)).pages[1]
    assert "Draft" not in page.text
    assert "and the creatinine is written down." in page.text
    boxes = unpack_boxes(page.boxes)
    assert without_place(page.text, boxes) == []
    start = page.text.index("the creatinine is written")
    rects = boxes_of(boxes, start, start + len("the creatinine is written"))
    assert len(rects) == 2
    assert 10 < rects[1][1] - rects[0][1] < 20  # one line below the other
    assert rects[1][0] > 60  # the margin number is not part of it
    assert rects[1][0] < rects[0][0]


WORD = words("Lithium", 200, 600, 20)
TURNED = [
    ("upright", "[0 0 400 800]", "", (200, 185, 275, 210)),
    ("90", "[0 0 400 800]", "/Rotate 90", (590, 195, 625, 280)),
    ("180", "[0 0 400 800]", "/Rotate 180", (125, 590, 205, 625)),
    ("270", "[0 0 400 800]", "/Rotate 270", (175, 120, 215, 205)),
    ("cropped", "[0 0 400 800]", "/CropBox [150 550 350 750]", (45, 130, 130, 160)),
    ("moved origin", "[-100 -100 300 700]", "", (295, 80, 380, 110)),
]


@pytest.mark.parametrize(("name", "box", "extra", "around"), TURNED, ids=[case[0] for case in TURNED])
def test_boxes_are_where_the_ink_is(
    tmp_path: Path, name: str, box: str, extra: str, around: tuple[float, float, float, float]
) -> None:
    import pypdfium2

    (tmp_path / "stored.pdf").write_bytes(draw([Sheet(WORD, box, extra)]))
    page = parse_pdf(tmp_path / "stored.pdf", Limits()).pages[0]
    ((_, _, left, top, right, bottom),) = unpack_boxes(page.boxes)
    with pypdfium2.PdfDocument(tmp_path / "stored.pdf") as document:
        image = document[0].render(scale=2).to_pil().convert("L")
    assert (image.width / 2, image.height / 2) == pytest.approx((page.width, page.height), abs=1)
    ink = image.point(lambda value: 255 if value < 128 else 0).getbbox()
    assert ink
    assert left * 2 - 4 <= ink[0]
    assert top * 2 - 4 <= ink[1]
    assert ink[2] <= right * 2 + 4
    assert ink[3] <= bottom * 2 + 4
    assert (right - left) * (bottom - top) < 3 * (ink[2] - ink[0]) * (ink[3] - ink[1]) / 4
    assert around[0] <= left < right <= around[2] + 15
    assert around[1] - 10 <= top < bottom <= around[3] + 15


def test_words_outside_the_page_have_no_place(tmp_path: Path) -> None:
    page = read(tmp_path, draw([Sheet(words("Seen", 100, 700) + words("Unseen", 100, 2000))])).pages[0]
    assert [page.text[start:end] for start, end, *_ in unpack_boxes(page.boxes)] == ["Seen"]


def test_characters_beyond_the_first_plane_keep_the_places_of_the_others(tmp_path: Path) -> None:
    """A font whose first letter stands for a character outside of Unicode's first plane."""
    cmap = (
        b"/CIDInit /ProcSet findresource begin 12 dict begin begincmap /CMapName /X def /CMapType 2 def\n"
        b"1 begincodespacerange <00> <FF> endcodespacerange\n"
        b"3 beginbfchar <41> <D83DDE00> <42> <0062> <43> <0063> endbfchar endcmap end end"
    )
    font = b"<< /Type /Font /Subtype /Type1 /BaseFont /Helvetica /ToUnicode 4 0 R >>"
    mapping = b"<< /Length %d >>\nstream\n%s\nendstream" % (len(cmap), cmap)
    data = draw([Sheet(words("AA BCB", 100, 700) + words("CC", 100, 600))], fonts=(font, mapping))
    page = read(tmp_path, data).pages[0]
    found = {page.text[start:end]: (left, top) for start, end, left, top, *_ in unpack_boxes(page.boxes)}
    assert found["bcb"][0] > 110
    assert found["cc"][0] == pytest.approx(100, abs=2)
    assert found["cc"][1] > found["bcb"][1] + 90


numbers = st.floats(0, 14400, allow_nan=False, width=32)
sizes = st.floats(0.25, 2000, allow_nan=False, width=32)


@given(st.lists(st.tuples(st.integers(0, 10**6), st.integers(1, 200), numbers, numbers, sizes, sizes), max_size=40))
def test_packing_keeps_boxes_to_a_tenth_of_a_point(
    given_boxes: list[tuple[int, int, float, float, float, float]],
) -> None:
    boxes = [(a, a + n, x, y, x + w, y + h) for a, n, x, y, w, h in given_boxes]
    back = unpack_boxes(pack_boxes(boxes))
    assert [box[:2] for box in back] == [box[:2] for box in boxes]
    for box, again in zip(boxes, back, strict=True):
        assert again[2:] == pytest.approx(box[2:], abs=0.06)


@given(st.binary(max_size=200))
def test_unpacking_foreign_bytes_is_an_error_or_nothing(data: bytes) -> None:
    for packed in (data, b"\x01" + data):
        try:
            unpack_boxes(packed)
        except ValueError:
            continue


def test_a_part_of_a_word_is_a_part_of_its_box() -> None:
    boxes = ((0, 4, 10.0, 5.0, 50.0, 15.0), (5, 9, 55.0, 5.0, 95.0, 15.0), (10, 12, 10.0, 20.0, 30.0, 30.0))
    assert boxes_of(boxes, 2, 7) == ((30.0, 5.0, 75.0, 15.0),)
    assert boxes_of(boxes, 5, 12) == ((55.0, 5.0, 95.0, 15.0), (10.0, 20.0, 30.0, 30.0))
    assert boxes_of(boxes, 4, 5) == ()


def test_a_page_is_drawn_with_its_marks(tmp_path: Path) -> None:
    path = tmp_path / "stored.pdf"
    path.write_bytes(make_pdf([["First page."], ["Lithium is measured after five days."]]))
    page = parse_pdf(path, Limits()).pages[1]
    start = page.text.index("measured")
    marks = boxes_of(unpack_boxes(page.boxes), start, start + len("measured"))
    image = Image.open(io.BytesIO(page_image(path, 2, marks, scale=2)))
    assert image.size == (1190, 1684)
    ((left, top, right, bottom),) = marks
    inside = image.crop((int(left * 2), int(top * 2), int(right * 2), int(bottom * 2))).convert("RGB")
    colours = {colour for _, colour in inside.getcolors(maxcolors=10_000) or []}
    assert (255, 226, 77) in colours  # marked
    assert any(max(colour) < 60 for colour in colours)  # and to be read
    outside = image.crop((0, 0, 1190, int(top * 2) - 6)).convert("RGB")
    assert outside.getcolors() == [(outside.width * outside.height, (255, 255, 255))]


def test_a_huge_page_is_drawn_small(tmp_path: Path) -> None:
    path = tmp_path / "stored.pdf"
    path.write_bytes(draw([Sheet(words("Plan", 100, 100), "[0 0 14400 14400]")]))
    image = Image.open(io.BytesIO(page_image(path, 1, [(90.0, 14000.0, 400.0, 14400.0)])))
    assert image.width * image.height <= 6_100_000


DRAWN_WRONG = [
    ("page", make_pdf([["One."]]), 2, "page_missing"),
    ("zero", make_pdf([["One."]]), 0, "page_missing"),
    ("locked", encrypted_pdf(), 1, "encrypted"),
    ("noise", b"%PDF-1.7\n" + bytes(range(256)) * 4, 1, "damaged"),
]


@pytest.mark.parametrize(("name", "data", "number", "code"), DRAWN_WRONG, ids=[case[0] for case in DRAWN_WRONG])
def test_a_page_that_cannot_be_drawn_is_an_error_with_a_sentence(
    tmp_path: Path, name: str, data: bytes, number: int, code: str
) -> None:
    path = tmp_path / "stored.pdf"
    path.write_bytes(data)
    with pytest.raises(DocumentUnreadable) as caught:
        page_image(path, number, name="lithium.pdf")
    assert caught.value.code == code
    assert "lithium.pdf" in str(caught.value)


def test_reading_packages_are_not_loaded_by_importing(tmp_path: Path) -> None:
    code = (
        "import sys, knowledge.parsing, knowledge.parsing._pdf, knowledge.parsing._render\n"
        "print([m for m in ('pypdfium2', 'pdfplumber', 'rapidocr', 'onnxruntime', 'PIL', 'numpy') if m in sys.modules])"
    )
    root = Path(__file__).resolve().parent.parent.parent
    shown = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=root, check=True)
    assert shown.stdout.strip() == "[]"
