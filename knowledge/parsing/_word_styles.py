"""What the styles and lists of a Word document say: which paragraphs are headings, which are numbered and how."""

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any

W = "{http://schemas.openxmlformats.org/wordprocessingml/2006/main}"
_HEADING_NAME = re.compile(r"^(?:heading|titre|überschrift|título|titolo|kop)\s*(\d)$", re.IGNORECASE)
_TITLE_NAMES = {"title", "titre"}
_LIST_NAME = re.compile(r"^(?:list (?:bullet|number)|liste à |puce)", re.IGNORECASE)
_CONTENTS_NAME = re.compile(r"^(?:toc|table of figures|table of authorities|index)\b(?! heading)", re.IGNORECASE)
_DEEPEST = 40  # styles that a style may be based on
_MOST_LEVELS = 9


@lru_cache(maxsize=64)
def _full(path: str) -> str:
    return "/".join(W + name for name in path.split("/"))


def value(element: Any, path: str) -> str | None:
    """The w:val of a child (`path` of local names, "pPr/numPr"); "" where it has none, None where there is no child."""
    found = element.find(_full(path)) if element is not None else None
    return None if found is None else found.get(f"{W}val", "")


def is_on(element: Any, path: str) -> bool:
    """Whether a property that is on or off is on."""
    said = value(element, path)
    return said is not None and said not in {"0", "false", "off", "none"}


def number(text: str | None, otherwise: int = 0) -> int:
    """A number between 0 and a million, or `otherwise`."""
    return min(int(text), 1_000_000) if text and text.isdecimal() and len(text) < 12 else otherwise


@dataclass(frozen=True, slots=True)
class Style:
    """A style with what it has from the styles that it is based on. `level` is that of a heading, from 1, or 0."""

    name: str = ""
    level: int = 0
    title: bool = False
    listed: bool = False
    contents: bool = False  # a line of a table of contents
    hidden: bool = False
    bold: bool = False
    list_id: str | None = None
    list_level: int = 0


class Styles:
    """The styles of a document by their ids."""

    def __init__(self, root: Any) -> None:
        self._elements = {}
        self._made: dict[str, Style] = {}
        self._default = ""
        for element in root.iterchildren(f"{W}style") if root is not None else ():
            identity = element.get(f"{W}styleId", "")
            self._elements[identity] = element
            if element.get(f"{W}type") == "paragraph" and element.get(f"{W}default") in {"1", "true"}:
                self._default = identity

    def get(self, identity: str | None) -> Style:
        """The style of an id; the default one of paragraphs for None, an empty one for an unknown id."""
        identity = self._default if identity is None else identity
        if identity not in self._made:
            self._made[identity] = self._make(identity)
        return self._made[identity]

    def _make(self, identity: str) -> Style:
        level, list_id, list_level = None, None, None
        hidden = bold = listed = title = None
        name = ""
        for element in self._line(identity):
            called = (value(element, "name") or "").strip()
            name = name or called
            if level is None:
                outline = value(element, "pPr/outlineLvl")
                named = _HEADING_NAME.match(called)
                if outline is not None:
                    level = number(outline, 9) + 1
                elif named:
                    level = number(named.group(1))
            title = title or called.lower() in _TITLE_NAMES
            listed = listed or bool(_LIST_NAME.search(called))
            if hidden is None and value(element, "rPr/vanish") is not None:
                hidden = is_on(element, "rPr/vanish")
            if bold is None and value(element, "rPr/b") is not None:
                bold = is_on(element, "rPr/b")
            list_id = value(element, "pPr/numPr/numId") if list_id is None else list_id
            list_level = value(element, "pPr/numPr/ilvl") if list_level is None else list_level
        return Style(
            name=name,
            level=1 if title else level if level and level <= _MOST_LEVELS else 0,
            title=bool(title),
            listed=bool(listed) and not _HEADING_NAME.match(name),
            contents=bool(_CONTENTS_NAME.match(name)),
            hidden=bool(hidden),
            bold=bool(bold),
            list_id=list_id,
            list_level=number(list_level),
        )

    def _line(self, identity: str) -> Iterator[Any]:
        """A style and those that it is based on, nearest first."""
        for _ in range(_DEEPEST):
            element = self._elements.get(identity)
            if element is None:
                return
            yield element
            identity = value(element, "basedOn") or ""


