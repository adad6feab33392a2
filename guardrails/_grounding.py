"""Whether a passage supports a sentence: shared content words, with every number, unit and negation of the sentence
found in the same part of the passage. Lexical and careful; it understands no paraphrase and no translation."""

import re
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass

from guardrails._sentences import sentences
from guardrails._types import SourcePassage

ENOUGH = 0.6  # share of a sentence's content words that a part of a passage must hold
LEAST_WORDS = 3  # a sentence with fewer content words says nothing that could be checked
_LOOKED_AT = 60  # passage parts tried, at most

_WORD = re.compile(r"\d+(?:[.,]\d+)*|[^\W\d_]+")
_UNITS = (
    "mg|g|kg|µg|mcg|ug|ng|ml|l|cl|dl|mmol|mol|meq|mm|cm|m|iu|ui|%|percent|pour cent|h|hours?|heures?|hrs?|"
    "min|mins|minutes?|s|sec|seconds?|secondes?|days?|jours?|j|weeks?|semaines?|months?|mois|years?|ans?|annees?|times?|fois|°c|bpm|mmhg"
)
_QUANTITY = re.compile(rf"(\d+(?:[.,\s\u00a0\u202f]\d+)*)\s*({_UNITS})?(?![^\W\d_])", re.IGNORECASE)
_SAME_UNIT = {
    **dict.fromkeys(("mcg", "ug", "µg", "μg"), "ug"),
    **dict.fromkeys(("hour", "hours", "heure", "heures", "hr", "hrs", "h"), "h"),
    **dict.fromkeys(("min", "mins", "minute", "minutes"), "min"),
    **dict.fromkeys(("s", "sec", "second", "seconds", "seconde", "secondes"), "s"),
    **dict.fromkeys(("day", "days", "jour", "jours", "j"), "d"),
    **dict.fromkeys(("week", "weeks", "semaine", "semaines"), "w"),
    **dict.fromkeys(("month", "months", "mois"), "mo"),
    **dict.fromkeys(("year", "years", "an", "ans", "annee", "annees"), "y"),
    **dict.fromkeys(("time", "times", "fois"), "x"),
    **dict.fromkeys(("%", "percent", "pour cent"), "%"),
    **dict.fromkeys(("iu", "ui"), "iu"),
}
_NUMBER_WORDS = {
    word: str(number)
    for number, words in enumerate(
        [
            "zero",
            "one un une",
            "two deux",
            "three trois",
            "four quatre",
            "five cinq",
            "six",
            "seven sept",
            "eight huit",
            "nine neuf",
            "ten dix",
            "eleven onze",
            "twelve douze",
        ]
    )
    for word in words.split()
    if word not in {"un", "une", "one", "neuf"}  # articles and "new" as often as numbers
}
_STOP_TEXT = """
the a an and or but if of to in on at by for with from as is are was were be been being it its this that these
those there their them they he she his her you your we our us i me my not no can could should would may might
must will do does did has have had which who what when where how than then so such also into about over under
more most any all each other some only very just one le la les l un une des de du d et ou mais si en au aux dans
sur pour par avec sans sous chez est sont etait etaient etre ete ce cet cette ces il elle ils elles on nous vous
je tu se s son sa ses leur leurs notre votre qui que qu quoi dont ne n pas plus y a ont avoir peut peuvent doit
doivent faut comme aussi tres tout tous toute toutes autre autres lors afin ainsi
"""
_STOP = frozenset(_STOP_TEXT.split())
_NEGATION = re.compile(
    r"\b(?:not|never|no|without|cannot|neither|nor|avoid|contraindicated|n't|pas|jamais|aucune?|sans|ni|eviter|"
    r"contre[- ]indiquee?s?|ne)\b"
)
_ENDINGS_TEXT = """
issements issement atrices atrice ateurs ateur ations ation ements ement ities ity ments ment ives ive ifs if
iques ique euses euse eaux eau aux ables able ibles ible ances ance ences ence ings ing ions ion ees ee ers er
ies ied ed es ent ez ir re ly s e
"""
_ENDINGS = _ENDINGS_TEXT.split()
_ENDINGS.sort(key=len, reverse=True)


