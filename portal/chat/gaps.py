"""What of a turn's story is missing or contradicts itself: its events among themselves, and its row beside them. Each
is a sentence for whoever reads the story."""

import uuid
from collections.abc import Iterator, Sequence
from typing import Any

from django.core.exceptions import ObjectDoesNotExist
from django.utils.translation import gettext as _

from portal import vault
from portal.audit import stored
from portal.audit.models import Actor, Event
from portal.audit.services import commitment, is_code
from portal.audit.stored import Row
from portal.chat import sealed, showing
from portal.chat.comparing import Committed, Fit, closed, sealed_bytes
from portal.chat.facts import ENDINGS, LATE, hashes, mapping, mappings, number, said
from portal.chat.models import Piece, State, Turn

_BEFORE = {  # a kind, and the kinds of which one comes before it
    "turn.passages": ("turn.retrieving",),
    "turn.generating": ("turn.passages",),
    "turn.prompted": ("turn.generating",),
    "turn.shown": ("turn.generating",),
    "turn.completed": ("turn.passages",),
    "turn.verified": ("turn.completed",),
    "turn.verification_withdrawn": ("turn.verified",),
}


def of_events(turn_id: uuid.UUID, events: Sequence[Row], known: Committed) -> Iterator[str]:
    """What the events of a turn lack, beginning with the one of its question."""
    kinds = [one.kind for one in events]
    opening = [kind for kind in kinds if kind in ("turn.started", LATE)]
    ended = [kind for kind in kinds if kind in ENDINGS]
    if not opening:
        yield _("The event of the question is missing.")
    if len(opening) > 1 or len(ended) > 1:
        yield _("The question was recorded, or ended, more than once.")
    if LATE not in kinds and not known.is_old:
        yield from _order(kinds)
    yield from _chains(turn_id, events)


def _order(kinds: Sequence[str]) -> Iterator[str]:
    for kind, before in _BEFORE.items():
        if kind in kinds and not set(before) & set(kinds[: kinds.index(kind)]):
            yield _("There is an event %(kind)s, and none %(before)s before it, as there has to be.") % {
                "kind": kind,
                "before": ", ".join(before),
            }


def _chains(turn_id: uuid.UUID, events: Sequence[Row]) -> Iterator[str]:
    """The pieces of an attempt are numbered from 1 and form a chain, whose last link is in the record of the end."""
    shown: dict[int, list[dict[str, Any]]] = {}
    for one in events:
        if one.kind == "turn.shown":
            shown.setdefault(number(said(one).get("attempt")), []).append(said(one))
    for attempt, pieces in sorted(shown.items()):
        if [number(one.get("piece")) for one in pieces] != list(range(1, len(pieces) + 1)):
            yield _("Of the pieces that were shown in attempt %(attempt)s, events are missing.") % {"attempt": attempt}
    for one in events:
        if one.kind in ENDINGS and "shown" in (end := said(one)):
            pieces = shown.get(number(end.get("attempt")), [])
            chain = _chain(turn_id, number(end.get("attempt")), [str(piece.get("commitment")) for piece in pieces])
            if mapping(end["shown"]) != {"pieces": len(pieces), "chain": chain}:
                yield _("The event of the end names other pieces than those whose events are there.")
        elif one.kind in ENDINGS and shown.get(number(said(one).get("attempt"))):
            yield _("Pieces were shown of which the event of the end knows nothing.")


def _chain(turn_id: uuid.UUID, attempt: int, commitments: list[str]) -> str:
    try:
        return showing.chain_of(turn_id, attempt, commitments)
    except ValueError:  # no hash
        return ""


def of_row(turn_id: uuid.UUID, turn: Turn | None, events: Sequence[Row], known: Committed) -> Iterator[str]:
    """Where the row of a turn, or its lack, does not fit its events. Says nothing of its words."""
    opening = next((one for one in events if one.kind in ("turn.started", LATE)), None)
    if turn is None:
        if Turn.objects.filter(pk=turn_id).exists():
            yield _(
                "The row of this question, or of its conversation, cannot be read: somebody wrote into the database."
            )
        elif opening is None or opening.kind != LATE or "question" in said(opening):
            yield _("The row of this question is missing: somebody removed it from the database. Its events are left.")
        return
    if opening:
        yield from _belongs(turn, opening)
    if not known.is_old and (names := sorted(_differ(turn, events, opening))):
        yield _(
            "The row of this question was changed after it was recorded: %(names)s. Below stands what was recorded."
        ) % {"names": ", ".join(names)}


def _belongs(turn: Turn, opening: Row) -> Iterator[str]:
    if said(opening).get("conversation", str(turn.conversation_id)) != str(turn.conversation_id):
        yield _("The row of this question was put into another conversation.")
    owner = turn.conversation.owner.username
    code = Actor.objects.filter(name=owner).values_list("code", flat=True).first() or owner
    if opening.actor_id not in (code, "system"):
        yield _("The conversation belongs to another person than the one who asked.")


