"""Breaks a running installation on purpose while several people ask, and counts what became of every question.

    python -m tests.stack.faults --kills 200            # as `make soak` does: SQLite, the embedded Valkey
    python -m tests.stack.faults --kills 20 --postgres  # PostgreSQL, as in a facility
    python -m tests.stack.faults --kills 20 --only inference,frozen
    python -m tests.stack.faults --kills 40 --only inference --workers 2   # one killed, now and then all at once

Every process is real: `manage.py serve` with the tiny gpt-oss, people on websockets. Prints a table; exits 1 when
something is counted that must not be.
"""

import argparse
import asyncio
import os
import random
import re
import signal
import socket
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from contextlib import ExitStack
from pathlib import Path
from statistics import quantiles

from tests.installation import ROOT, Browser, Installation
from tests.services import postgres
from tests.stack import injections
from tests.stack.crew import Worker, beside
from tests.stack.people import QUESTIONS, Asked, Person
from tests.stack.reckoning import WRONG, Reckoning, Streams, reckon
from tests.stack.watching import Watch

SLOTS = 2
_STEADY = "from portal import supervisor; supervisor._STEADY_SECONDS = 0.0; import manage; manage.main()"
_BACK_SECONDS = 180.0  # how long a part may take to come back on a machine that does other things
_WRITES_SECONDS = 20.0
_AWAY_SECONDS = 30.0
_ONE_ALONE = 0.75  # of several workers: how often one is ended and the others go on


