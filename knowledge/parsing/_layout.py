"""From the lines of a PDF to paragraphs: running heads, margin numbers and hyphens go, headings are recognised."""

import re
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from knowledge.parsing._document import ParsedPage
from knowledge.parsing._paragraphs import ITEM, Wording, compose, had_room, leading
from knowledge.parsing._sheet import Line, Sheet, locate


@dataclass(frozen=True, slots=True)
class OutlineEntry:
    """A bookmark of the file: page index from 0, level from 1."""

    title: str
    page: int
    level: int


_NUMBERED = re.compile(r"^\s*(\d{1,5})(?:\s+|$)")
_BARE_NUMBER = re.compile(
    r"^(?:page\s*|p\.\s*)?[-–—]?\s*(\d{1,4}|[ivxlc]{1,7})\s*[-–—]?(?:\s*(?:/|of|sur|de)\s*\d{1,4})?$",
    re.IGNORECASE,
)
_LONGEST_HEADING = 200  # characters, of all its lines
_EDGE = 3  # lines at the top and at the bottom of a page where running heads stand


def lay_out(sheets: list[Sheet], labels: list[str], outline: list[OutlineEntry]) -> tuple[ParsedPage, ...]:
    """Pages of clean text with headings and the places of their words. Page numbers count from 1; labels come from the
    file or from the printed numbers. The lines of the sheets are replaced by those that are kept."""
    pages = [_without_margin_numbers(sheet) for sheet in sheets]
    labels = labels if any(labels) else _printed_labels(pages)
    pages = _without_running_heads(pages)
    wording = Wording.of(pages)
    styles = _heading_styles(pages)
    by_page: dict[int, list[OutlineEntry]] = {}
    for entry in outline:
        by_page.setdefault(entry.page, []).append(entry)
    matched = [_match_outline(page, by_page.get(index, [])) for index, page in enumerate(pages)]
    use_outline = sum(len(m) for m in matched) >= max(3, len(outline) // 3)
    result = []
    for index, (page, sheet) in enumerate(zip(pages, sheets, strict=True)):
        sheet.lines = page
        levels = matched[index] if use_outline else _match_styles(page, sheet.places, styles)
        written = compose(sheet, levels, wording, index + 1, labels[index])
        boxes = locate(written.text, sheet).packed()
        result.append(replace(written, boxes=boxes, width=sheet.width, height=sheet.height, ocr=sheet.ocr))
    return tuple(result)


def _without_margin_numbers(sheet: Sheet) -> list[Line]:
    """The lines of a page without the line numbers of drafts and legal texts, which count through them in the margin
    and are written, in the file, before or behind the words of their line."""
    numbers = {index: found for index, line in enumerate(sheet.lines) if (found := _margin_number(line, sheet))}
    values = {value for value, _ in numbers.values()}
    # A number that nothing counts on to (a page number, a table cell) is text.
    chain = {index: at for index, (value, at) in numbers.items() if value - 1 in values or value + 1 in values}
    if len(chain) < 8 or len(chain) < 0.5 * len(sheet.lines):
        return sheet.lines
    result = []
    for index, line in enumerate(sheet.lines):
        words = line.text.split()
        if index not in chain:
            result.append(line)
        elif len(words) > 1 and chain[index] == 0:
            text = _NUMBERED.sub("", line.text, count=1)
            result.append(line.without_first(text, sheet.places[4 * line.word + 4]))
        elif len(words) > 1:
            lefts = sheet.places[4 * line.word : 4 * (line.word + len(words) - 1) : 4]
            result.append(replace(line, text=line.text.rstrip()[: -len(words[-1])], left=min(lefts)))
    return result


def _margin_number(line: Line, sheet: Sheet) -> tuple[int, int] | None:
    """The number at the left edge of a line, and whether it is its first word (0) or its last (-1)."""
    if line.row:
        return None
    if found := _NUMBERED.match(line.text):
        return int(found.group(1)), 0
    last = line.text.rstrip()[-6:].split()[-1]
    if last.isdecimal() and len(last) <= 5:
        count = len(line.text.split())
        lefts = sheet.places[4 * line.word : 4 * (line.word + count) : 4]
        if lefts[-1] < min(lefts[:-1], default=0.0):
            return int(last), -1
    return None


def _edges(page: list[Line]) -> list[int]:
    places = range(len(page))
    return sorted({*places[:_EDGE], *places[-_EDGE:]})


def _shape(text: str) -> str:
    return re.sub(r"\d+", "#", " ".join(text.lower().split()))


def _printed_labels(pages: list[list[Line]]) -> list[str]:
    """The numbers printed at the edges of the pages, where they count on from page to page; else empty labels."""
    found: list[set[int]] = []
    for page in pages:
        numbers = [_BARE_NUMBER.match(page[i].text.strip()) for i in _edges(page)]
        found.append({int(n.group(1)) for n in numbers if n and n.group(1).isdigit()})
    offsets = Counter(number - index for index, numbers in enumerate(found) for number in numbers)
    if not offsets:
        return [""] * len(pages)
    offset, count = offsets.most_common(1)[0]
    if count < max(2, 0.6 * len(pages)):
        return [""] * len(pages)
    return [str(index + offset) if index + offset in numbers else "" for index, numbers in enumerate(found)]


def _without_running_heads(pages: list[list[Line]]) -> list[list[Line]]:
    """Without the lines that stand at the top or bottom of most pages, whatever number is in them."""
    filled = [page for page in pages if page]
    if len(filled) < 3:
        return pages
    seen: dict[str, list[tuple[int, str]]] = {}
    for index, page in enumerate(pages):
        for text in {page[i].text for i in _edges(page)}:
            seen.setdefault(_shape(text), []).append((index, text))
    least = max(3, 0.4 * len(filled))
    running = {shape for shape, found in seen.items() if len(found) >= least and _counts_pages(found)}
    result = []
    for page in pages:
        edges = set(_edges(page))
        result.append([line for i, line in enumerate(page) if not (i in edges and _shape(line.text) in running)])
    return result if any(result) else pages  # pages that are all the same have no heads, only text


def _counts_pages(lines: list[tuple[int, str]]) -> bool:
    """Whether the numbers in lines of different pages are the same everywhere or go up with the pages, as in a running
    head; the rows of a table that goes on over pages do neither."""
    offsets: Counter[int] = Counter()
    same: Counter[str] = Counter()
    for index, text in lines:
        same[text] += 1
        offsets.update({int(number) - index for number in re.findall(r"\d{1,9}", text)})
    most = 0.7 * len(lines)
    return max(same.values()) >= most or max(offsets.values(), default=0) >= most


def _heading_styles(pages: list[list[Line]]) -> dict[tuple[float, bool], int]:
    """Which kinds of type are headings, and of which level: larger than the body, or bold where the body is not."""
    weights: Counter[tuple[float, bool]] = Counter()
    for page in pages:
        for line in page:
            if line.height and not line.row:
                weights[(line.height, line.bold)] += len(line.text)
    if not weights:
        return {}
    (body, body_bold), _ = weights.most_common(1)[0]
    total = sum(weights.values())
    styles = [
        style
        for style, weight in weights.items()
        if weight < 0.2 * total
        and (style[0] >= body * 1.12 or (style[1] and not body_bold and style[0] >= body * 0.95))
    ]
    order = sorted(styles, reverse=True)
    sizes = sorted({size for size, _ in order if size >= body * 1.12}, reverse=True)
    return {style: min(sizes.index(style[0]) + 1 if style[0] in sizes else len(sizes) + 1, 6) for style in order}


def _match_styles(page: list[Line], places: Sequence[float], styles: dict[tuple[float, bool], int]) -> dict[int, int]:
    """The lines that are headings by their type. Many lines of it without white space between them are not a heading
    but a paragraph that is set apart, a recommendation perhaps."""
    levels: dict[int, int] = {}
    for run in _runs(page, places, styles):
        first, last = page[run[0]], page[run[-1]]
        level = styles[first.height, first.bold]
        if sum(len(page[index].text) for index in run) > _LONGEST_HEADING:
            continue
        after = page[run[-1] + 1] if run[-1] + 1 < len(page) else None
        if after and 0 < after.top - last.top < 1.6 * last.height and after.text.lstrip()[:1].islower():
            continue  # a sentence of which only the beginning is set so
        for index in run:
            text = page[index].text.strip()
            if (
                len(text) <= 140
                and re.search(r"[^\W\d_]{2}", text)
                and not text.endswith((".", ",", ";"))
                and not ITEM.match(text)
            ):
                levels[index] = level
    return levels


def _runs(page: list[Line], places: Sequence[float], styles: dict[tuple[float, bool], int]) -> Iterator[list[int]]:
    """The lines of the types of headings in runs of one type, each line right below the one before, which it goes on
    with."""
    run: list[int] = []
    usual = leading(page)
    for index, line in enumerate(page):
        if line.row or (line.height, line.bold) not in styles:
            continue
        before = page[index - 1]
        if run and not (
            run[-1] == index - 1
            and (line.height, line.bold) == (before.height, before.bold)
            and 0 <= line.top - before.top < 1.25 * max(usual, 1.28 * line.height)
            and not had_room(page, places, index)
        ):
            yield run
            run = []
        run.append(index)
    if run:
        yield run


def _plain(text: str) -> str:
    return re.sub(r"[\W_]+", "", text.lower())


def _match_outline(page: list[Line], entries: list[OutlineEntry]) -> dict[int, int]:
    """The lines that are the headings of the outline; a heading may be broken over up to four lines."""
    levels: dict[int, int] = {}
    for entry in entries:
        wanted = _plain(entry.title)
        if not wanted:
            continue
        for index in range(len(page)):
            if index in levels:
                continue
            joined = ""
            for length in range(4):
                if index + length >= len(page):
                    break
                joined += _plain(page[index + length].text)
                if joined == wanted:
                    levels.update(dict.fromkeys(range(index, index + length + 1), entry.level))
                    break
                if not wanted.startswith(joined):
                    break
            if index in levels:
                break
    return levels
