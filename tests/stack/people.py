"""People who ask one question after another over real sockets, whatever breaks, and remember what they saw."""

import asyncio
import random
import time
import uuid
from dataclasses import dataclass, field
from typing import Any

import websockets

from tests.installation import FINAL, Browser, Chat, Installation

QUESTIONS = (
    "Never stop please: what are the steps of a safety plan?",  # ends at the most tokens: somebody is always answered
    "Never stop please: whom can a person call in a crisis?",
    "What are the steps of a safety plan?",
    "Quelles sont les étapes d'un plan de sécurité ?",
)
_SILENCE_SECONDS = 15.0  # then a person reloads the page
_PATIENCE_SECONDS = 240.0  # then nobody believes that this question will ever end
_SLOW = (OSError, TimeoutError, websockets.WebSocketException)


@dataclass(slots=True)
class Asked:
    """One question, and every event of it that its person was shown."""

    text: str
    ref: uuid.UUID = field(default_factory=uuid.uuid4)
    conversation: uuid.UUID = field(default_factory=uuid.uuid4)
    began: float = field(default_factory=time.monotonic)
    ended: float = 0.0
    turn: str = ""
    last_id: str = ""
    endings: list[dict[str, Any]] = field(default_factory=list)
    pieces: list[str] = field(default_factory=list)  # of the answer, since it was last begun
    after_the_end: int = 0
    twice: int = 0
    reloads: int = 0
    accepted: int = 0

    def see(self, event: dict[str, Any]) -> None:
        """Keep what an event says."""
        self.turn = self.turn or event.get("turn", "")
        if place := event.get("id", ""):
            self.twice += bool(self.last_id) and _place(place) <= _place(self.last_id)
            self.last_id = place
        if self.endings and event["type"] not in FINAL:
            self.after_the_end += 1
        if event["type"] == "turn.accepted":
            self.accepted += 1
        if event["type"] == "turn.queued":
            self.pieces.clear()
        elif event["type"] == "turn.delta":
            self.pieces.append(event["text"])
        if event["type"] in FINAL or event["type"] == "error":
            self.endings.append(event)
            self.ended = self.ended or time.monotonic()

    @property
    def is_being_written(self) -> bool:
        """Whether a part of the answer is shown, and not its end."""
        return bool(self.pieces) and not self.endings

    @property
    def told_from_the_row(self) -> bool:
        """Whether the end was told with its beginning again: the answer as a whole, and not its last pieces."""
        return self.accepted > 1

    @property
    def written_by_a_model(self) -> bool:
        """Whether a model's whole answer was shown."""
        last = self.endings[-1] if self.endings else {}
        return last.get("type") == "turn.completed" and bool(last.get("model")) and not last.get("quotation")


class Person:
    """Somebody who is signed in and never tires of asking."""

    def __init__(self, installation: Installation, name: str, dice: random.Random) -> None:
        self.name = name
        self.asked: list[Asked] = []
        self._dice = dice
        self._browser = Browser(installation, name)

    async def ask_until(self, over: asyncio.Event) -> None:
        """Ask, see it through, ask again. The last question is seen through as well."""
        while not over.is_set():
            await self.ask(self._dice.choice(QUESTIONS))
            await asyncio.sleep(self._dice.uniform(0, 0.3))

    async def ask(self, text: str) -> Asked:
        """Ask once, and see it through: a socket that breaks or is silent for long is opened anew."""
        asked = Asked(text)
        self.asked.append(asked)
        while not asked.endings and time.monotonic() - asked.began < _PATIENCE_SECONDS:
            try:
                async with self._browser.chat(asked.conversation) as chat:
                    await self._watch(chat, asked)
            except _SLOW:
                asked.reloads += 1
                await asyncio.sleep(0.5)
        return asked

    async def _watch(self, chat: Chat, asked: Asked) -> None:
        if asked.turn:
            await chat.send(type="turn.resume", turn=asked.turn, after=asked.last_id)
        else:  # the same client_ref: a question that arrived before is not asked a second time
            await chat.send(type="turn.start", client_ref=str(asked.ref), text=asked.text, effort="low")
        while not asked.endings:
            asked.see(await chat.event(_SILENCE_SECONDS))
        try:
            while True:  # nothing may follow the end
                asked.see(await chat.event(0.2))
        except TimeoutError:
            return


def _place(event_id: str) -> tuple[int, int]:
    milliseconds, _, number = event_id.partition("-")
    return int(milliseconds), int(number or 0)
