"""From the raw text of a model, special tokens included, to what a person may see.

gpt-oss speaks harmony (https://cookbook.openai.com/articles/openai-harmony): messages of the form
`<|start|>assistant<|channel|>NAME<|message|>TEXT<|end|>`, the last one ended by `<|return|>`. Only the channel `final`
is an answer. Models do not always keep to it, so nothing here raises: what cannot be read as an answer is hidden, and
what was an answer stays one. No part of a special token ever comes through, wherever the chunks are cut.
"""

import re
from dataclasses import dataclass
from enum import Enum, auto
from typing import Protocol

_MARKER = re.compile(r"<\|([A-Za-z0-9_]{1,40})\|>")
_PERHAPS_MARKER = re.compile(r"<(?:\|(?:[A-Za-z0-9_]{1,40}\|?)?)?\Z")
_OPEN_END = re.compile(r"[<|]+\Z")
_BRACKET = re.compile(r"<\|+|\|+>")
_LONGEST_HEADER = 200
_ENDS = {"end", "return", "call", "endoftext", "im_end", "eot_id", "eom_id"}


@dataclass(frozen=True, slots=True)
class Shown:
    """What came of a piece of raw text: the text to show, and whether the model was thinking."""

    text: str = ""
    thinking: bool = False


class Filter(Protocol):
    """Turns raw text into shown text, piece by piece."""

    answered: bool  # something other than white space was shown
    done: bool  # the answer has ended; what follows is not read

    def feed(self, raw: str) -> Shown:
        """Take the next raw piece."""

    def finish(self) -> str:
        """The raw text has ended: what was still held back and may be shown."""


class _Splitter:
    """Cuts raw text into runs of text and markers; holds back what may be the beginning of a marker."""

    answered = False
    done = False

    def __init__(self) -> None:
        self._held = ""  # raw text that may be the beginning of a marker
        self._tail = ""  # text to show, ending in < or |, that may become a bracket of a marker

    def feed(self, raw: str) -> Shown:
        """Take the next raw piece."""
        shown, thought = [], False
        rest = self._held + raw
        self._held = ""
        while not self.done and (match := _MARKER.search(rest)):
            text, thinking = self._pass(rest[: match.start()])
            shown.append(text)
            thought |= thinking
            self._marker(match[1])
            rest = rest[match.end() :]
        if self.done:
            return Shown(self._clean("".join(shown)), thought)
        if match := _PERHAPS_MARKER.search(rest):
            self._held, rest = rest[match.start() :], rest[: match.start()]
        text, thinking = self._pass(rest)
        return Shown(self._clean("".join(shown) + text), thought | thinking)

    def finish(self) -> str:
        """The raw text has ended: what was still held back and may be shown."""
        # A held beginning of a marker never came to its end, and a "<" at the very end says nothing: both go.
        tail, self._held, self._tail = _without_brackets(self._tail).rstrip("<"), "", ""
        return self._mark(tail)

    def _clean(self, text: str) -> str:
        """Text without anything that looks like a part of a marker, also where it forms only over several pieces."""
        text = _without_brackets(self._tail + text)
        match = _OPEN_END.search(text)
        self._tail = match[0] if match else ""
        return self._mark(text[: match.start()] if match else text)

    def _mark(self, text: str) -> str:
        if not self.answered:
            text = text.lstrip()
            self.answered = bool(text)
        return text

    def _pass(self, text: str) -> tuple[str, bool]:
        """(text to show, was it reasoning) of a run of text."""
        raise NotImplementedError

    def _marker(self, name: str) -> None:
        raise NotImplementedError


class PlainFilter(_Splitter):
    """For models whose answer is simply what they say until their end marker: chatml and its like."""

    def _pass(self, text: str) -> tuple[str, bool]:
        return text, False

    def _marker(self, name: str) -> None:
        if name in _ENDS:
            self.done = True


class _Place(Enum):
    ROLE = auto()  # after <|start|>: the role
    CHANNEL = auto()  # after <|channel|>: the channel, perhaps a recipient, perhaps a content type
    FINAL = auto()  # the text of an answer
    HIDDEN = auto()  # the text of anything else
    OUTSIDE = auto()  # after the end of a message


class HarmonyFilter(_Splitter):
    """For gpt-oss. The prompt ended in `<|start|>assistant`, so the raw text begins in a header."""

    def __init__(self) -> None:
        super().__init__()
        self._place = _Place.ROLE
        self._role = ""
        self._channel = ""

    def _pass(self, text: str) -> tuple[str, bool]:
        if not text:
            return "", False
        if self._place is _Place.FINAL:
            return text, False
        if self._place is _Place.ROLE:
            self._role = (self._role + text)[:_LONGEST_HEADER]
        elif self._place is _Place.CHANNEL:
            self._channel = (self._channel + text)[:_LONGEST_HEADER]
        return "", True

    def _marker(self, name: str) -> None:
        if name == "start":
            self._place, self._role, self._channel = _Place.ROLE, "", ""
        elif name == "channel":
            self._place, self._channel = _Place.CHANNEL, ""
        elif name == "message":
            self._open()
        elif name in _ENDS:
            self.done = self._place is _Place.FINAL and (self.answered or bool(self._tail))
            self._place = _Place.OUTSIDE

    def _open(self) -> None:
        if self._place in {_Place.ROLE, _Place.OUTSIDE}:
            self._place = _Place.HIDDEN  # a message without a channel: it could be reasoning
        elif self._place is _Place.CHANNEL:
            words = self._channel.split()
            addressed = "to=" in self._role or "to=" in self._channel  # a tool call, whatever its channel
            self._place = _Place.FINAL if words[:1] == ["final"] and not addressed else _Place.HIDDEN


def _without_brackets(text: str) -> str:
    while True:
        text, count = _BRACKET.subn("", text)
        if not count:
            return text
