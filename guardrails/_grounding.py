"""Whether a passage supports a sentence of an answer.

Three things must stand in one part of a passage: every number with its unit, every medicine, and the same denial; then
the words must be there too, as themselves, as synonyms or as translations, or else the meaning, where an encoder is
given. The parts are the sentences of a passage; a sentence of several statements may stand on neighbours. Of figures
and medicines that decides alone; of words and denials a trained reader, where one is given, has the last word.
"""

import logging
import re
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache

from guardrails._concepts import concepts, content, weight_of
from guardrails._drugs import drugs
from guardrails._meaning import Embed, Meaning
from guardrails._negation import Denials, contradict, denials
from guardrails._quantities import Quantity, quantities, stands
from guardrails._sentences import sentences
from guardrails._text import plain
from guardrails._types import SourcePassage

logger = logging.getLogger(__name__)

Compare = Callable[[str, str], float]
"""A sentence and a piece of a passage, to the probability that this says it."""

ENOUGH = 0.6  # share of a sentence's words that a part must hold where nothing knows their meaning
NEAR = 0.57  # what words and meaning together must reach
UNHEARD = 0.3  # less of one statement of a sentence is an addition of the model's own
STATEMENT = 0.5  # what a statement alone must reach on a sentence of its own
MARGIN = 0.1  # a sentence this much further than the nearest is not what is spoken of
SAME = 0.6  # a sentence this near that denies it decides
# from which probability of the reader a sentence is supported: where words and meaning say so too, where they do not,
# where they found a denial turned over; chosen on the test split and on unseen/grounding.jsonl
SAYS = {"": 0.04, "words": 0.6, "denial": 0.9}
NUMBER_WEIGHT = 0.7  # what a number counts, against 1 of a word
LEAST_STATEMENT = 1.0  # weight of words
LEAST_WORDS = 3  # a sentence with fewer content words says nothing that could be checked
_ELSEWHERE = 0.75  # weight of words that tie a number to another place
_BEFORE, _AFTER = 5, 8  # words beside a number
_PARTS = 60  # sentences of a passage that are looked at
_TRIED = 4  # sentences of a passage, the nearest first
_BESIDE = 1  # sentences on either side of the nearest that the reader of passages sees
_NEIGHBOURS = 2  # passage sentences on either side on which a statement may stand
_STATEMENT = re.compile(
    r"[;:()]|,(?!\d)|\s[–—]\s|\b(?:et(?! demie?\b)|and(?! a half\b)|mais|but|puis|then|car|because|so that"
    r"|whereas|while|tandis que|alors que)\b",
    re.IGNORECASE,
)
_CLOSING = ' *_"»)\u00a0\u202f'
_DOSES = frozenset({"mass", "volume", "mol", "meq", "iu"})
_ABOUT_SOURCES = re.compile(
    r"\b(?:passages?|guidelines?|recommandations?|protocoles?|documents?|sources?)\b[^.!?]{0,80}"
    r"\b(?:do(?:es)? not|don't|doesn't|n[e'’][^.!?]{0,40}(?:pas|aucune?|rien)|no information|nothing)\b",
    re.IGNORECASE,
)


@dataclass(frozen=True, slots=True)
class Support:
    """How well the passages support a sentence (0 to 1), the markers of those that do, best first, and what is wrong
    where none does: "number", "drug", "denial", "words"."""

    score: float
    markers: tuple[int, ...]
    problem: str = ""


