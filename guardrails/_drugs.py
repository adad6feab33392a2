"""Which medicines a text names: a list of names in French and English, and the endings by which new ones are known."""

import re
import tomllib
from functools import cache

from guardrails._rules import DATA
from guardrails._text import plain

_WORD = re.compile(r"[a-z][a-z0-9]{1,39}")
_SHORTEST = 7  # letters of a name that only its ending gives away


@cache
def _names() -> tuple[dict[str, str], tuple[str, ...], frozenset[str]]:
    """(the one name of every known spelling, endings, words that are no medicine)."""
    content = tomllib.loads((DATA / "drugs.toml").read_text(encoding="utf-8"))
    names = {_key(word): _key(word) for word in content["names"].split()}
    for name, others in content["same"].items():
        names |= {_key(word): _key(name) for word in (name, *others.split())}
    endings = tuple(_key(ending) for ending in content["endings"].split())
    return names, endings, frozenset(_key(word) for word in content["others"].split())


def _key(word: str) -> str:
    return word.removesuffix("e") if len(word) > 4 else word


def drug_of(word: str) -> str | None:
    """The one name of the medicine that a plain word (lower case, no accents) names; None where it names none."""
    names, endings, others = _names()
    for form in (_key(word), _key(word.removesuffix("s"))):
        if form in names:
            return names[form]
    form = _key(word.removesuffix("s"))
    if len(form) >= _SHORTEST and form not in others and form.endswith(endings):
        return form
    return None


def drugs(text: str) -> frozenset[str]:
    """The medicines that a text names, each under one name."""
    return frozenset(name for word in _WORD.findall(plain(text)) if (name := drug_of(word)))
