"""Tables, boxes, columns and hyphens of PDFs, told by what is drawn on the page."""

from pathlib import Path

import pytest

from knowledge.parsing import ParsedPage, boxes_of, unpack_boxes
from knowledge.parsing._limits import Limits
from knowledge.parsing._pdf import parse_pdf

from .pdfs import Sheet, draw, grid, words


def page_of(tmp_path: Path, content: str, box: str = "[0 0 595 842]", extra: str = "") -> ParsedPage:
    path = tmp_path / "stored.pdf"
    path.write_bytes(draw([Sheet(content, box, extra)]))
    return parse_pdf(path, Limits()).pages[0]


def blocks(page: ParsedPage) -> list[tuple[str, str]]:
    return [(block.kind, page.text[block.start : block.end]) for block in page.blocks]


BEFORE = words("Doses are raised slowly, and the level is measured each week.", 60, 760)
AFTER = words("The dose is written down by the nurse who gives it, with the hour.", 60, 520)
CELLS = [("Drug", "First dose", "Then"), ("Lithium", "450 mg", "900 mg"), ("Valproate", "500 mg", "1000 mg")]


def table(header: str = "F2") -> str:
    drawn = grid(60, 700, [120, 120, 120], [24, 24, 24])
    for number, row in enumerate(CELLS):
        for column, text in enumerate(row):
            drawn += words(text, 66 + 120 * column, 684 - 24 * number, font=header if number == 0 else "F1")
    return drawn


def test_a_table_with_a_head_becomes_rows_that_name_their_columns(tmp_path: Path) -> None:
    page = page_of(tmp_path, BEFORE + table() + AFTER)
    assert blocks(page) == [
        (
            "table",
            "Drug: Lithium; First dose: 450 mg; Then: 900 mg\nDrug: Valproate; First dose: 500 mg; Then: 1000 mg",
        )
    ]
    lines = page.text.split("\n")
    assert lines[0].startswith("Doses are raised")
    assert lines[-1].startswith("The dose is written down")
    assert page.text.count("Lithium") == 1  # not in the running text as well
    start = page.text.index("1000 mg")
    ((left, top, right, bottom),) = boxes_of(unpack_boxes(page.boxes), start, start + 7)
    assert 300 < left < right < 360
    assert 842 - 652 < bottom < 842 - 625
    assert top > 842 - 660


def test_a_table_without_a_head_becomes_rows_of_cells(tmp_path: Path) -> None:
    page = page_of(tmp_path, BEFORE + table("F1") + AFTER)
    assert blocks(page)[0][1].split("\n") == [" | ".join(row) for row in CELLS]
    placed = [page.text[start:end] for start, end, *_ in unpack_boxes(page.boxes)]
    assert "|" not in placed
    assert "450" in placed


@pytest.mark.parametrize("turn", [90, 180, 270])
def test_a_table_on_a_turned_page_reads_as_it_is_seen(tmp_path: Path, turn: int) -> None:
    """Drawn turned so that the viewer, which turns the page, shows it upright."""
    matrix = {90: "0 1 -1 0 842 0 cm", 180: "-1 0 0 -1 595 842 cm", 270: "0 -1 1 0 0 595 cm"}[turn]
    box = "[0 0 595 842]" if turn == 180 else "[0 0 842 595]"
    shift = "" if turn == 180 else "1 0 0 1 0 -240 cm\n"
    content = f"q {matrix}\n{shift}{BEFORE}{table()}Q\n"
    page = page_of(tmp_path, content, box, f"/Rotate {turn}")
    assert blocks(page)[0][1].startswith("Drug: Lithium; First dose: 450 mg")


def test_a_cell_of_several_lines_and_one_over_all_columns(tmp_path: Path) -> None:
    drawn = grid(60, 700, [150, 150], [24, 50]) + "60 600 m 360 600 l S 60 626 m 60 600 l S 360 626 m 360 600 l S\n"
    drawn += words("Sign", 66, 684, font="F2") + words("Action", 216, 684, font="F2")
    drawn += words("Tremor that grows", 66, 662) + words("over some days", 66, 648)
    drawn += words("Level at once", 216, 655) + words("Every sign is told to the physician.", 66, 610)
    page = page_of(tmp_path, BEFORE + drawn + AFTER)
    assert blocks(page)[0][1].split("\n") == [
        "Sign: Tremor that grows over some days; Action: Level at once",
        "Every sign is told to the physician.",
    ]


