"""Citations land on the very words: 200 questions over the sample guidelines, and every quotation of every sample held
against its source, the text that pdfium gives of its page, and the places that are marked."""

import html
import json
import re
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import guardrails
import knowledge
from knowledge import citations, selectors
from knowledge.citations import Quotation, page_starts
from knowledge.ingestion._reading import stored_file
from knowledge.models import Chunk, GuidelineVersion, Page
from knowledge.parsing import boxes_of, unpack_boxes
from portal.chat.citing import citations as cited
from portal.chat.models import Turn
from portal.chat.retrieving import _snapshot

pytestmark = pytest.mark.django_db

QUESTIONS = [
    json.loads(line)
    for line in (Path(__file__).parent / "citation_questions.jsonl").read_text(encoding="utf-8").splitlines()
]
SHOWN = 4  # passages that an answer is given
PAGE_EXACT = 0.98
COVERED = 0.98  # share of a quotation's letters that stand inside its marks


def letters(text: str) -> str:
    """A text without white space, hyphens and other signs."""
    return "".join(character for character in text if character.isalnum())


class Sheets:
    """What pdfium itself says of the pages of stored files, read without any part of Havre."""

    def __init__(self) -> None:
        self._open: dict[uuid.UUID, Any] = {}

    def page(self, version: GuidelineVersion, number: int) -> Any:
        import pypdfium2

        if version.pk not in self._open:
            self._open[version.pk] = pypdfium2.PdfDocument(stored_file(version))
        return self._open[version.pk][number - 1]

    def text(self, version: GuidelineVersion, number: int) -> str:
        return letters(self.page(version, number).get_textpage().get_text_range())

    def inside(self, version: GuidelineVersion, number: int, rects: Any) -> str:
        """The letters whose middle is in one of the rectangles (points from the top left corner), in the file's
        order."""
        page = self.page(version, number)
        words, height = page.get_textpage(), page.get_height()
        found = []
        for at in range(words.count_chars()):
            left, bottom, right, top = words.get_charbox(at)
            x, y = (left + right) / 2, height - (top + bottom) / 2
            if any(a <= x <= c and b <= y <= d for a, b, c, d in rects):
                found.append(words.get_text_range(at, 1))
        return letters("".join(found))


@pytest.fixture(autouse=True)
def _words_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    """Answers say the very words here, so that nothing need know what sentences mean."""
    monkeypatch.setattr("guardrails.sentence_encoder", lambda: None)


@pytest.fixture(scope="module")
def sheets() -> Sheets:
    return Sheets()


def asked(question: dict[str, Any]) -> Iterator[tuple[knowledge.Passage, dict[str, Any]]]:
    """The passages shown for a question that hold the words of its answer, each with the citation of an answer that
    says those words."""
    screen = guardrails.OutputScreen((), language=question["language"], embed=guardrails.sentence_encoder())
    found = knowledge.retrieve(question["question"], limit=SHOWN, language=question["language"])
    turn = Turn(id=uuid.uuid4())
    starts = page_starts(found.passages)
    for marker, passage in enumerate(found.passages, start=1):
        if letters(question["words"]) in letters(passage.text):
            kept = json.loads(json.dumps(_snapshot(turn, marker, passage, starts[marker - 1], found)))
            said = f"{sentence_with(question['words'], passage.text)} [{marker}]."
            yield passage, cited([kept], [marker], said, screen.resting_places)[0]


def sections_with(words: str, version: GuidelineVersion) -> set[str]:
    """The headings under which the words stand in a Markdown or HTML file, as the file itself marks them."""
    source = html.unescape(stored_file(version).read_text(encoding="utf-8"))
    parts = re.split(r"^#+ ([^\n]*)$|<h\d[^>]*>(.*?)</h\d>", source, flags=re.MULTILINE | re.DOTALL)
    plain = [re.sub(r"<[^>]*>", " ", part or "") for part in parts]
    found = set()
    for at in range(1, len(plain) - 2, 3):
        if letters(words) in letters(plain[at + 2]):
            found.add(plain[at] or plain[at + 1])
    return found


