"""llama.cpp's own server, started from the program that somebody built, with the same model, prompt and slots."""

import http.client
import json
import math
import secrets
import socket
import subprocess
import threading
import time
from pathlib import Path
from typing import Any

from django.core.management.base import CommandError

from portal.benchmark._answers import Answer, Round
from portal.benchmark._processes import cpu_seconds

_LOADING_SECONDS = 600.0
_ANSWER_SECONDS = 3600.0


class Peer:
    """A running llama-server on a port of loopback, behind a random key. Raises CommandError when it does not start."""

    def __init__(self, program: Path, model: Path, plan: dict[str, Any], log: Path) -> None:
        self._port = free_port()
        self._key = secrets.token_urlsafe(32)
        slots, context = plan["slots"], plan["context"]
        command = [str(program), "-m", str(model), "--host", "127.0.0.1", "--port", str(self._port)]
        command += ["--api-key", self._key, "-np", str(slots), "-c", str(slots * context), "--swa-full"]
        command += ["-t", str(plan["threads"]), "-tb", str(plan["threads"]), "--no-webui", "--cache-ram", "0"]
        command += ["-b", str(plan["batch"]), "-ub", str(plan["batch"])]
        command += [] if plan["repack"] else ["--no-repack"]
        command += ["-ngl", str(plan["gpu_layers"])] if plan["gpu_layers"] >= 0 else []
        with log.open("wb") as output:
            self._process = subprocess.Popen(command, stdout=output, stderr=output)  # noqa: S603
        self._wait(log)

    def _wait(self, log: Path) -> None:
        deadline = time.monotonic() + _LOADING_SECONDS
        while time.monotonic() < deadline and self._process.poll() is None:
            try:
                connection = http.client.HTTPConnection("127.0.0.1", self._port, timeout=5)
                connection.request("GET", "/health")
                if connection.getresponse().status == 200:
                    return
            except OSError:
                pass
            time.sleep(0.2)
        last = log.read_text(encoding="utf-8", errors="replace")[-400:]
        raise CommandError(f"The program that --peer names does not serve the model:\n{last}")

    def together(self, prompt: list[int], users: int, answers: int, sampling: dict[str, Any]) -> Round:
        """`answers` completions for each of `users`, all users at the same time."""
        found: list[Answer] = []

        def work() -> None:
            for _ in range(answers):
                found.append(self._one(prompt, sampling))

        threads = [threading.Thread(target=work) for _ in range(users)]
        begun, cpu = time.perf_counter(), cpu_seconds(self._process.pid)
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        seconds = time.perf_counter() - begun
        if len(found) != users * answers:
            raise CommandError("llama-server broke off.")
        return Round(found, seconds, {"engine": cpu_seconds(self._process.pid) - cpu})

    def _one(self, prompt: list[int], sampling: dict[str, Any]) -> Answer:
        connection = http.client.HTTPConnection("127.0.0.1", self._port, timeout=_ANSWER_SECONDS)
        asked = {"prompt": prompt, "stream": True, "cache_prompt": True, **sampling}
        headers = {"Content-Type": "application/json", "Authorization": f"Bearer {self._key}"}
        begun = time.perf_counter()
        connection.request("POST", "/completion", json.dumps(asked), headers)
        response = connection.getresponse()
        if response.status != 200:
            raise CommandError(f"llama-server refused a completion ({response.status}).")
        times: list[float] = []
        tokens = 0
        for line in response:
            if not line.startswith(b"data: "):
                continue
            at = time.perf_counter() - begun
            event = json.loads(line[6:])
            if event.get("stop"):
                tokens = int(event.get("tokens_predicted", 0))
            else:
                times.append(at)
        done = time.perf_counter() - begun
        connection.close()
        first = times[0] if times else math.nan
        return Answer(tokens or len(times), first, math.nan, done, times)

    def stop(self) -> None:
        """End the server."""
        self._process.terminate()
        try:
            self._process.wait(10)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()


def free_port() -> int:
    """A port of loopback that nobody listens on at this moment."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
