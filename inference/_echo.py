"""An answer that was opened for a model may only be its thinking, going on: then it is no answer.

A model that turns in circles does not stop because a marker was put behind its words. What gives it away is a sentence
that it thought more than once, word for word. A draft of an answer stands once among the thoughts, so that an answer
that was drafted there is not taken for one.
"""

import re

_SENTENCE_END = re.compile(r"(?<=[.!?…])\s+|\n+")
_SHORTEST = 20  # characters: what is shorter says nothing
_LONGEST = 600  # without an end: no sentence, and nobody waits for it
_TIMES = 2


class Echo:
    """Reads an answer sentence by sentence, and lets through what was not thought again and again."""

    def __init__(self, thoughts: str) -> None:
        self._thoughts = _plain(thoughts)
        self._held = ""
        self.found = False  # the rest is thinking; nothing more comes through
        self.passed = False  # something of an answer came through

    def feed(self, text: str) -> str:
        """The sentences that are whole by now."""
        self._held += text
        ready = ""
        while not self.found and (end := _SENTENCE_END.search(self._held)):
            sentence, self._held = self._held[: end.end()], self._held[end.end() :]
            ready += self._check(sentence)
        if len(self._held) > _LONGEST:
            ready, self._held = ready + self._check(self._held), ""
        return ready

    def finish(self) -> str:
        """The answer has ended: what was held back."""
        rest, self._held = self._held, ""
        return self._check(rest)

    def _check(self, sentence: str) -> str:
        plain = _plain(sentence)
        self.found = self.found or (len(plain) >= _SHORTEST and self._thoughts.count(plain) >= _TIMES)
        if self.found:
            return ""
        self.passed = self.passed or bool(plain)
        return sentence


def _plain(text: str) -> str:
    return " ".join(text.split())
