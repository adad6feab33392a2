"""Events as the pages tell them: a sentence, who it was, and what they hold, with names in the place of codes."""

import re
import uuid
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from portal.audit import naming, wording
from portal.audit.naming import Names
from portal.audit.stored import Row
from portal.audit.wording import Words

_SHA256 = re.compile("[0-9a-f]{64}")
_PERSON = "p-"  # what the code of a person begins with


@dataclass(frozen=True, slots=True)
class Line:
    """An event in words. `subject` is what it happened to: a person's name, or an id as it is; `turn` is its id where
    it belongs to the story of a turn."""

    event: Row
    words: Words
    who: str
    is_person: bool
    role: str
    subject: str
    turn: str
    details: tuple[tuple[str, str], ...]

    @property
    def model(self) -> str:
        """The SHA-256 of the model that the event names; empty where it names none."""
        payload = self.event.payload
        named = payload.get("model") if isinstance(payload.get("model"), dict) else {}
        of_model = payload.get("sha256", "") if self.event.kind.startswith("model.") else ""
        sha256 = str((named or {}).get("sha256", "") or of_model)
        return sha256 if _SHA256.fullmatch(sha256) else ""

    @property
    def leaf(self) -> str:
        """The event's hash, in hexadecimal."""
        return self.event.leaf.hex()


def lines(events: Iterable[Row]) -> list[Line]:
    """Some events, in their order. Names are asked for once."""
    chosen = list(events)
    codes = {one for event in chosen for one in _codes(event)}
    known = naming.names(codes)
    return [_line(one, known) for one in chosen]


def _line(event: Row, known: Names) -> Line:
    payload, names, wrong = event.payload, known.names, known.wrong
    room = event.kind.partition(".")[0]
    is_person = event.subject.startswith(_PERSON)
    is_of_turn = room in {"turn", "crisis"} or event.kind == "conversation.read"
    return Line(
        event=event,
        words=wording.CHANGED if event.problem else wording.sentence(event.kind, payload),
        who=wording.who(event.actor_id, names.get(event.actor_id), is_wrong=event.actor_id in wrong),
        is_person=event.actor_id.startswith(_PERSON),
        role=str(wording.ROLES.get(event.actor_role, event.actor_role)),
        subject=_subject(event.subject, known) if is_person else event.subject,
        turn=event.subject if is_of_turn and _is_id(event.subject) else "",
        details=tuple(wording.details(event.values or {} if event.problem else payload, names)),
    )


def _subject(code: str, known: Names) -> str:
    return wording.who(code, known.names.get(code), is_wrong=code in known.wrong)


def _is_id(subject: str) -> bool:
    try:
        return str(uuid.UUID(subject)) == subject
    except ValueError:
        return False


def _codes(event: Row) -> Iterator[str]:
    yield event.actor_id
    yield from _strings(event.subject)
    yield from _strings(event.payload)


def _strings(value: Any) -> Iterator[str]:
    if isinstance(value, str) and value.startswith(_PERSON):
        yield value
    elif isinstance(value, dict):
        for one in value.values():
            yield from _strings(one)
    elif isinstance(value, list):
        for one in value:
            yield from _strings(one)
