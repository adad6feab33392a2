"""What of a turn may its owner read now? One place decides, for the page, the socket, the terminal and the sources.

An answer stands on guidelines: those of its turn's passages, and those that earlier answers rest on which the model had
read. Once one of them is for other departments than the person's, the answer is withheld as a whole, because nobody can
tell which of its words come from where; of such passages the words are. The question is the person's own and stays.

Where a conversation was erased, or this installation cannot open it, a sentence stands in the place of the words.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from django.utils.translation import gettext, override

from knowledge.citations import closed_to
from portal import vault
from portal.accounts.selectors import departments_of
from portal.chat import sealed
from portal.chat.facts import ids
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
    def instead(self) -> str:
        """A sentence in the place of words that were erased or cannot be opened; empty where they can be read."""
        try:
            _ = self.turn.question, self.turn.answer, self.turn.passages
        except sealed.Erased:
            with override(self.turn.language):
                return str(gettext("This conversation was erased: nobody can read it any more."))
        except vault.VaultError:
            with override(self.turn.language):
                said = gettext(
                    "This cannot be opened with the master key of this installation. Please tell your IT department."
                )
                return str(said)
        return ""

    @property
    def question(self) -> str:
        """What the person asked."""
        return self.instead or str(self.turn.question)

    @property
    def answer(self) -> str:
        """The answer, whole or as far as it came; where it is withheld, a sentence in its place."""
        if self.instead or not (self.turn.answer and self.is_withheld):
            return self.instead or str(self.turn.answer)
        with override(self.turn.language):
            return gettext(
                "This answer is no longer shown: a guideline that it draws on is for other departments by now. The "
                "administrators of the guidelines can open it to your department again."
            )

    @property
    def citations(self) -> list[dict[str, Any]]:
        """What the answer cites; nothing where it is withheld."""
        return [] if self.is_withheld or self.instead else list(self.turn.citations)

    @property
    def notices(self) -> list[dict[str, str]]:
        """What the guardrails want said beside the answer."""
        return [] if self.instead else list(self.turn.notices)

    @property
    def passages(self) -> list[dict[str, Any]]:
        """What was found; where a passage is closed, a sentence in the place of its words."""
        if self.instead:
            return []
        return [self._without_words(one) if one["version_id"] in self.closed else one for one in self.turn.passages]

    def passage(self, marker: int) -> dict[str, Any] | None:
        """The passage that the turn cites as [marker]; None where it has none, or may not be read."""
        passages = [] if self.instead else self.turn.passages
        found = (one for one in passages if one["marker"] == marker and one["version_id"] not in self.closed)
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
    return {*ids(turn.passage_versions), *ids(turn.drawn_from)}
