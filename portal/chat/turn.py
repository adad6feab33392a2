"""The life of a turn's row: claimed by a worker, renewed, ended once.

Every write is one conditional UPDATE inside a transaction with its audit record. A worker's writes name the attempt
that it claimed (the fencing token), so that whoever lost the turn changes nothing any more.
"""

import threading
import time
import uuid
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from datetime import timedelta
from typing import Any

from django.conf import settings
from django.db import DatabaseError, connections, transaction
from django.db.models import F, Q, QuerySet
from django.utils import timezone

from portal import vault
from portal.audit.services import record
from portal.chat import events, sealed, showing, stored
from portal.chat.failures import message
from portal.chat.models import ACTIVE, Quotation, State, Turn
from portal.chat.reading import stands_on
from portal.chat.writing import UNWRITABLE, fresh_connection_next_time, one_try, say_not_written, write_patiently

_ALSO_KEPT = {"reasoning": "thoughts", "notices_proof": "notices"}
"""What is kept of a turn beside its answer, by the name under which its record commits to it."""


class LeaseLost(Exception):
    """Another worker has this turn, or it has ended: stop quietly."""


def claim(turn_id: uuid.UUID, state: State, by: Mapping[str, Any] | None = None) -> Turn | None:
    """Take a turn for work in `state`, or None: somebody else has it, or it has ended. `by` is the model that is to
    answer, for the record. Waits as `finish` does, and the person is told; raises what is in `UNWRITABLE` when it stays
    so, and the turn is offered again later.

    Retrieval and generation each claim, and each claim raises the token. A turn whose worker is lost is not taken here,
    even by a second message for it: `rescue_turn` gives it back first, which counts how often, and tells the browser
    that the answer begins anew.
    """
    try:
        with one_try():
            return _claim(turn_id, state, by)
    except UNWRITABLE:
        waiting = Turn.objects.get(pk=turn_id)
    say_not_written(waiting)
    taken: list[Turn | None] = []
    write_patiently(waiting, lambda: taken.append(_claim(turn_id, state, by)))
    return taken[-1]


def _claim(turn_id: uuid.UUID, state: State, by: Mapping[str, Any] | None) -> Turn | None:
    before = [State.QUEUED, State.RETRIEVING] if state == State.RETRIEVING else list(ACTIVE)
    waiting = Turn.objects.filter(pk=turn_id, state__in=before, cancel_requested=False, lease_until=None)
    if state == State.GENERATING:  # a late message: what is to be quoted by now is no longer for a model
        waiting = waiting.filter(quotation="")
    taken = waiting.update(state=state, attempt=F("attempt") + 1, lease_until=_lease_end())
    if not taken:
        return None
    turn = Turn.objects.select_related(*sealed.WITH_KEY).get(pk=turn_id)
    record(
        f"turn.{state.value}",
        actor="system",
        subject=str(turn.id),
        payload=_payload(turn, **({"model": by} if by else {})),
    )
    return turn


def renew(turn: Turn) -> None:
    """Keep the claim for another lease. Raises LeaseLost when it is gone, DatabaseError when nobody can be asked: then
    Valkey is told instead, so that nobody takes the turn for lost."""
    try:
        with one_try():
            if not held(turn).update(lease_until=_lease_end()):
                raise LeaseLost
    except DatabaseError:
        events.say_at_work(turn.id, turn.attempt)
        raise


@contextmanager
def kept(turn: Turn) -> Iterator[None]:
    """Keep the claim while something runs that cannot renew it on its way: a slow worker is not a lost one. Ends with
    the turn's deadline, so that one that hangs is. Do not give the claim back within."""
    over = threading.Event()
    ends = time.monotonic() + settings.HAVRE_TURN_DEADLINE_SECONDS

    def keep() -> None:
        try:
            while not over.wait(settings.HAVRE_LEASE_SECONDS / 3) and time.monotonic() < ends:
                with suppress(DatabaseError):  # away for a moment
                    renew(turn)
        except LeaseLost:
            pass  # whoever asked for it finds out with his next write
        finally:
            connections.close_all()

    keeper = threading.Thread(target=keep, name="keep-claim", daemon=True)
    with suppress(RuntimeError):  # no memory for a thread: the lease has to do
        keeper.start()
    try:
        yield
    finally:
        over.set()
        if keeper.ident is not None:
            keeper.join()  # a late renewal would take the turn from whoever is to have it next


def wants_to_stop(turn: Turn) -> bool:
    """Whether the person asked to stop, according to the row. Raises DatabaseError when nobody can be asked."""
    with fresh_connection_next_time():
        return Turn.objects.filter(pk=turn.pk, cancel_requested=True).exists()


