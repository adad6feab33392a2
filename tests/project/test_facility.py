"""The commands and health checks of compose.yaml, run for real: PostgreSQL, a Valkey on TCP, secrets in files.

An engine and images are all that is missing here: the services are processes of this machine, `/data`, `/models` and
`/run/secrets` folders of the test.
"""

import base64
import json
import os
import re
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

from tests.services import ServiceUnavailable, free_port, postgres, valkey_tcp

from .repository import ROOT, compose_file

pytestmark = pytest.mark.stack

_HOST = "havre.example.org"
_WORKING = ("web", "inference", "knowledge", "beat")
_READY_SECONDS = 180.0
_LOADED = "portal.workers: model loaded:"


@dataclass
class Facility:
    """An installation made of what compose.yaml says, on this machine."""

    folder: Path
    services: dict[str, dict[str, Any]]
    database_port: int
    port: int

    def local(self, text: str) -> str:
        """A piece of compose.yaml with this test's places for the containers' own."""
        places = {"/run/secrets": "secrets", "/data": "data", "/models": "models"}
        text = text.replace("$$", "$").replace("postgres:5432/havre", f"127.0.0.1:{self.database_port}/postgres")
        text = re.sub(r"\b8000\b", str(self.port), text)
        return re.sub(r"/(run/secrets|data|models)\b", lambda found: str(self.folder / places[found.group()]), text)

    def environment(self, name: str, **changed: str) -> dict[str, str]:
        """What the service's container would see: nothing of this test's own settings."""
        outside = {key: value for key, value in os.environ.items() if not key.startswith("HAVRE_")}
        given = {key: self.local(str(value)) for key, value in self.services[name]["environment"].items()}
        programs = {"PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"}
        settings = {"HAVRE_HOSTS": _HOST, "HAVRE_HTTPS": "1", "HAVRE_THREADS": "1", "HAVRE_CONTEXT": "2048"}
        settings["HAVRE_LEAST_GROUNDED"] = "0"  # the tiny model says what it was taught, not what passages say
        return outside | programs | settings | given | {"DJANGO_SETTINGS_MODULE": "portal.settings"} | changed

    def run(self, name: str, *arguments: str, **changed: str) -> subprocess.CompletedProcess[str]:
        """A service that ends: `migrate`, or `manage` with arguments."""
        service = self.services[name]
        command = [*service.get("entrypoint", []), *(arguments or service["command"])]
        return subprocess.run(
            [self.local(part) for part in command] if not arguments else command,
            cwd=ROOT,
            env=self.environment(name, **changed),
            capture_output=True,
            text=True,
            check=False,
            timeout=300,
        )

    def is_well(self, name: str) -> bool:
        """The service's own health check."""
        kind, *test = self.services[name]["healthcheck"]["test"]
        command = [self.local(part) for part in test]
        command = command if kind == "CMD" else ["sh", "-c", *command]
        checked = subprocess.run(command, cwd=ROOT, env=self.environment(name), capture_output=True, check=False)
        return checked.returncode == 0


@pytest.fixture(scope="module")
def facility(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Facility]:
    folder = tmp_path_factory.mktemp("facility")
    for name in ("data", "models", "secrets", "logs"):
        (folder / name).mkdir()
    services = compose_file()["services"]
    with ExitStack() as stack:
        try:
            database = urlsplit(stack.enter_context(postgres()))
        except ServiceUnavailable as reason:
            pytest.skip(str(reason))
        assert database.password is not None
        assert database.port is not None
        (folder / "secrets" / "secret_key").write_text(os.urandom(48).hex())
        for name in ("master_key", "audit_key"):
            (folder / "secrets" / name).write_bytes(base64.b64encode(os.urandom(32)))
        (folder / "secrets" / "database_password").write_text(f"{database.password}\n")
        (folder / "secrets" / "valkey_url").write_text(f"{stack.enter_context(valkey_tcp())}\n")
        made = Facility(folder, services, database.port, free_port())
        migrated = made.run("migrate")
        assert migrated.returncode == 0, migrated.stderr
        yield made