def _differ(turn: Turn, events: Sequence[Row], opening: Row | None) -> Iterator[str]:
    """The columns of the row that hold something else than the events say, those that nobody changed."""
    expected = {} if opening is None else _at_first(turn, said(opening))
    ended = next((one for one in reversed(events) if one.kind in ENDINGS or one.kind == LATE), None)
    if ended and not ended.problem:
        expected |= _at_the_end(events, ended)
    elif not ended and not turn.is_active:
        expected["state"] = "–"
    passages = next((one for one in reversed(events) if one.kind == "turn.passages"), None)
    if passages and not passages.problem:  # by these it is asked who may still read the answer
        found = mappings(said(passages).get("passages"))
        expected["passage_versions"] = sealed.versions_of(
            [one for one in found if isinstance(one.get("version_id"), str)]
        )
    for name, value in expected.items():
        if getattr(turn, name) != value:
            yield name
    if expected and not any(one.problem for one in events):
        shown = showing.beside(turn.card, turn.failure_message)
        for name, value in hashes(events).items():
            if shown[name] != value:
                yield "card" if name == "card_sha256" else "failure_message"


def _at_first(turn: Turn, asked: dict[str, Any]) -> dict[str, Any]:
    return {name: asked.get(name, getattr(turn, name)) for name in ("language", "effort", "verdict")}


def _at_the_end(events: Sequence[Row], ended: Row) -> dict[str, Any]:
    end = said(ended)
    if ended.kind == LATE:
        return {"state": end.get("state", ""), "failure_code": end.get("code", "")}
    stopped = next((said(one).get("code", "") for one in events if one.kind == "turn.stop_asked"), "")
    state = ended.kind.partition(".")[2]
    refused = end.get("rule", "") if state == State.REFUSED else ""
    return {
        "state": state,
        "failure_code": end.get("code") or refused or stopped,
        "groundedness": end.get("groundedness"),
        "usage": end.get("usage", {}),
        "model": end.get("model", {}),
        "quotation": end.get("quotation", ""),
    }


def of_people(events: Sequence[Row]) -> Iterator[str]:
    """Whose name, of those who acted, is not the one that was recorded for their code, or went without an erasure."""
    codes = {one.actor_id for one in events if is_code(one.actor_id)}
    told = Event.objects.filter(kind__in=("person.named", "person.erased"), subject__in=codes)
    rows = stored.rows(sorted(told.values_list("seq", flat=True)), stored.Marks())
    named = {one.subject: said(one).get("commitment") for one in rows if one.kind == "person.named"}
    erased = {one.subject for one in rows if one.kind == "person.erased" and not one.problem}
    for code, name, salt in Actor.objects.filter(code__in=codes).order_by("code").values_list("code", "name", "salt"):
        if name is None and code not in erased:
            yield _("The name of %(code)s is gone, and the audit trail knows of no erasure.") % {"code": code}
        elif name is not None and commitment(vault.raw(salt), str(name)) != named.get(code):
            yield _("%(name)s is not the name that was recorded for %(code)s.") % {"name": name, "code": code}


def of_words(turn: Turn | None, known: Committed, pieces: Sequence[Fit]) -> Iterator[str]:
    """What of the sealed words was removed, exchanged or added, told without opening them."""
    if turn is not None:
        names = {
            "question": _("the question"),
            "passages": _("the passages"),
            "answer": _("the answer"),
            "thoughts": _("the reasoning of the model"),
        }
        fits = [(label, closed(turn, name, known)) for name, label in names.items()]
    else:
        fits = []
    if wrong := [label for label, fit in fits if fit.is_wrong]:
        yield _("What is kept is not what was recorded, or is gone: %(names)s.") % {"names": ", ".join(wrong)}
    if turn is not None and (count := sum(one.is_wrong for one in pieces)):
        yield _("Of the pieces that were shown, %(count)s are not kept as they were recorded.") % {"count": count}


def of_erasure(turn: Turn | None, events: Sequence[Row], known: Committed) -> Iterator[str]:
    """Where erasure and its event do not go together: an erasure without its event is no erasure but a loss."""
    told = [one for one in events if one.kind == "conversation.erased"]
    if any(one.seq in known.wrong for one in told):
        yield _("The event of the erasure is not what was recorded.")
    if turn is None:
        return
    has_key, erased_at = _has_key(turn), turn.conversation.erased_at
    if not told and erased_at:
        yield _("The conversation is marked as erased, and the audit trail knows of no erasure.")
    elif not told and not has_key and sealed_bytes(turn):
        yield _("The key of this conversation is gone, and the audit trail knows of no erasure.")
    elif known.is_erased and (has_key or not erased_at or Piece.objects.filter(turn=turn).exists()):
        yield _("The conversation was erased, and something of it is there again, as after an old backup was restored.")


def _has_key(turn: Turn) -> bool:
    try:
        return bool(turn.conversation.key.wrapped)
    except ObjectDoesNotExist:
        return False