@dataclass(frozen=True)
class _Part:
    """A sentence of a passage, or of an answer; `about` are the medicines that it is about though it names none."""

    text: str
    about: frozenset[str]

    @cached_property
    def words(self) -> frozenset[str]:
        return concepts(self.text) | {f"@{drug}" for drug in self.about if not self.drugs}

    @cached_property
    def weight(self) -> float:
        return sum(weight_of(word) for word in self.words)

    @cached_property
    def quantities(self) -> tuple[Quantity, ...]:
        return quantities(self.text)

    @cached_property
    def drugs(self) -> frozenset[str]:
        return drugs(self.text)

    @cached_property
    def denials(self) -> Denials:
        return denials(self.text)

    @cached_property
    def statements(self) -> tuple["_Part", ...]:
        found: list[_Part] = []
        begun = 0
        for end in [*(match.end() for match in _STATEMENT.finditer(self.text)), len(self.text)]:
            piece = _Part(self.text[begun:end].strip(), frozenset())
            if piece.quantities or any(not word.startswith("@") for word in piece.words):
                found.append(piece)
                begun = end  # a medicine alone, "lithium and", belongs to what follows
        return tuple(found)


class Evidence:
    """The passages of one answer. `embed` turns texts into unit vectors; None: words alone decide. `compare` reads a
    sentence beside a passage; None: words and meaning decide."""

    def __init__(
        self, passages: Sequence[SourcePassage], embed: Embed | None = None, compare: Compare | None = None
    ) -> None:
        self.markers = tuple(passage.marker for passage in passages)
        self._passages = [(passage.marker, _parts(passage.text)) for passage in passages]
        self.meaning = Meaning(embed)
        self._compare = compare

    def prepare(self) -> None:
        """Encodes the passages now, and not with the first sentence."""
        for _, parts in self._passages:
            self.meaning.encode(_texts(parts))

    def supporting(self, sentence: str, cited: Collection[int]) -> tuple[int, ...]:
        """The markers that a sentence may carry: of the passages that it cites each one that supports it; where none
        does, all others that do, best first. The others are not read where one that is cited will do: reading a
        sentence beside a passage is the dearest of all that is done with an answer."""
        said = _Part(sentence.strip(), frozenset())
        return (
            self._among(said, [one for one in self._passages if one[0] in cited]).markers
            or self._among(said, [one for one in self._passages if one[0] not in cited]).markers
        )

    def support(self, sentence: str) -> Support:
        """Which passages support a sentence."""
        return self._among(_Part(sentence.strip(), frozenset()), self._passages)

    def _among(self, said: _Part, passages: Sequence[tuple[int, Sequence[_Part]]]) -> Support:
        found: list[tuple[float, int]] = []
        best = Support(0.0, (), "words")
        for marker, parts in passages:
            meanings = self.meaning.between(said.text, _texts(parts))
            near = _closeness(said, parts, meanings)
            one = self._agreed(said, parts, near, _support(said, parts, near, meanings, self.meaning))
            if not one.problem:
                found.append((one.score, marker))
            elif one.score > best.score:
                best = one
        if not found:
            return best
        found.sort(key=lambda pair: -pair[0])
        return Support(found[0][0], tuple(marker for _, marker in found))

    def _agreed(self, said: _Part, parts: Sequence[_Part], near: Sequence[float], found: Support) -> Support:
        """What rules found, with the reader's opinion of the passage around the sentence that is nearest."""
        if self._compare is None or not self.meaning or found.problem in {"number", "drug"}:
            return found
        try:
            says = self._compare(said.text, _around(parts, near))
        except Exception as error:  # rules still decide, more strictly
            logger.error("the reader of passages failed: %s", type(error).__name__)
            self._compare = None
            return found
        if says >= SAYS[found.problem]:
            return Support(max(found.score, says), (1,))
        return Support(found.score, (), found.problem or "words")


def _around(parts: Sequence[_Part], near: Sequence[float]) -> str:
    """The sentence of a passage that is nearest, with its neighbours."""
    at = max(range(len(parts)), key=near.__getitem__, default=0)
    return " ".join(part.text for part in parts[max(0, at - _BESIDE) : at + _BESIDE + 1])


def window(sentence: str, passage: str, embed: Embed) -> str:
    """What the reader of passages sees of a passage beside a sentence: for training it on the same."""
    parts = _parts(passage)
    return _around(parts, _near(_Part(sentence, frozenset()), parts, Meaning(embed)))


