"""A throw-away installation: Valkey, Daphne and both workers, as `serve` starts them, and people who are signed in."""

import subprocess
import sys
import time
import urllib.error
import urllib.request
from importlib import import_module
from typing import Any

from django.conf import settings
from django.contrib.auth import BACKEND_SESSION_KEY, HASH_SESSION_KEY, SESSION_KEY
from django.core.management.base import CommandError

from portal import parts, processes
from portal.accounts.models import Role, User
from portal.benchmark._answers import Answer, Round
from portal.benchmark._peer import free_port
from portal.benchmark._processes import Child, cpu_seconds
from portal.database import ensure_tables
from portal.supervisor import Supervisor

_START_SECONDS = 900.0
_GUIDELINE = settings.BASE_DIR / "knowledge" / "samples" / "safety-plan-en-sample-protocol.pdf"


class Installation:
    """The whole path. Raises CommandError when it does not come up, or breaks off."""

    def __init__(self, users: int) -> None:
        ensure_tables()
        _read_guideline()
        self._sessions = [_signed_in(f"user{number}") for number in range(users)]
        self._port = free_port()
        self._supervisor = Supervisor(settings.HAVRE_DATA_DIR / "logs")
        self._processes = [
            processes.valkey(settings.HAVRE_VALKEY_SOCKET),
            processes.web("127.0.0.1", self._port),
            processes.inference_worker(),
            processes.knowledge_worker(),
        ]
        for process in self._processes:
            self._supervisor.start(process)
        self._browsers = Child("browsers")

    def wait(self) -> dict[str, Any]:
        """Until every process answers; returns what the inference worker says of its plan."""
        deadline = time.monotonic() + _START_SECONDS
        while time.monotonic() < deadline:
            self._check()
            said = parts.look().details
            for name, one in said.items():
                if one.get("state") == "failed":
                    raise CommandError(f"{name}: {one.get('reason')}")
            if all(said.get(name, {}).get("state") == "ready" for name in parts.WORKERS) and self._web_answers():
                return said["inference"]
            time.sleep(0.3)
        raise CommandError(f"The installation to measure did not start in {_START_SECONDS:.0f} s.")

    def together(self, question: str, users: int, answers: int) -> tuple[Round, list[str]]:
        """`answers` questions by each of `users`, all at the same time; the round, and the turns' ids."""
        before = self._cpu()
        said = self._browsers.ask(
            {
                "port": self._port,
                "sessions": self._sessions[:users],
                "cookie": settings.SESSION_COOKIE_NAME,
                "question": question,
                "answers": answers,
            }
        )
        after = self._cpu()
        self._check()
        cpu = {name: after[name] - before[name] for name in after} | {"browsers": said["cpu"]}
        return Round([Answer.from_json(one) for one in said["answers"]], said["seconds"], cpu), said["turns"]

    def stop(self) -> None:
        """End every process."""
        self._browsers.stop()
        self._supervisor.stop()

    def _check(self) -> None:
        for process in self._processes:
            if not self._supervisor.alive(process.name):
                log = self._supervisor.log_of(process.name).read_text(encoding="utf-8", errors="replace")
                raise CommandError(f"{process.name} ended while it was measured:\n{log[-600:]}")

    def _cpu(self) -> dict[str, float]:
        return {one.name: cpu_seconds(one.running.pid) for one in self._processes if one.running}

    def _web_answers(self) -> bool:
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self._port}/healthz", timeout=2) as response:
                return bool(response.status == 200)
        except (urllib.error.URLError, OSError):
            return False


def _read_guideline() -> None:
    """In a process of its own, which gives the embedder's memory back."""
    command = [sys.executable, str(settings.BASE_DIR / "manage.py"), "ingest", "--approve", str(_GUIDELINE)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)  # noqa: S603
    if done.returncode:
        raise CommandError(f"The guideline to ask about could not be read:\n{done.stdout}{done.stderr}")


def _signed_in(name: str) -> str:
    """A new clinician's session key. Nobody has the password: there is none."""
    user = User.objects.create(username=name, role=Role.CLINICIAN)
    user.set_unusable_password()
    user.save()
    session = import_module(settings.SESSION_ENGINE).SessionStore()
    session[SESSION_KEY] = str(user.pk)
    session[BACKEND_SESSION_KEY] = settings.AUTHENTICATION_BACKENDS[0]
    session[HASH_SESSION_KEY] = user.get_session_auth_hash()
    session.save()
    return str(session.session_key)
