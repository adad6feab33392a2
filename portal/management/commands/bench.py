"""`manage.py bench`: the worker's whole path beside the bare engine, in one run, on the active model."""

import json
import os
import statistics
import subprocess
import sys
import tempfile
import threading
import time
import uuid
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from django.conf import settings
from django.core.management import call_command
from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.db import connection

import inference

_QUESTION = "What are the steps of a safety plan?"


@dataclass(slots=True)
class _Run:
    """One answer: tokens made, seconds to the first of them, seconds in all."""

    tokens: int
    first: float
    seconds: float


class Command(BaseCommand):
    help = (
        "Measure tokens a second and seconds to the first token at several users at once: the bare engine, then the "
        "worker's path around it (turn row, prompt, screens, stream, audit record), same model, same request, one run. "
        "Works in a throw-away data folder; nothing of this installation is touched but the model file, which is read."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--users", type=int, nargs="+", default=[1, 2, 4], help="how many ask at once")
        parser.add_argument("--rounds", type=int, default=3, help="answers a user (default %(default)s)")
        parser.add_argument("--json", action="store_true", help="print the result as JSON")
        parser.add_argument("--inside", action="store_true", help="internal: this is the throw-away installation")

    def handle(self, *args: Any, **options: Any) -> None:
        if inference.ModelStore(settings.HAVRE_MODELS_DIR).active() is None:
            raise CommandError("No model is active: `manage.py models activate NAME`.")
        if not options["inside"]:
            self._in_a_folder_of_its_own(options)
            return
        rows = _measure(options["users"], options["rounds"])
        if options["json"]:
            self.stdout.write(json.dumps({"model": _model(), "rows": rows}))
            return
        self.stdout.write(f"{_model()}, {settings.HAVRE_SLOTS} slots\n")
        self.stdout.write("users  bare tok/s  path tok/s  ratio  bare first  path first (median, ms)")
        for row in rows:
            self.stdout.write(
                f"{row['users']:>5}  {row['bare_tokens_s']:>10.1f}  {row['path_tokens_s']:>10.1f}  {row['ratio']:>5.2f}"
                f"  {row['bare_first_ms']:>10.1f}  {row['path_first_ms']:>10.1f}"
            )

    def _in_a_folder_of_its_own(self, options: dict[str, Any]) -> None:
        with tempfile.TemporaryDirectory(prefix="havre-bench-") as folder:
            environment = {
                **os.environ,
                "HAVRE_DATA_DIR": folder,
                "HAVRE_MODELS_DIR": str(settings.HAVRE_MODELS_DIR),
                "HAVRE_SLOTS": str(max(options["users"])),
                "HAVRE_LOG_LEVEL": "ERROR",
            }
            for name in ("HAVRE_DATABASE_URL", "HAVRE_REDIS_URL"):
                environment.pop(name, None)
            command = [sys.executable, str(settings.BASE_DIR / "manage.py"), "bench", "--inside"]
            command += ["--rounds", str(options["rounds"]), "--users", *map(str, options["users"])]
            command += ["--json"] if options["json"] else []
            if subprocess.run(command, env=environment, check=False).returncode:  # noqa: S603
                raise CommandError("The measurement broke off (see above).")


def _measure(users: list[int], rounds: int) -> list[dict[str, Any]]:
    from portal import processes, valkey, workers

    call_command("migrate", verbosity=0)
    server = subprocess.Popen(  # noqa: S603
        processes.valkey(settings.HAVRE_VALKEY_SOCKET).command, stdout=subprocess.DEVNULL
    )
    try:
        valkey.wait_until_up()
        workers.load_model()
        request, answer = _prepare(max(users))
        list(inference.generate(request))  # warm: the first answer pays for page faults
        rows = []
        for count in users:
            bare = _together(count, rounds, lambda _: _bare(request))
            path = _together(count, rounds, answer)
            rows.append(_row(count, bare, path))
        return rows
    finally:
        server.terminate()


def _prepare(users: int) -> tuple[inference.GenerationRequest, Callable[[int], _Run]]:
    """One guideline, as many people as ask at once, and the request that the path makes of their question."""
    import knowledge
    from portal.accounts.models import Role, User
    from portal.chat import selectors, services
    from portal.chat.answering import generate_answer
    from portal.chat.prompting import build_request
    from portal.chat.protocol import TurnStart
    from portal.chat.retrieving import retrieve_passages

    knowledge.ingest_samples()
    settings.HAVRE_TURNS_PER_MINUTE = 1_000_000
    settings.HAVRE_QUEUE_LIMIT = 1_000_000
    people = [User.objects.create(username=f"user{number}", role=Role.CLINICIAN) for number in range(users)]

    def begin(person: User) -> uuid.UUID:
        start = TurnStart(uuid.uuid4(), _QUESTION, inference.Effort.LOW)
        turn = services.start_turn(person, uuid.uuid4(), start, queue=False)
        retrieve_passages(turn.id)
        return turn.id

    def answer(number: int) -> _Run:
        turn_id = begin(people[number])
        begun = time.monotonic()
        generate_answer(turn_id)
        seconds = time.monotonic() - begun
        usage = selectors.get_turn(turn_id).usage
        connection.close()
        return _Run(usage["completion_tokens"], usage["first_token_seconds"] or seconds, seconds)

    turn = selectors.get_turn(begin(people[0]))
    model = inference.loaded()
    assert model is not None
    request = build_request(turn, [], context=model.context, count_tokens=inference.count_tokens)
    generate_answer(turn.id)
    return request, answer


def _bare(request: inference.GenerationRequest) -> _Run:
    begun = time.monotonic()
    first, tokens = 0.0, 0
    for delta in inference.generate(request):
        if delta.usage:
            tokens, first = delta.usage.completion_tokens, delta.usage.first_token_seconds or 0.0
    return _Run(tokens, first, time.monotonic() - begun)


def _together(users: int, rounds: int, one: Callable[[int], _Run]) -> list[_Run]:
    """`rounds` answers for each of `users`, all users at the same time."""
    runs: list[_Run] = []

    def work(number: int) -> None:
        runs.extend(one(number) for _ in range(rounds))

    threads = [threading.Thread(target=work, args=[number]) for number in range(users)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return runs


def _row(users: int, bare: list[_Run], path: list[_Run]) -> dict[str, Any]:
    def rate(runs: list[_Run]) -> float:
        return users * sum(run.tokens for run in runs) / sum(run.seconds for run in runs)

    def first(runs: list[_Run]) -> float:
        return 1000 * statistics.median(run.first for run in runs)

    return {
        "users": users,
        "bare_tokens_s": rate(bare),
        "path_tokens_s": rate(path),
        "ratio": rate(path) / rate(bare),
        "bare_first_ms": first(bare),
        "path_first_ms": first(path),
    }


def _model() -> str:
    active = inference.ModelStore(settings.HAVRE_MODELS_DIR).active()
    return active.name if active else ""