NO_TABLE = [
    ("frame", grid(50, 780, [500], [400])),
    ("layout", grid(40, 800, [250, 250], [300, 300])),
    ("rules", "1 w 60 740 m 500 740 l S 60 500 m 500 500 l S\n"),
    ("through words", grid(60, 772, [40, 40, 40], [10, 10, 10])),
]


@pytest.mark.parametrize(("name", "drawn"), NO_TABLE, ids=[name for name, _ in NO_TABLE])
def test_rules_that_are_no_table_leave_the_text_alone(tmp_path: Path, name: str, drawn: str) -> None:
    text = "".join(
        words("The level of lithium is taken twelve hours after the last dose, never sooner.", 60, 760 - 16 * n)
        for n in range(12)
    )
    page = page_of(tmp_path, drawn + text)
    assert not [kind for kind, _ in blocks(page) if kind == "table"]
    assert page.text.count("twelve hours after the last dose") == 12
    assert "|" not in page.text


LINES = [
    "Lithium is stopped at once where signs of poisoning are seen,",
    "and the level is measured within the hour on every ward.",
]


@pytest.mark.parametrize(
    "paint",
    ["0.9 0.95 1 rg 50 600 480 80 re f 0 g", "1 w 50 600 480 80 re S", "0.8 g 50 600 480 80 re B 0 g"],
    ids=["shaded", "bordered", "both"],
)
def test_a_box_stays_in_one_piece(tmp_path: Path, paint: str) -> None:
    inside = words("Recommendation 3", 60, 660, font="F2") + words(LINES[0], 60, 640) + words(LINES[1], 60, 626)
    page = page_of(tmp_path, paint + "\n" + BEFORE + inside + AFTER)
    assert blocks(page) == [("box", "Recommendation 3\n" + " ".join(LINES))]
    assert [page.text[h.start : h.end] for h in page.headings] == []


def test_what_is_drawn_late_stands_together_in_its_box(tmp_path: Path) -> None:
    """The file draws the rest of the page between the lines of the box."""
    content = "1 w 50 600 480 80 re S\n" + BEFORE + words(LINES[0], 60, 640) + AFTER + words(LINES[1], 60, 626)
    page = page_of(tmp_path, content)
    assert blocks(page) == [("box", " ".join(LINES))]
    assert page.text.split("\n")[0].startswith("Doses are raised")


NO_BOX = [
    ("whole page", "0.9 g 0 0 595 842 re f 0 g"),
    ("band over the page's width", "0.9 g 0 600 595 80 re f 0 g"),
    ("white", "1 g 50 600 480 80 re f 0 g"),
    ("words run over its edge", "0.9 g 50 600 200 80 re f 0 g"),
]


@pytest.mark.parametrize(("name", "paint"), NO_BOX, ids=[name for name, _ in NO_BOX])
def test_backgrounds_are_no_boxes(tmp_path: Path, name: str, paint: str) -> None:
    inside = words(LINES[0], 60, 640) + words(LINES[1], 60, 626)
    page = page_of(tmp_path, paint + "\n" + BEFORE + inside + AFTER)
    assert blocks(page) == []
    assert " ".join(LINES) in page.text


def column(name: str, x: float, top: float, count: int) -> list[str]:
    return [words(f"The {name} column, line {n}, goes on with words", x, top - 14 * n) for n in range(count)]


def places(page: ParsedPage) -> list[int]:
    return [page.text.index(f"{name} column, line {n},") for name in ("left", "right") for n in range(6)]


def test_columns_that_the_file_tears_apart_are_read_one_after_the_other(tmp_path: Path) -> None:
    left, right = column("left", 50, 700, 6), column("right", 320, 700, 6)
    title = words("Care of the patient who refuses", 50, 760, 20)
    page = page_of(tmp_path, "".join([*left[:3], *right, *left[3:], title]))
    assert places(page) == sorted(places(page))
    assert page.text.startswith("Care of the patient who refuses")


