"""`manage.py export_audit --format bundle -o FILE`."""

import getpass
import json
import sys
import time
from argparse import ArgumentTypeError
from datetime import date
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.db import DatabaseError

from portal.audit import keys
from portal.audit.exporting import FORMATS, Asker, ExportFailed, Selection, Unavailable, begin, write_file
from portal.database import ensure_tables

_QUIET_SECONDS = 3.0
_FILTERS = {
    "actor": "who acted: a name, or a code",
    "role": "the role in which somebody acted",
    "conversation": "turns of this conversation (its id)",
    "document": "turns that were given passages of it: the id of a guideline or version, or a file's SHA-256",
    "rule": "turns in which this guardrail rule fired",
    "verdict": "turns whose question was given this category or action",
    "model": "turns that this model answered: its name or SHA-256",
    "kind": "a kind of event, or its beginning",
    "subject": "what it happened to: an id, a person's name or code",
}


def _day(text: str) -> date:
    try:
        return date.fromisoformat(text)
    except ValueError:
        raise ArgumentTypeError(f"{text!r} is no day: write YYYY-MM-DD") from None


class Command(BaseCommand):
    help = "Write the audit trail, or a part of it, to a file. The export leaves a record of itself."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--format", choices=list(FORMATS), required=True)
        parser.add_argument("--from", dest="first_day", type=_day, metavar="DAY", help="first day, YYYY-MM-DD")
        parser.add_argument("--to", dest="last_day", type=_day, metavar="DAY", help="last day, YYYY-MM-DD")
        for name, meaning in _FILTERS.items():
            parser.add_argument(f"--{name}", default="", help=meaning)
        parser.add_argument("-o", "--output", type=Path, required=True, metavar="FILE", help="the file to write")
        parser.add_argument("--force", action="store_true", help="write over a file that is there")
        parser.add_argument("--json", action="store_true", help="say what was written as JSON")

    def handle(self, *args: Any, **options: Any) -> None:
        ensure_tables()
        file: Path = options["output"]
        if file.exists() and not options["force"]:
            raise CommandError(f"{file} is there already: choose another name, or add --force.")
        if file.is_dir() or not file.absolute().parent.is_dir():
            raise CommandError(f"{file} cannot be written: the folder is not there, or this is one.")
        selection = Selection(options["first_day"], options["last_day"], **{name: options[name] for name in _FILTERS})
        asker = Asker(f"terminal:{getpass.getuser()}")
        try:
            order = begin(options["format"], selection, asker)
            outcome = write_file(order, file, _Progress())
        except Unavailable as error:
            raise CommandError(str(error)) from error
        except keys.NoAuditKey as error:
            raise CommandError(f"Nothing is exported without its record. {error}") from error
        except DatabaseError as error:
            raise CommandError(
                f"The database did not take the export's record: {str(error).splitlines()[0]}"
            ) from error
        except ExportFailed as error:
            raise CommandError(str(error)) from error
        except KeyboardInterrupt as error:
            raise CommandError("Stopped: nothing was written.") from error
        if options["json"]:
            said = {"export": order.number, "events": outcome.count, "bytes": outcome.size, "sha256": outcome.sha256}
            self.stdout.write(json.dumps({"file": str(file), **said}))
            return
        self.stdout.write(f"{outcome.count} events written to {file} ({outcome.size:,} bytes).")
        self.stdout.write(f"SHA-256 {outcome.sha256}")


class _Progress:
    """Says on standard error how far it is, from the third second on."""

    def __init__(self) -> None:
        self._said = time.monotonic()

    def __call__(self, done: int, of: int) -> None:
        now = time.monotonic()
        if now - self._said >= _QUIET_SECONDS:
            self._said = now
            sys.stderr.write(f"{done:,} of {of:,} events\n")
            sys.stderr.flush()
