"""Takes a model's own markup out of a stream: harmony channels, chat templates, reasoning tags.

The engine already separates reasoning from the answer; this is the second wall, for output that is not well-formed.
"""

import re

_LONGEST = 40  # characters of the longest special token; a "<" with more after it is plain text
_TOKEN = re.compile(r"<\|[^|<>\n]{0,30}\|>|</?think>|</?s>|<</?SYS>>|\[/?INST\]|<(?:start|end)_of_turn>", re.IGNORECASE)
_MAY_BECOME = re.compile(
    r"<(?:\|[^|<>\n]{0,30}\|?)?$|</?(?:t(?:h(?:i(?:nk?)?)?)?|s)?$|<</?(?:S(?:Y(?:S>?)?)?)?$|"
    r"\[/?(?:I(?:N(?:ST?)?)?)?$|<(?:s(?:t(?:a(?:rt?)?)?)?|e(?:nd?)?)(?:_(?:o(?:f(?:_(?:t(?:u(?:rn?)?)?)?)?)?)?)?$",
    re.IGNORECASE,
)
_BARE = re.compile(r"\s*analysis(?=[A-Z])")  # channel names whose special tokens were lost on the way
_BARE_FINAL = "assistantfinal"


class MarkupFilter:
    """Feed it pieces; it returns what belongs to the answer. Text of other channels is dropped."""

    def __init__(self) -> None:
        self._pending = ""
        self._hidden = False
        self._header: str | None = None
        self._begun = False
        self._bare = False

    def feed(self, text: str) -> str:
        """The next piece of the answer's own text."""
        self._pending += text
        return self._run(final=False)

    def finish(self) -> str:
        """What was held back because it might have become a token."""
        return self._run(final=True)

    def _run(self, *, final: bool) -> str:
        if not self._begin(final=final):
            return ""
        shown: list[str] = []
        while True:
            token = _TOKEN.search(self._pending)
            if token is None:
                break
            shown.append(self._text(self._pending[: token.start()]))
            self._pending = self._pending[token.end() :]
            self._meet(token[0].lower())
        held = None if final else _MAY_BECOME.search(self._pending, max(0, len(self._pending) - _LONGEST))
        cut = held.start() if held else len(self._pending)
        shown.append(self._text(self._pending[:cut]))
        self._pending = self._pending[cut:]
        return "".join(shown)

    def _begin(self, *, final: bool) -> bool:
        """Whether the answer has begun: "analysis…assistantfinal" without its special tokens is left out."""
        if not self._begun:
            start = self._pending.lstrip()
            if not final and len(start) < 9 and "analysis".startswith(start[:8]):
                return False
            self._begun = True
            self._bare = _BARE.match(self._pending) is not None
        if self._bare:
            found = self._pending.find(_BARE_FINAL)
            if found < 0:
                self._pending = "" if final else self._pending[-len(_BARE_FINAL) + 1 :]
                return False
            self._pending = self._pending[found + len(_BARE_FINAL) :]
            self._bare = False
        return True

    def _text(self, text: str) -> str:
        if self._header is not None:
            self._header += text
            return ""
        return "" if self._hidden else text

    def _meet(self, mark: str) -> None:
        """What a special token changes: which channel follows, and whether it is the answer's."""
        if mark in {"<|channel|>", "<|start|>", "<|im_start|>", "<start_of_turn>"}:
            self._header = (self._header or "") if mark == "<|channel|>" else ""
        elif mark == "<|message|>":
            header = (self._header or "").strip().lower()
            self._hidden = not ("final" in header or header in {"", "assistant"})
            self._header = None
        elif mark in {"<|end|>", "<|return|>", "<|call|>", "<|im_end|>", "<end_of_turn>", "</think>"}:
            self._hidden = False
            self._header = None
        elif mark == "<think>":
            self._hidden = True
