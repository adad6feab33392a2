"""Search by words: which chunks have the words of a question, and how well.

Candidates are found by the rarity of the words they have (`_postings`), then scored by BM25 over three fields: text,
headings, title. The same code scores on every database.
"""

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from math import log
from typing import Any

from knowledge._analysis import HEADING, TITLE, question_words, stemmed, stemmer_language
from knowledge.retrieval._postings import Library
from knowledge.retrieval._synonyms import Form, expressions

K1, B, LENGTH = 0.9, 0.6, 100.0  # LENGTH: stems of a usual chunk; chunks are cut to one size: it is not counted
IN_HEADING, IN_TITLE = 1.0, 1.0  # how often a stem in the headings or the title counts as standing in the text
EXPRESSION = 0.5  # what a known expression of several words counts beside its words
MOST_WORDS = 32  # of a question; what is longer is a text, whose rarest words say enough


@dataclass(frozen=True, slots=True)
class Word:
    """A word or expression of a question: all forms that say the same, any of which counts, and its weight."""

    forms: tuple[Form, ...]
    weight: float


@dataclass(frozen=True, slots=True)
class Match:
    """How a chunk has the words of a question: by BM25, as a share (0 to 1) of the BM25 that there could be, and the
    share of the question's weight that stands in it at all."""

    bm25: float = 0.0
    share: float = 0.0
    coverage: float = 0.0


@dataclass(frozen=True)
class LexicalQuery:
    """A question as words with their weights in the library."""

    words: tuple[Word, ...]

    @cached_property
    def best(self) -> float:
        """What a chunk could reach that is full of all the words."""
        return sum(word.weight for word in self.words) * (K1 + 1)

    def score(self, terms: str) -> Match:
        """Of a chunk's terms."""
        if not self.best:
            return Match()
        tokens = terms.split()
        counts = Counter(tokens)
        length = sum(not token.startswith((HEADING, TITLE)) for token in tokens)
        norm = K1 * (1 - B + B * length / LENGTH)
        total = present = 0.0
        for word in self.words:
            times = max(_times(form, counts, terms) for form in word.forms)
            if times:
                total += word.weight * times * (K1 + 1) / (times + norm)
                present += word.weight
        return Match(total, total / self.best, present * (K1 + 1) / self.best)


def _times(form: Form, counts: Counter[str], terms: str) -> float:
    if len(form) == 1:
        stem = form[0]
        return counts[stem] + IN_HEADING * counts[HEADING + stem] + IN_TITLE * counts[TITLE + stem]
    if not all(counts[stem] or counts[TITLE + stem] for stem in form):
        return 0.0
    padded = f" {terms} "
    titled = all(counts[TITLE + stem] for stem in form)
    return padded.count(f" {' '.join(form)} ") + IN_TITLE * titled


def prepare(text: str, languages: Iterable[str], library: Library) -> LexicalQuery:
    """Analyse a question in each of the languages that the library may hold."""
    spoken = question_words(text)
    ways: list[dict[Form, None]] = [{} for _ in spoken]  # of each word
    whole: dict[tuple[Form, ...], float] = {}
    for language in dict.fromkeys(stemmer_language(one) for one in languages):
        stems = tuple(stemmed(word, language) for word in spoken)
        for place, stem in enumerate(stems):
            ways[place][(stem,)] = None
        for begin, end, same in expressions(stems):
            for place in range(begin, end):  # its words are there too where it stands in other words
                ways[place].update(dict.fromkeys(same))
            if end - begin > 1:
                whole[tuple(sorted(same))] = EXPRESSION
    shares = {tuple(sorted(form for form in forms if form[0])): 1.0 for forms in ways} | whole
    words = [Word(forms, share * _rarity(forms, library)) for forms, share in shares.items() if forms]
    return LexicalQuery(tuple(sorted(words, key=lambda word: -word.weight)[:MOST_WORDS]))


def _rarity(forms: tuple[Form, ...], library: Library) -> float:
    """The weight of a word: how few of the chunks have it."""
    places = _having(forms, library)
    count = library.common if places is None else len(places)
    return log(1 + (len(library) - count + 0.5) / (count + 0.5)) if count <= len(library) else 0.0


def _having(forms: tuple[Form, ...], library: Library) -> Any:
    """The places of the chunks with one of the forms; None when one of them is common."""
    import numpy as np

    found = []
    for form in forms:
        each = [library.containing(stem) for stem in form]
        known = [places for places in each if places is not None]
        if not known:
            return None
        places = known[0]
        for other in known[1:]:
            places = np.intersect1d(places, other, assume_unique=True)
        found.append(places)
    return found[0] if len(found) == 1 else np.unique(np.concatenate(found))


def candidates(query: LexicalQuery, library: Library, allowed: Any, limit: int) -> list[int]:
    """The numbers of the chunks with the most and rarest of the words, at most `limit`, among those `allowed` (a truth
    value a chunk). Words in headings and titles count once more."""
    import numpy as np

    if not len(library):
        return []
    scores = np.zeros(len(library), np.float32)
    for word in query.words:
        places = _having(word.forms, library)
        if places is None:
            continue
        scores[places] += word.weight
        for form in word.forms:
            for mark in (HEADING, TITLE):
                if len(form) == 1 and (marked := library.containing(mark + form[0])) is not None:
                    scores[marked] += 0.3 * word.weight
    scores[~allowed] = 0.0
    count = min(limit, int((scores > 0).sum()))
    if not count:
        return []
    best = np.argpartition(-scores, count - 1)[:count]
    return [int(number) for number in library.numbers[best[np.lexsort((best, -scores[best]))]]]
