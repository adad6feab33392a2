"""`manage.py serve`: all of Havre on one machine, with nothing installed beforehand."""

import fcntl
import os
import shutil
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError, CommandParser

import inference
from portal import demonstration, parts, processes
from portal.database import ensure_tables
from portal.supervisor import Supervisor

_LEAST_FREE_BYTES = 300 * 1024 * 1024
_START_SECONDS = 180.0


class Command(BaseCommand):
    help = (
        "Start Havre on this machine: the web server, the inference and knowledge workers, the clock and an embedded "
        "Valkey. Each is started again when it dies; Ctrl+C stops them all."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--host", default="127.0.0.1", help="address to listen on (default %(default)s)")
        parser.add_argument("--port", type=int, default=8000, help="port to listen on (default %(default)s)")
        parser.add_argument("--data-dir", help="folder of everything that must survive (default: data)")
        parser.add_argument(
            "--no-demo",
            action="store_true",
            help="no demonstration model, sample guidelines or demonstration sign-ins",
        )

    def handle(self, *args: Any, **options: Any) -> None:
        host, port = options["host"], options["port"]
        _check_port(host, port)
        _check_disk(settings.HAVRE_DATA_DIR)
        lock = _lock(settings.HAVRE_DATA_DIR)
        if host not in settings.ALLOWED_HOSTS and host not in {"0.0.0.0", "::"}:  # noqa: S104
            os.environ["HAVRE_HOSTS"] = ",".join([*settings.ALLOWED_HOSTS, host])
        ensure_tables()
        supervisor = Supervisor(settings.HAVRE_DATA_DIR / "logs")
        try:
            people = self._prepare(demo=not options["no_demo"])
            supervisor.catch_signals()
            self._start(supervisor, host, port)
            self._greet(host, port, people)
            supervisor.run()
        finally:
            self.stdout.write("Stopping …")
            supervisor.stop()
            lock.close()

    def _prepare(self, *, demo: bool) -> list[tuple[str, str, str]]:
        if not demo:
            return []
        try:
            demonstration.ensure_model(self.stdout.write)
        except inference.InferenceError as error:
            self.stderr.write(f"The demonstration model is not here: {error}\nHavre starts without a model.")
        # a process of its own, so that the embedder's memory is given back before the worker takes its own
        reading = subprocess.run(  # noqa: S603
            [sys.executable, str(settings.BASE_DIR / "manage.py"), "ingest", "--samples"], check=False
        )
        if reading.returncode:
            self.stderr.write("The sample guidelines could not be read (see above). Havre starts without them.")
        return demonstration.ensure_people()

    def _start(self, supervisor: Supervisor, host: str, port: int) -> None:
        self.stdout.write("Starting …")
        if f"unix://{settings.HAVRE_VALKEY_SOCKET}" == settings.HAVRE_REDIS_URL:
            supervisor.start(processes.valkey(settings.HAVRE_VALKEY_SOCKET))
        supervisor.start(processes.web(host, port))
        supervisor.start(processes.inference_worker())
        supervisor.start(processes.knowledge_worker())
        supervisor.start(processes.beat())
        deadline = time.monotonic() + _START_SECONDS
        waiting = {"web", "valkey", "inference", "knowledge"}
        web_answers = False
        while waiting and time.monotonic() < deadline and not supervisor.stopping:
            supervisor.watch()
            present = parts.look()
            ready = {name for name, said in present.details.items() if said.get("state") != "loading"}
            waiting = {"inference", "knowledge"} - ready
            waiting |= set() if present.valkey else {"valkey"}
            web_answers = web_answers or _answers(host, port)
            waiting |= set() if web_answers else {"web"}
            time.sleep(0.2)
        for name, said in parts.look().details.items():
            if said.get("installed") is False:
                self.stdout.write("No language model is installed: answers are quoted from the guidelines.")
            elif said.get("state") in {"failed", "words"}:
                self.stderr.write(f"{name}: {said.get('reason')}")
        for name in sorted(waiting):
            self.stderr.write(f"{name} does not answer yet. Its log: {supervisor.log_of(name)}")

    def _greet(self, host: str, port: int, people: list[tuple[str, str, str]]) -> None:
        shown = "127.0.0.1" if host in {"0.0.0.0", "::"} else host  # noqa: S104
        active = inference.ModelStore(settings.HAVRE_MODELS_DIR).active()
        lines = ["", f"  Havre answers at http://{shown}:{port}/", ""]
        if people:
            lines += [f"    {role:<11} sign in as {name:<11} with {password}" for role, name, password in people]
            lines += ["", "  These passwords are fresh at every start, until their owners change them.", ""]
        if active is None:
            lines += [
                "  No model is active: `manage.py models import FILE`, then `manage.py models activate NAME`.",
                "",
            ]
        elif active.demonstration:
            lines += [f"  Demonstration model {active.name}: not for clinical use.", ""]
        if shown != host:
            known = ", ".join(settings.ALLOWED_HOSTS)
            lines += [f"  From other machines it answers to the names in HAVRE_HOSTS (now: {known}).", ""]
        lines += ["  Ctrl+C stops everything.", ""]
        self.stdout.write("\n".join(lines))
        self.stdout.flush()


def _check_port(host: str, port: int) -> None:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host.strip("[]"), port))
        except OverflowError as error:
            raise CommandError(f"{port} is not a port: choose one between 1 and 65535.") from error
        except OSError as error:
            raise CommandError(
                f"Port {port} on {host} cannot be used ({error.strerror}). Choose another with --port."
            ) from error


def _check_disk(folder: Path) -> None:
    free = shutil.disk_usage(folder).free
    if free < _LEAST_FREE_BYTES:
        raise CommandError(
            f"The disk of {folder} is full: {free // 2**20} MB are free, {_LEAST_FREE_BYTES // 2**20} MB are needed."
        )


def _lock(folder: Path) -> Any:
    """Hold the data folder for this `serve` alone."""
    try:
        (folder / "run").mkdir(mode=0o700, exist_ok=True)
        file = (folder / "run" / "serve.lock").open("a+")
    except OSError as error:
        raise CommandError(f"The data folder {folder} cannot be written ({error.strerror}).") from error
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        raise CommandError(f"Havre already runs on the data folder {folder}.") from error
    return file


def _answers(host: str, port: int) -> bool:
    shown = {"0.0.0.0": "127.0.0.1", "::": "[::1]"}.get(host, host)  # noqa: S104
    try:
        with urllib.request.urlopen(f"http://{shown}:{port}/healthz", timeout=1) as response:
            return bool(response.status == 200)
    except (urllib.error.URLError, OSError):
        return False
