"""Inference workers beside the one of `serve`, as on other cards or machines: started again when they die."""

import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager

from tests.installation import ROOT, Installation, die_with_parent

_PAUSE_SECONDS = 1.0  # as long as `serve` waits before it starts a worker again
_PATIENCE_SECONDS = 40.0


class Worker:
    """One more inference worker on the line of an installation. It runs as that of `serve` does, under its own name."""

    def __init__(self, installation: Installation, name: str) -> None:
        self.name = name
        self._installation = installation
        self._over = threading.Event()
        self._running = self._launch()
        self._keeper = threading.Thread(target=self._keep, name=f"keeper-{name}", daemon=True)
        self._keeper.start()

    def pids(self) -> list[int]:
        """The process that plays this part, where one does."""
        return [self._running.pid] if self._running.poll() is None else []

    def stop(self) -> None:
        """End it for good: it finishes what it writes."""
        self._over.set()
        self._keeper.join()
        self._running.terminate()
        try:
            self._running.wait(_PATIENCE_SECONDS)
        except subprocess.TimeoutExpired:
            self._running.kill()
            self._running.wait()

    def _launch(self) -> subprocess.Popen[bytes]:
        command = [sys.executable, "-m", "celery", "-A", "portal.celery", "worker", "-Q", "inference,housekeeping"]
        command += ["-n", f"{self.name}@%h", "--pool=threads", "--without-gossip", "--without-mingle"]
        environment = self._installation.environment
        with (self._installation.folder / "data" / "logs" / f"{self.name}.log").open("ab") as log:
            return subprocess.Popen(
                [*command, "--loglevel=INFO"],
                cwd=ROOT,
                env=environment,
                stdout=log,
                stderr=log,
                preexec_fn=die_with_parent,
            )

    def _keep(self) -> None:
        while not self._over.wait(0.2):
            if self._running.poll() is not None and not self._over.wait(_PAUSE_SECONDS):
                self._running = self._launch()


@contextmanager
def beside(installation: Installation, names: list[str]) -> Iterator[list[Worker]]:
    """Workers of these names, stopped at the end."""
    workers: list[Worker] = []
    try:
        for name in names:
            workers.append(Worker(installation, name))
        yield workers
    finally:
        for worker in workers:
            worker.stop()