class Faults:
    """The installation, its people, and what is done to them."""

    def __init__(
        self, installation: Installation, people: list[Person], dice: random.Random, others: Sequence[Worker] = ()
    ) -> None:
        self.installation = installation
        self.people = people
        self.dice = dice
        self.others = others  # inference workers beside that of `serve`
        self.ends = float("inf")  # when no more is to be broken
        self.streams = Streams()
        self.done: Counter[str] = Counter()
        self.ended: list[float] = []  # when the inference worker was ended
        self.ready_after: list[float] = []
        self.writing: Counter[int] = Counter()  # how many answers were being written when the worker was ended
        self.gone: set[int] = set()  # processes that were ended: what they said still stands for a while
        self.missing: list[str] = []
        self.watch = Watch(self)

    def pids(self, part: str) -> list[int]:
        """The processes that play a part; of inference those of all workers."""
        others = [pid for worker in self.others for pid in worker.pids()] if part == "inference" else []
        return self.installation.pids(part) + others

    async def end_inference(self, name: str, strike: Callable[[int], None], times: int) -> None:
        """End an inference worker at random moments: a fifth of them while it writes, a fifth when it has just become
        ready, the others whatever it does (on a slow machine it loads). Of several, one of them, and every fourth time
        all at once. Stops when the time is over."""
        for _ in range(times):
            moment = self.dice.choice(("writing", "ready", "any", "any", "any"))
            if moment != "any":
                await self.wait_until_ready("inference")
            if moment == "writing":
                await self._wait_until_it_writes()
            await asyncio.sleep(self.dice.uniform(0, {"writing": 1, "ready": 3, "any": 8}[moment]))
            if time.monotonic() > self.ends:
                return
            self.writing[sum(one.is_being_written for one in self._running())] += 1
            living = sorted(set(self.pids("inference")) - self.gone)
            if len(living) > 1 and self.dice.random() < _ONE_ALONE:
                self._strike("inference", strike, name, [self.dice.choice(living)])
            else:
                self._strike("inference", strike, f"{name}, all at once" if self.others else name)

    async def end(self, part: str, times: int) -> None:
        """kill -9 another part at random moments."""
        for _ in range(times):
            if part == "knowledge":
                await self.wait_until_ready(part)
            while not set(self.pids(part)) - self.gone:
                await asyncio.sleep(0.2)
            await asyncio.sleep(self.dice.uniform(1, 6))
            if part == "valkey":
                await asyncio.to_thread(self.streams.look)
            self._strike(part, injections.kill, f"{part} killed")

    async def freeze(self, times: int) -> None:
        """The inference worker stands still until its leases are over, and then goes on as if nothing had been."""
        for _ in range(times):
            await self.wait_until_ready("inference")
            await asyncio.sleep(self.dice.uniform(0, 2))
            self.installation.pause("inference")
            await asyncio.sleep(self.dice.uniform(5, 20))
            self.installation.go_on("inference")
            self.done["inference worker frozen for 5 to 20 s"] += 1
            await asyncio.sleep(3)

    async def take_memory(self, times: int) -> None:
        """The inference worker gets no more memory for a while, then gets it again; it may die of it, or not."""
        for _ in range(times):
            await self.wait_until_ready("inference")
            await asyncio.sleep(self.dice.uniform(0, 1))
            for pid in self.pids("inference"):
                injections.no_more_memory(pid)
            await asyncio.sleep(8)
            for pid in self.pids("inference"):
                injections.memory_again(pid)
            self.done["inference worker without memory for 8 s"] += 1
            await asyncio.sleep(2)

    async def spoil_model(self) -> None:
        """The model file changes while the worker is dead: no worker may load it. When it is itself again, one does."""
        file = next((self.installation.folder / "data" / "models").rglob("*.gguf"))
        await self.wait_until_ready("inference")
        with injections.spoilt(file):
            self._strike("inference", injections.kill, "model file spoilt")
            await self.wait_until_ready("inference", state="failed")
            await asyncio.sleep(3)
        await self.wait_until_ready("inference")

    async def take_database(self, times: int) -> None:
        """Nobody can write (SQLite), or the server hangs, or is stopped and started again (PostgreSQL)."""
        for number in range(times):
            url = self.installation.environment.get("HAVRE_DATABASE_URL", "")
            if not url:
                file = self.installation.folder / "data" / "havre.sqlite3"
                await asyncio.to_thread(injections.hold_sqlite, file, _AWAY_SECONDS)
                self.done["database locked for 30 s"] += 1
            elif number % 2:
                await asyncio.to_thread(injections.restart_postgres, url, _AWAY_SECONDS)
                self.done["database stopped for 30 s"] += 1
            else:
                await asyncio.to_thread(injections.freeze_postgres, url, _AWAY_SECONDS)
                self.done["database hanging for 30 s"] += 1
            await asyncio.sleep(5)

    async def wait_until_ready(self, part: str, state: str = "ready") -> None:
        """Until the processes that play this part now say so themselves; what a dead one said does not count."""
        began = time.monotonic()
        wanted = 1 + (len(self.others) if part == "inference" else 0)
        while time.monotonic() - began < _BACK_SECONDS:
            living = [pid for pid in self.pids(part) if pid not in self.gone]
            said = await asyncio.to_thread(said_by, part, living)
            if said.count(state) >= wanted:
                # measured where somebody waited from the moment of the end on
                if part == "inference" and state == "ready" and self.ended and began - self.ended[-1] < 1:
                    self.ready_after.append(time.monotonic() - self.ended[-1])
                return
            await asyncio.sleep(0.1)
        self.missing.append(f"{part} ({state})")

    async def _wait_until_it_writes(self) -> None:
        ends = time.monotonic() + _WRITES_SECONDS
        while time.monotonic() < ends and not any(one.is_being_written for one in self._running()):
            await asyncio.sleep(0.01)

    def _running(self) -> list[Asked]:
        return [person.asked[-1] for person in self.people if person.asked]

    def _strike(self, part: str, strike: Callable[[int], None], name: str, chosen: Sequence[int] | None = None) -> None:
        for pid in set(self.pids(part)) - self.gone if chosen is None else chosen:
            strike(pid)
            self.gone.add(pid)
            self.done[name] += 1
            if part == "inference":
                self.ended.append(time.monotonic())

    def seconds_to_the_next_answer(self) -> list[float]:
        """For every end of the inference worker that an answer by a model followed before the next: how long after."""
        answers = sorted(one.ended for person in self.people for one in person.asked if one.written_by_a_model)
        found = []
        for at, following in zip(self.ended, [*self.ended[1:], float("inf")], strict=True):
            # what comes within the supervisor's pause of a second was finished by the worker that is gone
            if first := next((one for one in answers if at + 0.9 < one < following), None):
                found.append(first - at)
        return found


