"""Questions that cannot stand alone ("and for adolescents?") completed from the conversation, without a model."""

import re
import tomllib
from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path

from knowledge._analysis import content_words, fold, stemmed, words

_OPENING = re.compile(
    r"^\W*(?:ok(?:ay)?|yes|no|oui|non|d['’]accord|thanks|merci)?\W*"
    r"(?:and|or|but|also|what about|how about|what if|same|then|so|et|ou|mais|qu['’]en est[- ]il|quid|idem|aussi|alors|"
    r"puis|pareil|m[êe]me (?:question|chose))\b",
    re.IGNORECASE,
)
_POINTING = frozenset({
    "it", "its", "they", "them", "their", "this", "that", "these", "those", "one", "ones", "he", "she", "him", "her",
    "there", "then", "ca", "cela", "ceci", "celui", "celle", "ceux", "celles", "il", "elle", "ils", "elles", "lui",
    "leur", "leurs", "y", "en",
})  # fmt: skip
_IMPERSONAL = re.compile(
    r"\b(?:is|does|was|will|can|could|would|should) it (?:mean that|be|possible|necessary|true|normal|allowed|legal)\b"
    r"|\b(?:is|are|was|were) there\b|\bil (?:faut|y a|est|existe|fait|peut y avoir|s['’]agit)\b"
    r"|\b(?:faut|est|existe|peut|doit|a|y a)[- ](?:t[- ])?(?:il|elle|ils|elles)\b"
    r"|\ben (?:cas|france|urgence|psychiatrie|tant|vue)\b",
    re.IGNORECASE,
)  # words that only look as if they pointed at something
_FEW = 3  # content words with which a pointing question still means something said before


def complete(query: str, history: Sequence[str]) -> str:
    """`query`, or where it leans on what was said before, the last question that stands alone and `query`.

    `history` is the earlier questions of the person, oldest first.
    """
    if not history or not _leans(query):
        return query
    for index in range(len(history) - 1, -1, -1):
        earlier = history[index].strip()
        if earlier and (index == 0 or not _leans(earlier)):
            return f"{earlier} {query}"
    return query


def _leans(query: str) -> bool:
    """Whether a question is about something that it does not name: there are no words, or only such as ask for an
    aspect; it goes on with "and …"; or it is short and points ("how long does it last")."""
    content = content_words(query)
    if all(_aspect(word) for word in content):
        return True
    if _OPENING.match(query) and len(content) <= 2 * _FEW:
        return True
    said = words(_IMPERSONAL.sub(" ", query))
    return len(content) <= _FEW and any(fold(word) in _POINTING for word in said)


def _aspect(word: str) -> bool:
    return word.isdigit() or any(stemmed(word, language) in stems for language, stems in _aspects().items())


@lru_cache(maxsize=1)
def _aspects() -> dict[str, frozenset[str]]:
    data = tomllib.loads((Path(__file__).parent / "data" / "aspects.toml").read_text("utf-8"))
    return {language: frozenset(stemmed(word, language) for word in data[language].split()) for language in data}
