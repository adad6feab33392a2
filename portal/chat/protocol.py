"""The frames that a browser may send, parsed into typed values. Everything else becomes a FrameError with a code.

The protocol is described in docs/architecture.md; the frames that go the other way are made in `stored` and `services`.
"""

import json
import re
import uuid
from dataclasses import dataclass
from typing import Any, Literal

from django.utils.translation import gettext as _

from inference import Effort

MAX_FRAME_BYTES = 32 * 1024
MAX_QUESTION_CHARACTERS = 8_000
_STREAM_ID = re.compile(r"\d{1,20}-\d{1,20}")
_UNSTORABLE = re.compile("[\x00\ud800-\udfff]")  # PostgreSQL refuses NUL, UTF-8 has no lone surrogates


class FrameError(Exception):
    """A frame that cannot be obeyed. `code` is one of the protocol's error codes, the text one plain sentence."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code


@dataclass(frozen=True, slots=True)
class TurnStart:
    """Ask `text`, to be answered by the language model or with quotations alone. The same `client_ref` in the same
    conversation is the same turn, however often it is sent."""

    client_ref: uuid.UUID
    text: str
    effort: Effort
    answer: Literal["model", "quotation"] = "model"


@dataclass(frozen=True, slots=True)
class TurnCancel:
    """Stop this turn; what was shown stays."""

    turn: uuid.UUID


@dataclass(frozen=True, slots=True)
class TurnResume:
    """Send what follows the event `after` of this turn; everything when `after` is empty."""

    turn: uuid.UUID
    after: str


@dataclass(frozen=True, slots=True)
class Ping:
    """Are you there?"""


Frame = TurnStart | TurnCancel | TurnResume | Ping


def decode(raw: str) -> dict[str, Any]:
    """A frame's JSON object. Raises FrameError: too_large over 32 KiB, bad_frame for anything but an object."""
    if len(raw) > MAX_FRAME_BYTES or len(raw.encode("utf-8", "surrogatepass")) > MAX_FRAME_BYTES:
        raise FrameError("too_large", _("A message may have at most 32 KiB."))
    try:
        content = json.loads(raw)
    except (ValueError, RecursionError) as error:
        raise FrameError("bad_frame", _("This message is not valid JSON.")) from error
    if not isinstance(content, dict):
        raise FrameError("bad_frame", _("A message must be a JSON object."))
    return content


def parse(content: dict[str, Any]) -> Frame:
    """The typed value of a decoded frame. Raises FrameError with a sentence that names the wrong field."""
    match content.get("type"):
        case "turn.start":
            return TurnStart(_uuid(content, "client_ref"), _question(content), _effort(content), _answer(content))
        case "turn.cancel":
            return TurnCancel(_uuid(content, "turn"))
        case "turn.resume":
            after = content.get("after") or ""
            if not isinstance(after, str) or (after and not _is_event_id(after)):
                raise FrameError("bad_frame", _("The field after must be an event id or empty."))
            return TurnResume(_uuid(content, "turn"), after)
        case "ping":
            return Ping()
        case _unknown:
            raise FrameError("bad_frame", _("This message has no type that is known here."))


def _is_event_id(text: str) -> bool:
    """Two numbers of 64 bits each, as Valkey counts."""
    return bool(_STREAM_ID.fullmatch(text)) and all(int(half) < 2**64 for half in text.split("-"))


def _uuid(content: dict[str, Any], field: str) -> uuid.UUID:
    value = content.get(field)
    if isinstance(value, str) and len(value) <= 36:
        try:
            return uuid.UUID(value)
        except ValueError:
            pass
    raise FrameError("bad_frame", _("The field %(name)s must be a UUID.") % {"name": field})


def _question(content: dict[str, Any]) -> str:
    text = content.get("text")
    if not isinstance(text, str):
        raise FrameError("bad_frame", _("The field text must be a text."))
    text = _UNSTORABLE.sub("\ufffd", text).strip()
    if not text:
        raise FrameError("bad_frame", _("The question is empty."))
    if len(text) > MAX_QUESTION_CHARACTERS:
        raise FrameError(
            "too_large", _("A question may have at most %(n)d characters.") % {"n": MAX_QUESTION_CHARACTERS}
        )
    return text


def _effort(content: dict[str, Any]) -> Effort:
    try:
        return Effort(content.get("effort", "low"))
    except ValueError as error:
        raise FrameError("bad_frame", _("The field effort must be low, medium or high.")) from error


def _answer(content: dict[str, Any]) -> Literal["model", "quotation"]:
    match content.get("answer", "model"):
        case "model":
            return "model"
        case "quotation":
            return "quotation"
        case _unknown:
            raise FrameError("bad_frame", _("The field answer must be model or quotation."))
