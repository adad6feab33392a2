"""A whole installation in a folder of its own, started by `manage.py serve` and used from outside."""

import asyncio
import ctypes
import json
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.parse
import urllib.request
import uuid
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from http.cookiejar import CookieJar
from pathlib import Path
from typing import Any

import websockets

from tests.conftest import PASSWORD, TINY_MODEL

ROOT = Path(__file__).resolve().parent.parent
FINAL = {"turn.completed", "turn.redirected", "turn.refused", "turn.cancelled", "turn.failed"}
PEOPLE = {"anna": "clinician", "bela": "clinician", "dora": "admin", "emil": "compliance"}
_START_SECONDS = 180
_TOGETHER = """
import io, json, sys
import django
django.setup()
from django.core.management import call_command
for arguments in json.load(sys.stdin):
    sys.stdin = io.StringIO(sys.argv[1])
    call_command(*arguments)
"""


class Installation:
    """`start` runs it with the tiny model and the sample guidelines; everything is stopped by `stop`."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.port = _free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self.environment = {name: value for name, value in os.environ.items() if not name.startswith("HAVRE_")}
        self.environment |= {
            "HAVRE_DATA_DIR": str(folder / "data"),
            "HAVRE_SLOTS": "2",
            "HAVRE_THREADS": "1",
            "HAVRE_LEASE_SECONDS": "4",
            "HAVRE_CONTEXT": "65536",  # room for an answer without an end to be watched and stopped
            "HAVRE_MAX_TOKENS": "60000",
            "HAVRE_TURNS_PER_MINUTE": "1000",
            "HAVRE_LEAST_GROUNDED": "0",  # the tiny model says what it was taught, not what passages say
            "DJANGO_SETTINGS_MODULE": "portal.settings",
            "PYTHONUNBUFFERED": "1",
        }
        self.program: Sequence[str] = (sys.executable, "manage.py")
        self.serve: subprocess.Popen[bytes] | None = None

    def prepare(self, guidelines: dict[str, Path], people: Mapping[str, str] = PEOPLE) -> None:
        """Database, model, people, documents: one process, since each would load everything anew."""
        commands = [
            ["migrate", "--verbosity", "0"],
            ["models", "import", str(TINY_MODEL)],
            ["models", "activate", TINY_MODEL.stem],
            *(["create_user", name, "--role", role, "--password-stdin"] for name, role in people.items()),
            *(["ingest", "--approve", "--title", title, str(path)] for title, path in guidelines.items()),
        ]
        self._run([sys.executable, "-c", _TOGETHER, PASSWORD + "\n"], json.dumps(commands))

    def manage(self, *arguments: str, stdin: str = "", check: bool = True) -> subprocess.CompletedProcess[str]:
        """Run one management command."""
        return self._run([sys.executable, "manage.py", *arguments], stdin, check)

    def _run(self, command: list[str], stdin: str, check: bool = True) -> subprocess.CompletedProcess[str]:
        done = subprocess.run(
            command,
            cwd=ROOT,
            env=self.environment,
            input=stdin,
            capture_output=True,
            text=True,
            timeout=300,
            check=False,
        )
        if check and done.returncode:
            raise AssertionError(f"{command[1:3]} failed:\n{done.stdout}\n{done.stderr}")
        return done

    def start(self) -> None:
        """Start every process and wait until all answer."""
        self.output = (self.folder / "serve.out").open("wb")
        self.serve = subprocess.Popen(
            [*self.program, "serve", "--no-demo", "--port", str(self.port)],
            cwd=ROOT,
            env=self.environment,
            stdout=self.output,
            stderr=subprocess.STDOUT,
            preexec_fn=die_with_parent,
        )
        deadline = time.monotonic() + _START_SECONDS
        while b"Havre answers at" not in self.said():
            if self.serve.poll() is not None or time.monotonic() > deadline:
                raise AssertionError(f"serve did not start:\n{self.said().decode()}\n{self.logs()}")
            time.sleep(0.2)

    def said(self) -> bytes:
        """What `serve` has printed."""
        return (self.folder / "serve.out").read_bytes()

    def logs(self) -> str:
        """The last lines of every process's log."""
        folder = self.folder / "data" / "logs"
        return "\n".join(f"== {log.name}\n{log.read_text()[-3000:]}" for log in sorted(folder.glob("*.log")))

    def stop(self) -> None:
        """As Ctrl+C does."""
        if self.serve is not None and self.serve.poll() is None:
            self.serve.send_signal(signal.SIGINT)
            self.serve.wait(40)

    def pids(self, name: str) -> list[int]:
        """Process ids of one of the children of `serve`: web, valkey, inference, knowledge or beat. Valkey changes its
        command line once it runs: from `--unixsocket` to `unixsocket:`."""
        marks = {
            "web": "daphne", "valkey": "unixsocket", "inference": "inference@%h", "knowledge": "knowledge@%h",
            "beat": "beat-schedule",
        }  # fmt: skip
        assert self.serve is not None
        found = []
        for folder in Path("/proc").iterdir():
            try:
                line = (folder / "cmdline").read_bytes().decode(errors="replace")
                parent = int((folder / "stat").read_text().rpartition(")")[2].split()[1])
            except (OSError, ValueError):
                continue
            if parent == self.serve.pid and marks[name] in line:
                found.append(int(folder.name))
        return found

    def kill(self, name: str) -> None:
        """kill -9 a child of `serve`, which starts it again."""
        for pid in self.pids(name):
            os.kill(pid, signal.SIGKILL)

    def pause(self, name: str) -> None:
        """Freeze a child: it is there and does nothing."""
        for pid in self.pids(name):
            os.kill(pid, signal.SIGSTOP)

    def go_on(self, name: str) -> None:
        """Undo `pause`."""
        for pid in self.pids(name):
            os.kill(pid, signal.SIGCONT)

    def parts(self, browser: "Browser") -> dict[str, Any]:
        """What the status page says."""
        return json.loads(browser.get("/status/"))

    def wait_for_parts(self, browser: "Browser") -> None:
        """Until every part is back."""
        deadline = time.monotonic() + 90
        while time.monotonic() < deadline:
            said = self.parts(browser)
            ready = all(said["details"].get(name, {}).get("state") == "ready" for name in ("inference", "knowledge"))
            if said["valkey"] and ready:
                return
            time.sleep(0.3)
        raise AssertionError(f"parts are still missing: {self.parts(browser)}\n{self.logs()}")


