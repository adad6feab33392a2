"""What says the same in other words (data/synonyms.toml): abbreviations, synonyms, the terms of the other language."""

import tomllib
from functools import lru_cache
from pathlib import Path

from knowledge._analysis import terms

LANGUAGES = ("fr", "en")
Form = tuple[str, ...]
"""One way to say something: its stems in order."""


@lru_cache(maxsize=1)
def _meanings() -> dict[Form, tuple[Form, ...]]:
    """For each expression all that say the same, itself among them."""
    data = tomllib.loads((Path(__file__).parent / "data" / "synonyms.toml").read_text("utf-8"))
    found: dict[Form, dict[Form, None]] = {}
    for expressions in data["same"]:
        forms = {tuple(terms(text, language)): None for text in expressions for language in LANGUAGES}
        forms.pop((), None)
        for form in forms:
            found.setdefault(form, {}).update(forms)
    return {form: tuple(same) for form, same in found.items()}


@lru_cache(maxsize=1)
def _longest() -> int:
    return max(map(len, _meanings()))


def expressions(stems: tuple[str, ...]) -> list[tuple[int, int, tuple[Form, ...]]]:
    """The known expressions in the stems of a question, longest first and none inside another: where each begins and
    ends, and all that say the same."""
    meanings, found, place = _meanings(), [], 0
    while place < len(stems):
        for length in range(min(_longest(), len(stems) - place), 0, -1):
            same = meanings.get(stems[place : place + length])
            if same:
                found.append((place, place + length, same))
                place += length
                break
        else:
            place += 1
    return found
