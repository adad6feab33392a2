"""Damaged and hostile PDFs: each ends in a clear code or in clean text, soon, and never takes the parent down."""

import random
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from knowledge import DocumentUnreadable, ParsingLimitExceeded
from knowledge.parsing import Limits, ParsedDocument, parse, unpack_boxes

from .documents import HTML, encrypted_pdf, make_docx, make_pdf
from .pdfs import FONT, Sheet, draw, file_of, stream, words

SMALL = Limits(cpu_seconds=20, wall_seconds=60.0)
GOOD = draw([Sheet(words("Lithium is measured after five days.", 60, 700), packed=True)] * 2)
KNOWN = {
    "damaged", "encrypted", "no_pages", "no_text", "scan", "stopped", "memory", "time", "too_many_pages",
    "too_much_text", "bomb",
}  # fmt: skip


def read(tmp_path: Path, data: bytes, limits: Limits = SMALL) -> ParsedDocument:
    path = tmp_path / "stored.pdf"
    path.write_bytes(data)
    return parse(path, "application/pdf", "ward.pdf", limits)


def outcome(tmp_path: Path, data: bytes, limits: Limits = SMALL) -> str:
    """The code of the failure, or the text."""
    try:
        document = read(tmp_path, data, limits)
    except DocumentUnreadable as error:
        assert error.code in KNOWN
        assert "ward.pdf" in str(error)
        return error.code
    for page in document.pages:
        assert not any(char in page.text for char in "\x00\x02\ufffe\ufeff\r")
        for start, end, left, top, right, bottom in unpack_boxes(page.boxes):
            assert page.text[start:end].strip()
            assert 0 <= left <= right <= page.width
            assert 0 <= top <= bottom <= page.height
    return "\n".join(page.text for page in document.pages)


def recursive_tree() -> bytes:
    tree = b"<< /Type /Pages /Kids [2 0 R 3 0 R] /Count 2 /Parent 2 0 R >>"
    page = b"<< /Type /Page /Parent 2 0 R /MediaBox [0 0 595 842] >>"
    return file_of([b"<< /Type /Catalog /Pages 2 0 R >>", tree, page])


def recursive_form() -> bytes:
    """A drawing that draws itself."""
    form = stream(
        b"BT /F1 12 Tf 60 700 Td (Seen.) Tj ET /X Do",
        entries="/Type /XObject /Subtype /Form /BBox [0 0 600 800] /Resources << /XObject << /X 5 0 R >> "
        "/Font << /F1 3 0 R >> >>",
    )
    return draw([Sheet("/X Do", resources="/XObject << /X 5 0 R >>")], more=(form,))


def looping_outline() -> bytes:
    """An outline whose entries follow each other in a circle and are their own children."""
    entries = (
        b"<< /Type /Outlines /First 6 0 R /Last 7 0 R /Count 2 >>",
        b"<< /Title (One) /Parent 5 0 R /Next 7 0 R /First 6 0 R /Last 6 0 R /Dest [8 0 R /Fit] >>",
        b"<< /Title (Two) /Parent 5 0 R /Next 6 0 R /Dest [8 0 R /Fit] >>",
    )
    return draw([Sheet(words("Text under a loop.", 60, 700))], catalogue="/Outlines 5 0 R", more=entries)


def deep_outline(depth: int = 3000) -> bytes:
    first = 6
    entries = [b"<< /Type /Outlines /First 6 0 R /Last 6 0 R /Count 1 >>"]
    for n in range(depth):
        child = f"/First {first + n + 1} 0 R /Last {first + n + 1} 0 R" if n < depth - 1 else ""
        entries.append(f"<< /Title (Level {n}) /Parent {first + n - 1} 0 R {child} >>".encode())
    return draw([Sheet(words("Text under a deep outline.", 60, 700))], catalogue="/Outlines 5 0 R", more=entries)


def many_pages(count: int) -> bytes:
    """Pages that share one content stream."""
    kids = " ".join(["4 0 R"] * count)
    tree = f"<< /Type /Pages /Kids [{kids}] /Count {count} >>".encode()
    page = b"<< /Type /Page /Parent 2 0 R /MediaBox [0 0 595 842] /Contents 5 0 R "
    page += b"/Resources << /Font << /F1 3 0 R >> >> >>"
    content = stream(words("One of many.", 60, 700).encode())
    return file_of([b"<< /Type /Catalog /Pages 2 0 R >>", tree, FONT, page, content])


