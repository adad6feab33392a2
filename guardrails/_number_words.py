"""Numbers written as words, French and English: "twenty-one", "quatre-vingt-dix", "trois quarts", "half a"."""

from collections.abc import Sequence
from fractions import Fraction

_UNITS = {
    word: number
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
            "thirteen treize",
            "fourteen quatorze",
            "fifteen quinze",
            "sixteen seize",
            "seventeen",
            "eighteen",
            "nineteen",
        ]
    )
    for word in words.split()
}
_TENS = {
    "twenty": 20, "thirty": 30, "forty": 40, "fifty": 50, "sixty": 60, "seventy": 70, "eighty": 80, "ninety": 90,
    "vingt": 20, "vingts": 20, "trente": 30, "quarante": 40, "cinquante": 50, "soixante": 60, "septante": 70,
    "nonante": 90,
}  # fmt: skip
_ARTICLES = frozenset({"one", "un", "une"})  # numbers only before a unit
_HALVES = frozenset({"half", "demi", "demie"})


def number_at(words: Sequence[str], at: int) -> tuple[Fraction, int, bool] | None:
    """(value, place after it counted from `at`, whether it may be an article) of the number that the first words
    spell; None where they spell none. "a" and "an" are numbers before "half" only."""
    if not words:
        return None
    if words[0] in _HALVES:
        step = 1 + (words[1:2] in (["a"], ["an"]) or words[1:2] == ["-"])
        return Fraction(1, 2), at + step, False
    if words[0] == "couple" and words[1:2] in (["of"], ["d"], ["de"]):
        return Fraction(2), at + 2, False
    fraction = _quarters(words)
    if fraction:
        return fraction[0], at + fraction[1], False
    total, current, used, place = 0, 0, 0, 0
    while place < len(words):
        word = words[place]
        if word in {"-", "et", "and"} and used:
            following = words[place + 1] if place + 1 < len(words) else ""
            joins = following in _UNITS or following in _TENS or following in {"cent", "hundred", "cents"}
            hundreds = word == "and" and current >= 100 and current % 100 == 0
            if not joins or (
                word != "-" and not hundreds and not (current >= 20 and following in {"un", "une", "onze"})
            ):
                break
            place += 1
            continue
        value = _next(word, current)
        if value is None:
            break
        if value == -1:
            total, current = total + max(current, 1) * 1000, 0
        else:
            current = value
        place += 1
        used = place
    if not used or (used == 1 and words[0] == "neuf" and not "".join(words[1:2]).endswith("s")):  # "new"
        return None
    return Fraction(total + current), at + used, used == 1 and words[0] in _ARTICLES


def _next(word: str, current: int) -> int | None:
    """What a further word makes of a number, -1 for a thousand, None where it does not continue it."""
    if word in _UNITS:
        unit = _UNITS[word]
        if current == 0:
            return unit
        fits = (current % 100 == 0 or (current % 10 == 0 and current % 100 >= 20 and unit < 20)) and unit > 0
        return current + unit if fits else (current + unit if 10 <= current % 100 == 10 and 7 <= unit <= 9 else None)
    if word in _TENS:
        tens = _TENS[word]
        if tens == 20 and current % 100 == 4:
            return current + 76  # quatre-vingt
        return current + tens if current % 100 == 0 else None
    if word in {"hundred", "cent", "cents", "hundreds"}:
        return max(current, 1) * 100 if current < 10 else None
    return -1 if word in {"thousand", "mille"} else None


def _quarters(words: Sequence[str]) -> tuple[Fraction, int] | None:
    """ "trois quarts d'heure", "a quarter of an hour", "un quart d'heure": the value and the words it took."""
    for first, value in (
        ("trois", Fraction(3, 4)),
        ("three", Fraction(3, 4)),
        ("un", Fraction(1, 4)),
        ("a", Fraction(1, 4)),
    ):
        if words[0] == first and words[1:2] and words[1] in {"quart", "quarts", "quarter", "quarters"}:
            rest = list(words[2:5])
            for joined in (["of", "an"], ["of", "a"], ["d"]):
                if rest[: len(joined)] == joined:
                    return value, 2 + len(joined)
    return None
