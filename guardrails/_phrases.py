"""A facility's words as something that can be looked for: escaped words in their canonical form, nothing else.

Exceptions ("Projet Suicide-Stop") are taken out of a message before anything reads it, so that neither a rule nor a
classifier stumbles over a name; the words around them are read as ever.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from guardrails._normalise import Lexicon, Token, clean, tokenise

_PLACEHOLDER = "service"  # what a name is replaced by: a plain word in French and in English
_ANOTHER_SCRIPT = re.compile(r"[^\W\d_]")
_PUNCTUATION = r"(?:[^\w\s] )?"  # "code bleu, psy" is "code bleu psy"


@dataclass(frozen=True, slots=True)
class CompiledPhrase:
    """`pattern` is tried on canonical words (`raw`: on the cleaned text) that `wakes` has woken; `text` is the phrase
    in canonical words with a space at both ends."""

    pattern: re.Pattern[str]
    wakes: str
    text: str
    raw: bool


class _Exception(Protocol):
    @property
    def pattern(self) -> re.Pattern[str]: ...
    @property
    def raw(self) -> bool: ...


def compile_phrase(phrase: str, lexicon: Lexicon) -> CompiledPhrase:
    """The phrase ready to be looked for. Scripts other than Latin are looked for letter by letter, because some of them
    set no spaces. Raises ValueError where nothing remains of it."""
    cleaned = clean(phrase).strip()
    if any(ord(letter) > 0x24F for letter in _ANOTHER_SCRIPT.findall(cleaned)):
        return CompiledPhrase(re.compile(re.escape(cleaned)), cleaned, f" {cleaned} ", raw=True)
    words = [token.text for token in tokenise(cleaned, lexicon) if token.text[0].isalnum()]
    if not words:
        raise ValueError("nothing remains of the phrase")
    body = f" {_PUNCTUATION}".join(re.escape(word) for word in words)
    return CompiledPhrase(re.compile(rf"(?<= ){body}(?= )"), words[0], f" {' '.join(words)} ", raw=False)


def without_exceptions(text: str, exceptions: Sequence[_Exception], lexicon: Lexicon) -> str:
    """The text with every exception replaced by a plain word. A text without any comes back as it is."""
    if not exceptions:
        return text
    cleaned = clean(text)
    tokens = tokenise(cleaned, lexicon)
    joined, offsets = _joined(tokens)
    spans: list[tuple[int, int]] = []
    for exception in exceptions:
        if exception.raw:
            spans += [match.span() for match in exception.pattern.finditer(cleaned)]
            continue
        for match in exception.pattern.finditer(joined):
            inside = [token for token, at in zip(tokens, offsets, strict=True) if match.start() <= at < match.end()]
            spans.append((inside[0].start, inside[-1].end))
    if not spans:
        return text
    kept: list[str] = []
    position = 0
    for start, end in sorted(spans):
        if start >= position:
            kept += [cleaned[position:start], _PLACEHOLDER]
        position = max(position, end)
    return "".join([*kept, cleaned[position:]])


def _joined(tokens: Sequence[Token]) -> tuple[str, list[int]]:
    """The canonical words with single spaces between and around them, and where each begins."""
    offsets: list[int] = []
    length = 1
    for token in tokens:
        offsets.append(length)
        length += len(token.text) + 1
    return " " + " ".join(token.text for token in tokens) + " ", offsets
