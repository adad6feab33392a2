"""What of a turn may its owner read now? One place decides, for the page, the socket, the terminal and the sources.

An answer stands on guidelines: those of its turn's passages, and those that earlier answers rest on which the model had
read. Once one of them is for other departments than the person's, the answer is withheld as a whole, because nobody can
tell which of its words come from where; of such passages the words are. The question is the person's own and stays.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from django.utils.translation import gettext, override

from knowledge.citations import closed_to
from portal.accounts.selectors import departments_of
from portal.chat.models import Turn


@dataclass(frozen=True, slots=True)
class Reading:
    """The words of a turn as its owner may read them. `closed` is the versions that are for other departments; made
    without it for a turn that stands on nothing, or whose passages were found for this person a moment ago."""

    turn: Turn
    closed: frozenset[str] = frozenset()

    @property
    def is_withheld(self) -> bool:
        """Whether the answer is not shown, if there is one."""
        return bool(self.closed & stands_on(self.turn))

    @property
    def question(self) -> str:
        """What the person asked."""
        return self.turn.question

    @property
    def answer(self) -> str:
        """The answer, whole or as far as it came; where it is withheld, a sentence in its place."""
        if not (self.turn.answer and self.is_withheld):
            return self.turn.answer
        with override(self.turn.language):
            return gettext(
                "This answer is no longer shown: a guideline that it draws on is for other departments by now. The "
                "administrators of the guidelines can open it to your department again."
            )

    @property
    def citations(self) -> list[dict[str, Any]]:
        """What the answer cites; nothing where it is withheld."""
        return [] if self.is_withheld else self.turn.citations

    @property
    def passages(self) -> list[dict[str, Any]]:
        """What was found; where a passage is closed, a sentence in the place of its words."""
        return [self._without_words(one) if one["version_id"] in self.closed else one for one in self.turn.passages]

    def passage(self, marker: int) -> dict[str, Any] | None:
        """The passage that the turn cites as [marker]; None where it has none, or may not be read."""
        found = (one for one in self.turn.passages if one["marker"] == marker and one["version_id"] not in self.closed)
        return next(found, None)

    def _without_words(self, passage: dict[str, Any]) -> dict[str, Any]:
        with override(self.turn.language):
            said = gettext("This guideline is for other departments by now: its words are not shown.")
        return {**passage, "heading": "", "quote": said}


def reading(turn: Turn) -> Reading:
    """A turn as its owner may read it at this moment. Asks the database, for a turn that stands on something."""
    return readings([turn])[0]


def readings(turns: Iterable[Turn]) -> list[Reading]:
    """The same for some turns of one person."""
    found = list(turns)
    versions = set().union(*map(stands_on, found))
    closed = closed_to(versions, departments_of(found[0].conversation.owner)) if versions else set()
    return [Reading(one, frozenset(closed)) for one in found]


def stands_on(turn: Turn) -> set[str]:
    """The ids of the versions whose words an answer may hold."""
    return {one["version_id"] for one in turn.passages} | set(turn.drawn_from)
