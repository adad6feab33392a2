"""From the raw text of a model, special tokens included, to what a person may see.

gpt-oss speaks harmony (https://cookbook.openai.com/articles/openai-harmony): messages of the form
`<|start|>assistant<|channel|>NAME<|message|>TEXT<|end|>`, the last one ended by `<|return|>`. Only the channel `final`
is an answer. Models do not always keep to it, so nothing here raises: what cannot be read as an answer is hidden, and
what was an answer stays one. No part of a special token ever comes through, wherever the chunks are cut. A model that
does not come to an answer by itself is helped to one: see `Filter.conclude`.
"""

import re
from dataclasses import dataclass
from enum import Enum, auto
from functools import cache
from typing import ClassVar, Protocol

_BARS = "|｜∣│ǀ❘︱"  # the sign of harmony, the one of DeepSeek, and what looks like them
_NAME = "[A-Za-z0-9_▁]{1,40}"
_MARKER = f"<[{_BARS}]({_NAME})[{_BARS}]>"
_PERHAPS_MARKER = re.compile(rf"<(?:[{_BARS}](?:{_NAME}[{_BARS}]?)?)?\Z")
_OPEN_END = re.compile(r"[<>|｜]+\Z")
_SIGNS = re.compile(r"[<>|｜]+")
_BRACKET = re.compile(r"<[|｜]|[|｜]>")
_NOT_SAID = "<>|｜ \t\r\n"
_ENDS = frozenset({"end", "return", "call", "endoftext", "im_end", "eot_id", "eom_id"})
# Ends of an answer for families without channels; also where the model begins to speak for the other side.
_ENDS_PLAIN = _ENDS | {
    "eot", "end_of_text", "end▁of▁sentence", "</s>", "[INST]", "User", "im_start", "start_header_id", "header_start",
}  # fmt: skip
_OF_HIDDEN_CHANNELS = frozenset({"analysis", "commentary"})
_HEADER_WORDS = ("assistant", *sorted(_OF_HIDDEN_CHANNELS))
_PERHAPS_HEADER = re.compile(
    "(?:" + "|".join(word[:end] for word in _HEADER_WORDS for end in range(len(word), 0, -1)) + r")\Z"
    "|(?:" + "|".join(_HEADER_WORDS) + r")\s+\Z"
)


@dataclass(frozen=True, slots=True)
class Shown:
    """What came of a piece of raw text: the text to show, and whether the model was thinking."""

    text: str = ""
    thinking: bool = False


class Filter(Protocol):
    """Turns raw text into shown text, piece by piece."""

    answered: bool  # something other than white space was shown
    done: bool  # the answer has ended; what follows is not read

    @property
    def thinking(self) -> bool:
        """Whether what comes next would be hidden."""

    @property
    def thoughts(self) -> str:
        """All that the model thought: never for the person who asked."""

    def feed(self, raw: str) -> Shown:
        """Take the next raw piece."""

    def finish(self) -> str:
        """The raw text has ended: what was still held back and may be shown."""

    def conclude(self) -> str:
        """What has to follow the prompt so that nothing but an answer can come: the thoughts so far, closed, and the
        answer opened. The filter then reads the answer. Empty where the family knows no thinking."""


