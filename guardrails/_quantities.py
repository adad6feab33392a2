"""Numbers as a guideline states them: amounts with their units in one scale, frequencies, comparators.

French and English, digits and words: "0,5 g" is "500 mg", "24 h" is "one day", "2 fois/jour" is "bid" is "every 12
hours", "6 of every 100" is "6 %". Weeks and months are never turned into each other: four weeks are not a month.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Literal

from guardrails._number_words import number_at
from guardrails._text import plain
from guardrails._units import ADVERBS, LETTER_UNITS, SCALES, UNITS

Bound = Literal["", "least", "most"]

_TOKEN = re.compile(
    r"\d{1,3}(?:[ \u00a0\u202f]\d{3})+(?!\d)(?:[.,]\d{1,6})?|\d{1,12}(?:[.,]\d{1,6}){0,4}|\.\d{1,6}"
    r"|°c|[^\W\d_]+\d{0,3}|[%€$≥≤<>/;:,()–—-]"
)
_NOT_A_NUMBER = re.compile(r"(?:er|ere|e|eme|st|nd|rd|th|ieme)\b")
_LEAST = re.compile(
    r"\b(?:at least|minimum|or (?:more|longer|over|above)|more than|(?:longer|greater|higher|older) than|over|above|"
    r"(?:not|no|never) (?:less|fewer|shorter) than|(?:pas|jamais) (?:\w+ )?moins de|from|a partir de|des l'age de|"
    r"exceed\w*|beyond|au moins|(?:ou|et) plus|plus de|plus longtemps|superieure?s?|depass\w+|au-dela|au dela"
    r"|exced\w+)\b|[≥>]"
)
_MOST = re.compile(
    r"\b(?:at (?:the )?most|maximum|up to|(?:less|fewer|lower|shorter|younger) than|under|below|no longer than|"
    r"(?:not|no|never) (?:more|longer|later) than|(?:not|never) (?:\w+ ){0,2}(?:above|over|beyond|more than)"
    r"|not exceed\w*|cannot exceed\w*|without exceeding|au plus|jusqu|moins de|"
    r"(?:pas|jamais) (?:\w+ )?plus de|inferieure?s?|(?:ne|sans) (?:\w+ )?(?:\w+ )?depass\w+|"
    r"n'? ?exced\w+|sans (?:que )?(?:[\w-]+ ){0,2}puisse depasser|au maximum|maximale?s?)\b|[≤<]"
)
_DENIED = re.compile(r"\b(?:not|never|no|cannot|ne|n|pas|jamais|aucune?|sans|without)\b")
# parts of a whole as words: what a number before them is multiplied with to make per cent
_SHARES: Mapping[str, int | Fraction] = {
    "moitie": 50, "half": 50, "tiers": Fraction(100, 3), "third": Fraction(100, 3), "thirds": Fraction(100, 3),
    "quart": 25, "quarts": 25, "quarter": 25, "quarters": 25, "fifths": 20, "cinquiemes": 20, "tenths": 10,
    "dixiemes": 10,
}  # fmt: skip
_BETWEEN = re.compile(r"premiere?s?|derniere?s?|prochaine?s?|first|last|past|next|following|consecuti\w+|full|further")
_DAY_NUMBER = re.compile(r"[jd](\d{1,3})")
_HOURS_MINUTES = re.compile(r"h([0-5]\d)")
_REACH = 45  # characters around a number in which a word may bound it


@dataclass(frozen=True, slots=True)
class Quantity:
    """`value` in the scale of `dimension` ("" for a bare number, "every" for the time between two, in seconds, and
    "every-mo" in months); `written` the number itself; `bound` whether it is the least or the most; `at` its place."""

    value: Fraction
    dimension: str
    written: Fraction
    bound: Bound
    at: int
    implied: bool = False  # "the first week" is a week where a passage says so, but no number that an answer gives


@dataclass(frozen=True, slots=True)
class _Word:
    text: str
    start: int
    end: int


def quantities(text: str) -> tuple[Quantity, ...]:
    """Every number of a text that says how much, how long or how often. At most 200 of them are read."""
    text = plain(text)
    return _Reader(text).read()[:200]


class _Reader:
    """Reads one plain text from left to right."""

    def __init__(self, text: str) -> None:
        self._text = text
        self._words = [_Word(match[0], match.start(), match.end()) for match in _TOKEN.finditer(text)]
        self._found: list[Quantity] = []
        self._last = -9  # the place of the word after the last number

    def read(self) -> tuple[Quantity, ...]:
        at = 0
        while at < len(self._words):
            at = max(at + 1, self._frequency(at) or self._share(at) or self._amount(at))
        return tuple(self._found)

    def _is(self, at: int, *texts: str) -> bool:
        return 0 <= at < len(self._words) and self._words[at].text in texts

    def _number(self, at: int) -> tuple[Fraction, int, bool] | None:
        """(value, next place, written as an article) of the number that begins at a word."""
        if at >= len(self._words):
            return None
        word = self._words[at]
        if word.text[0].isdigit() or word.text[0] == ".":
            if _NOT_A_NUMBER.match(self._text, word.end) or (word.start and self._text[word.start - 1].isalpha()):
                return None
            value = _digits(word.text)
            if value is None:
                return None
            if self._is(at + 1, "million", "millions"):
                return value * 1_000_000, at + 2, False
            return value, at + 1, False
        return number_at([one.text for one in self._words[at : at + 12]], at)

    def _unit(self, at: int, *, after_digits: bool) -> tuple[str, int] | None:
        if self._is(at, "pour") and self._is(at + 1, "cent"):
            return "%", at + 2
        while self._is(at, "-", "–") or (at < len(self._words) and _BETWEEN.fullmatch(self._words[at].text)):
            at += 1
        unit = UNITS.get(self._words[at].text) if at < len(self._words) else None
        if unit is None or (self._words[at].text in LETTER_UNITS - {"an"} and not after_digits):
            return None
        return unit, at + 1

    def _period(self, at: int) -> tuple[Fraction, str, int] | None:
        """(value, dimension, next place) of "4 hours", "day", "24 heures", "half a year"."""
        number = self._number(at)
        value, place = (number[0], number[1]) if number else (Fraction(1), at)
        unit = self._unit(place, after_digits=True)
        if unit is None:
            return None
        scaled = _scaled(value, unit[0])
        return (*scaled, unit[1]) if scaled[1] in {"time", "months"} else None

    def _add(
        self, value: Fraction, dimension: str, written: Fraction, first: int, last: int, *, implied: bool = False
    ) -> None:
        start, end = self._words[first].start, self._words[min(last, len(self._words)) - 1].end
        self._found.append(Quantity(value, dimension, written, self._bound(start, end), start, implied))
        self._last = last

    def _every(self, times: Fraction, period: Fraction, dimension: str, first: int, last: int) -> None:
        if times and period:
            kind = "every" if dimension == "time" else "every-mo"
            self._add(period / times, kind, times, first, last)

    def _frequency(self, at: int) -> int:
        """Reads "daily", "bid", "every 4 hours", "twice a week", "2 to 3 fois par jour"; the next place, or 0."""
        word = self._words[at].text
        if word in ADVERBS:
            times, unit = ADVERBS[word]
            self._every(Fraction(times), *_scaled(Fraction(1), unit), at, at + 1)
            return at + 1
        if self._is(at, "in", "over", "en", "sur", "dans") and self._is(at + 1, "24") and self._found:
            period = self._period(at + 1)  # "2 mg in 24 hours"
            if period:
                self._every(Fraction(1), period[0], period[1], at, period[2])
        if self._is(at, "every", "each", "chaque", "per", "par", "/", "tous", "toutes"):
            place = at + 1 + self._is(at + 1, "les", "the")
            other = self._is(place, "other")
            period = self._period(place + other)
            if period is None:
                return 0
            self._every(Fraction(1), period[0] * (1 + other), period[1], at, period[2])
            return period[2]
        if self._is(at, "a", "an"):  # "40 mg a day", "200 mg of sertraline a day"
            unit = UNITS.get(self._words[at + 1].text, "") if at + 1 < len(self._words) else ""
            scaled = _scaled(Fraction(1), unit)
            if self._found and at - 4 < self._last and scaled[1] in {"time", "months"}:
                self._every(Fraction(1), *scaled, at, at + 2)
                return at + 2
            return 0
        return self._times(at)

    def _times(self, at: int) -> int:
        """Reads "twice a week", "two or three times daily", "2 fois par 24 heures"."""
        counts: list[Fraction] = []
        place = at
        while True:
            once = {"once": 1, "twice": 2, "thrice": 3}.get(self._words[place].text if place < len(self._words) else "")
            number = (Fraction(once), place + 1, False) if once else self._number(place)
            if number is None:
                return 0
            counts.append(number[0])
            place = number[1]
            joined = self._is(place, "or", "ou", "to", "a", "-", "–", "et", "and") and len(counts) == 1
            if joined and (self._number(place + 1) or self._is(place + 1, "twice", "thrice")):
                place += 1
                continue
            break
        if not once:
            if not self._is(place, "fois", "times", "time", "x"):
                return 0
            place += 1
        if self._is(
            place, "chaque", "every", "each", "a", "an", "per", "par", "/", "dans", "in", "the", "la", "le", "l"
        ):
            place += 1
            place += self._is(place, "la", "le", "l")
        adverb = ADVERBS.get(self._words[place].text) if place < len(self._words) else None
        if adverb and adverb[0] == 1:
            value, dimension = _scaled(Fraction(1), adverb[1])
            place += 1
        else:
            period = self._period(place)
            if period is None:
                for count in counts:
                    if count > 1 or len(counts) > 1:  # "once" and "une fois" alone are about time, not number
                        self._add(count, "x", count, at, place)
                return place
            value, dimension, place = period
        for count in counts:
            self._every(count, value, dimension, at, place)
        return place

    def _amount(self, at: int) -> int:
        """Reads one number or a range, with the unit that follows; the next place, or 0."""
        values: list[tuple[Fraction, str]] = []
        place, article, unit = at, False, ""
        while True:
            number = self._number(place)
            if number is None:
                if values:
                    break
                return 0
            value, place, article = number
            after_digits = self._words[place - 1].text[-1].isdigit()
            ratio = self._ratio(value, at, place)
            if ratio:
                return ratio
            value, unit, place = self._measured(value, place, after_digits=after_digits)
            values.append((value, unit))
            if (
                len(values) == 1
                and self._is(place, "to", "a", "or", "ou", "-", "–", "et", "and")
                and self._number(place + 1)
            ):
                place += 1
                continue
            break
        if article and not unit:
            if len(values) == 1:
                return 0
            values.pop()
        if not unit and not article:
            often = self._so_often(place)
            if often:
                for value, _ in values:
                    self._every(value, often[0], often[1], at, often[2])
                return often[2]
        for value, own in values:
            scaled, dimension = _scaled(value, own or values[-1][1])
            self._add(scaled, dimension, value, at, place)
            if (
                self._is(at - 1, "every", "tous", "toutes", "les")
                and dimension in {"time", "months"}
                and len(values) > 1
            ):
                self._every(Fraction(1), scaled, dimension, at, place)
        return place

    def _measured(self, value: Fraction, place: int, *, after_digits: bool) -> tuple[Fraction, str, int]:
        """(value, unit or "", next place) of what follows a number: "mg", "h30", "hours and a half"."""
        found = self._unit(place, after_digits=after_digits)
        if found:
            value, place = self._and_a_half(value, found[1])
            return value, found[0], place
        if place < len(self._words) and (minutes := _HOURS_MINUTES.fullmatch(self._words[place].text)):
            return value + Fraction(int(minutes[1]), 60), "h", place + 1
        return value, "", place

    def _so_often(self, place: int) -> tuple[Fraction, str, int] | None:
        """(period, dimension, next place) of "sessions a week", "beats per minute" after a bare number."""
        for step in range(3):
            if self._is(place + step, ",", ";", ":", "(", ")", "."):
                return None
            if self._is(place + step, "a", "an", "per", "par", "/") and (step or not self._is(place, "a", "an")):
                return self._period(place + step + 1)
        return None

    def _and_a_half(self, value: Fraction, place: int) -> tuple[Fraction, int]:
        """Reads on over "et demie" and "and a half"."""
        if self._is(place, "et") and self._is(place + 1, "demi", "demie"):
            return value + Fraction(1, 2), place + 2
        if self._is(place, "and") and self._is(place + 1, "a") and self._is(place + 2, "half"):
            return value + Fraction(1, 2), place + 3
        return value, place

    def _share(self, at: int) -> int:
        """Reads "la moitie", "half of", "deux tiers" as a share, and "j7" as seven days; the next place, or 0."""
        day = _DAY_NUMBER.fullmatch(self._words[at].text)
        if day:
            self._add(Fraction(int(day[1])) * 86400, "time", Fraction(int(day[1])), at, at + 1)
            return at + 1
        number = self._number(at + 1) if self._is(at, "jour", "day", "jours", "days") else None
        if number and self._words[at + 1].text[0].isdigit():  # "day 8"
            self._add(number[0] * 86400, "time", number[0], at, number[1])
            return number[1]
        if self._is(at, "premier", "premiere", "first"):
            unit = self._unit(at + 1, after_digits=False)
            value, dimension = _scaled(Fraction(1), unit[0]) if unit else (Fraction(0), "")
            if unit and dimension in {"time", "months"}:
                self._add(value, dimension, Fraction(1), at, unit[1], implied=True)
                return unit[1]
        number = self._number(at)
        value, place = (number[0], number[1]) if number and not self._is(at, "half") else (Fraction(1), at)
        part = _SHARES.get(self._words[place].text) if place < len(self._words) else None
        if part is None or (self._words[place].text == "half" and self._period(place)):
            return 0
        if self._words[place].text != "moitie" and not self._is(place + 1, "of", "des", "de", "d", "the"):
            return 0
        self._add(value * part, "%", value, at, place + 1)
        return place + 1

    def _ratio(self, value: Fraction, at: int, place: int) -> int:
        """Reads "6 of every 100 people", "1 in 10", "un sur dix" as a share; the next place, or 0."""
        for step in range(3):
            if self._is(place + step, "of", "in", "sur", "out"):
                whole_at = place + step + 1
                while self._is(whole_at, "every", "each", "of"):
                    whole_at += 1
                whole = self._number(whole_at)
                if whole is None or whole[0] < max(value, Fraction(2)) or self._unit(whole[1], after_digits=True):
                    return 0
                self._add(value * 100 / whole[0], "%", value, at, whole[1])
                return whole[1]
        return 0

    def _bound(self, start: int, end: int) -> Bound:
        near = re.split(r"[;:.](?!\d)|,(?!\d)|\d", self._text[max(0, start - _REACH) : start])[-1]
        after = re.split(r"[;:.,]", self._text[end : end + 25])[0]
        after = " ".join(after.split()[:3])
        for around in (near, after):
            most, least = _last(_MOST, around), _last(_LEAST, around)
            if most[0] < 0 and least[0] < 0:
                continue
            if most >= least:
                return "most"
            return "" if _DENIED.search(self._text[max(0, start - 2 * _REACH) : start]) else "least"
        return ""


def _last(pattern: re.Pattern[str], text: str) -> tuple[int, int]:
    """Where the last match ends and its length; (-1, 0) without one."""
    return max(((match.end(), len(match[0])) for match in pattern.finditer(text)), default=(-1, 0))


def _scaled(value: Fraction, unit: str) -> tuple[Fraction, str]:
    if unit == "fortnight":
        return value * 2 * 604800, "time"
    if unit == "decade":
        return value * 120, "months"
    dimension, factor = SCALES.get(unit, (unit, Fraction(1)))
    return value * factor, dimension


def _digits(written: str) -> Fraction | None:
    text = re.sub(r"[ \u00a0\u202f]", "", written)
    if re.fullmatch(r"[1-9]\d{0,2}(?:,\d{3})+(?:\.\d+)?", text):
        text = text.replace(",", "")
    elif re.fullmatch(r"[1-9]\d{0,2}(?:\.\d{3}){2,}", text):
        text = text.replace(".", "")
    text = text.replace(",", ".")
    return Fraction("0" + text) if re.fullmatch(r"\d*(?:\.\d+)?", text) else None


def stands(wanted: Quantity, given: Sequence[Quantity]) -> list[Quantity]:
    """The quantities of a passage that say the same as `wanted`; none where it does not stand there."""
    return [one for one in given if _same(wanted, one)]


def _same(one: Quantity, other: Quantity) -> bool:
    if one.bound and other.bound and one.bound != other.bound:
        return False
    if one.dimension == other.dimension:
        return one.value == other.value
    if not one.dimension:  # a bare number in the answer: whatever was counted
        return one.written == other.written
    if one.dimension == "months" and not other.dimension:  # "between 16 and 30": years of age
        return one.written == other.written and one.value == one.written * 12
    return False