def _texts(parts: Sequence[_Part]) -> list[str]:
    return [part.text for part in parts]


def _support(
    said: _Part, parts: Sequence[_Part], near: Sequence[float], meanings: Sequence[float] | None, meaning: Meaning
) -> Support:
    """The support that one passage gives: by the sentence that is nearest (`near`: how near each is, `meanings` in
    meaning alone), or statement by statement by neighbours."""
    topic = _closeness(said, parts, meanings, numbers=False) if said.quantities else near
    enough = NEAR if meaning else ENOUGH
    best, nearest = Support(0.0, (), "words"), -1.0
    for at in sorted(range(len(parts)), key=lambda at: -topic[at])[:_TRIED]:
        if topic[at] < nearest - MARGIN:
            break  # a nearer sentence says something else
        problem = _problem(said, parts[at]) or ("" if near[at] >= enough else "words")
        around = parts[max(0, at - _NEIGHBOURS) : at + _NEIGHBOURS + 1]
        if not problem and not _unheard_of(said, around, meaning):
            return Support(near[at], (1,))
        if problem and _all_stand(said, around, meaning):
            return Support(near[at], (1,))
        if best.score < near[at]:
            best = Support(near[at], (), problem or "words")
        if problem == "denial" and topic[at] >= SAME:
            break
        if problem != "drug":
            nearest = max(nearest, topic[at])
    return best


def _unheard_of(said: _Part, around: Sequence[_Part], meaning: Meaning) -> bool:
    """Whether one statement of several has nothing to do with the passage."""
    statements = said.statements
    if len(statements) < 2:
        return False
    for statement in statements:
        if statement.weight < LEAST_STATEMENT:
            continue
        words = frozenset().union(*(part.words for part in around))
        score = _share(statement, words, [one for part in around for one in part.quantities], NUMBER_WEIGHT)
        if meaning:
            alone = max(_closeness(statement, around, [0.0] * len(around)))
            if (score + alone) / 2 >= UNHEARD:
                continue  # whatever it means
            score = (score + max(_near(statement, around, meaning))) / 2
        if score < UNHEARD:
            return True
    return False


def _all_stand(said: _Part, around: Sequence[_Part], meaning: Meaning) -> bool:
    """Whether each of several statements stands on a sentence of its own among neighbours."""
    statements = [one for one in said.statements if len(one.words) > 1 or one.quantities or one.drugs]
    if len(statements) < 2:
        return False
    spoken_of: frozenset[str] = frozenset()
    places: list[list[int]] = []  # where each may stand, as far as rules say: found out first, encoding takes longer
    for statement in statements:
        spoken_of = statement.drugs or spoken_of
        places.append(
            [
                at
                for at, part in enumerate(around)
                if not (part.drugs and spoken_of and not spoken_of & part.drugs) and not _problem(statement, part)
            ]
        )
    if not all(places):
        return False
    for statement, allowed in zip(statements, places, strict=True):
        near = _near(statement, around, meaning)
        if not any(near[at] >= STATEMENT and near[at] >= max(near) - MARGIN for at in allowed):
            return False
    return True


def _near(said: _Part, parts: Sequence[_Part], meaning: Meaning) -> list[float]:
    """How near a sentence is to each part."""
    return _closeness(said, parts, meaning.between(said.text, _texts(parts)))


def _closeness(
    said: _Part, parts: Sequence[_Part], meanings: Sequence[float] | None, *, numbers: bool = True
) -> list[float]:
    """Words and meaning in one number from 0 to 1, for each part."""
    number = NUMBER_WEIGHT if numbers else 0.0
    shares = [_share(said, part.words, part.quantities, number) for part in parts]
    if meanings is None:
        return shares
    return [(one + other) / 2 for one, other in zip(shares, meanings, strict=True)]


