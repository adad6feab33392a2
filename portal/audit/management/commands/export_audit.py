"""`manage.py export_audit --format jsonl -o FILE`."""

import getpass
import json
from datetime import date
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.db import transaction

from portal.audit import selectors
from portal.audit.services import record
from portal.database import ensure_tables


class Command(BaseCommand):
    help = "Write the audit trail to a file. The export leaves a record of itself."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--format", choices=["jsonl"], default="jsonl")
        parser.add_argument("--from", dest="first_day", type=date.fromisoformat, help="first day, YYYY-MM-DD")
        parser.add_argument("--to", dest="last_day", type=date.fromisoformat, help="last day, YYYY-MM-DD")
        parser.add_argument("-o", "--output", type=Path, required=True, help="the file to write")

    def handle(self, *args: Any, **options: Any) -> None:
        ensure_tables()
        first, last = options["first_day"], options["last_day"]
        try:
            file = options["output"].open("w", encoding="utf-8")
        except OSError as error:
            raise CommandError(f"{options['output']} cannot be written ({error.strerror}).") from error
        with file:
            with transaction.atomic():
                own = record(
                    "audit.exported",
                    actor=f"terminal:{getpass.getuser()}",
                    payload={
                        "format": "jsonl",
                        "filters": {key: day.isoformat() for key, day in (("from", first), ("to", last)) if day},
                    },
                )
            found = selectors.events(first_day=first, last_day=last).filter(seq__lte=own.seq).order_by("seq")
            count = 0
            for one in selectors.as_records(found):
                file.write(json.dumps(one, ensure_ascii=False, sort_keys=True) + "\n")
                count += 1
        self.stdout.write(f"{count} events written to {options['output']}.")
