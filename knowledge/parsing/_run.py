"""Starting the child process that reads a document, and making sense of how it ended."""

import json
import os
import signal
import subprocess
import sys
from dataclasses import asdict
from pathlib import Path

from knowledge._errors import DocumentUnreadable, ParsingLimitExceeded
from knowledge.parsing._document import ParsedDocument
from knowledge.parsing._limits import OUT_OF_MEMORY, Limits

_LIMIT_CODES = {"limit", "memory", "bomb"}


def parse(path: Path, media_type: str, name: str, limits: Limits | None = None) -> ParsedDocument:
    """Read the document at `path` in a child process; `name` is what its owner calls it.

    Raises DocumentUnreadable or ParsingLimitExceeded with a sentence that names the file.
    """
    limits = limits or Limits()
    root = Path(__file__).resolve().parent.parent.parent
    command = [
        sys.executable,
        "-P",
        "-m",
        "knowledge.parsing.child",
        str(path),
        media_type,
        name,
        json.dumps(asdict(limits)),
    ]
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
        raise ParsingLimitExceeded(
            f"“{name}” could not be read within {limits.wall_seconds:.0f} seconds. Please split it or save it again.",
            code="time",
        ) from error
    if ended.returncode in {-signal.SIGXCPU, -signal.SIGKILL}:
        raise ParsingLimitExceeded(
            f"“{name}” takes more computing time to be read than a document may use. Please split it or save it again.",
            code="time",
        )
    try:
        result = json.loads(ended.stdout)
    except ValueError as error:
        if b"MemoryError" in ended.stderr or b"bad_alloc" in ended.stderr or ended.returncode == -signal.SIGABRT:
            raise ParsingLimitExceeded(OUT_OF_MEMORY.format(name=name), code="memory") from error
        raise DocumentUnreadable(
            f"“{name}” is damaged: the program that reads it stopped half-way.", code="damaged"
        ) from error
    if "failed" in result:
        kind = ParsingLimitExceeded if result["failed"] in _LIMIT_CODES else DocumentUnreadable
        raise kind(result["message"], code=result["failed"])
    return ParsedDocument.from_json(result)