def plain(text: str) -> str:
    """Lower case without accents, with one kind of apostrophe."""
    decomposed = unicodedata.normalize("NFKD", text.casefold().replace("’", "'").replace("µ", "u").replace("μ", "u"))
    return "".join(character for character in decomposed if not 0x300 <= ord(character) <= 0x36F)


def stem(word: str) -> str:
    """A light stem that brings French and English inflections of one word together; never under four letters."""
    for ending in _ENDINGS:
        if word.endswith(ending) and len(word) - len(ending) >= 4:
            return word[: -len(ending)]
    return word


def content_words(text: str) -> frozenset[str]:
    """Stems of the words that carry meaning; numbers are left to `quantities`."""
    return frozenset(
        stem(word)
        for word in _WORD.findall(plain(text))
        if len(word) > 2 and word not in _STOP and not word[0].isdigit()
    )


def quantities(text: str) -> frozenset[tuple[str, str]]:
    """Numbers with their units in one notation: ("0.5", "mg"), ("24", "h"), ("3", "")."""
    found: set[tuple[str, str]] = set()
    text = plain(text)
    for word, number in _NUMBER_WORDS.items():
        if word in text:
            text = re.sub(rf"\b{word}\b", number, text)
    for match in _QUANTITY.finditer(text):
        unit = (match[2] or "").lower()
        found.add((_number(match[1]), _SAME_UNIT.get(unit, unit)))
    return frozenset(found)


def _number(written: str) -> str:
    digits = re.sub(r"[\s\u00a0\u202f](?=\d{3}(?!\d))", "", written)
    if re.fullmatch(r"\d{1,3}(?:,\d{3})+", digits):
        digits = digits.replace(",", "")
    digits = digits.replace(",", ".").strip()
    head, dot, tail = digits.partition(".")
    return (head.lstrip("0") or "0") + (dot + tail.rstrip("0") if tail.rstrip("0") else "")


def negated(text: str) -> bool:
    """Whether a sentence denies or forbids something."""
    return _NEGATION.search(plain(text)) is not None


@dataclass(frozen=True, slots=True)
class _Part:
    words: frozenset[str]
    quantities: frozenset[tuple[str, str]]
    negated: bool


class Evidence:
    """The passages of one answer, cut into overlapping parts of up to three sentences."""

    def __init__(self, passages: Sequence[SourcePassage]) -> None:
        self.markers = tuple(passage.marker for passage in passages)
        self._parts = [(passage.marker, part) for passage in passages for part in _parts(passage.text)]

    def support(self, sentence: str) -> tuple[float, int | None]:
        """How well the best passage supports a sentence (0 to 1) and its marker, None where none does."""
        words = content_words(sentence)
        wanted = quantities(sentence)
        denies = negated(sentence)
        best, marker = 0.0, None
        if len(words) < LEAST_WORDS:
            return best, marker
        for candidate, part in self._parts:
            share = len(words & part.words) / len(words)
            if share > best and _quantities_stand(wanted, part.quantities) and (not denies or part.negated):
                best, marker = share, candidate
        return (best, marker) if best >= ENOUGH else (best, None)

    def supports(self, marker: int, sentence: str) -> bool:
        """Whether the passage with this marker supports a sentence."""
        one = Evidence.__new__(Evidence)
        one.markers = (marker,)
        one._parts = [(number, part) for number, part in self._parts if number == marker]
        return one.support(sentence)[1] is not None


def _quantities_stand(wanted: frozenset[tuple[str, str]], given: frozenset[tuple[str, str]]) -> bool:
    """Every number stands in the passage, with its unit where the sentence names one."""
    numbers = {number for number, _ in given}
    return all((number, unit) in given if unit else number in numbers for number, unit in wanted)


def _parts(text: str) -> list[_Part]:
    pieces = sentences(text)[:_LOOKED_AT]
    parts = []
    for index in range(len(pieces)):
        window = " ".join(pieces[index : index + 3])
        parts.append(_Part(content_words(window), quantities(window), negated(window)))
    return parts


def checkable(sentence: str) -> bool:
    """Whether a sentence says enough to be checked: not a heading, a question or a few words of courtesy."""
    return len(content_words(sentence)) >= LEAST_WORDS and not sentence.rstrip(' *_"»)').endswith(("?", ":"))