@dataclass(slots=True)
class _Level:
    start: int = 1
    form: str = "decimal"
    text: str = ""


@dataclass(slots=True)
class _List:
    """A kind of list; lists that share one count on together."""

    levels: dict[int, _Level] = field(default_factory=dict)
    counts: dict[int, int] = field(default_factory=dict)


class Numbering:
    """The lists of a document: gives each item its number or bullet, counting as Word does."""

    def __init__(self, root: Any) -> None:
        self._kinds: dict[str, _List] = {}
        self._lists: dict[str, tuple[_List, dict[int, int]]] = {}
        self._begun: set[str] = set()
        if root is None:
            return
        for element in root.iterchildren(f"{W}abstractNum"):
            levels = {number(one.get(f"{W}ilvl")): _level(one) for one in element.iterchildren(f"{W}lvl")}
            self._kinds[element.get(f"{W}abstractNumId", "")] = _List(levels)
        for element in root.iterchildren(f"{W}num"):
            kind = self._kinds.get(value(element, "abstractNumId") or "")
            if kind is None:
                continue
            starts = {}
            for override in element.iterchildren(f"{W}lvlOverride"):
                start = value(override, "startOverride")
                if start is not None:
                    starts[number(override.get(f"{W}ilvl"))] = number(start, 1)
            self._lists[element.get(f"{W}numId", "")] = (kind, starts)

    def mark(self, list_id: str, level: int) -> str:
        """The number or bullet of the next item of a list; empty where it has none to be seen."""
        if list_id in {"", "0"}:
            return ""
        if list_id not in self._lists:
            return "•" if level == 0 else "–"
        kind, starts = self._lists[list_id]
        if list_id not in self._begun:
            self._begun.add(list_id)
            for at, start in starts.items():
                kind.counts[at] = start - 1
        own = kind.levels.get(level, _Level())
        kind.counts[level] = kind.counts.get(level, own.start - 1) + 1
        for deeper in [at for at in kind.counts if at > level]:
            del kind.counts[deeper]
        if own.form == "bullet":
            return "•" if level == 0 else "–"
        if own.form == "none" and "%" not in own.text:
            return own.text.strip()

        def shown(found: re.Match[str]) -> str:
            at = int(found.group(1)) - 1
            other = kind.levels.get(at, _Level())
            return written(kind.counts.get(at, other.start), other.form)

        return re.sub(r"%([1-9])", shown, own.text).strip()


def _level(element: Any) -> _Level:
    return _Level(
        start=number(value(element, "start"), 1),
        form=value(element, "numFmt") or "decimal",
        text=(value(element, "lvlText") or "")[:100],
    )


def written(count: int, form: str) -> str:
    """A number as lists write it: "decimal", "lowerLetter", "upperRoman" …, else in digits."""
    if form.endswith("Letter") and count >= 1:
        letters = chr(ord("a") + (count - 1) % 26) * min((count - 1) // 26 + 1, 5)
        return letters if form.startswith("lower") else letters.upper()
    if form.endswith("Roman") and 1 <= count < 4000:
        roman = _roman(count)
        return roman.lower() if form.startswith("lower") else roman
    return "" if form == "none" else f"{count:02d}" if form == "decimalZero" else str(count)


def _roman(count: int) -> str:
    signs = [
        (1000, "M"), (900, "CM"), (500, "D"), (400, "CD"), (100, "C"), (90, "XC"), (50, "L"), (40, "XL"), (10, "X"),
        (9, "IX"), (5, "V"), (4, "IV"), (1, "I"),
    ]  # fmt: skip
    text = ""
    for worth, sign in signs:
        text += sign * (count // worth)
        count %= worth
    return text