def undeclared(text: bytes) -> bytes:
    """Text in a font whose codes stand for nothing that is known."""
    font = b"<< /Type /Font /Subtype /Type1 /BaseFont /XXXXXX+Odd /Encoding << /Differences [32 /g1 /g2 /g3] >> >>"
    return draw([Sheet(b"BT /F1 12 Tf 60 700 Td <" + text.hex().encode() + b"> Tj ET")], fonts=(font,))


def arabic() -> bytes:
    """Right-to-left text, drawn from the left as files have it."""
    text = "العلاج"
    codes = "".join(f"<{n:02X}> <{ord(c):04X}>\n" for n, c in enumerate(reversed(text), start=65))
    cmap = (
        "/CIDInit /ProcSet findresource begin 12 dict begin begincmap /CMapName /X def /CMapType 2 def\n"
        f"1 begincodespacerange <00> <FF> endcodespacerange\n{len(text)} beginbfchar {codes} endbfchar\n"
        "endcmap end end"
    )
    font = b"<< /Type /Font /Subtype /Type1 /BaseFont /Helvetica /ToUnicode 4 0 R >>"
    shown = "".join(chr(65 + n) for n in range(len(text)))
    return draw([Sheet(words(shown, 100, 700))], fonts=(font, stream(cmap.encode())))


def controls() -> bytes:
    return draw([Sheet(b"BT /F1 12 Tf 60 700 Td (Read\\000 \\001\\002this\\003 \\177 well\\255) Tj ET")])


CASES: list[tuple[str, Callable[[], bytes], Callable[[str], bool]]] = [
    ("password", encrypted_pdf, lambda found: found == "encrypted"),
    ("empty file", lambda: b"", lambda found: found == "damaged"),
    ("only a header", lambda: b"%PDF-1.7\n", lambda found: found == "damaged"),
    ("zero pages", lambda: make_pdf([]), lambda found: found == "no_pages"),
    ("pages without content", lambda: draw([Sheet("")] * 3), lambda found: found == "scan"),
    ("a web page", HTML.encode, lambda found: found == "damaged"),
    ("a Word file", make_docx, lambda found: found == "damaged"),
    ("a tree that holds itself", recursive_tree, lambda found: found in {"damaged", "scan", "no_pages"}),
    ("a drawing that draws itself", recursive_form, lambda found: "Seen." in found),
    ("an outline in a circle", looping_outline, lambda found: found == "Text under a loop."),
    ("a deep outline", deep_outline, lambda found: found == "Text under a deep outline."),
    ("a page of absurd size", lambda: draw([Sheet(words("Far.", 60, 700), "[0 0 1e30 1e30]")]), lambda f: f == "Far."),
    ("a page without size", lambda: draw([Sheet(words("None.", 60, 700), "[0 0 0 0]")]), lambda f: f == "None."),
    ("a page inside out", lambda: draw([Sheet(words("Back.", 60, 700), "[595 842 0 0]")]), lambda f: f == "Back."),
    ("a size of no numbers", lambda: draw([Sheet(words("Odd.", 60, 700), "[(a) /b null 1]")]), lambda f: f == "Odd."),
    ("text of absurd size", lambda: draw([Sheet(words("Huge.", 60, 700, 1e30))]), lambda f: f in {"Huge.", "scan"}),
    ("a matrix of no numbers", lambda: draw([Sheet("q 1e38 1e38 1e38 1e38 1e38 1e38 cm " + words("X y", 1, 1))]),
     lambda found: found in {"X y", "X\ny", "scan"}),
    ("control characters", controls, lambda found: "this" in found and "well" in found),
    ("a font without meaning", lambda: undeclared(b"\x20\x21\x22" * 30), lambda found: True),
    ("text cut in mid-stream", lambda: GOOD.replace(b"endstream", b"endstrea"), lambda found: True),
]  # fmt: skip