class Browser:
    """A signed-in person without a screen: pages by urllib, the chat by a real websocket client."""

    def __init__(self, installation: Installation, name: str, password: str = PASSWORD) -> None:
        self.installation = installation
        self.jar = CookieJar()
        self.opener = urllib.request.build_opener(urllib.request.HTTPCookieProcessor(self.jar))
        self.get("/accounts/login/")
        self.post("/accounts/login/", {"username": name, "password": password})

    def get(self, path: str) -> str:
        """The text of a page."""
        with self.opener.open(self.installation.url + path, timeout=30) as response:
            return str(response.read().decode())

    def post(self, path: str, fields: dict[str, str]) -> str:
        """Send a form, with its token."""
        body = urllib.parse.urlencode({**fields, "csrfmiddlewaretoken": self.cookie("csrftoken")}).encode()
        request = urllib.request.Request(self.installation.url + path, body, {"Referer": self.installation.url})
        with self.opener.open(request, timeout=30) as response:
            return str(response.read().decode())

    def cookie(self, name: str) -> str:
        """A cookie's value."""
        return next((str(one.value) for one in self.jar if one.name == name), "")

    @asynccontextmanager
    async def chat(self, conversation: uuid.UUID | None = None) -> AsyncIterator["Chat"]:
        """An open socket on a conversation."""
        address = f"ws://127.0.0.1:{self.installation.port}/ws/chat/{conversation or uuid.uuid4()}/"
        cookies = "; ".join(f"{one.name}={one.value}" for one in self.jar)
        async with websockets.connect(
            address, origin=self.installation.url, additional_headers={"Cookie": cookies}
        ) as connection:
            yield Chat(connection)


class Chat:
    """One open socket."""

    def __init__(self, connection: Any) -> None:
        self.connection = connection

    async def send(self, **frame: Any) -> None:
        """One frame."""
        await self.connection.send(json.dumps(frame))

    async def ask(self, text: str, ref: uuid.UUID | None = None) -> dict[str, Any]:
        """Ask; returns the first event."""
        await self.send(type="turn.start", client_ref=str(ref or uuid.uuid4()), text=text, effort="low")
        return await self.event()

    async def event(self, seconds: float = 60) -> dict[str, Any]:
        """The next event."""
        return dict(json.loads(await asyncio.wait_for(self.connection.recv(), seconds)))

    async def until(self, *kinds: str, seconds: float = 90) -> list[dict[str, Any]]:
        """Events up to the first of one of these kinds."""
        found: list[dict[str, Any]] = []
        while not found or found[-1]["type"] not in kinds:
            found.append(await self.event(seconds))
        return found

    async def to_the_end(self, seconds: float = 90) -> list[dict[str, Any]]:
        """Events up to the last one of a turn."""
        return await self.until(*FINAL, "error", seconds=seconds)


def die_with_parent() -> None:
    """Runs in a child: Linux sends it SIGTERM when the thread that started it is gone, killed tests included, so that
    no process stays behind."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(1, signal.SIGTERM)  # PR_SET_PDEATHSIG


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
