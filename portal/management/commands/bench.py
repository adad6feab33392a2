"""`manage.py bench`: the whole path beside the bare engine and llama.cpp's own server, in one run."""

import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError, CommandParser

import inference
from portal import benchmark

_USERS = [1, 4, 16, 64]
_LEAST_TOKENS = 256


class Command(BaseCommand):
    help = (
        "Measure tokens a second, the time to the first token and between tokens, and processor time a token, with "
        "several users at once: the bare engine, the whole path around it (websocket, guardrails, queue, worker, "
        "stream), and llama.cpp's own server if --peer names its program. Same model, prompt and slots, round by round "
        "in one run. Works in a throw-away data folder; nothing of this installation is touched but the model file, "
        "which is read. Nothing of what keeps answers safe is switched off."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--users", type=int, nargs="+", default=_USERS, help="how many ask at once (1 4 16 64)")
        parser.add_argument("--rounds", type=int, default=3, help="rounds of each (default %(default)s)")
        parser.add_argument(
            "--answers", type=int, default=0, help="answers a user in a round (0: 8 in all, or one each)"
        )
        parser.add_argument("--tokens", type=int, default=256, help="tokens an answer at most (default %(default)s)")
        parser.add_argument("--peer", type=Path, help="the program llama-server, to be measured beside")
        parser.add_argument("--picture", type=Path, help="write throughput and latency over users to this file, as SVG")
        parser.add_argument("--json", action="store_true", help="print the result as JSON")
        parser.add_argument(
            "--role", choices=["whole", *benchmark.ROLES], help="internal: a process of the measurement"
        )

    def handle(self, *args: Any, **options: Any) -> None:
        if options["role"] in benchmark.ROLES:
            benchmark.answer_lines(options["role"])
            return
        if options["role"] == "whole":
            wanted = benchmark.Wanted(options["users"], options["rounds"], options["answers"], options["peer"])
            self.stdout.write(json.dumps(benchmark.measure(wanted)))
            return
        self._check(options)
        found = self._in_a_folder_of_its_own(options)
        if options["picture"]:
            options["picture"].write_text(benchmark.picture(found), encoding="utf-8")
        self.stdout.write(json.dumps(found) if options["json"] else benchmark.tables(found))

    def _check(self, options: dict[str, Any]) -> None:
        if min(*options["users"], options["rounds"], options["answers"] + 1) < 1:
            raise CommandError("Users and rounds must be at least 1.")
        if options["tokens"] < _LEAST_TOKENS:
            raise CommandError(f"Answers have room for at least {_LEAST_TOKENS} tokens in every installation.")
        if inference.ModelStore(settings.HAVRE_MODELS_DIR).active() is None:
            raise CommandError("No model is active: `manage.py models activate NAME`.")
        if options["peer"] and not os.access(options["peer"], os.X_OK):
            raise CommandError(f"{options['peer']} is not a program that can be started.")

    def _in_a_folder_of_its_own(self, options: dict[str, Any]) -> dict[str, Any]:
        users = sorted(set(options["users"]))
        command = [sys.executable, str(settings.BASE_DIR / "manage.py"), "bench", "--role", "whole"]
        command += ["--rounds", str(options["rounds"]), "--answers", str(options["answers"])]
        command += ["--users", *map(str, users)]
        command += ["--peer", str(options["peer"].absolute())] if options["peer"] else []
        with tempfile.TemporaryDirectory(prefix="havre-bench-") as folder:
            environment = {
                **os.environ,
                "HAVRE_DATA_DIR": folder,
                "HAVRE_MODELS_DIR": str(settings.HAVRE_MODELS_DIR),
                "HAVRE_MASTER_KEY_FILE": str(Path(folder) / "keys" / "master.key"),
                "HAVRE_AUDIT_KEY_FILE": str(Path(folder) / "keys" / "audit.key"),
                "HAVRE_MAX_TOKENS": str(options["tokens"]),
                # so that every question is taken, and every answer is one that the model wrote to its end
                "HAVRE_TURNS_PER_MINUTE": "1000000",
                "HAVRE_QUEUE_LIMIT": str(4 * max(users)),
                "HAVRE_LEAST_GROUNDED": "0",
                "HAVRE_TURN_DEADLINE_SECONDS": "3600",
                "HAVRE_LOG_LEVEL": "WARNING",
            }
            for name in ("HAVRE_DATABASE_URL", "HAVRE_REDIS_URL", "HAVRE_CHROMA_URL", "HAVRE_WATCH_FOLDER"):
                environment.pop(name, None)
            done = subprocess.run(command, env=environment, stdout=subprocess.PIPE, text=True, check=False)  # noqa: S603
        if done.returncode:
            raise CommandError("The measurement broke off (see above).")
        return dict(json.loads(done.stdout.splitlines()[-1]))
