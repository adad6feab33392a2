"""Starting the child process that reads a document, and making sense of how it ended."""

import json
import os
import signal
import subprocess
import sys
from dataclasses import asdict
from pathlib import Path
from typing import Any

from knowledge._errors import DocumentUnreadable, ParsingLimitExceeded
from knowledge.parsing._document import ParsedDocument
from knowledge.parsing._limits import Limits
from knowledge.parsing._title import Title

_LIMIT_CODES = {"too_many_pages", "too_much_text", "too_deep", "memory", "bomb", "time"}
_TITLE_LIMITS = Limits(memory_bytes=1024 * 1024 * 1024, cpu_seconds=5, wall_seconds=15.0)  # somebody waits for it


def parse(path: Path, media_type: str, name: str, limits: Limits | None = None) -> ParsedDocument:
    """Read the document at `path` in a child process; `name` is what its owner calls it.

    Raises DocumentUnreadable or ParsingLimitExceeded, which name the file.
    """
    return ParsedDocument.from_json(_run("text", path, media_type, name, limits or Limits()))


def read_title(path: Path, media_type: str, name: str) -> Title:
    """What the document at `path` is called, found in a child process within seconds; an empty title where none is
    found, whatever is wrong with the document."""
    try:
        return Title(**_run("title", path, media_type, name, _TITLE_LIMITS))
    except DocumentUnreadable:
        return Title("", sure=False)


def _run(what: str, path: Path, media_type: str, name: str, limits: Limits) -> dict[str, Any]:
    root = Path(__file__).resolve().parent.parent.parent
    command = [sys.executable, "-P", "-m", "knowledge.parsing.child"]
    command += [what, str(path), media_type, json.dumps(asdict(limits))]
    # The child gets no settings and no secrets: whatever a hostile file makes of it, there is little to be had.
    environment = {
        "PATH": os.environ.get("PATH", ""),
        "PYTHONPATH": str(root),
        "PYTHONUTF8": "1",
        "MALLOC_ARENA_MAX": "2",
    }
    try:
        ended = subprocess.run(  # noqa: S603 - our own interpreter and module; the file name is an argument, not a command
            command,
            capture_output=True,
            timeout=limits.wall_seconds,
            env=environment,
            stdin=subprocess.DEVNULL,
            check=False,
        )
    except subprocess.TimeoutExpired as error:
        raise ParsingLimitExceeded("time", name=name) from error
    if ended.returncode in {-signal.SIGXCPU, -signal.SIGKILL}:
        raise ParsingLimitExceeded("time", name=name)
    try:
        result: dict[str, Any] = json.loads(ended.stdout)
    except ValueError as error:
        if b"MemoryError" in ended.stderr or b"bad_alloc" in ended.stderr or ended.returncode == -signal.SIGABRT:
            raise ParsingLimitExceeded("memory", name=name) from error
        raise DocumentUnreadable("stopped", name=name) from error
    if "failed" in result:
        kind = ParsingLimitExceeded if result["failed"] in _LIMIT_CODES else DocumentUnreadable
        raise kind(result["failed"], name=name, **result["parameters"])
    return result
