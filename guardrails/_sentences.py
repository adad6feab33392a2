"""Where sentences end, in French and English, with abbreviations, decimals, lists and citations understood.

`boundary` decides from the text alone and a bounded look ahead, so that a stream is cut at the same places however
it arrives in pieces.
"""

import re

LONGEST = 400  # characters after which a sentence that will not end is released at a clause
LOOKAHEAD = 48  # characters beyond a full stop that may decide whether it ends a sentence

_ABBREVIATIONS_TEXT = """
m mm mr mrs ms dr pr prof st ste sr jr vs etc cf ex env p pp vol chap fig tab art al no n nos ref approx min max
mme mlle mgr me e.g i.e p.ex c.-a-d c.a.d u.s a.m p.m ed eds dept inc hosp resp sect ann inf sup av apr
"""
_ABBREVIATIONS = frozenset(_ABBREVIATIONS_TEXT.split())
# etc. and a.m. end sentences as often as not: a capital after them decides
_MAY_END = frozenset(
    {"etc", "al", "a.m", "p.m", "ed", "max", "min", "no", "me", "ex", "art", "env", "inc", "u.s", "tab"}
)
_ENDS = ".!?…"
_CLOSERS = re.compile("(?:[.!?…\"'»”’)\\]*_]|[ \u00a0\u202f]»){0,16}")
_CITATION = re.compile(r"[ \t\u00a0\u202f]*(?:\[\d{1,3}(?:\s?,\s?\d{1,3})*\]|【[^】]{0,30}】)[.;,]?")
_CITATION_MAY_COME = re.compile(r"[ \t\u00a0\u202f]*(?:\[[\d\s,]{0,12}|【[^】]{0,30})?$")
_ENUMERATOR = re.compile(r"(?:^|\n)\s*(?:\d{1,3}|[A-Za-z])$")


def boundary(text: str, *, final: bool = False) -> int | None:
    """The length of the first sentence of `text`, with the white space that follows it; None while more text is
    needed to tell. With `final`, no more text will come: an unended rest is a sentence."""
    position = 0
    while position < min(len(text), LONGEST):
        character = text[position]
        if character == "\n":
            return position + 1
        if character in _ENDS:
            end = _sentence_end(text, position, final)
            if end == -1:
                return None
            if end:
                return end
        position += 1
    if len(text) >= LONGEST + LOOKAHEAD or (final and len(text) > LONGEST):
        return _clause_end(text)
    if final and text:
        return len(text)
    return None


def _sentence_end(text: str, stop: int, final: bool) -> int:
    """The end of the sentence that the mark at `stop` closes; 0 where it closes none, -1 while that is unknown."""
    limit = stop + LOOKAHEAD
    closers = _CLOSERS.match(text, stop + 1)
    after = closers.end() if closers else stop + 1
    while True:
        citation = _CITATION.match(text, after, limit + LOOKAHEAD)
        if citation is None:
            break
        after = citation.end()
    rest = text[after : limit + LOOKAHEAD]
    waiting = not final and len(text) < limit + LOOKAHEAD
    if waiting and _CITATION_MAY_COME.fullmatch(rest):
        return -1
    if not rest:
        return after if final else -1
    if not rest[0].isspace():
        return 0
    blank = len(rest) - len(rest.lstrip(" \t\u00a0\u202f\r"))
    following = rest[blank : blank + 1]
    if following == "\n":
        return after + blank + 1
    if not following:
        return -1 if waiting else after + blank
    return after + blank if _is_end(text, stop, following) else 0


def _is_end(text: str, stop: int, following: str) -> bool:
    if text[stop] != ".":
        # French puts « ? » before a reply in lower case only inside a quotation
        return not following.islower()
    before = text[max(0, stop - 12) : stop]
    word = re.split(r"[\s(«\"'’*_\[]", before)[-1].casefold()
    if _ENUMERATOR.search(before) and len(before) < 12:
        return False
    if word in _ABBREVIATIONS:
        return word in _MAY_END and following.isupper()
    if len(word) == 1 and word.isalpha() and before[-1:].isupper():
        return False  # an initial
    return not following.islower()


def _clause_end(text: str) -> int:
    """Where a sentence that is too long is cut: after its last clause, else its last word, never inside a number."""
    head = text[:LONGEST]
    for pattern in (r"[;:,] (?=\D)|[;:,]\u00a0", r"(?<!\d)\s(?!\d)|(?<=[a-z])\s"):
        cuts = [match.end() for match in re.finditer(pattern, head)]
        if cuts and cuts[-1] > LONGEST // 4:
            return cuts[-1]
    return LONGEST


def sentences(text: str) -> list[str]:
    """The sentences of a text, in order, without the white space around them; empty lines are left out."""
    found: list[str] = []
    rest = text
    while rest:
        end = boundary(rest[: LONGEST + 2 * LOOKAHEAD + 8], final=len(rest) <= LONGEST + 2 * LOOKAHEAD + 8) or len(rest)
        if piece := rest[:end].strip():
            found.append(piece)
        rest = rest[end:]
    return found