def said_by(part: str, pids: list[int]) -> list[str]:
    """What these processes say of themselves: "ready", "loading", "failed", nothing."""
    import json

    from portal import valkey

    keys = [f"havre:part:{part}:{socket.gethostname()}:{pid}" for pid in pids]
    try:
        return [str(json.loads(said).get("state")) for said in valkey.client().mget(keys) if said] if keys else []
    except valkey.Unreachable:
        return []


def plan(faults: Faults, kills: int) -> dict[str, Callable[[], Awaitable[None]]]:
    """What is done, in this order, by name."""
    few = max(2, kills // 20)
    return {
        "inference": lambda: faults.end_inference("inference worker killed", injections.kill, kills),
        "crash": lambda: _crash(faults, few),
        "memory": lambda: faults.take_memory(few),
        "frozen": lambda: faults.freeze(few),
        "knowledge": lambda: faults.end("knowledge", few),
        "valkey": lambda: faults.end("valkey", few),
        "web": lambda: faults.end("web", max(1, few // 2)),
        "beat": lambda: faults.end("beat", 1),
        "database": lambda: faults.take_database(2 if faults.installation.environment.get("HAVRE_DATABASE_URL") else 1),
        "model": faults.spoil_model,
    }


async def _crash(faults: Faults, times: int) -> None:
    for signal_name, strike in injections.CRASHES.items():
        await faults.end_inference(f"inference worker crashed ({signal_name})", strike, times)


async def run(faults: Faults, kills: int, only: set[str]) -> Reckoning:
    """Let people ask, break everything in turn, let them finish, and count."""
    over = asyncio.Event()
    asking = [asyncio.create_task(person.ask_until(over)) for person in faults.people]
    asking.append(asyncio.create_task(faults.watch.until(over)))
    try:
        for name, do in plan(faults, kills).items():
            if not only or name in only:
                began = time.monotonic()
                await do()
                print(f"{name}: {time.monotonic() - began:.0f} s", flush=True)
        for part in ("inference", "knowledge"):
            await faults.wait_until_ready(part)
    finally:
        over.set()
        await asyncio.gather(*asking)
    asked = [one for person in faults.people for one in person.asked]
    await asyncio.to_thread(_wait_for_the_last_turn)
    silent = await _try_slots(faults)
    await asyncio.to_thread(faults.streams.look)
    found = await asyncio.to_thread(reckon, asked, faults.streams)
    found.wrong["slots that answer nobody"] += silent
    await asyncio.to_thread(faults.watch.reckon, asked, found)
    for part in faults.missing:
        found.note("parts that did not come back", part)
    for part in re.findall(r"(\w+) ended \(exit [1-9]", faults.installation.said().decode()):
        found.note("parts that ended with an error of their own", part)
    return found


def _wait_for_the_last_turn() -> None:
    from portal.chat.models import ACTIVE, Turn

    ends = time.monotonic() + 120
    while Turn.objects.filter(state__in=ACTIVE).exists() and time.monotonic() < ends:
        time.sleep(0.5)


async def _try_slots(faults: Faults) -> int:
    """As many people as there are slots stream at the same time; returns how many slots did not."""
    slots = SLOTS * (1 + len(faults.others))
    chosen = faults.people[:slots]
    ended = await asyncio.gather(*(person.ask(QUESTIONS[0]) for person in chosen))
    overlap = max(one.began for one in ended) < min(one.ended for one in ended)
    return 0 if overlap and all(one.written_by_a_model for one in ended) else slots


def show(faults: Faults, found: Reckoning, seconds: float) -> None:
    """The table."""
    print(f"\nWhat was done, in {seconds / 60:.0f} minutes, while {len(faults.people)} people asked")
    for what, count in faults.done.items():
        print(f"  {count:6}  {what}")
    for number, count in sorted(faults.writing.items()):
        print(f"  {count:6}  times the inference worker was ended while it wrote {number} answers")
    print("\nWhat became of it")
    for what, count in sorted(found.counts.items()):
        print(f"  {count:6}  {what}")
    for title, values in (
        ("until the worker that took its place said that it is ready", faults.ready_after),
        ("until the next answer of a model was complete", faults.seconds_to_the_next_answer()),
    ):
        if len(values) > 1:
            parts = quantiles(values, n=20, method="inclusive")
            print(f"  p50 {parts[9]:.1f} s, p95 {parts[18]:.1f} s ({len(values)} times)  {title}")
    print("\nWhat must not be")
    for what in WRONG:
        example = f"   for example {found.examples[what]}" if what in found.examples else ""
        print(f"  {found.wrong[what]:6}  {what}{example}")


def main() -> int:
    """Returns the exit status."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=200, help="how often the inference worker is killed")
    parser.add_argument("--minutes", type=float, default=float("inf"), help="kill no more after so long")
    parser.add_argument("--people", type=int, default=5)
    parser.add_argument("--workers", type=int, default=1, help="inference workers on one line, each with its slots")
    parser.add_argument("--seed", type=int, default=random.SystemRandom().randrange(10**6))
    parser.add_argument("--postgres", action="store_true", help="PostgreSQL instead of SQLite")
    parser.add_argument("--only", default="", help="kinds of faults, with commas between them")
    parser.add_argument("--folder", type=Path, help="where the installation and its logs are left (default: nowhere)")
    options = parser.parse_args()
    only = set(filter(None, options.only.split(",")))
    if options.people < options.workers * SLOTS:
        parser.error(f"{options.workers} workers have {options.workers * SLOTS} slots: at least as many --people.")
    print(f"seed {options.seed}", flush=True)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))  # what was started is stopped then too
    with ExitStack() as stack:
        folder = options.folder or Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="havre-faults-")))
        installation = Installation(folder)
        installation.environment |= {
            "HAVRE_SLOTS": str(SLOTS),
            "HAVRE_CONTEXT": "8192",
            "HAVRE_MAX_TOKENS": "1000",
            "HAVRE_TURN_DEADLINE_SECONDS": "60",
        }
        installation.program = (sys.executable, "-c", _STEADY)
        if options.postgres:
            installation.environment["HAVRE_DATABASE_URL"] = stack.enter_context(postgres())
        os.environ |= installation.environment
        import django

        django.setup()
        if unknown := only - set(plan(Faults(installation, [], random.Random()), 1)):
            parser.error(f"unknown: {', '.join(sorted(unknown))}")
        names = [f"person{number}" for number in range(options.people)]
        sample = ROOT / "knowledge" / "samples" / "safety-plan-en-sample-protocol.pdf"
        installation.prepare({"Safety plan": sample}, dict.fromkeys(names, "clinician"))
        stack.callback(installation.stop)
        installation.start()
        dice = random.Random(options.seed)
        people = [Person(installation, name, random.Random(dice.random())) for name in names]
        installation.wait_for_parts(Browser(installation, names[0]))
        others = stack.enter_context(
            beside(installation, [f"inference{number}" for number in range(2, options.workers + 1)])
        )
        faults = Faults(installation, people, dice, others)
        if others:
            asyncio.run(faults.wait_until_ready("inference"))
        began = time.monotonic()
        faults.ends = began + 60 * options.minutes
        found = asyncio.run(run(faults, options.kills, only))
        show(faults, found, time.monotonic() - began)
        return 1 if found.wrong.total() else 0


if __name__ == "__main__":
    sys.exit(main())
