"""One spelling for comparing texts: lower case, no accents, one kind of apostrophe, dash and ligature."""

import unicodedata

_UNSEEN = {"Mn", "Cf", "Cs"}
_ONE_FORM = str.maketrans({"’": "'", "‘": "'", "µ": "u", "μ": "u", "œ": "oe", "æ": "ae", "‐": "-", "‑": "-", "−": "-"})


def plain(text: str) -> str:
    """Lower case without accents, with one kind of apostrophe; invisible characters are left out."""
    if not text.isascii():
        decomposed = unicodedata.normalize("NFKD", text.translate(_ONE_FORM))
        text = "".join(character for character in decomposed if unicodedata.category(character) not in _UNSEEN)
    return text.casefold().translate(_ONE_FORM)
