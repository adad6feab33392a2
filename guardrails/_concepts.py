"""Words as concepts: inflections stemmed, synonyms and translations of clinical words brought together."""

import re
import tomllib
from functools import cache, lru_cache

from guardrails._drugs import drug_of
from guardrails._rules import DATA
from guardrails._text import plain

COMMON_WEIGHT = 0.4  # what a word that stands on every page counts, against 1

_WORD = re.compile(r"[^\W\d_]+(?:-[^\W\d_]+){0,3}")
_STOP_TEXT = """
the a an and or but if of to in on at by for with from as is are was were be been being it its this that these
those there their them they he she his her you your we our us i me my not no can could should would may might
will do does did has have had which who what how than then so such also into about over whom whose because while until
under any all each other others only very just one two three le la les l un une des de du d et ou mais si en au aux dans
sur pour par avec sans sous chez est sont etait etaient etre ete ce cet cette ces il elle ils elles on nous vous
je tu se s son sa ses leur leurs notre votre qui que qu quoi dont ne n pas y a ont avoir peut peuvent doit ni
never jamais
doivent faut comme aussi tres tout tous toute toutes autre autres lors afin ainsi deux trois quatre car donc where
when quand
lorsque lorsqu c c'est-a-dire celle celui celle-ci celui-ci ceux elles-memes lui eux dit meme memes plus moins
environ almost nearly
every chaque per at least most moins between entre without au-dela cannot don doesn didn isn aren aucun aucune vers puis
four five six seven eight nine ten cinq sept huit neuf dix cas case cases either both neither nor yes oui non encore
soit ayant fois times order en_effet whether unless sauf alors aupres afin however thus therefore hors itself
himself herself
oneself themselves selon depuis since like toward towards up down out off through
mg ml kg mmol jours heures semaines mois ans hours weeks months years minutes
"""
STOP = frozenset(_STOP_TEXT.split())
_ENDINGS = sorted(
    [
        "issements",
        "issement",
        "atrices",
        "atrice",
        "ateurs",
        "ateur",
        "ations",
        "ation",
        "ements",
        "ement",
        "ities",
        "ity",
        "ments",
        "ment",
        "ives",
        "ive",
        "ifs",
        "if",
        "iques",
        "ique",
        "euses",
        "euse",
        "eaux",
        "eau",
        "aux",
        "ables",
        "able",
        "ibles",
        "ible",
        "ances",
        "ance",
        "ences",
        "ence",
        "ings",
        "ing",
        "ions",
        "ion",
        "ees",
        "ee",
        "ers",
        "er",
        "ies",
        "ied",
        "ed",
        "es",
        "ent",
        "ez",
        "ir",
        "re",
        "ly",
        "s",
        "e",
    ],
    key=len,
    reverse=True,
)


def stem(word: str) -> str:
    """A light stem that brings French and English inflections of one word together; never under four letters."""
    for ending in _ENDINGS:
        if word.endswith(ending) and len(word) - len(ending) >= 4:
            return word[: -len(ending)]
    return word


@cache
def _table() -> tuple[dict[str, str], dict[str, str], tuple[tuple[str, str], ...], frozenset[str]]:
    """(whole words, beginnings, expressions, common concepts) with the concept that each belongs to."""
    content = tomllib.loads((DATA / "concepts.toml").read_text(encoding="utf-8"))
    whole: dict[str, str] = {}
    beginnings: dict[str, str] = {}
    expressions: dict[str, str] = {}
    for line in content["groups"].strip().splitlines():
        words = line.split("|")[0].split()
        concept = "#" + words[0].rstrip("*")
        for word in words:
            if "_" in word:
                expressions.setdefault(word.rstrip("*").replace("_", " "), concept)
            elif word.endswith("*"):
                beginnings.setdefault(word[:-1], concept)
            else:
                whole.setdefault(word, concept)
    longest = tuple(sorted(expressions.items(), key=lambda one: len(one[0]), reverse=True))
    common = frozenset(_look_up(word.rstrip("*"), whole, beginnings) for word in content["common"].split())
    return whole, beginnings, longest, common


def _look_up(word: str, whole: dict[str, str], beginnings: dict[str, str]) -> str:
    if word in whole:
        return whole[word]
    for length in range(len(word), 2, -1):
        if word[:length] in beginnings:
            return beginnings[word[:length]]
    return stem(word)


@lru_cache(maxsize=20_000)
def concept_of(word: str) -> str:
    """The concept of one plain word; a medicine is its own."""
    whole, beginnings, _, _ = _table()
    drug = drug_of(word)
    return f"@{drug}" if drug else _look_up(word, whole, beginnings)


def weight_of(concept: str) -> float:
    """How much a concept counts: little for one that stands on every page."""
    return COMMON_WEIGHT if concept in _table()[3] else 1.0


def content(text: str) -> int:
    """How many words of a text carry meaning."""
    return sum(len(word) > 2 and word not in STOP for word in _WORD.findall(plain(text)))


def concepts(text: str) -> frozenset[str]:
    """The concepts of the words that carry meaning; numbers are left to `quantities`."""
    text = plain(text)
    found: set[str] = set()
    for expression, concept in _expressions().items():
        if expression in text and re.search(rf"\b{expression}", text):
            found.add(concept)
    for word in _WORD.findall(text):
        if word in STOP or len(word) < 3:
            continue
        if "-" in word and drug_of(word) is None and not _known(word):
            found.update(concept_of(part) for part in word.split("-") if len(part) > 2 and part not in STOP)
        else:
            found.add(concept_of(word))
    return frozenset(found)


@cache
def _expressions() -> dict[str, str]:
    return dict(_table()[2])


def _known(word: str) -> bool:
    return concept_of(word).startswith("#")
