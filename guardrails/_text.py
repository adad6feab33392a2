"""Texts as such: one spelling for comparing them, how many words they have, and their ends where they are long."""

import re
import unicodedata

_WORD = re.compile(r"[^\W\d_]{2,}")
_UNSEEN = {"Mn", "Cf", "Cs"}
_ONE_FORM = str.maketrans({"’": "'", "‘": "'", "µ": "u", "μ": "u", "œ": "oe", "æ": "ae", "‐": "-", "‑": "-", "−": "-"})


def plain(text: str) -> str:
    """Lower case without accents, with one kind of apostrophe; invisible characters are left out."""
    if not text.isascii():
        decomposed = unicodedata.normalize("NFKD", text.translate(_ONE_FORM))
        text = "".join(character for character in decomposed if unicodedata.category(character) not in _UNSEEN)
    return text.casefold().translate(_ONE_FORM)


def word_count(text: str) -> int:
    """How many words of two letters or more a text has."""
    return len(_WORD.findall(text))


def shortened(text: str, most: int, gap: str) -> str:
    """A text of at most `most` characters as it is; of a longer one the beginning and the end, half each, with `gap`
    between."""
    if len(text) <= most:
        return text
    half = most // 2
    return f"{text[:half]}{gap}{text[-half:]}"