@pytest.mark.parametrize(("name", "make", "right"), CASES, ids=[name for name, *_ in CASES])
def test_strange_files_end_in_a_code_or_in_clean_text(
    tmp_path: Path, name: str, make: Callable[[], bytes], right: Callable[[str], bool]
) -> None:
    found = outcome(tmp_path, make())
    assert right(found), found[:200]


def test_right_to_left_text_keeps_its_logical_order_and_its_place(tmp_path: Path) -> None:
    page = read(tmp_path, arabic()).pages[0]
    assert page.text in {"العلاج", "العلاج"[::-1]}
    ((_, _, left, _, right, _),) = unpack_boxes(page.boxes)
    assert left == pytest.approx(100, abs=2)
    assert right - left > 30


def test_five_thousand_pages_are_read_and_one_more_is_refused(tmp_path: Path) -> None:
    limits = Limits(cpu_seconds=60, wall_seconds=120.0)
    document = read(tmp_path, many_pages(5000), limits)
    assert len(document.pages) == 5000
    assert document.pages[-1].number == 5000
    with pytest.raises(ParsingLimitExceeded) as caught:
        read(tmp_path, many_pages(5001), limits)
    assert caught.value.code == "too_many_pages"


def test_a_bomb_of_a_stream_ends_in_a_limit(tmp_path: Path) -> None:
    """A million strokes in a file of a few kilobytes, for a child that may have little memory."""
    data = draw([Sheet(b"0 0 m 1 1 l S\n" * 1_000_000, packed=True)])
    assert len(data) < 100_000
    found = outcome(tmp_path, data, Limits(memory_bytes=400 * 1024 * 1024, cpu_seconds=10, wall_seconds=60.0))
    assert found in {"memory", "time", "stopped", "scan", "damaged"}


def test_a_page_with_very_many_drawings_is_read(tmp_path: Path) -> None:
    """A map of a hundred thousand strokes, and the words on it."""
    strokes = b"".join(b"%d %d m %d %d l S\n" % (n % 590, n % 830, n % 580 + 9, n % 820 + 9) for n in range(100_000))
    assert outcome(tmp_path, draw([Sheet(strokes + words("Ward map", 60, 700).encode(), packed=True)])) == "Ward map"


@pytest.mark.parametrize("share", [0.05, 0.3, 0.6, 0.9, 0.99])
def test_truncated_files_end_in_a_known_way(tmp_path: Path, share: float) -> None:
    found = outcome(tmp_path, GOOD[: int(len(GOOD) * share)])
    assert found in KNOWN or "Lithium" in found


def test_a_child_that_says_nothing_is_stopped(tmp_path: Path) -> None:
    with pytest.raises(ParsingLimitExceeded) as caught:
        read(tmp_path, many_pages(5000), Limits(silent_seconds=0.01))
    assert caught.value.code == "time"


def test_progress_is_told_page_by_page(tmp_path: Path) -> None:
    path = tmp_path / "stored.pdf"
    path.write_bytes(many_pages(2000))
    told: list[tuple[int, int, str]] = []
    parse(path, "application/pdf", "ward.pdf", SMALL, on_page=lambda *step: told.append(step))
    assert told
    assert told == sorted(told)
    assert {(total, step) for _, total, step in told} == {(2000, "text")}


def test_a_listener_that_fails_ends_the_child(tmp_path: Path) -> None:
    path = tmp_path / "stored.pdf"
    path.write_bytes(GOOD)

    def stop(done: int, total: int, step: str) -> None:
        raise KeyError("stopped")

    with pytest.raises(KeyError):
        parse(path, "application/pdf", "ward.pdf", SMALL, on_page=stop)


@settings(max_examples=10, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(seed=st.integers(0, 10**9), changes=st.integers(1, 30))
def test_random_damage_never_takes_the_parent_down(tmp_path: Path, seed: int, changes: int) -> None:
    dice, data = random.Random(seed), bytearray(GOOD)
    for _ in range(changes):
        kind, at = dice.randrange(4), dice.randrange(len(data))
        if kind == 0:
            data[at] = dice.randrange(256)
        elif kind == 1:
            del data[at : at + dice.randrange(1, 20)]
        elif kind == 2:
            data[at:at] = dice.randbytes(dice.randrange(1, 20))
        else:
            data[at : at + 4] = b"9999"
    outcome(tmp_path, bytes(data))
