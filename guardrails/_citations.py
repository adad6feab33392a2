"""Citations bound in code: a sentence gets the markers of the passages that support it, or is marked as unsupported.

A marker that names no passage is dropped; one of a passage that does not say this makes way for one that does."""

import re
from dataclasses import dataclass

from guardrails._grounding import Evidence, checkable, names_dose, names_figure

# "[1]", "[1, 2]", and what gpt-oss writes: "【1†source】"
_MARKER = re.compile(r"[ \u00a0\u202f]?(?:\[(\d{1,3}(?:\s?,\s?\d{1,3}){0,8})\](?!\()|【(\d{1,3})[^】\n]{0,30}】)")
UNSUPPORTED = "[?]"  # stands where a citation would, after a sentence that no passage supports
_OWN_MARK = re.compile(r"[ \u00a0\u202f]?\[\?\]")  # a model must not write that mark itself
_LINE_START = re.compile(r"\s*(?:#{1,6}\s+|>\s?|[-*+•]\s+(?:\[[ xX]\]\s+)?|\d{1,3}[.)]\s+)*")
_HEADING = re.compile(r"\s*(?:#{1,6}\s|\|)")
_ROW_END = re.compile(r"\s*\|\s*$")
_END = re.compile(r"([.!?…;:,]*[\"'»”’)*_`]*[.!?…]*)\s*$")


@dataclass(frozen=True, slots=True)
class Bound:
    """A sentence with its citations: `checked` and `supported` are 0 or 1 and count towards groundedness."""

    text: str
    markers: tuple[int, ...]
    checked: int
    supported: int
    dropped: bool


def bind(unit: str, evidence: Evidence, *, verbatim: bool = False, of_help: bool = False) -> Bound:
    """Binds the citations of one sentence (with the white space after it).

    What only names things (a heading, a row of a table, a line of code, `verbatim`) is checked where it has figures, a
    sentence that names a line of help (`of_help`) where it has a dose: nothing hides a figure from the check.
    """
    cited: list[int] = []
    dropped = False

    def one_form(match: re.Match[str]) -> str:
        nonlocal dropped
        numbers = [int(number) for number in re.findall(r"\d+", match[1] or match[2])]
        known = [number for number in numbers if number in evidence.markers]
        dropped = dropped or len(known) < len(numbers)
        cited.extend(known)
        lead = match[0][0] if known and match[0][0] in " \u00a0\u202f" else ""
        return lead + "".join(f"[{number}]" for number in known)

    text = _MARKER.sub(one_form, _OWN_MARK.sub("", unit))
    start = _LINE_START.match(text)
    body = text[start.end() if start else 0 :]
    bare = _MARKER.sub("", body).replace("|", " ")
    exempt = (verbatim or bool(_HEADING.match(text))) and not names_figure(bare)
    if exempt or (of_help and not names_dose(bare)) or not checkable(bare):
        return Bound(text, tuple(cited), 0, 0, dropped)
    supporting = evidence.supporting(bare, cited)
    right = [marker for marker in dict.fromkeys(cited) if marker in supporting]
    if right and len(right) == len(set(cited)):
        return Bound(text, tuple(right), 1, 1, dropped)
    if supporting:
        right = right or [supporting[0]]
        text = _MARKER.sub("", text)  # the others do not say this
        return Bound(_with_mark(text, "".join(f"[{marker}]" for marker in right)), tuple(right), 1, 1, dropped)
    # What the model cited stays, so that a reader can see where it claims to have this from.
    return Bound(_with_mark(text, UNSUPPORTED) if evidence.markers else text, tuple(cited), 1, 0, dropped)


def _with_mark(text: str, mark: str) -> str:
    """The sentence with a mark before the final punctuation, inside bold or quotation marks that end with it."""
    end = _ROW_END.search(text) or _END.search(text)
    place = end.start() if end else len(text.rstrip())
    head = text[:place].rstrip(" \u00a0\u202f")
    return f"{head} {mark}{text[place:]}"
