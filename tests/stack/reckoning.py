"""What became of every question, counted from outside (what people saw) and inside (rows, audit trail, streams)."""

import json
from collections import Counter, defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field

from tests.stack.people import Asked

ENDS = {"completed", "redirected", "refused", "cancelled", "failed"}


@dataclass(slots=True)
class Reckoning:
    """Counts of `must be zero` in `wrong`, of everything else in `counts`; `examples` names a turn for each wrong."""

    wrong: Counter[str] = field(default_factory=Counter)
    counts: Counter[str] = field(default_factory=Counter)
    examples: dict[str, str] = field(default_factory=dict)

    def note(self, what: str, turn: object) -> None:
        """One thing that must not be."""
        self.wrong[what] += 1
        self.examples.setdefault(what, str(turn))


WRONG = (
    "questions that never ended for their person",
    "turns still running",
    "turns with two answers",
    "more than one last event shown",
    "events after the end",
    "events shown twice",
    "answers shown that are not the stored ones",
    "failures without a reason to act on",
    "questions written down twice",
    "more than two attempts at generation",
    "turns whose end is not in the audit trail exactly once",
    "gaps in the audit trail",
    "slots that answer nobody",
    "questions told that no model is there while a worker was ready",
    "parts that did not come back",
    "parts that ended with an error of their own",
)


class Streams:
    """The last events in the streams of turns: looked at before each end of Valkey, which forgets them."""

    def __init__(self) -> None:
        self._finals: dict[str, set[str]] = defaultdict(set)

    def look(self) -> None:
        """Read every stream that there is now. Does nothing while Valkey is away."""
        from portal import valkey
        from portal.chat import events

        try:
            for key in valkey.client().scan_iter("havre:turn:*", count=1000):
                for entry, fields in valkey.client().xrevrange(key, count=3):
                    if json.loads(fields["event"])["type"] in events.FINAL:
                        self._finals[key.rpartition(":")[2]].add(entry)
        except valkey.Unreachable:
            return

    def twice(self) -> list[str]:
        """Turns with more than one last event."""
        return [turn for turn, entries in self._finals.items() if len(entries) > 1]


def reckon(asked: Iterable[Asked], streams: Streams) -> Reckoning:
    """Compare what people saw with what is stored and recorded, turn by turn."""
    from portal.audit.models import Event, Head
    from portal.chat.models import Turn

    found = Reckoning()
    rows = {str(turn.id): turn for turn in Turn.objects.all()}
    recorded: dict[str, Counter[str]] = defaultdict(Counter)
    last_seq = 0
    for seq, kind, subject in Event.objects.order_by("seq").values_list("seq", "kind", "subject").iterator():
        if seq != last_seq + 1:
            found.note("gaps in the audit trail", seq)
        last_seq = seq
        recorded[subject][kind.removeprefix("turn.")] += 1
    if last_seq != Head.objects.get().last_seq:
        found.note("gaps in the audit trail", last_seq)
    for turn in rows.values():
        _count_row(found, turn, recorded[str(turn.id)])
    for one in asked:
        _count_seen(found, one, rows.get(one.turn))
    for turn_id in streams.twice():
        found.note("more than one last event shown", turn_id)
    found.counts["audit events"] = last_seq
    return found


def _count_row(found: Reckoning, turn: "object", kinds: Counter[str]) -> None:
    from portal.chat.failures import MESSAGES
    from portal.chat.models import Turn

    assert isinstance(turn, Turn)
    if turn.is_active:
        found.note("turns still running", turn.id)
        return
    ended = {kind: count for kind, count in kinds.items() if kind in ENDS}
    if ended != {str(turn.state): 1} or kinds["started"] != 1:
        found.note("turns whose end is not in the audit trail exactly once", turn.id)
    if sum(ended.values()) > 1:
        found.note("turns with two answers", turn.id)
    if kinds["generating"] > 2:
        found.note("more than two attempts at generation", turn.id)
    if turn.state == "failed" and (turn.failure_code not in MESSAGES or not turn.failure_message):
        found.note("failures without a reason to act on", turn.id)
    how = turn.failure_code or (f"quoted ({turn.quotation})" if turn.quotation else "by the model")
    found.counts[f"turns {turn.state}: {how}"] += 1
    found.counts["turns that a lost worker gave back"] += kinds["requeued"]
    found.counts["turns begun again because the engine broke off"] += kinds["broken_off"]
    found.counts[f"attempts at generation: {kinds['generating']}"] += 1


def _count_seen(found: Reckoning, one: Asked, row: "object") -> None:
    from portal.chat import stored
    from portal.chat.models import Turn

    found.counts["questions asked"] += 1
    found.counts["pages loaded again"] += one.reloads
    written = list(Turn.objects.filter(client_ref=one.ref))
    if len(written) > 1:
        found.note("questions written down twice", one.ref)
    if not one.endings:
        found.note("questions that never ended for their person", one.turn or one.ref)
        return
    if len(one.endings) > 1:
        found.note("more than one last event shown", one.turn)
    if one.after_the_end:
        found.note("events after the end", one.turn)
    if one.twice:
        found.note("events shown twice", one.turn)
    end = one.endings[0]
    if end["type"] in {"turn.failed", "turn.refused", "error"} and not end.get("message"):
        found.note("failures without a reason to act on", one.turn)
    if not isinstance(row, Turn):
        # what cannot be written down is said at once, and asked again by the person
        found.counts[f"not written down: {end.get('code')}"] += 1
        if end["type"] not in {"error", "turn.failed"}:
            found.note("answers shown that are not the stored ones", one.turn)
        return
    pieces_count = one.written_by_a_model and not one.told_from_the_row
    if pieces_count and "".join(one.pieces).strip() != end["text"].strip():
        found.counts["answers whose pieces did not make the whole (events lost, or Valkey away)"] += 1
        found.examples.setdefault("pieces", one.turn)
    kept = stored.final(row)
    if any(kept.get(key) != end.get(key) for key in ("type", "text", "html", "code")):
        found.note("answers shown that are not the stored ones", one.turn)
