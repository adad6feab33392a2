"""Processes of a measurement: how much processor time they took, and asking one that answers line by line."""

import json
import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from django.conf import settings
from django.core.management.base import CommandError

_TICK = os.sysconf("SC_CLK_TCK")


def cpu_seconds(pid: int) -> float:
    """Processor time of a process and of the children that it has seen end; 0 when it is gone."""
    try:
        # the name in brackets may hold spaces; utime to cstime are the 14th to 17th field
        fields = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace").rpartition(")")[2].split()
    except OSError:
        return 0.0
    return sum(int(one) for one in fields[11:15]) / _TICK


class Child:
    """A role of `manage.py bench` in a process of its own, which answers each line of JSON with one."""

    def __init__(self, role: str, arguments: Sequence[str] = ()) -> None:
        command = [sys.executable, str(settings.BASE_DIR / "manage.py"), "bench", "--role", role, *arguments]
        self._role = role
        self._process = subprocess.Popen(  # noqa: S603
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, encoding="utf-8"
        )

    @property
    def pid(self) -> int:
        """The process."""
        return self._process.pid

    def ask(self, question: dict[str, Any]) -> dict[str, Any]:
        """Send one line, wait for one. Raises CommandError when the process ended instead."""
        assert self._process.stdin
        assert self._process.stdout
        try:
            self._process.stdin.write(json.dumps(question) + "\n")
            self._process.stdin.flush()
            line = self._process.stdout.readline()
        except OSError:
            line = ""
        if not line:
            raise CommandError(f"The measurement broke off: its process {self._role!r} ended (see above).")
        return dict(json.loads(line))

    def stop(self) -> None:
        """End it."""
        assert self._process.stdin
        self._process.stdin.close()
        try:
            self._process.wait(10)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