class _Splitter:
    """Cuts raw text into runs of text and markers; holds back what may be the beginning of a marker."""

    answered = False
    done = False
    _literals: ClassVar[tuple[str, ...]] = ()  # markers that are not written <|name|>

    def __init__(self) -> None:
        self._held = ""  # raw text that may be the beginning of a marker
        self._tail = ""  # signs at the end of the text to show that may become a bracket of a marker
        self._said = False  # something of an answer was passed on, though it may not be shown yet
        self._thoughts: list[str] = []

    @property
    def thinking(self) -> bool:
        """Whether what comes next would be hidden."""
        return False

    @property
    def thoughts(self) -> str:
        """All that the model thought, message by message."""
        return "\n".join(one for one in self._thoughts if one.strip())

    def feed(self, raw: str) -> Shown:
        """Take the next raw piece."""
        shown, thought = [], False
        rest = self._held + raw
        self._held = ""
        pattern = _pattern(self._literals)
        while not self.done and (match := pattern.search(rest)):
            text, thinking = self._pass(rest[: match.start()])
            shown += [text, self._marker(match[1] or match[0])]
            thought |= thinking
            rest = rest[match.end() :]
        if self.done:
            return Shown(self._clean("".join(shown)), thought)
        kept = len(rest) - self._perhaps(rest)
        self._held, rest = rest[kept:], rest[:kept]
        text, thinking = self._pass(rest)
        return Shown(self._clean("".join(shown) + text), thought | thinking)

    def finish(self) -> str:
        """The raw text has ended: what was still held back and may be shown."""
        # A held beginning of a marker never came to its end, and a "<" at the very end says nothing: both go.
        tail = _without_brackets(self._tail + self._leave()).rstrip("<")
        self._held, self._tail = "", ""
        return self._mark(tail)

    def conclude(self) -> str:
        """Nothing: what such a model says is its answer."""
        return ""

    def _perhaps(self, text: str) -> int:
        """How many characters at the end may be the beginning of a marker."""
        match = _PERHAPS_MARKER.search(text)
        longest = len(text) - match.start() if match else 0
        prefixes, most = _prefixes(self._literals)
        for length in range(min(most, len(text)), longest, -1):
            if text[-length:] in prefixes:
                return length
        return longest

    def _clean(self, text: str) -> str:
        """Text without anything that looks like a part of a marker, also where it forms only over several pieces."""
        text = self._tail + text
        match = _OPEN_END.search(text)
        self._tail = match[0] if match else ""
        return self._mark(_without_brackets(text[: match.start()] if match else text))

    def _mark(self, text: str) -> str:
        if not self.answered:
            text = text.lstrip()
            self.answered = bool(text)
        return text

    def _say(self, text: str) -> str:
        self._said = self._said or bool(text.strip(_NOT_SAID))
        return text

    def _think(self, text: str) -> None:
        if not self._thoughts:
            self._thoughts.append("")
        self._thoughts[-1] += text

    def _reset(self) -> None:
        """Forget what was held back, to read a new stream."""
        self._held = self._tail = ""
        self.done = False

    def _pass(self, text: str) -> tuple[str, bool]:
        """(text to show, was it reasoning) of a run of text."""
        raise NotImplementedError

    def _marker(self, name: str) -> str:
        """Take a marker; returns text that only now is known to be an answer."""
        raise NotImplementedError

    def _leave(self) -> str:
        """The raw text has ended: text that only now is known to be an answer."""
        return ""


_SENTENCEPIECE = (
    "</s>", "<s>", "<unk>", "<pad>", "[INST]", "[/INST]", "<<SYS>>", "<</SYS>>", "[SYSTEM_PROMPT]", "[/SYSTEM_PROMPT]",
    "[TOOL_CALLS]", "[AVAILABLE_TOOLS]", "[/AVAILABLE_TOOLS]", "[TOOL_RESULTS]", "[/TOOL_RESULTS]",
)  # fmt: skip


class PlainFilter(_Splitter):
    """For models whose answer is simply what they say until their end marker: chatml, Llama, Mistral and their like."""

    _literals: ClassVar[tuple[str, ...]] = _SENTENCEPIECE

    def _pass(self, text: str) -> tuple[str, bool]:
        return self._say(text), False

    def _marker(self, name: str) -> str:
        if name in _ENDS_PLAIN:
            self.done = True
        return ""