def test_columns_in_order_stay_as_they_are(tmp_path: Path) -> None:
    page = page_of(tmp_path, "".join([*column("left", 50, 700, 6), *column("right", 320, 700, 6)]))
    assert places(page) == sorted(places(page))


def test_rows_without_rules_are_not_torn_into_columns(tmp_path: Path) -> None:
    rows = [("Lithium", "0.6 to 0.8"), ("Valproate", "50 to 100"), ("Clozapine", "350 to 600"), ("Digoxin", "1 to 2")]
    drawn = "".join(
        words(name, 60, 700 - 16 * n) + words(level, 300, 700 - 16 * n) for n, (name, level) in enumerate(rows)
    )
    text = " ".join(page_of(tmp_path, BEFORE + drawn).text.split())
    assert "Lithium 0.6 to 0.8 Valproate 50 to 100 Clozapine 350 to 600" in text


HYPHENS = [
    ("short- and long-term treatment with a long-", "term plan", "long-term plan"),
    ("of the creatinine, and later again the creati-", "nine level", "creatinine level"),
    ("which is a self-", "management group", "self-management group"),
]


@pytest.mark.parametrize(("first", "second", "joined"), HYPHENS, ids=[case[2] for case in HYPHENS])
def test_hyphens_at_line_ends_are_told_by_the_document(tmp_path: Path, first: str, second: str, joined: str) -> None:
    page = page_of(tmp_path, words(f"This is written {first}", 60, 700) + words(f"{second} for all.", 60, 686))
    assert joined in page.text


def test_a_line_that_had_room_for_the_next_word_ends_a_paragraph(tmp_path: Path) -> None:
    lines = [
        "The physician speaks with the patient each morning and writes down what was said about",
        "the night before.",
        "Nurses take part in this round where they can, and always on the day of admission to the ward,",
        "with the file at hand.",
    ]
    page = page_of(tmp_path, "".join(words(line, 60, 700 - 14 * n) for n, line in enumerate(lines)))
    assert page.text.split("\n") == [" ".join(lines[:2]), " ".join(lines[2:])]


ITEMS = [
    "Antidepressants, such as selective serotonin reuptake inhibitors (SSRIs)",
    "Beta-blockers, which slow the heart when a performance or speech is near",
    "Quetiapine at night where nothing else has brought sleep to the patients",
]


@pytest.mark.parametrize("mark", ["{x} {y} 4 4 re f", "{x} {y} m {x1} {y} l {x1} {y1} l {x} {y1} l h f"])
def test_items_whose_marks_are_drawn_stand_for_themselves(tmp_path: Path, mark: str) -> None:
    drawn = words("Several kinds of medication are given, and all take some weeks to work:", 60, 700)
    for number, item in enumerate(ITEMS):
        y = 680 - 14 * number
        drawn += mark.format(x=66, y=y + 2, x1=70, y1=y + 6) + "\n" + words(item, 78, y)
    letters = "".join(words("x", 60 + 0.2 * n, 300) for n in range(2000))  # a browser prints each letter by itself
    page = page_of(tmp_path, letters + drawn)
    assert [line for line in page.text.split("\n") if line in ITEMS] == ITEMS


@pytest.mark.parametrize(
    ("name", "dots"),
    [
        ("one alone", [(1, 66)]),
        ("stars", [(1, 52), (1, 60), (1, 68), (2, 52), (2, 60), (2, 68)]),
        ("far", [(1, 20), (2, 20)]),
    ],
)
def test_dots_that_mark_no_items_leave_the_text_alone(tmp_path: Path, name: str, dots: list[tuple[int, int]]) -> None:
    lines = [
        "The round begins at eight and visits every bed of the ward, led by",
        "Doctor Martin and the nurse in charge, with the list of the night by",
    ]
    lines.append("Mrs Keller, who knows what was given and when, and to whom it was")
    drawn = "".join(words(line, 78, 680 - 14 * number) for number, line in enumerate(lines))
    drawn += "".join(f"{x} {682 - 14 * number} 4 4 re f\n" for number, x in dots)
    assert page_of(tmp_path, drawn).text == " ".join(lines)
