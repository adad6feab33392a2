"""`manage.py ingest PATH…`: take guideline files into the library."""

import getpass
import json
import time
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

import knowledge
from knowledge import selectors
from knowledge.models import Department, GuidelineVersion
from knowledge.parsing import MEDIA_TYPES
from portal import demonstration, parts
from portal.database import ensure_tables
from portal.guidelines import services

_SUFFIXES = {suffix for kind in MEDIA_TYPES for suffix in kind.extensions}  # what is taken out of a folder
_ENDED = (GuidelineVersion.Ingestion.INDEXED, GuidelineVersion.Ingestion.FAILED)


class Command(BaseCommand):
    help = (
        "Take guideline files (PDF, DOCX, ODT, EPUB, HTML, Markdown, text) into the library and make them searchable. "
        "While the knowledge worker runs, it does the reading; otherwise this command does."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("paths", nargs="*", type=Path, metavar="PATH", help="files, or folders of files")
        parser.add_argument("--language", choices=["fr", "en"], help="the documents' language (default: found out)")
        parser.add_argument("--title", help="the title, for a single file (default: from the document)")
        parser.add_argument("--publisher", default="", help="who publishes the documents")
        parser.add_argument(
            "--department",
            action="append",
            default=[],
            metavar="NAME",
            help="a department that new guidelines are for, once for each (default: everybody)",
        )
        parser.add_argument(
            "--approve",
            action="store_true",
            help="let the documents answer as soon as they are read; without it they are drafts, which two people "
            "submit and approve on the page Guidelines",
        )
        parser.add_argument("--samples", action="store_true", help="take in the sample guidelines of Havre")
        parser.add_argument("--json", action="store_true", help="print the result as JSON")

    def handle(self, *args: Any, **options: Any) -> None:
        ensure_tables()
        if options["samples"]:
            demonstration.ensure_guidelines(self.stdout.write)
            return
        files = list(_files(options["paths"]))
        if not files:
            raise CommandError("Name at least one file or folder with guideline files.")
        if options["title"] and len(files) > 1:
            raise CommandError("--title goes with a single file.")
        departments = [_department(name) for name in options["department"]]
        results = [self._take_in(path, options, departments) for path in files]
        waiting = {one["version"] for one in results if "version" in one}
        if waiting:
            self._ingest(waiting)
        results = [one | _outcome(one["version"]) if "version" in one else one for one in results]
        failures = [one for one in results if one.get("error")]
        if options["json"]:
            self.stdout.write(json.dumps({"files": results}, ensure_ascii=False))
        else:
            for one in results:
                self.stdout.write(f"{one['file']}: {one.get('error') or one['state']}")
        if failures:
            raise CommandError(f"{len(failures)} of {len(results)} files were not taken in.")

    def _take_in(self, path: Path, options: dict[str, Any], departments: list[Department]) -> dict[str, Any]:
        try:
            version = services.take_in(
                path,
                filename=path.name,
                actor=f"terminal:{getpass.getuser()}",
                title=options["title"],
                language=options["language"],
                publisher=options["publisher"],
                departments=departments,
                origin=GuidelineVersion.Origin.COMMAND,
                approve=options["approve"],
            )
        except (knowledge.KnowledgeError, OSError) as error:
            return {"file": str(path), "error": str(error)}
        return {"file": str(path), "version": str(version.pk), "guideline": str(version.guideline_id)}

    def _ingest(self, waiting: set[str]) -> None:
        with demonstration.Bar("guidelines", unit="step") as bar:
            if parts.look().knowledge and services.queue_ingestion():
                while still := [one for one in map(selectors.get_version, waiting) if one.ingestion not in _ENDED]:
                    bar.show(still[0].progress_done, still[0].progress_total, still[0].filename[:40])
                    time.sleep(0.3)
                return
            try:
                services.ingest_pending(lambda step: bar.show(step.done, step.total, f"{step.title[:32]}: {step.step}"))
            except knowledge.KnowledgeError as error:
                raise CommandError(str(error)) from error


def _department(name: str) -> Department:
    found = Department.objects.filter(name__iexact=" ".join(name.split())).first()
    if found is None:
        known = ", ".join(Department.objects.values_list("name", flat=True)) or "none yet"
        raise CommandError(f"There is no department {name}. Known: {known}. Departments are made on their page.")
    return found


def _files(paths: list[Path]) -> Any:
    for path in paths:
        if path.is_dir():
            yield from sorted(one for one in path.rglob("*") if one.is_file() and one.suffix.lower() in _SUFFIXES)
        elif path.exists():
            yield path
        else:
            raise CommandError(f"There is no file {path}.")


def _outcome(version_id: str) -> dict[str, Any]:
    version = selectors.get_version(version_id)
    found: dict[str, Any] = {"state": f"{version.ingestion}, {version.state}", "pages": version.page_count}
    if version.error:
        found["error"] = version.error
    return found