def store_passages(turn: Turn, passages: list[dict[str, Any]], covered: bool, *, keep: bool = False) -> None:
    """Keep what was retrieved, and give the claim back for the inference worker, or `keep` it. Waits for the record as
    `finish` does. Raises LeaseLost, and what is in `UNWRITABLE`."""
    released: dict[str, Any] = {"lease_until": _lease_end() if keep else None, "enqueued_at": timezone.now()}
    row, proofs = sealed.columns(turn, {"passages": passages, "covered": covered})
    keys = ("marker", "version_id", "guideline_id", "version", "chunk_id", "page", "score")
    found = [{key: one[key] for key in keys if key in one} for one in passages]
    payload = _payload(turn, covered=covered, passages=found, proof=proofs["passages"])

    def write() -> None:
        if not held(turn).update(**row, **released):
            raise LeaseLost
        record("turn.passages", actor="system", subject=str(turn.id), payload=payload)

    write_patiently(turn, write)
    turn.covered, turn.passage_versions = covered, row["passage_versions"]


def prompt(turn: Turn, how: Mapping[str, Any]) -> None:
    """Record with which settings the model is about to be asked; waits as `finish` does. Raises LeaseLost, and what is
    in `UNWRITABLE`."""
    payload = _payload(turn, **how)

    def write() -> None:
        if not held(turn).update(lease_until=_lease_end()):
            raise LeaseLost
        record("turn.prompted", actor="system", subject=str(turn.id), payload=payload)

    write_patiently(turn, write)


def show(turn: Turn, text: str, last: showing.Link | None = None) -> showing.Link:
    """Record a piece of the answer, and then publish it; the claim is renewed on the way. Nobody sees a word that is
    not recorded. `last` is what this returned for the piece before. Raises LeaseLost, and what is in `UNWRITABLE`: then
    nothing was shown."""
    with one_try():
        if not held(turn).update(lease_until=_lease_end()):
            raise LeaseLost
        last = showing.append(turn, text, last)
    turn.__dict__.pop("_is_told", None)  # should it come to a halt again, it is said again
    events.publish(turn.id, {"type": "turn.delta", "turn": str(turn.id), "text": text})
    return last


def begin_anew(turn: Turn) -> None:
    """Take back what was shown of an answer, to write it once more under the same claim. Waits as `finish` does. Raises
    LeaseLost, and what is in `UNWRITABLE`."""

    def write() -> None:
        if not held(turn).update(attempt=F("attempt") + 1, lease_until=_lease_end()):
            raise LeaseLost
        record("turn.taken_back", actor="system", subject=str(turn.id), payload=_payload(turn))

    write_patiently(turn, write)
    turn.attempt += 1
    events.publish(turn.id, stored.queued(turn))


def draw_from(turn: Turn, history: Iterable[Turn]) -> None:
    """Keep what the answer of this turn may hold words of because the model reads these earlier ones with it, before it
    does. Waits as `finish` does. Raises LeaseLost, and what is in `UNWRITABLE`."""
    found = set().union(*map(stands_on, history)) - set(turn.passage_versions)
    if found != set(turn.drawn_from):
        turn.drawn_from = sorted(found)

        def write() -> None:
            if not held(turn).update(drawn_from=turn.drawn_from):
                raise LeaseLost

        write_patiently(turn, write)


def hand_over(turn: Turn, quotation: Quotation, kept: Mapping[str, Any], spent: Mapping[str, Any]) -> None:
    """Give a turn that this worker holds back, to be answered with quotations. `kept` is values of its row, `spent`
    what the record tells of the work on it so far. Waits as `finish` does. Raises LeaseLost, and what is in
    `UNWRITABLE`."""
    row, proofs = sealed.columns(turn, kept)
    payload = _payload(turn, quotation=quotation.value, **spent)
    payload |= {name: proofs[of] for name, of in _ALSO_KEPT.items() if of in proofs}

    def write() -> None:
        if not held(turn).update(**_for_quotation(quotation), **row):
            raise LeaseLost
        record("turn.handed_over", actor="system", subject=str(turn.id), payload=payload)

    write_patiently(turn, write)


@transaction.atomic
def hand_over_unheld(turn_id: uuid.UUID, quotation: Quotation) -> bool:
    """The same for a turn that no worker holds; False when one does, or it has ended or is to be quoted already."""
    turns = Turn.objects.filter(unheld(), pk=turn_id, state__in=ACTIVE, quotation="", cancel_requested=False)
    if not turns.update(**_for_quotation(quotation)):
        return False
    turn = Turn.objects.get(pk=turn_id)
    payload = _payload(turn, quotation=quotation.value)
    record("turn.handed_over", actor="system", subject=str(turn_id), payload=payload)
    return True


def _for_quotation(quotation: Quotation) -> dict[str, Any]:
    return requeued() | {"quotation": quotation, "drawn_from": []}  # what a model wrote is taken back


def requeued() -> dict[str, Any]:
    """The values of a turn that waits again. Whoever held it until now loses it."""
    return {
        "state": State.QUEUED,
        "attempt": F("attempt") + 1,
        "lease_until": None,
        "enqueued_at": timezone.now(),
    }


