"""`manage.py screen`: what the crisis screen says of each line of standard input."""

import json
import sys
from typing import Any, TextIO

from django.core.management.base import BaseCommand, CommandParser

from guardrails import screen_input

_LONGEST_LINE = 1024 * 1024  # characters: a line beyond this is answered with an error, not read into memory whole


class LineError(Exception):
    """A line of input that is not a text to screen; the message says why."""


class Command(BaseCommand):
    help = (
        "Screens each line of standard input: a text, or a JSON object with text, lang and history (earlier texts of "
        "the same person). Prints one JSON object a line, in order."
    )
    requires_system_checks = []

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--json", action="store_true", help="JSON lines (the default; here for uniformity)")

    def handle(self, *args: Any, **options: Any) -> None:
        for line in _lines(sys.stdin):
            try:
                answer = screened(line)
            except LineError as error:
                answer = {"error": str(error)}
            self.stdout.write(json.dumps(answer, ensure_ascii=False))
            self.stdout.flush()  # so that a program on the other end of the pipe can answer line by line


def _lines(stream: TextIO) -> Any:
    """The lines of a stream; bytes that are not UTF-8 become replacement characters instead of a traceback."""
    reconfigure = getattr(stream, "reconfigure", None)
    if reconfigure is not None:
        reconfigure(encoding="utf-8", errors="replace")
    while line := stream.readline(_LONGEST_LINE):
        while line and not line.endswith("\n") and len(line) >= _LONGEST_LINE:
            rest = stream.readline(_LONGEST_LINE)
            if not rest or rest.endswith("\n"):
                break
        yield line.rstrip("\r\n")


def screened(line: str) -> dict[str, Any]:
    """The verdict on one line as a JSON-ready object. Raises LineError with a clear sentence."""
    text, language, history = _parsed(line)
    verdict = screen_input(text, language=language, history=history)
    return {
        "category": verdict.category.value,
        "score": verdict.score,
        "rules": list(verdict.rules),
        "action": verdict.action.value,
        "rule_set": verdict.rule_set,
        "ms": verdict.milliseconds,
        "matched": list(verdict.matched),
    }


def _parsed(line: str) -> tuple[str, str | None, tuple[str, ...]]:
    if len(line) >= _LONGEST_LINE:
        raise LineError(f"The line is longer than {_LONGEST_LINE} characters.")
    if not line.lstrip().startswith("{"):
        return line, None, ()
    try:
        entry = json.loads(line)
    except (ValueError, RecursionError) as error:
        raise LineError(f"The line begins like JSON and is none: {error}.") from error
    if not isinstance(entry, dict) or not isinstance(entry.get("text"), str):
        raise LineError('A JSON line needs "text", a string.')
    language = entry.get("lang")
    if language is not None and not isinstance(language, str):
        raise LineError('"lang" must be a string such as "fr".')
    history = entry.get("history") or []
    if not isinstance(history, list) or not all(isinstance(item, str) for item in history):
        raise LineError('"history" must be a list of strings.')
    return entry["text"], language, tuple(history)
