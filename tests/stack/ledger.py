"""The audit trail under many writers, and how fast it is.

    python -m tests.stack.ledger [--postgres] [--writers 16] [--appends 1000]    no gaps, no twins, no deadlocks
    python -m tests.stack.ledger --bench [--postgres] [--events 10000]           appends, turns, verification

In a data folder of its own that goes away. Ends with 1 when something is wrong.
"""

import argparse
import json
import multiprocessing
import os
import resource
import sys
import tempfile
import threading
import time
import uuid
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, nullcontext
from pathlib import Path
from typing import Any

_FORK = multiprocessing.get_context("fork")
_TURN = ("turn.started", "turn.retrieving", "turn.passages", "turn.generating", "turn.completed")
_PAYLOAD = {
    "conversation": "6f0c3a52-8d0e-4b1c-9c51-3f6f4f0b6f11",
    "question_sha256": "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08",
    "verdict": {"category": "none", "action": "allow", "rules": [], "score": 0.0132},
    "passages": [{"marker": number, "chunk_id": 17 * number, "page": 3, "score": 0.81} for number in range(4)],
}


def in_processes(count: int, work: Callable[[int], Any]) -> list[Any]:
    """What the work returned in each of several processes that begin at the same moment."""
    from django.db import connections

    connections.close_all()
    results, start = _FORK.SimpleQueue(), _FORK.Barrier(count)

    def run(number: int) -> None:
        start.wait()
        results.put((number, work(number)))
        connections.close_all()
        os._exit(0)  # nothing of whoever forked runs here: no handlers, no temporary folders

    processes = [_FORK.Process(target=run, args=(number,)) for number in range(count)]
    for one in processes:
        one.start()
    found = dict(results.get() for _ in processes)
    for one in processes:
        one.join()
    return [found[number] for number in range(count)]


