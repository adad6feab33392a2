"""Starting processes, keeping them alive, stopping them together: the engine of `manage.py serve`."""

import ctypes
import logging
import os
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

logger = logging.getLogger(__name__)

_LONGEST_PAUSE = 30.0
_STEADY_SECONDS = 60.0  # a process that lived this long failed anew, not again
_STOP_SECONDS = 10.0
_PR_SET_PDEATHSIG = 1


@dataclass(slots=True)
class Process:
    """One child. `order` is when it is stopped: higher numbers first."""

    name: str
    command: Sequence[str]
    environment: dict[str, str] = field(default_factory=dict)
    order: int = 1
    running: subprocess.Popen[bytes] | None = None
    started: float = 0.0
    pause: float = 1.0
    start_again_at: float = 0.0
    restarts: int = 0


class Supervisor:
    """Keeps processes running until `stop` or a signal. Their output goes to one log file each."""

    def __init__(self, logs: Path) -> None:
        self._logs = logs
        self._processes: list[Process] = []
        self._stopping = False  # set by a signal
        logs.mkdir(mode=0o700, parents=True, exist_ok=True)

    def start(self, process: Process) -> None:
        """Start a child and keep it running from now on."""
        log = self._logs / f"{process.name}.log"
        if log.exists():
            log.replace(log.with_suffix(".log.1"))
        self._processes.append(process)
        self._launch(process)

    def catch_signals(self) -> None:
        """From now on SIGINT and SIGTERM make `run` return instead of ending this process on the spot."""
        signal.signal(signal.SIGTERM, self._on_signal)
        signal.signal(signal.SIGINT, self._on_signal)

    def run(self) -> None:
        """Watch until SIGINT or SIGTERM."""
        while not self._stopping:
            self.watch()
            time.sleep(0.2)

    def watch(self) -> None:
        """One look: whatever has died is started again, after a pause that grows while it keeps dying."""
        now = time.monotonic()
        for process in self._processes:
            child = process.running
            if child is None:
                if now >= process.start_again_at:
                    self._launch(process)
                continue
            if child.poll() is None:
                continue
            if now - process.started > _STEADY_SECONDS:
                process.pause = 1.0
            logger.warning(
                "%s ended (%s); starting it again in %.0f s. Its log: %s",
                process.name,
                _ending(child.returncode),
                process.pause,
                self._logs / f"{process.name}.log",
            )
            process.running = None
            process.restarts += 1
            process.start_again_at = now + process.pause
            process.pause = min(process.pause * 2, _LONGEST_PAUSE)

    @property
    def stopping(self) -> bool:
        """Whether a signal has asked to stop."""
        return self._stopping

    def alive(self, name: str) -> bool:
        """Whether the child of this name runs at this moment."""
        return any(one.name == name and one.running and one.running.poll() is None for one in self._processes)

    def log_of(self, name: str) -> Path:
        return self._logs / f"{name}.log"

    def stop(self) -> None:
        """End every child, those that others depend on last; what does not end by itself is killed."""
        for order in sorted({process.order for process in self._processes}, reverse=True):
            self._end([process for process in self._processes if process.order == order])
        self._processes.clear()

    def _launch(self, process: Process) -> None:
        with (self._logs / f"{process.name}.log").open("ab") as log:
            process.running = subprocess.Popen(  # noqa: S603  (our own commands)
                list(process.command),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                env={**os.environ, **process.environment},
                start_new_session=True,  # Ctrl+C reaches us alone; we stop the children in order
                preexec_fn=_die_with_parent if sys.platform == "linux" else None,
            )
        process.started = time.monotonic()

    def _end(self, processes: list[Process]) -> None:
        children = [process.running for process in processes if process.running is not None]
        for child in children:
            if child.poll() is None:
                child.terminate()
        deadline = time.monotonic() + _STOP_SECONDS
        for child in children:
            try:
                child.wait(max(0.1, deadline - time.monotonic()))
            except subprocess.TimeoutExpired:
                child.kill()
                child.wait()

    def _on_signal(self, number: int, frame: object) -> None:
        self._stopping = True


def _die_with_parent() -> None:
    """Runs in the child: Linux sends it SIGTERM when `serve` dies without saying goodbye (kill -9), so that no worker
    stays behind with the index locked."""
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)


def _ending(code: int) -> str:
    if code < 0:
        return f"signal {signal.Signals(-code).name}"
    return f"exit {code}"
