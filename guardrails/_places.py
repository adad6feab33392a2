"""Which sentences of a passage an answer rests on: what a reader who opens a citation should look at first."""

from collections.abc import Sequence

from guardrails._grounding import LEAST_STATEMENT, _near, _Part, _parts
from guardrails._meaning import Embed, Meaning

_REACH = 2  # sentences on either side of the nearest on which a statement may stand
_LEAST = 0.25  # closeness below which no sentence is pointed at
_NEARER = 0.1  # a statement belongs to a neighbour that is this much nearer to it


def resting_places(said: Sequence[str], passage: str, *, embed: Embed | None = None) -> tuple[tuple[int, int], ...]:
    """The sentences of `passage` on which those of an answer rest, as first and last-but-one characters of it, in
    order: the nearest one of each, and where it says several things, the neighbours that hold the others.

    `said` are sentences that cite the passage, without their markers; `embed` tells what sentences mean (None: words
    alone decide). Whether a sentence is supported at all is decided elsewhere (`OutputScreen`).
    """
    return places(said, passage, Meaning(embed))


def places(said: Sequence[str], passage: str, meaning: Meaning) -> tuple[tuple[int, int], ...]:
    """The same, for whoever knows already what the sentences mean."""
    parts = _parts(passage)
    found: set[int] = set()
    for one in said:
        found |= _carrying(_Part(one, frozenset()), parts, meaning)
    return _spans([parts[at].text for at in sorted(found)], passage)


def _carrying(said: _Part, parts: Sequence[_Part], meaning: Meaning) -> set[int]:
    near = _near(said, parts, meaning)
    nearest = max(range(len(parts)), key=near.__getitem__, default=None)
    if nearest is None or near[nearest] < _LEAST:
        return set()
    found = {nearest}
    begin = max(0, nearest - _REACH)
    around = parts[begin : nearest + _REACH + 1]
    for statement in said.statements if len(said.statements) > 1 else ():
        if statement.weight < LEAST_STATEMENT:
            continue
        close = _near(statement, around, meaning)
        best = max(range(len(around)), key=close.__getitem__)
        if close[best] >= max(_LEAST, close[nearest - begin] + _NEARER):
            found.add(begin + best)
    return found


def _spans(texts: Sequence[str], passage: str) -> tuple[tuple[int, int], ...]:
    spans, at = [], 0
    for text in texts:
        start = passage.find(text, at)
        if start >= 0:
            at = start + len(text)
            spans.append((start, at))
    return tuple(spans)
