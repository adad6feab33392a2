"""The sentences of found passages that answer a question, word for word: what a person gets where no language model
answers.

Sentences are put in order by meaning and words as chunks are (`retrieval`), then chosen with what must stand beside
them: a list with its introduction, a box whole, the sentence before one that begins with "It", the one after that takes
something back. Runs in the knowledge worker, with its embedder.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from knowledge._analysis import chunk_terms, guess_language
from knowledge._statements import Block, Layout, Span, Statement, statements
from knowledge._types import Quote
from knowledge.citations import Quotation
from knowledge.models import Page
from knowledge.retrieval._fusion import WEIGHTS
from knowledge.retrieval._search import Question, completed, prepared

MOST_PASSAGES = 4
MOST_SENTENCES = 8
MOST_CHARACTERS = 1200
LONGEST_LIST = 700  # characters of a list that goes with any item of it
LEAST_SHARE = 0.5  # of the best sentence's score, for another to be quoted beside it
_WORDS = 1.2  # what all of a question's words are worth in a sentence, beside its meaning
_RANK = 0.06  # what each place further down among the passages takes off


@dataclass(frozen=True, slots=True)
class _Candidate:
    """A statement of the passage `marker`, its number there, and how well it answers."""

    marker: int
    number: int
    score: float


def quote(
    question: str,
    passages: Mapping[int, Quotation],
    *,
    language: str | None = None,
    headings: Mapping[int, str] | None = None,
    history: Sequence[str] = (),
) -> tuple[Quote, ...]:
    """What passages (by their markers, best first, at most four are read) say on a question, in the order in which to
    show it: passage by passage, those of one document together and in its order.

    About eight sentences or 1,200 characters at most, more only where a box or the best statement alone is longer.
    Nothing where the passages hold no sentences; whether they cover the question at all is `Retrieval.covered`.
    `language` and `history` are as in `retrieve`, `headings` what stands above the passages. Raises nothing of its own:
    without an embedder words alone choose.
    """
    read = dict(list(passages.items())[:MOST_PASSAGES])
    found = {
        marker: statements(one.quote, _layout(one), (headings or {}).get(marker, "")) for marker, one in read.items()
    }
    asked = prepared(completed(question, history), language)
    candidates = _ranked(asked, read, found)
    chosen = _chosen(candidates, read, found)
    scores = {(one.marker, one.number): one.score for one in candidates}
    quotes = []
    for marker in _in_order(read, chosen):
        quotes += _joined(marker, read[marker].quote, found[marker], chosen[marker], scores)
    return tuple(quotes)


def _layout(passage: Quotation) -> Layout:
    """Headings, tables and boxes of a passage as its pages have them; nothing known where the pages have been read anew
    since and are not what they were."""
    if passage.start is None:
        return Layout()
    first, last = passage.page or 1, passage.last_page or passage.page or 1
    text, headings, blocks = "", [], []
    rows = Page.objects.filter(version__pk=passage.version_id, number__range=(first, last)).order_by("number")
    for page in rows.only("text", "headings", "blocks"):
        place = len(text) - passage.start
        headings += [(place + start, place + end) for start, end, *_ in page.headings]
        blocks += [Block(place + start, place + end, kind) for start, end, kind in page.blocks]
        text += page.text + "\n"
    end = passage.start + len(passage.quote)
    if text[passage.start : end] != passage.quote:
        return Layout()
    return Layout(headings, [one for one in blocks if one.end > 0 and one.start < len(passage.quote)], known=True)


# --- which of them answer --------------------------------------------------------------------------------------------


def _ranked(
    asked: Question, passages: Mapping[int, Quotation], found: Mapping[int, Sequence[Statement]]
) -> list[_Candidate]:
    """Every statement with its score, best first."""
    places = [
        (marker, number)
        for marker, said in found.items()
        for number, one in enumerate(said)
        if not _is_unfit(passages[marker].quote, one)
    ]
    texts = [_read(passages[marker].quote, found[marker][number]) for marker, number in places]
    meanings = _cosines(asked, texts)
    ranks = {marker: rank for rank, marker in enumerate(passages)}
    languages = {marker: guess_language(one.quote, asked.language) for marker, one in passages.items()}
    candidates = []
    for (marker, number), text, meaning in zip(places, texts, meanings, strict=True):
        terms = chunk_terms("", found[marker][number].heading, text, languages[marker])
        words = asked.words.score(terms).coverage
        candidates.append(_Candidate(marker, number, meaning + _WORDS * words - _RANK * ranks[marker]))
    return sorted(candidates, key=lambda one: -one.score)


def _is_unfit(text: str, statement: Statement) -> bool:
    """Whether it is only the end of a sentence that begins before its passage, or an address."""
    if "://" in text[statement.start : statement.end]:
        return True
    return statement.start == 0 and statement.introduction is None and text[:1].islower()


def _read(text: str, statement: Statement) -> str:
    """A statement with its introduction."""
    own = text[statement.start : statement.end]
    return f"{text[slice(*statement.introduction)]} {own}" if statement.introduction else own


def _cosines(asked: Question, texts: Sequence[str]) -> list[float]:
    """How near each text comes to the question in meaning, about 0 to 1; zeros without an embedder."""
    import numpy as np

    if asked.embedder is None or not asked.vector or not texts:
        return [0.0] * len(texts)
    vectors = asked.embedder.embed_passages(texts)
    rows = np.frombuffer(b"".join(vectors), "<f4").reshape(len(texts), -1)
    weights = WEIGHTS[asked.kind]
    near = (rows @ np.frombuffer(asked.vector, "<f4") - weights.floor) / (weights.ceiling - weights.floor)
    return [float(one) for one in near]


# --- what goes together ----------------------------------------------------------------------------------------------


def _chosen(
    candidates: Sequence[_Candidate], passages: Mapping[int, Quotation], found: Mapping[int, Sequence[Statement]]
) -> dict[int, set[int]]:
    """The numbers of the statements to be quoted, by passage: the best ones, each with its companions, while there is
    room."""
    chosen: dict[int, set[int]] = {}
    said: set[str] = set()
    sentences = characters = 0
    for one in candidates:
        if one.score < LEAST_SHARE * candidates[0].score:
            break
        text, there = passages[one.marker].quote, found[one.marker]
        taken = chosen.get(one.marker, set())
        new = _with_companions(text, there, one.number) - taken
        many = len(new - set(there[one.number].siblings))  # a list counts as one
        length = sum(there[number].end - there[number].start for number in new)
        is_new = any(_plain(text, there[number]) not in said for number in new)
        fits = sentences + many <= MOST_SENTENCES and characters + length <= MOST_CHARACTERS
        if is_new and (fits or not chosen):
            chosen.setdefault(one.marker, set()).update(new)
            said.update(_plain(text, there[number]) for number in new)
            sentences, characters = sentences + many, characters + length
    return chosen


def _with_companions(text: str, there: Sequence[Statement], number: int) -> set[int]:
    """A statement with those that it must not be quoted without."""
    one = there[number]
    least = {number}
    while one.leans and min(least) > 0 and number - min(least) < 2:
        least.add(min(least) - 1)
        one = there[min(least)]
    if number + 1 < len(there) and there[number + 1].limits:
        least.add(number + 1)
    family = least | set(there[number].siblings)
    if sum(there[other].end - there[other].start for other in family) <= LONGEST_LIST:
        return family  # half a list would say something else
    return least


def _plain(text: str, statement: Statement) -> str:
    return "".join(char for char in text[statement.start : statement.end].lower() if char.isalnum())


def _in_order(passages: Mapping[int, Quotation], chosen: Mapping[int, set[int]]) -> list[int]:
    """Markers as they are shown: documents in the order of their best passage, passages as they stand there."""
    firsts: dict[str, int] = {}
    for rank, one in enumerate(passages.values()):
        firsts.setdefault(str(one.version_id), rank)

    def place(marker: int) -> tuple[int, int, int]:
        one = passages[marker]
        return firsts[str(one.version_id)], one.page or 0, one.start or 0

    return sorted(chosen, key=place)


def _joined(
    marker: int,
    text: str,
    there: Sequence[Statement],
    numbers: Iterable[int],
    scores: Mapping[tuple[int, int], float],
) -> list[Quote]:
    """The statements of a passage as runs: introductions put before them, neighbours joined."""
    spans: dict[Span, float] = {}
    for number in sorted(numbers):
        one, score = there[number], scores.get((marker, number), 0.0)
        for span in [one.introduction, (one.start, one.end)]:
            if span:
                spans[span] = max(score, spans.get(span, score))
    quotes: list[Quote] = []
    for (start, end), score in sorted(spans.items()):
        last = quotes[-1] if quotes else None
        if last and start < last.end:
            continue
        if last and not text[last.end : start].strip():
            quotes[-1] = Quote(marker, last.start, end, max(score, last.score))
        else:
            quotes.append(Quote(marker, start, end, score))
    return quotes