@pytest.fixture(scope="module")
def running(facility: Facility) -> Iterator[Facility]:
    """The four services that go on, with the tiny model active and one guideline; every health check has passed."""
    model = str(ROOT / "tests" / "models" / "tiny-gpt-oss.gguf")
    for arguments in (["import", model, "--name", "tiny"], ["activate", "tiny"]):
        done = facility.run("models", *arguments)
        assert done.returncode == 0, done.stderr
    processes = {}
    try:
        for name in _WORKING:
            with (facility.folder / "logs" / name).open("wb") as log:
                processes[name] = subprocess.Popen(
                    [facility.local(part) for part in facility.services[name]["command"]],
                    cwd=ROOT,
                    env=facility.environment(name),
                    stdout=log,
                    stderr=subprocess.STDOUT,
                )
        waiting, deadline = list(_WORKING), time.monotonic() + _READY_SECONDS
        while waiting:
            ended = [name for name, process in processes.items() if process.poll() is not None]
            logs = "\n".join((facility.folder / "logs" / name).read_text()[-3000:] for name in ended or waiting)
            assert not ended, f"{ended} ended: {logs}"
            assert time.monotonic() < deadline, f"{waiting} are not well: {logs}"
            time.sleep(1)
            waiting = [name for name in waiting if not facility.is_well(name)]
        yield facility
    finally:
        for process in processes.values():
            process.terminate()
        for process in processes.values():
            process.wait(60)


def _get(facility: Facility, path: str, host: str) -> int:
    request = urllib.request.Request(f"http://127.0.0.1:{facility.port}{path}", headers={"Host": host})
    try:
        with urllib.request.urlopen(request, timeout=30) as response:
            return int(response.status)
    except urllib.error.HTTPError as error:
        return error.code


def test_a_start_without_tls_is_refused_with_a_sentence(facility: Facility) -> None:
    refused = facility.run("migrate", HAVRE_HTTPS="0")
    assert refused.returncode != 0
    assert "Passwords and questions travel unencrypted." in refused.stderr


def test_a_missing_secret_is_named(facility: Facility) -> None:
    refused = facility.run("migrate", HAVRE_DATABASE_PASSWORD_FILE="/nowhere/password")
    assert refused.returncode != 0
    assert "HAVRE_DATABASE_PASSWORD_FILE: /nowhere/password cannot be read" in refused.stderr
    assert "Traceback" not in refused.stderr


def test_the_portal_answers_to_its_own_name_alone(running: Facility) -> None:
    assert _get(running, "/accounts/login/", _HOST) == 200
    assert _get(running, "/accounts/login/", "elsewhere.example.org") == 400


def test_a_turn_goes_through_every_service(running: Facility, tmp_path: Path) -> None:
    guideline = tmp_path / "safety-plan.md"
    guideline.write_text(
        "# Safety plan\n\nThe steps of a safety plan are: warning signs, coping strategies, people and places that "
        "distract, people to ask for help, professionals, and a safe environment.\n"
    )
    taken = running.run("manage", "ingest", str(guideline), "--language", "en", "--approve")
    assert taken.returncode == 0, taken.stderr
    asked = running.run("manage", "ask", "What are the steps of a safety plan?", "--json")
    assert asked.returncode == 0, asked.stderr
    turn = json.loads(asked.stdout)
    assert (turn["state"], turn["quotation"]) == ("completed", ""), turn
    assert turn["model"]["name"] == "tiny"
    # answered by the workers: the command, which would do it itself without them, has loaded nothing
    loaded = f"{_LOADED} tiny"
    assert loaded in (running.folder / "logs" / "inference").read_text()
    assert loaded not in asked.stderr


def test_logs_hold_no_conversation(running: Facility) -> None:
    logs = "".join(path.read_text() for path in (running.folder / "logs").iterdir())
    assert "steps of a safety plan" not in logs
    for secret in ("database_password", "secret_key"):
        assert (running.folder / "secrets" / secret).read_text().strip() not in logs
