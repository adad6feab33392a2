"""Questions that cannot stand alone ("and for adolescents?") completed from the conversation, without a model."""

import re
from collections.abc import Sequence

from knowledge._analysis import content_words, fold, words

_OPENING = re.compile(
    r"^\s*(?:and|or|but|also|what about|how about|what if|same|then|so|et|ou|mais|qu['’]en est[- ]il|quid|idem|aussi|"
    r"alors|puis|pareil|m[êe]me (?:question|chose))\b",
    re.IGNORECASE,
)
_POINTING = frozenset({
    "it", "its", "they", "them", "their", "this", "that", "these", "those", "one", "ones", "he", "she", "him", "her",
    "there", "then", "ca", "cela", "ceci", "celui", "celle", "ceux", "celles", "il", "elle", "ils", "elles", "lui",
    "leur", "leurs", "y", "en",
})  # fmt: skip
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
    content = content_words(query)
    if not content:
        return True
    if _OPENING.match(query) and len(content) <= 2 * _FEW:
        return True
    return len(content) <= _FEW and any(fold(word) in _POINTING for word in words(query))
