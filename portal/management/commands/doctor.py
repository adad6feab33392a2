"""`manage.py doctor`: everything that is wrong with this installation, and the way to mend each."""

import json
import logging
import sys
from dataclasses import asdict
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from portal import doctor

_MARKS = {doctor.OK: "ok     ", doctor.WARNING: "warning", doctor.ERROR: "ERROR  "}


class Command(BaseCommand):
    help = (
        "Looks at this installation and says everything that is wrong with it, and the way to mend each. Changes "
        "nothing. Ends with 1 when something is wrong, with 0 when there are only warnings or nothing."
    )
    requires_system_checks = []  # they are part of what is looked at

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--json", action="store_true", help="one JSON object")
        parser.add_argument("--thorough", action="store_true", help="also hash the model's file")
        parser.add_argument(
            "--dpia",
            metavar="FILE",
            help="write a draft of the record of processing (GDPR art. 30) and the skeleton of an impact assessment in "
            "Markdown, from the live settings; - for standard output",
        )

    def handle(self, *args: Any, **options: Any) -> None:
        logging.disable(logging.CRITICAL)  # what goes wrong here is said below, once
        try:
            findings = doctor.examine(thorough=options["thorough"])
        finally:
            logging.disable(logging.NOTSET)
        if options["dpia"]:
            self._write_draft(options["dpia"], findings)
            return
        errors = sum(one.level == doctor.ERROR for one in findings)
        warnings = sum(one.level == doctor.WARNING for one in findings)
        if options["json"]:
            body = {"errors": errors, "warnings": warnings, "findings": [asdict(one) for one in findings]}
            self.stdout.write(json.dumps(body, ensure_ascii=False, indent=2))
        else:
            for one in findings:
                self.stdout.write(f"{_MARKS[one.level]} {one.part}: {one.message}")
                if one.remedy:
                    self.stdout.write(f"        → {one.remedy}")
            self.stdout.write(f"{errors} errors, {warnings} warnings.")
        if errors:
            sys.exit(1)

    def _write_draft(self, file: str, findings: list[doctor.Finding]) -> None:
        text = doctor.draft(findings)
        if file == "-":
            self.stdout.write(text, ending="")
            return
        try:
            Path(file).write_text(text, encoding="utf-8")
        except OSError as error:
            raise CommandError(f"{file} cannot be written ({error.strerror}).") from error
        self.stdout.write(f"Written to {file}: a draft, with the points that only the facility can complete.")