def unheld() -> Q:
    """Turns that no worker holds at this moment: none claimed them, or who did is lost."""
    lost = Q(lease_until__lt=timezone.now()) | Q(lease_until__gt=Turn.no_claim_ends_after())
    return Q(lease_until=None) | lost


def finish(turn: Turn, state: State, *, first: Sequence[Mapping[str, Any]] = (), **values: Any) -> None:
    """End a turn that this worker holds, with its record, then publish the events in `first` and the last one. A
    database that is away for half a minute does not cost a finished answer, nor does a disk that is full for so long;
    the person is told. Raises LeaseLost, and what is in `UNWRITABLE` when it stays so."""
    row, proofs = sealed.columns(turn, values)

    def write() -> None:
        if not held(turn).update(**_ended(state, row)):
            raise LeaseLost
        _record_end(turn, state, values, proofs)

    write_patiently(turn, write)
    for event in first:
        events.publish(turn.pk, event)
    _announce(turn.pk)


def fail(turn: Turn, code: str, **values: Any) -> None:
    """End a turn that this worker holds with a reason."""
    finish(turn, State.FAILED, failure_code=code, failure_message=message(code, turn.language), **values)


def fail_if_held(turn: Turn, code: str, **values: Any) -> None:
    """The same for a worker that may have lost the turn meanwhile: then whoever has it ends it."""
    with suppress(LeaseLost):
        fail(turn, code, **values)


def end(turn_id: uuid.UUID, state: State, *, among: Sequence[State], **values: Any) -> bool:
    """End a turn whoever holds it, if it is in one of the states `among`; a worker that holds it loses it. Returns
    False when it is in none of them (any more)."""
    return _end(Turn.objects.filter(pk=turn_id, state__in=among), turn_id, state, values)


def end_unheld(turn_id: uuid.UUID, state: State, **values: Any) -> bool:
    """End a turn that no worker holds at this moment (its worker lost, its message undeliverable). Returns False when a
    worker holds it or it has ended already."""
    return _end(Turn.objects.filter(unheld(), pk=turn_id, state__in=ACTIVE), turn_id, state, values)


def fail_unheld(turn: Turn, code: str, **values: Any) -> bool:
    """End a turn that no worker holds with a reason; False as in `end_unheld`."""
    return end_unheld(turn.pk, State.FAILED, failure_code=code, failure_message=message(code, turn.language), **values)


def _end(turns: QuerySet[Turn], turn_id: uuid.UUID, state: State, values: dict[str, Any]) -> bool:
    with transaction.atomic():
        turn = turns.select_related(*sealed.WITH_KEY).select_for_update(of=("self",)).first()
        if turn is None:
            return False
        row, proofs = sealed.columns(turn, values)
        if state == State.CANCELLED and (shown := showing.text_of(turn)):
            with suppress(vault.Unreadable, sealed.Erased):  # what was spoilt keeps no turn from ending
                values = {"answer": shown, **values}
                row, proofs = sealed.columns(turn, values)
        _record_end(turn, state, values, proofs)
        Turn.objects.filter(pk=turn_id).update(attempt=turn.attempt + 1, **_ended(state, row))
    _announce(turn_id)
    return True


def held(turn: Turn) -> QuerySet[Turn]:
    """The turn, while this worker holds it and it has not ended."""
    return Turn.objects.filter(pk=turn.pk, attempt=turn.attempt, state__in=ACTIVE)


def _lease_end() -> Any:
    return timezone.now() + timedelta(seconds=settings.HAVRE_LEASE_SECONDS)


def _ended(state: State, values: dict[str, Any]) -> dict[str, Any]:
    return {"state": state, "finished_at": timezone.now(), "lease_until": None, **values}


def _record_end(turn: Turn, state: State, values: Mapping[str, Any], proofs: Mapping[str, Any]) -> None:
    markers = [one["marker"] for one in values.get("citations", [])]
    payload = _payload(turn) | {
        "shown": showing.summary(turn),
        "answer": proofs.get("answer"),
        "citations": proofs["citations"] | {"markers": markers} if markers else None,
        "groundedness": values.get("groundedness"),
        "usage": values.get("usage", {}),
        "model": values.get("model", {}),
        "notices": [one["rule"] for one in values.get("notices", [])],
        "code": values.get("failure_code", ""),
        "quotation": turn.quotation,
        "reasoning": proofs.get("thoughts"),
        "notices_proof": proofs.get("notices") if values.get("notices") else None,
    }
    payload |= showing.beside(values.get("card"), values.get("failure_message", ""))
    record(
        f"turn.{state.value}",
        actor="system",
        subject=str(turn.id),
        payload={key: value for key, value in payload.items() if value not in (None, "", [], {})},
    )


def _payload(turn: Turn, **more: Any) -> dict[str, Any]:
    return {"conversation": str(turn.conversation_id), "attempt": turn.attempt, **more}


def _announce(turn_id: uuid.UUID) -> None:
    events.publish(turn_id, stored.final(Turn.objects.select_related(*sealed.WITH_KEY).get(pk=turn_id)))