class ThinkFilter(_Splitter):
    """For models that think between <think> and </think> (DeepSeek's distills). The prompt ends in `<think>`: all
    that comes is reasoning until it is closed, and a model that never closes it has not answered."""

    _literals: ClassVar[tuple[str, ...]] = (*_SENTENCEPIECE, "<think>", "</think>")

    def __init__(self) -> None:
        super().__init__()
        self._inside = True

    @property
    def thinking(self) -> bool:
        """Whether what comes next would be hidden."""
        return self._inside

    def conclude(self) -> str:
        """The thoughts so far, closed."""
        self._reset()
        self._inside = False
        return f"{_without_brackets(self.thoughts).rstrip()}\n</think>\n\n"

    def _pass(self, text: str) -> tuple[str, bool]:
        if not self._inside:
            return self._say(text), False
        self._think(text)
        return "", bool(text)

    def _marker(self, name: str) -> str:
        if name == "<think>":
            self._inside = True
            self._thoughts.append("")
        elif name == "</think>":
            self._inside = False
        elif name in _ENDS_PLAIN:
            self.done = True
        return ""


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
        self._typed = False  # the header names a content type
        self._pending = ""  # the last word of the answer, where it may be one of a header that lost its marker

    @property
    def thinking(self) -> bool:
        """Whether what comes next would be hidden."""
        return self._place is not _Place.FINAL and not self.done

    def conclude(self) -> str:
        """The thoughts so far as one closed message, and the channel of the answer opened."""
        # a marker that came in two halves around another is whole by now, and the engine would read it as one
        thoughts = _without_brackets(self.thoughts)
        self._reset()
        self._place, self._role, self._channel, self._pending = _Place.FINAL, "", "", ""
        before = f"<|channel|>analysis<|message|>{thoughts}<|end|><|start|>assistant" if thoughts else ""
        return before + "<|channel|>final<|message|>"

    def _pass(self, text: str) -> tuple[str, bool]:
        if not text:
            return "", False
        if self._place is _Place.FINAL:
            text = self._pending + text
            match = _PERHAPS_HEADER.search(text)
            self._pending = match[0] if match else ""
            return self._say(text.removesuffix(self._pending)), False
        if self._place is _Place.ROLE:
            self._role += text
        elif self._place is _Place.CHANNEL:
            self._channel += text
        else:
            self._think(text)
        return "", True

    def _marker(self, name: str) -> str:
        late = self._leave_word(name)
        if name == "start":
            late += self._leave()
            self._place, self._role, self._channel, self._typed = _Place.ROLE, "", "", False
        elif name == "channel":
            self._place, self._channel, self._typed = _Place.CHANNEL, "", False
        elif name == "constrain":
            self._typed = True
        elif name == "message":
            late += self._open()
        elif name in _ENDS:
            answering = self._place is _Place.FINAL
            spoken = self._leave()
            late += spoken
            self.done = self._said and (answering or bool(spoken))
            self._place = _Place.OUTSIDE
        return late

    def _leave_word(self, name: str) -> str:
        """A marker follows the word that was held back: it was one of the header that this marker belongs to, or else
        one of the answer."""
        word, self._pending = self._pending, ""
        if name not in {"channel", "message"} or word.strip() not in _HEADER_WORDS:
            return self._say(word)
        if name == "message":
            self._place = _Place.HIDDEN
            self._thoughts.append("")
        return ""

    def _open(self) -> str:
        """A message begins. Returns what parts it from an answer that was broken off before."""
        if self._place in {_Place.FINAL, _Place.HIDDEN}:
            return ""  # a stray marker changes nothing
        final = self._place is _Place.CHANNEL and self._may_answer() and _channel(self._channel) == "final"
        self._place = _Place.FINAL if final else _Place.HIDDEN
        if not final:  # also without a channel: it could be reasoning
            self._thoughts.append("")
            return ""
        return "\n\n" if self._said else ""

    def _leave(self) -> str:
        """A header is left without `<|message|>`: behind "final" stands an answer, anything else is a thought."""
        word, self._pending = self._pending, ""
        left, self._place = self._place, _Place.FINAL if self._place is _Place.FINAL else _Place.OUTSIDE
        if left is _Place.CHANNEL:
            words = self._channel.split(None, 1)
            if len(words) == 2 and not self._typed and self._may_answer() and _channel(self._channel) == "final":
                return ("\n\n" if self._said else "") + self._say(words[1])
            self._thoughts.append(self._channel)
        elif left is _Place.ROLE:
            self._thoughts.append(self._role.removeprefix("assistant"))
        return self._say(word)

    def _may_answer(self) -> bool:
        """Whether the header speaks as the assistant to the person: no other role, no tool."""
        if "to=" in self._role or "to=" in self._channel:
            return False
        return not re.sub(r"[\W\d_]+", "", self._role.lower()).replace("assistant", "")


def _channel(header: str) -> str:
    """The channel that a header names; empty where it is not one. Case and signs around the name do not matter."""
    words = [re.sub(r"^\W+|\W+$", "", word.lower()) for word in header.split()]
    if not words or _OF_HIDDEN_CHANNELS.intersection(words[1:2]):
        return ""
    return words[0]


@cache
def _pattern(literals: tuple[str, ...]) -> re.Pattern[str]:
    return re.compile("|".join([_MARKER, *map(re.escape, literals)]))


@cache
def _prefixes(literals: tuple[str, ...]) -> tuple[frozenset[str], int]:
    """Everything that one of the literals can begin with, and the length of the longest of them."""
    found = frozenset(one[:end] for one in literals for end in range(1, len(one)))
    return found, max(map(len, found), default=0)


def _without_brackets(text: str) -> str:
    """Text without runs of signs that hold a bracket of a marker. Whole runs: what is left must not become another."""
    return _SIGNS.sub(lambda run: "" if _BRACKET.search(run[0]) else run[0], text)
