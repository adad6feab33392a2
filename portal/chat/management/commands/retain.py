"""`manage.py retain`."""

import json
from dataclasses import asdict
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.core.serializers.json import DjangoJSONEncoder
from django.db import DatabaseError

from portal.audit import keys
from portal.chat import retaining
from portal.database import ensure_tables


class Command(BaseCommand):
    help = (
        "Erase what has been kept long enough (HAVRE_KEEP_CONVERSATIONS_DAYS, HAVRE_KEEP_NAMES_DAYS), as the clock "
        "does each night. --dry-run says what would go, and why. What a legal hold is on stays."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--dry-run", action="store_true", help="say what would go, and erase nothing")
        parser.add_argument("--json", action="store_true", help="one JSON object")

    def handle(self, *args: Any, **options: Any) -> None:
        ensure_tables()
        classes = retaining.look()
        outcome = None
        if not options["dry_run"]:
            try:
                outcome = retaining.retain()
            except keys.NoAuditKey as error:
                raise CommandError(f"Nothing is erased without its record. {error}") from error
            except DatabaseError as error:
                said = str(error).splitlines()[0]
                raise CommandError(f"Broken off: {said} What was erased is recorded; the next run goes on.") from error
        if options["json"]:
            report = {"classes": [asdict(one) for one in classes], "erased": asdict(outcome) if outcome else None}
            self.stdout.write(json.dumps(report, cls=DjangoJSONEncoder))
            return
        for one in classes:
            kept = f"kept {one.days} days" if one.days else "kept for ever"
            oldest = f", the oldest of {one.oldest:%Y-%m-%d}" if one.oldest else ""
            held = f"; {one.held} more under a legal hold" if one.held else ""
            self.stdout.write(f"{one.name}: {one.there}{oldest}; {kept}; {one.due} to be erased{held}.")
            self.stdout.write(f"    {retaining.CLASSES[one.name]}.")
        if outcome:
            self.stdout.write(
                f"Erased: {outcome.conversations} conversations with {outcome.turns} questions, {outcome.names} names; "
                f"{outcome.passed_by} passed by."
            )
