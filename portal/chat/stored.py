"""The events of a turn, made from its row: what a browser gets when the stream is not there (yet, or any more).

The same functions make the events that are published live, so that both roads look alike.
"""

import re
from collections.abc import Mapping
from typing import Any

from django.urls import reverse

from portal.chat.facts import mapping
from portal.chat.models import Quotation, State, Turn
from portal.chat.reading import Reading, reading
from portal.chat.rendering import answer_html, quoted_html

_NOT_TOLD = frozenset({"cached_tokens"})  # would say to the word whether somebody else asked the same shortly before
_SHA256 = re.compile("[0-9a-f]{64}")
_FINAL_SEQUENCE = 100_000  # behind every live event of the same millisecond


def wanted(turn: Turn) -> str:
    """Who the person chose to answer: the "model", or the guidelines alone, in "quotation"s."""
    return "quotation" if turn.quotation == Quotation.ASKED else "model"


def accepted(turn: Turn) -> dict[str, Any]:
    """The first event: the question is written down."""
    return {
        "type": "turn.accepted",
        "turn": str(turn.id),
        "client_ref": str(turn.client_ref),
        "position": turn.position,
        "question": Reading(turn).question,
        "effort": turn.effort,
        "answer": wanted(turn),
        "asked_at": turn.created_at.isoformat(),
    }


def queued(turn: Turn, position: int = 0, seconds: int | None = 0) -> dict[str, Any]:
    """The answer is not begun: it stands in this place of the line, for about so many seconds, None where that is not
    known; a browser that has shown a part of it takes that back."""
    return {"type": "turn.queued", "turn": str(turn.id), "position": position, "eta_seconds": seconds}


def crisis(turn: Turn) -> dict[str, Any] | None:
    """The hotline card, if the turn has one."""
    if not (card := mapping(turn.card)):
        return None
    return {"type": "crisis.detected", "turn": str(turn.id), **card}


def notices(turn: Turn) -> list[dict[str, Any]]:
    """What the guardrails want said beside the answer."""
    return [notice(turn, one) for one in Reading(turn).notices]


def notice(turn: Turn, said: Mapping[str, str]) -> dict[str, Any]:
    """One of them: its rule and one sentence."""
    return {"type": "guardrail.notice", "turn": str(turn.id), **said}


def beginning(turn: Turn) -> list[dict[str, Any]]:
    """What is known when the question is written down: accepted, the hotline card, notices."""
    card = crisis(turn)
    return [accepted(turn), *([card] if card else []), *notices(turn)]


def passages(read: Reading) -> dict[str, Any]:
    """What was found in the guidelines."""
    return {
        "type": "turn.passages",
        "turn": str(read.turn.id),
        "covered": read.turn.covered is not False,
        "passages": [public_passage(one) for one in read.passages],
    }


def final(turn: Turn, read: Reading | None = None) -> dict[str, Any]:
    """The last event of a turn that has ended, as its owner may read it now; `read` where the caller knows that."""
    read = read or reading(turn)
    event: dict[str, Any] = {"type": f"turn.{turn.state}", "turn": str(turn.id)}
    if turn.state in (State.COMPLETED, State.CANCELLED):
        event |= {"html": _html(read), "text": read.answer, "citations": read.citations}
    if turn.state == State.CANCELLED:
        event["code"] = turn.failure_code  # "left" where nobody was there any more, empty where the person stopped it
    if turn.state == State.COMPLETED:
        event |= _made(read)
    if turn.state == State.REFUSED:
        event |= {"rule": turn.failure_code, "message": turn.failure_message}
    if turn.state == State.FAILED:
        event |= {"code": turn.failure_code, "message": turn.failure_message}
        if answer := read.answer:
            event["text"] = answer
    return event


def _html(read: Reading) -> str:
    turn = read.turn
    if turn.quotation and read.citations:
        return quoted_html(read.citations, language=turn.language)
    return answer_html(read.answer, read.citations, language=turn.language)


def _made(read: Reading) -> dict[str, Any]:
    """How an answer was made and how well it stands; nothing of the kind where none is shown."""
    turn = read.turn
    if read.is_withheld:
        return {"withheld": True, "groundedness": None, "usage": {}, "model": "", "model_url": ""}
    usage = {name: value for name, value in mapping(turn.usage).items() if name not in _NOT_TOLD}
    made = {"groundedness": turn.groundedness, "usage": usage, **_model(turn)}
    return made | ({"quotation": turn.quotation} if turn.quotation else {})


def _model(turn: Turn) -> dict[str, str]:
    """The model that wrote the answer, and where its card is; empty where no model wrote it."""
    model = mapping(turn.model)
    if turn.quotation or not model.get("name"):
        return {"model": "", "model_url": ""}
    sha256 = str(model.get("sha256", ""))
    url = reverse("modelcards:card", args=[sha256]) if _SHA256.fullmatch(sha256) else ""
    return {"model": str(model["name"]), "model_url": url}


def events(turn: Turn, after: str = "", read: Reading | None = None) -> list[dict[str, Any]]:
    """All events of a turn that has ended, as its owner may read it now, with ids that follow `after` (the last id that
    the browser saw). `read` where the caller knows what may be read; otherwise the database is asked for it."""
    assert turn.finished_at is not None
    read = read or reading(turn)
    milliseconds = max(int(turn.finished_at.timestamp() * 1000), int(after.partition("-")[0] or 0))
    sequence = beginning(turn)
    if turn.passage_versions:
        sequence.append(passages(read))
    sequence.append(final(turn, read))
    return _numbered(sequence, milliseconds, _FINAL_SEQUENCE)


def early(turn: Turn) -> list[dict[str, Any]]:
    """The first events of a turn that is not written down yet, with ids that precede those of its stream."""
    return _numbered(beginning(turn), int(turn.created_at.timestamp() * 1000) - 1, 0)


def _numbered(sequence: list[dict[str, Any]], milliseconds: int, first: int) -> list[dict[str, Any]]:
    return [{**event, "id": f"{milliseconds}-{first + number}"} for number, event in enumerate(sequence)]


_PUBLIC = ("marker", "document", "version", "page", "page_label", "heading", "quote", "score", "url")
_PUBLIC_LATELY = ("last_page", "pages")  # turns from before these were kept go without


def public_passage(passage: Mapping[str, Any]) -> dict[str, Any]:
    """The fields of a stored passage that a browser gets."""
    public = {name: passage[name] for name in _PUBLIC}
    return public | {name: passage[name] for name in _PUBLIC_LATELY if name in passage}