def sentence_with(words: str, text: str) -> str:
    """The sentence of a passage in which the words stand, without its full stop."""
    pattern = r"[\W_]*".join(map(re.escape, re.findall(r"\w+", words)))
    found = re.search(rf"[^.!?\n]*{pattern}[^.!?\n]*", text)
    return found[0].strip() if found else words


def test_the_question_set_is_what_it_says() -> None:
    assert len({one["question"] for one in QUESTIONS}) == 200
    assert sum(one["language"] == "fr" for one in QUESTIONS) == 100


def test_citations_name_the_exact_page(sample_library: list[GuidelineVersion], sheets: Sheets) -> None:
    """Of the citations shown for 200 questions, at least 98 % name the very page of the words (or, in formats without
    pages, the section)."""
    versions = {one.pk: one for one in sample_library}
    shown = exact = answered = 0
    wrong = []
    for question in QUESTIONS:
        right = False
        for passage, citation in asked(question):
            if passage.document != question["document"]:
                continue
            shown += 1
            version = versions[passage.version_id]
            if citation["page"] is None:
                place = letters(passage.heading + passage.text)
                is_exact = any(letters(one) in place for one in sections_with(question["words"], version))
            else:
                there = letters(question["words"]) in sheets.text(version, citation["page"])
                is_exact = there and citation["page"] == question["page"]
            exact += is_exact
            right |= is_exact
            if not is_exact:
                wrong.append((question["question"], citation["page"], question["page"]))
        answered += right
    print(f"citations shown {shown}, page-exact {exact} ({exact / shown:.1%}), questions with one {answered}")
    assert shown >= 0.6 * len(QUESTIONS)
    assert exact >= PAGE_EXACT * shown, wrong


def test_every_quotation_stands_word_for_word_in_its_source(sample_library: list[GuidelineVersion]) -> None:
    for chunk in _chunks(sample_library):
        source = selectors.source_text(chunk.version_id, chunk.page, chunk.start, chunk.last_page, chunk.end)
        assert source == chunk.text


def test_every_quotation_stands_on_its_page_of_the_file(sample_library: list[GuidelineVersion], sheets: Sheets) -> None:
    """Held against what pdfium says of the page, page by page for a quotation that goes over the edge."""
    checked = 0
    for chunk in _chunks(sample_library):
        for place in _places(chunk):
            text = Page.objects.get(version_id=chunk.version_id, number=place.page).text[place.start : place.end]
            there = sheets.text(chunk.version, place.page)
            parts = [letters(line) for line in text.split("\n")]  # columns and tables may stand in another order
            assert all(part in there for part in parts), (chunk.version.filename, place, text)
            checked += 1
    assert checked > 20


def test_the_marks_of_every_quotation_cover_its_words(sample_library: list[GuidelineVersion], sheets: Sheets) -> None:
    matched = wanted = 0
    for chunk in _chunks(sample_library):
        for place in _places(chunk):
            page = Page.objects.get(version_id=chunk.version_id, number=place.page)
            inside = sheets.inside(
                chunk.version, place.page, boxes_of(unpack_boxes(page.boxes), place.start, place.end)
            )
            quote = letters(page.text[place.start : place.end])
            wanted += len(quote)
            matched += len(quote) if inside == quote else _shared(inside, quote)
    print(f"letters quoted {wanted}, inside their marks {matched / wanted:.2%}")
    assert matched >= COVERED * wanted


def _shared(inside: str, quote: str) -> int:
    """How many letters of a quotation stand in its marks, less those in the marks that are not of it."""
    from difflib import SequenceMatcher

    same = sum(block.size for block in SequenceMatcher(None, inside, quote, autojunk=False).get_matching_blocks())
    return max(0, same - (len(inside) - same))


def _chunks(versions: list[GuidelineVersion]) -> list[Chunk]:
    return list(Chunk.objects.filter(version__in=versions).select_related("version").order_by("version", "ordinal"))


def _places(chunk: Chunk) -> tuple[citations.Place, ...]:
    """Where a chunk of a PDF stands; none for other formats."""
    if chunk.page is None:
        return ()
    found = citations.places(Quotation(chunk.version_id, chunk.text, chunk.page, chunk.last_page, chunk.start))
    assert (found[0].start, found[-1].end) == (chunk.start, chunk.end), "the nearest occurrence is the very one"
    return found