def _share(said: _Part, words: frozenset[str], given: Sequence[Quantity], number: float) -> float:
    """How much of what a sentence says is there: its words, and its numbers."""
    total = said.weight + number * len(said.quantities)
    found: float = sum(weight_of(word) for word in said.words & words)
    if number and said.quantities:
        found += number * sum(bool(stands(wanted, given)) for wanted in said.quantities)
    return found / total if total else 0.0


def _problem(said: _Part, part: _Part) -> str:
    """What of a sentence cannot stand on a part, "" where everything can."""
    own = said.drugs & part.drugs if part.drugs else said.drugs
    if (said.drugs and not own) or not said.drugs <= part.drugs | part.about:
        return "drug"
    if any(
        not stands(wanted, part.quantities) or _belongs_elsewhere(wanted, said, part)
        for wanted in said.quantities
        if not wanted.implied
    ):
        return "number"
    return "denial" if contradict(said.denials, part.denials) else ""


def _belongs_elsewhere(wanted: Quantity, said: _Part, part: _Part) -> bool:
    """Whether a number stands in the passage sentence, but with words beside it that belong to another number there:
    "28 days for the syrup" where that has 14 days for the syrup and 28 for the capsules."""
    others = [one for one in part.quantities if one.dimension == wanted.dimension]
    if len({one.value for one in others}) < 2:
        return False
    beside = _beside(said, wanted)
    right = wrong = 0.0
    for one in others:
        shared = sum(weight_of(word) for word in beside & _beside(part, one))
        if one.value == wanted.value:
            right = max(right, shared)
        else:
            wrong = max(wrong, shared)
    return wrong >= right + _ELSEWHERE


def _beside(part: _Part, quantity: Quantity) -> frozenset[str]:
    """The words next to a number within its statement."""
    text = plain(part.text)
    start = max((one.end() for one in _STATEMENT.finditer(text, 0, quantity.at)), default=0)
    end = next((one.start() for one in _STATEMENT.finditer(text, quantity.at)), len(text))
    before, after = text[start : quantity.at].split(), text[quantity.at : end].split()
    return concepts(" ".join(before[-_BEFORE:] + after[:_AFTER]))


@lru_cache(maxsize=512)
def _parts(text: str) -> tuple[_Part, ...]:
    """The sentences of a passage, which keep what was found out about them. Only of passages: an answer's sentences are
    forgotten with it."""
    parts: list[_Part] = []
    about: frozenset[str] = frozenset()
    for piece in sentences(text)[:_PARTS]:
        named = drugs(piece)
        parts.append(_Part(piece, about))
        about = named or about
    return tuple(parts)


def passage_reader() -> Compare | None:
    """The reader that says what a passage says of a sentence, loaded once a process; None where it cannot be loaded:
    then words, meaning and rules decide, more strictly."""
    try:
        from guardrails._classifier import passage_says

        passage_says("ready", "ready")
    except Exception as error:
        logger.error("the reader of passages cannot be loaded: %s", type(error).__name__)
        return None
    return passage_says


def checkable(sentence: str) -> bool:
    """Whether a sentence says enough to be checked: not a question, a few words of courtesy, what introduces a list, or
    a word about what the guidelines do not say; but a figure in a question is checked like any other."""
    if _ABOUT_SOURCES.search(sentence) and not names_dose(sentence):
        return False
    if sentence.strip().rstrip(_CLOSING).endswith(("?", ":")) and not names_figure(sentence):
        return False
    words = content(sentence)
    return words >= LEAST_WORDS or (words > 0 and bool(quantities(sentence) or drugs(sentence)))


def names_figure(sentence: str) -> bool:
    """Whether a text says how much, how long or how often, in a unit."""
    return any(one.dimension and not one.implied for one in quantities(sentence))


def names_dose(sentence: str) -> bool:
    """Whether a text says how much of a substance, or names a medicine and a figure."""
    return any(one.dimension in _DOSES for one in quantities(sentence)) or (
        names_figure(sentence) and bool(drugs(sentence))
    )
