"""What a person's earlier messages may add to the reading of the last one.

The trained reader learnt from dialogues in which every message says something new. The same question four times,
"never stop" before it or "again please" after it look to it like somebody who insists in despair. So an unremarkable
message that comes again counts once, and a dialogue is only taken for danger where a message of it shows some by
itself: somebody who says "I can't do this" four times is heard, somebody who asks for the steps of a safety plan four
times is answered.
"""

import re
from collections import Counter
from collections.abc import Sequence
from functools import cached_property
from typing import TYPE_CHECKING

from guardrails._normalise import visible
from guardrails._text import plain, shortened
from guardrails._types import Category

if TYPE_CHECKING:
    from guardrails._classifier import Classifier, Opinion

EARLIER_CHARACTERS = 400
NEARLY_THE_SAME = 0.8  # the share of words that two messages have in common
_WORD = re.compile(r"\w+")
_SIGNS = (Category.FIRST_PERSON_CRISIS.value, Category.THIRD_PERSON_EMERGENCY.value, "distress")


class Dialogue:
    """A message and the same person's earlier ones that still stand, oldest first. `again` says of each of them, the
    message last, whether it merely asks for the same once more; `disclosed` that rules found the person in danger."""

    def __init__(
        self, text: str, earlier: Sequence[str], reader: "Classifier", *, again: Sequence[bool], disclosed: bool
    ) -> None:
        self._text = text
        self._asks_again = again[-1]
        self._said = [message for message, asks in zip(earlier, again, strict=False) if not asks]
        self._reader = reader
        self._disclosed = disclosed
        self._read: dict[str, Opinion] = {}

    def opinion(self) -> "Opinion":
        """What the reader thinks of the message after the earlier ones."""
        return self._reader.read(self._text, self._earlier)

    @cached_property
    def alone(self) -> "Opinion":
        """What the reader thinks of the message without the earlier ones. Whoever merely asks again says what they
        said before."""
        return self._reader.read(self._said[-1] if self._asks_again and self._said else self._text)

    def shows_a_sign(self) -> bool:
        """Whether any message of the dialogue, read by itself, has a sign of danger or distress."""
        if not self._said or (not self._asks_again and self._is_sign(self.alone)):
            return True  # what nobody said anything before is judged as it stands
        return any(self._is_sign(self._by_itself(message)) for message in self._earlier)

    def insists(self) -> bool:
        """Whether the person has said nearly this before, and it has a sign of danger or distress by itself."""
        own = _words(self._text)
        said_before = any(_near(own, _words(message)) for message in self._said)
        return said_before and not self._asks_again and self._is_sign(self.alone)

    @cached_property
    def _earlier(self) -> list[str]:
        """The earlier messages that count: none that merely asks again, and of nearly the same ones without a sign
        of danger or distress the last alone. After a disclosure all do: insisting on work does not take it back."""
        kept: list[str] = []
        words = [_words(self._text)]
        for message in reversed(self._said):
            own = _words(message)
            if not any(_near(own, other) for other in words) or self._is_sign(self._by_itself(message)):
                kept.append(message)
                words.append(own)
        if len(kept) == len(self._said) or self._disclosed or any(map(self._discloses, kept)):
            return self._said
        return kept[::-1]

    def _discloses(self, message: str) -> bool:
        danger = Category.FIRST_PERSON_CRISIS.value
        return self._by_itself(message).likely[danger] >= self._reader.thresholds[danger]

    def _is_sign(self, opinion: "Opinion") -> bool:
        least = self._reader.thresholds["long_message" if opinion.long else "sign"]
        return sum(opinion.likely[one] for one in _SIGNS) >= least

    def _by_itself(self, message: str) -> "Opinion":
        """The opinion on an earlier message, as much of it as is read with the last one."""
        message = as_earlier(message)
        if message not in self._read:
            self._read[message] = self._reader.read(message)
        return self._read[message]


def as_earlier(text: str) -> str:
    """As much of an earlier message as the reader of messages and its training see."""
    return shortened(visible(text), EARLIER_CHARACTERS, " … ")


def _words(text: str) -> Counter[str]:
    return Counter(_WORD.findall(plain(text)))


def _near(one: Counter[str], other: Counter[str]) -> bool:
    return 2 * (one & other).total() >= NEARLY_THE_SAME * (one.total() + other.total()) > 0
