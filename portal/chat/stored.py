"""The events of a turn, made from its row: what a browser gets when the stream is not there (yet, or any more).

The same functions make the events that are published live, so that both roads look alike.
"""

from collections.abc import Collection, Mapping
from typing import Any

from django.urls import reverse
from django.utils.translation import gettext, override

from portal.chat.access import closed_versions
from portal.chat.models import Quotation, State, Turn
from portal.chat.rendering import answer_html, quoted_html, quoted_text

_NOT_TOLD = frozenset({"cached_tokens"})  # would say to the word whether somebody else asked the same shortly before
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
        "question": turn.question,
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
    if not turn.card:
        return None
    return {"type": "crisis.detected", "turn": str(turn.id), **turn.card}


def notices(turn: Turn) -> list[dict[str, Any]]:
    """What the guardrails want said beside the answer."""
    return [notice(turn, one) for one in turn.notices]


def notice(turn: Turn, said: Mapping[str, str]) -> dict[str, Any]:
    """One of them: its rule and one sentence."""
    return {"type": "guardrail.notice", "turn": str(turn.id), **said}


def beginning(turn: Turn) -> list[dict[str, Any]]:
    """What is known when the question is written down: accepted, the hotline card, notices."""
    card = crisis(turn)
    return [accepted(turn), *([card] if card else []), *notices(turn)]


def passages(turn: Turn, closed: Collection[str] = ()) -> dict[str, Any]:
    """What was found in the guidelines; of the versions `closed` not the words."""
    hidden = _hidden(turn, closed)
    return {
        "type": "turn.passages",
        "turn": str(turn.id),
        "covered": turn.covered is not False,
        "passages": [_shown(public_passage(one), turn, hidden) for one in turn.passages],
    }


def final(turn: Turn, closed: Collection[str] = ()) -> dict[str, Any]:
    """The last event of a turn that has ended; its citations without the words of the versions `closed`."""
    hidden = _hidden(turn, closed)
    event: dict[str, Any] = {"type": f"turn.{turn.state}", "turn": str(turn.id)}
    if turn.state in (State.COMPLETED, State.CANCELLED):
        cited = [_shown(one, turn, hidden) for one in turn.citations]
        event |= {"html": _html(turn, cited), "text": _text(turn, cited), "citations": cited}
    if turn.state == State.CANCELLED:
        event["code"] = turn.failure_code  # "left" where nobody was there any more, empty where the person stopped it
    if turn.state == State.COMPLETED and turn.quotation:
        event["quotation"] = turn.quotation
    if turn.state == State.COMPLETED:
        event |= {
            "groundedness": turn.groundedness,
            "usage": {name: value for name, value in turn.usage.items() if name not in _NOT_TOLD},
            **_model(turn),
        }
    if turn.state == State.REFUSED:
        event |= {"rule": turn.failure_code, "message": turn.failure_message}
    if turn.state == State.FAILED:
        event |= {"code": turn.failure_code, "message": turn.failure_message}
        if turn.answer:
            event["text"] = turn.answer
    return event


def _html(turn: Turn, cited: list[dict[str, Any]]) -> str:
    if turn.quotation and cited:
        return quoted_html(cited, language=turn.language)
    return answer_html(turn.answer, turn.citations, language=turn.language)


def _text(turn: Turn, cited: list[dict[str, Any]]) -> str:
    """The answer; where it is quoted, made of what may be shown of the quotations."""
    return quoted_text(cited) if turn.quotation and cited else turn.answer


def _model(turn: Turn) -> dict[str, str]:
    """The model that wrote the answer, and where its card is; empty where no model wrote it."""
    if turn.quotation or not turn.model.get("name"):
        return {"model": "", "model_url": ""}
    sha256 = turn.model.get("sha256", "")
    url = reverse("modelcards:card", args=[sha256]) if sha256 else ""
    return {"model": turn.model["name"], "model_url": url}


def events(turn: Turn, after: str = "", closed: Collection[str] | None = None) -> list[dict[str, Any]]:
    """All events of a turn that has ended, with ids that follow `after` (the last id that the browser saw). Words of
    guidelines that are for other departments than the person's by now are left out; `closed` is those versions, where
    the caller knows them. Reads the database for a turn with passages alone."""
    assert turn.finished_at is not None
    if closed is None:
        closed = closed_versions(turn.conversation, [turn]) if turn.passages else ()
    milliseconds = max(int(turn.finished_at.timestamp() * 1000), int(after.partition("-")[0] or 0))
    sequence = beginning(turn)
    if turn.passages:
        sequence.append(passages(turn, closed))
    sequence.append(final(turn, closed))
    return _numbered(sequence, milliseconds, _FINAL_SEQUENCE)


def early(turn: Turn) -> list[dict[str, Any]]:
    """The first events of a turn that is not written down yet, with ids that precede those of its stream."""
    return _numbered(beginning(turn), int(turn.created_at.timestamp() * 1000) - 1, 0)


def _numbered(sequence: list[dict[str, Any]], milliseconds: int, first: int) -> list[dict[str, Any]]:
    return [{**event, "id": f"{milliseconds}-{first + number}"} for number, event in enumerate(sequence)]


_PUBLIC = ("marker", "document", "version", "page", "page_label", "heading", "quote", "score", "url")
_PUBLIC_LATELY = ("last_page", "pages")  # turns from before these were kept go without


def _hidden(turn: Turn, closed: Collection[str]) -> set[int]:
    """The markers of the passages from some versions."""
    return {one["marker"] for one in turn.passages if one["version_id"] in closed}


def _shown(passage: dict[str, Any], turn: Turn, hidden: Collection[int]) -> dict[str, Any]:
    """A passage or citation; where it is hidden, a sentence in the place of its words."""
    if passage["marker"] not in hidden:
        return passage
    with override(turn.language):
        said = gettext("This guideline is for other departments by now: its words are not shown.")
    return {**passage, "heading": "", "quote": said} | {name: [] for name in ("exact", "quoted") if name in passage}


def public_passage(passage: Mapping[str, Any]) -> dict[str, Any]:
    """The fields of a stored passage that a browser gets."""
    public = {name: passage[name] for name in _PUBLIC}
    return public | {name: passage[name] for name in _PUBLIC_LATELY if name in passage}