def append_at_once(writers: int, appends: int) -> dict[str, Any]:
    """So many processes that append so many events each, while another one seals. Returns what was counted."""
    from django.db import DatabaseError, transaction

    from portal.audit import sealing, verifying
    from portal.audit.models import Event, Head
    from portal.audit.services import record

    before = Head.objects.filter(pk=1).values_list("last_seq", flat=True).first() or 0

    def write(number: int) -> dict[str, Any]:
        errors: Counter[str] = Counter()
        times = []
        for turn in range(appends if number else appends // 20 + 1):
            began = time.perf_counter()
            try:
                if number == 0:
                    sealing.seal("minute")
                    time.sleep(0.02)
                    continue
                with transaction.atomic():
                    record(_TURN[turn % 5], actor=f"person {number}", subject=f"{number}-{turn}", payload=_PAYLOAD)
            except DatabaseError as error:
                errors[f"{type(error).__name__}: {str(error).splitlines()[0]}"] += 1
            times.append(time.perf_counter() - began)
        return {"errors": errors, "times": times}

    began = time.perf_counter()
    found = in_processes(writers + 1, write)
    wall = time.perf_counter() - began
    errors = sum((one["errors"] for one in found), Counter())
    sealing.seal("minute")
    outcome = verifying.verify()
    seqs = Event.objects.filter(seq__gt=before)
    written = seqs.count()
    return {
        "events": written,
        "of them names": seqs.filter(kind="person.named").count(),
        "gaps": Head.objects.get().last_seq - before - written,
        "errors": dict(errors),
        "findings": [str(one) for one in outcome.findings],
        "checkpoints": outcome.checkpoints,
        "wall_s": round(wall, 1),
        "appends_per_s": round(written / wall),
        "append_ms": _spread([ms for one in found[1:] for ms in one["times"]]),
    }


def is_right(counted: dict[str, Any]) -> bool:
    """Whether no append got lost, doubled, or in another's way."""
    expected = counted["events"] - counted["of them names"] == counted["appends"]
    return expected and not counted["gaps"] and not counted["errors"] and not counted["findings"]


def added_to_a_turn(users: int, seconds: float) -> dict[str, Any]:
    """The five transactions of a turn with their records, and without, by people who ask every five seconds (one alone:
    four times a second)."""
    from django.db import connection, transaction
    from django.db.models import F

    from portal.audit.models import Delivery
    from portal.audit.services import record

    processes = min(4, users)
    pause = 0.25 if users == 1 else 5.0

    def turn(who: str, *, recorded: bool) -> tuple[float, float]:
        began, worked = time.perf_counter(), time.thread_time()
        for kind in _TURN:
            with transaction.atomic():
                Delivery.objects.filter(pk=who).update(last=F("last") + 1)
                if recorded:
                    record(kind, actor="system", subject=who, payload=_PAYLOAD)
        return time.perf_counter() - began, time.thread_time() - worked

    def ask(who: str, offset: float, times: dict[bool, list[tuple[float, float]]]) -> None:
        Delivery.objects.get_or_create(pk=who)
        next_at, number, ends = time.monotonic() + offset, 0, time.monotonic() + seconds
        while time.monotonic() < ends:
            time.sleep(max(0.0, next_at - time.monotonic()))
            recorded = bool(number % 2)
            times[recorded].append(turn(who, recorded=recorded))
            number, next_at = number + 1, next_at + pause
        connection.close()

    def people(number: int) -> dict[bool, list[tuple[float, float]]]:
        times: dict[bool, list[tuple[float, float]]] = {True: [], False: []}
        mine = range(number, users, processes)
        threads = [
            threading.Thread(target=ask, args=(f"bench {one}", pause * one / users, times), name=str(one))
            for one in mine
        ]
        for one in threads:
            one.start()
        for one in threads:
            one.join()
        return times

    found = in_processes(processes, people)
    said: dict[str, Any] = {"users": users}
    for place, name in enumerate(("wall_ms", "processor_ms")):
        with_records, without = (
            _spread([one[place] for those in found for one in those[kind]]) for kind in (True, False)
        )
        added = {name: round(with_records[name] - without[name], 1) for name in ("p50", "p95")}
        said[name] = {"with records": with_records, "without": without, "added": added}
    return said


def whole_turns(turns: int) -> dict[str, Any]:
    """So many turns as workers write them, from the question to the answer in three pieces; each second one without
    its nine records. Valkey, screen and model are left out."""
    from unittest import mock

    from portal import parts
    from portal.accounts.models import User
    from portal.chat import dispatch, events, services, showing
    from portal.chat import turn as life

    anna = User.objects.create_user("anna", role="clinician")
    times: dict[bool, list[tuple[float, float]]] = {True: [], False: []}
    with (
        mock.patch.object(events, "publish"),
        mock.patch.object(dispatch, "_send"),
        mock.patch.object(services.selectors, "recent_starts", lambda _: 0),
        mock.patch.object(parts, "look", lambda: parts.Parts(valkey=True, inference=True, knowledge=True, slots=1)),
    ):
        for number in range(turns + 10):
            recorded = bool(number % 2)
            with nullcontext() if recorded else _unrecorded(services, showing, life):
                found = _whole_turn(anna)
            if number >= 10:
                times[recorded].append(found)
    said: dict[str, Any] = {"whole turns": turns}
    for place, name in enumerate(("wall_ms", "processor_ms")):
        with_records, without = (_spread([one[place] for one in times[kind]]) for kind in (True, False))
        added = {one: round(with_records[one] - without[one], 1) for one in ("p50", "p95")}
        said[name] = {"with records": with_records, "without": without, "added": added}
    return said


@contextmanager
def _unrecorded(*modules: Any) -> Iterator[None]:
    from unittest import mock

    with ExitStack() as stack:
        for one in modules:
            stack.enter_context(mock.patch.object(one, "record"))
        yield


def _whole_turn(person: Any) -> tuple[float, float]:
    """Seconds by the clock and of the processor, behind the screen."""
    from unittest import mock

    import guardrails
    from inference import Effort
    from portal.chat import services
    from portal.chat import turn as life
    from portal.chat.models import State
    from portal.chat.protocol import TurnStart

    version = {"version_id": str(uuid.uuid4()), "guideline_id": str(uuid.uuid4()), "version": "2", "url": ""}
    passages = [{"marker": one, "chunk_id": one, "page": 3, "score": 0.8, "quote": "words " * 80} for one in range(4)]
    start = TurnStart(uuid.uuid4(), "What are the steps of a safety plan?", Effort.LOW)
    verdict = guardrails.screen_input(start.text)
    with mock.patch.object(guardrails, "screen_input", lambda *_, **__: verdict):
        began, worked = time.perf_counter(), time.thread_time()
        turn = services.start_turn(person, uuid.uuid4(), start)
        held = life.claim(turn.pk, State.RETRIEVING)
        assert held
        life.store_passages(held, [version | one for one in passages], True)
        held = life.claim(turn.pk, State.GENERATING, {"name": "model", "sha256": "0" * 64})
        assert held
        life.prompt(held, {"temperature": 0.6, "max_tokens": 1024, "context": 8192, "instructions_sha256": "0" * 64})
        last = None
        for _ in range(3):
            last = life.show(held, "A plan has six steps, and each of them is written down [1]. ", last)
        life.finish(held, State.COMPLETED, answer="A plan has six steps. " * 9, groundedness=0.9, usage={"tries": 1})
        return time.perf_counter() - began, time.thread_time() - worked


def fill(events: int) -> None:
    """So many honest events with a checkpoint each ten thousand, written past the triggers, which would take longer."""
    from datetime import timedelta

    from django.db import connection, transaction
    from django.utils import timezone

    from portal.audit import _triggers, keys, sealing
    from portal.audit.models import Event, Head
    from portal.audit.services import leaf_of, record

    with transaction.atomic():
        record("x.happened", actor="system")
    key, last = keys.current(), Head.objects.get()
    while last.last_seq < events:
        some = range(last.last_seq + 1, min(last.last_seq + 10_000, events) + 1)
        rows = []
        for seq in some:
            at = timezone.now() + timedelta(microseconds=seq)
            event = Event(seq=seq, at=at, kind=_TURN[seq % 5], actor_id="system", subject=str(seq), payload=_PAYLOAD)
            event.leaf = leaf_of(event)
            event.mac = key.mark(event.leaf)
            rows.append(event)
        _triggers.remove(connection)
        with transaction.atomic():
            Event.objects.bulk_create(rows, batch_size=500)
            Head.objects.update(last_seq=some[-1], last_at=rows[-1].at, mark=key.mark_last(rows[-1].leaf))
        _triggers.install(connection)
        sealing.seal("minute")
        last = Head.objects.get()


def verification(events: int) -> dict[str, Any]:
    """How long a verification of so many events takes."""
    from portal.audit import verifying

    fill(events)
    before = resource.getrusage(resource.RUSAGE_SELF)
    outcome = verifying.verify()
    after = resource.getrusage(resource.RUSAGE_SELF)
    cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return {
        "events": outcome.events,
        "findings": len(outcome.findings),
        "seconds": round(outcome.seconds, 1),
        "events_per_s": round(outcome.events / outcome.seconds),
        "events_per_processor_s": round(outcome.events / cpu),
        "memory_grew_mb": round((after.ru_maxrss - before.ru_maxrss) / 1024),
    }


def _spread(seconds: Sequence[float]) -> dict[str, float]:
    """Percentiles in milliseconds."""
    ordered = sorted(seconds) or [0.0]
    places = {"p50": 0.5, "p95": 0.95, "p99": 0.99, "max": 1.0}
    return {name: round(ordered[int(place * (len(ordered) - 1))] * 1000, 1) for name, place in places.items()}


def _prepare(folder: Path, database_url: str | None) -> None:
    os.environ.update({"HAVRE_DATA_DIR": str(folder), "DJANGO_SETTINGS_MODULE": "portal.settings"})
    os.environ.pop("HAVRE_AUDIT_KEY_FILE", None)
    os.environ["HAVRE_DATABASE_URL"] = database_url or f"sqlite:///{folder / 'havre.sqlite3'}"
    import django
    from django.core.management import call_command

    django.setup()
    call_command("migrate", verbosity=0, interactive=False)


def _run(chosen: argparse.Namespace) -> bool:
    if not chosen.bench and not chosen.verify_only:
        counted = append_at_once(chosen.writers, chosen.appends) | {"appends": chosen.writers * chosen.appends}
        print(json.dumps(counted, indent=2))
        return is_right(counted)
    if chosen.verify_only:
        print(json.dumps({"verification": verification(chosen.events)}))
        return True
    alone = append_at_once(1, 500) | {"appends": 500}
    print(json.dumps({"one writer": alone}), flush=True)
    print(json.dumps(whole_turns(200)), flush=True)
    for users in (1, 16, 64):
        print(json.dumps(added_to_a_turn(users, chosen.seconds)), flush=True)
    print(json.dumps({"verification": verification(chosen.events)}), flush=True)
    return is_right(alone)


def main(arguments: list[str]) -> int:
    """Run what was asked for; returns the exit status."""
    parser = argparse.ArgumentParser(prog="python -m tests.stack.ledger", description=__doc__)
    parser.add_argument("--postgres", action="store_true", help="on a PostgreSQL that is started for this")
    parser.add_argument("--writers", type=int, default=16)
    parser.add_argument("--appends", type=int, default=1000, help="of each writer")
    parser.add_argument("--bench", action="store_true", help="measure instead")
    parser.add_argument("--verify-only", action="store_true", help="measure verification alone")
    parser.add_argument("--events", type=int, default=10_000, help="of the ledger that is verified")
    parser.add_argument("--seconds", type=float, default=40.0, help="of turns for each number of people")
    chosen = parser.parse_args(arguments)
    from tests.services import postgres

    database = postgres() if chosen.postgres else nullcontext()
    with tempfile.TemporaryDirectory(prefix="havre-ledger-") as name, database as url:
        _prepare(Path(name), url)
        try:
            return 0 if _run(chosen) else 1
        finally:
            from django.db import connections

            connections.close_all()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
