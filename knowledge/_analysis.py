"""Text as the lexical index sees it: words without accents, elisions and stop words, cut to their stems.

The same analysis runs for documents and questions and on every database, so that SQLite and PostgreSQL find the same.
"""

import re
import threading
import unicodedata
from functools import lru_cache
from typing import Protocol

_STEMMERS = {
    "ar": "arabic", "da": "danish", "de": "german", "en": "english", "es": "spanish", "fr": "french", "it": "italian",
    "nl": "dutch", "no": "norwegian", "pt": "portuguese", "ro": "romanian",
    "ru": "russian", "sv": "swedish", "tr": "turkish",
}  # fmt: skip
_ELISION = re.compile(r"\b(?:[cdjlmnst]|qu|jusqu|lorsqu|puisqu|quoiqu|quelqu|presqu)['’ʼ](?=\w)", re.IGNORECASE)
_WORD = re.compile(r"[^\W_]+")
_COMPOUND = re.compile(r"(?<![\w-])[^\W\d_]{2,}(?:[-‐‑][^\W\d_]{2,}){1,2}(?![\w-])")
_MEASURE = re.compile(r"(?<![\w.,])(\d+)(mg|mcg|µg|g|kg|ml|cl|l|mmol|meq|ui|iu|h|min|ans|an|yr|kcal)\b", re.IGNORECASE)
LONGEST_STEM = 64  # characters; longer ones are no words
_STOP = {
    "en": (
        "a about after all also an and any are as at be because been being but by can could did do does for "
        "from further had has have having he her here him his how i if in into is it its itself just me more "
        "most my no nor not of on once only or other our out over own same she should so some such than that "
        "the their them then there these they this those through to too under until up very was we were what "
        "when where which while who whom whose why will with would you your shall may might must s t don tell "
        "please give us"
    ),
    "fr": (
        "a ai ainsi alors au aucun aucune aussi autre aux avec avoir c ce ceci cela celle celles celui ces "
        "cet cette ceux chez comme comment d dans de des donc dont du elle elles en encore entre est et "
        "etaient etait etant ete etes etre eu fait faire faut font il ils j je l la laquelle le lequel les "
        "lesquelles lesquels leur leurs lors lui m ma mais me meme memes mes moi mon n ne ni nos notre nous "
        "on ont ou par parce pas peu peut peuvent plus pour pourquoi qu quand que quel quelle quelles quels "
        "qui quoi s sa sans se sera ses si soit son sont sur ta te tes toi ton tous tout toute toutes tres tu "
        "un une vos votre vous y dit dois doit est-ce puis"
    ),
}
_STOP_WORDS = {language: frozenset(words.split()) for language, words in _STOP.items()}


class _Stemmer(Protocol):
    def stemWord(self, word: str) -> str: ...  # noqa: N802 - snowball's name


def fold(text: str) -> str:
    """A word in lower case, without accents and ligatures; letters and digits only."""
    text = text.lower().replace("œ", "oe").replace("æ", "ae").replace("ß", "ss")
    return "".join(char for char in unicodedata.normalize("NFKD", text) if char.isalnum())


def words(text: str) -> list[str]:
    """The words of a text in order, in lower case, French elisions taken off ("l'entretien" is "entretien"), a number
    apart from its unit ("50mg" is "50", "mg")."""
    plain = _MEASURE.sub(r"\1 \2", unicodedata.normalize("NFC", text))
    return _WORD.findall(_ELISION.sub(" ", plain.lower()))


def compounds(text: str) -> list[str]:
    """Hyphenated words written in one ("post-partum" is also "postpartum")."""
    return [re.sub(r"[-‐‑]", "", found) for found in _COMPOUND.findall(text.lower())]


def content_words(text: str) -> list[str]:
    """The words that say what a text is about: neither French nor English stop words, without accents."""
    folded = [fold(word) for word in words(text)]
    return [word for word in folded if not any(word in stop for stop in _STOP_WORDS.values())]


def terms(text: str, language: str) -> list[str]:
    """The stems of the content words of a text in `language` (ISO 639-1; English where there is no stemmer for it)."""
    stop = _STOP_WORDS.get(language, frozenset())
    return [stem for word in words(text) if fold(word) not in stop and (stem := _stem(word, language))]


HEADING, TITLE = "§", "¶"  # before a stem that stands in the headings or in the title


def chunk_terms(title: str, heading: str, text: str, language: str) -> str:
    """A chunk as the lexical index sees it: the stems of its text in order, then those of its headings and of its
    document's title, marked as such, all parted by blanks."""
    joined = [stem for word in compounds(text) if (stem := _stem(word, language))]
    above = [HEADING + stem for stem in dict.fromkeys(terms(heading, language))]
    named = [TITLE + stem for stem in dict.fromkeys(terms(title, language))]
    return " ".join([*terms(text, language), *joined, *above, *named])


def question_words(text: str) -> list[str]:
    """The words of a question that say what it is about, in order, not stemmed. Stop words of either language are left
    out, because a question may be asked in one language of guidelines in the other."""
    found = [*words(text), *compounds(text)]
    return [word for word in found if not any(fold(word) in stop for stop in _STOP_WORDS.values())]


@lru_cache(maxsize=256)
def query_terms(text: str, language: str) -> tuple[str, ...]:
    """The stems of a question's words in `language`, each once."""
    return tuple(dict.fromkeys(stem for word in question_words(text) if (stem := _stem(word, language))))


def stemmed(word: str, language: str) -> str:
    """The stem of a word."""
    return _stem(word, stemmer_language(language))


def stemmer_language(language: str) -> str:
    """The language whose stemmer is used for texts in `language`."""
    return language if language in _STEMMERS else "en"


_of_thread = threading.local()


@lru_cache(maxsize=100_000)
def _stem(word: str, language: str) -> str:
    return fold(_stemmer(_STEMMERS.get(language, "english")).stemWord(word))[:LONGEST_STEM]


def _stemmer(algorithm: str) -> _Stemmer:
    """A stemmer of this thread's own: it holds the word it is at, so that two threads would get each other's stems."""
    import snowballstemmer  # type: ignore[import-untyped]

    stemmers: dict[str, _Stemmer] = _of_thread.__dict__
    if algorithm not in stemmers:
        stemmers[algorithm] = snowballstemmer.stemmer(algorithm)
    return stemmers[algorithm]


_CUES = {
    language: _STOP_WORDS[language] - {w for other, stop in _STOP_WORDS.items() if other != language for w in stop}
    for language in _STOP_WORDS
}


def guess_language(text: str, default: str = "") -> str:
    """French or English by their small words, other languages by py3langid; `default` where a text is too short to
    tell.

    A question is too short for statistics over letters, but hardly any has no small word in it.
    """
    folded = [fold(word) for word in words(text)[:5000]]
    counts = {language: sum(word in cues for word in folded) for language, cues in _CUES.items()}
    if _ELISION.search(text):
        counts["fr"] += 1
    best = max(counts, key=lambda language: counts[language])
    if counts[best] > sum(counts.values()) - counts[best] and counts[best] >= 0.08 * len(folded):
        return best
    if len(folded) < 6:
        return default
    import py3langid

    language: str = py3langid.classify(text[:20_000])[0]
    return language
