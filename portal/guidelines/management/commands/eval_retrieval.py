"""`manage.py eval_retrieval DIR`: how well retrieval does on a collection in the layout of BEIR, or (`--own`) on the
questions of the facility."""

import json
import os
import subprocess
import sys
import tempfile
from collections import Counter
from pathlib import Path
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError, CommandParser

import knowledge
from knowledge.models import Question
from portal.database import ensure_tables
from portal.guidelines import questions

_INSIDE = "HAVRE_EVALUATION_FOLDER"  # set for the process that measures, in a library of its own


class Command(BaseCommand):
    help = (
        "Measure retrieval: nDCG@10, recall and speed on a collection (corpus.jsonl, queries.jsonl, qrels/test.tsv), "
        "in a library and an index of its own that are deleted afterwards; with --own, the facility's own questions in "
        "this library."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("folder", nargs="?", type=Path, metavar="DIR", help="the collection")
        parser.add_argument("--own", action="store_true", help="the facility's own question set, in this library")
        parser.add_argument("--limit", type=int, metavar="N", help="the first N questions only")
        parser.add_argument("--compare", action="store_true", help="also BM25, meaning alone and their plain fusion")
        parser.add_argument(
            "--covered",
            action="store_true",
            help="also how often questions count as covered, with and without the documents that answer them",
        )
        parser.add_argument("--json", action="store_true", help="print the result as JSON")

    def handle(self, *args: Any, **options: Any) -> None:
        if options["own"] == bool(options["folder"]):
            raise CommandError("Name the folder of a collection, or --own.")
        if options["limit"] is not None and options["limit"] < 1:
            raise CommandError("--limit wants a number from 1 on.")
        try:
            if options["own"]:
                result = _own(options["limit"])
            elif os.environ.get(_INSIDE):
                result = self._measure(options)
            else:
                result = self._apart(options)
        except knowledge.KnowledgeError as error:
            raise CommandError(str(error)) from error
        if options["json"]:
            self.stdout.write(json.dumps(result))
        else:
            self._table(result)

    def _apart(self, options: dict[str, Any]) -> dict[str, Any]:
        """Run this command again in a process whose data folder and database are new and go away with it."""
        from knowledge.retrieval._measuring import read_collection

        read_collection(options["folder"])  # what is wrong with it is said at once
        with tempfile.TemporaryDirectory(prefix="havre-evaluation-") as folder:
            own = {_INSIDE: folder, "HAVRE_DATA_DIR": folder, "HAVRE_CHROMA_URL": "", "HAVRE_WATCH_FOLDER": ""}
            own["HAVRE_DATABASE_URL"] = f"sqlite:///{folder}/evaluation.sqlite3"
            command = [sys.executable, sys.argv[0], "eval_retrieval", str(options["folder"].absolute()), "--json"]
            if options["limit"]:
                command += ["--limit", str(options["limit"])]
            command += [f"--{name}" for name in ("compare", "covered") if options[name]]
            environment = os.environ | own
            done = subprocess.run(command, env=environment, stdout=subprocess.PIPE, text=True, check=False)  # noqa: S603
        if done.returncode:
            raise CommandError("The measurement failed; the lines above say why.", returncode=done.returncode)
        result: dict[str, Any] = json.loads(done.stdout.strip().splitlines()[-1])
        return result

    def _measure(self, options: dict[str, Any]) -> dict[str, Any]:
        from dataclasses import replace

        from knowledge.retrieval._measuring import measure, read_collection

        if Path(os.environ[_INSIDE]) != Path(settings.HAVRE_DATA_DIR):
            raise CommandError("A measurement runs in a data folder of its own.")
        ensure_tables()
        collection = read_collection(options["folder"])
        if options["limit"]:
            few = dict(list(collection.questions.items())[: options["limit"]])
            collection = replace(collection, questions=few)

        def tell(done: int, total: int) -> None:
            if done % 500 == 0 or done == total:
                self.stderr.write(f"{done} of {total} documents")

        try:
            return measure(collection, tell, options["compare"], options["covered"])
        finally:
            knowledge.close()

    def _table(self, result: dict[str, Any]) -> None:
        for name, value in result.items():
            if isinstance(value, dict):
                self.stdout.write(f"{name}:")
                for key, one in value.items():
                    self.stdout.write(f"  {key:14} {json.dumps(one)}")
            else:
                self.stdout.write(f"{name:16} {value}")


def _own(limit: int | None) -> dict[str, Any]:
    """The facility's question set: the share found in the first place and among those that a turn is given, and how
    many of these on the very page. Cases whose guideline does not answer now, or no longer has the words, are counted
    apart."""
    cases = list(questions.questions().select_related("guideline").order_by("created_at")[:limit])
    if not cases:
        raise CommandError("There are no questions yet: add some on the page “Test bench”.")
    try:
        ranks = [_rank(case) for case in cases]
    finally:
        knowledge.close()
    asked = [one for one in ranks if one is not None]
    found = Counter(place for place, _ in asked if place)
    exact = sum(page for place, page in asked if place)
    share = max(len(asked), 1)
    return {
        "questions": len(cases),
        "silent": len(cases) - len(asked),
        "found@1": round(found[1] / share, 4),
        f"found@{settings.HAVRE_PASSAGES}": round(sum(found.values()) / share, 4),
        "page_exact": round(exact / max(sum(found.values()), 1), 4),
    }


def _rank(case: Question) -> tuple[int | None, bool] | None:
    from knowledge import selectors

    if not selectors.answering_versions().filter(guideline=case.guideline_id).exists():
        return None
    passages = knowledge.retrieve(case.text, limit=settings.HAVRE_PASSAGES).passages
    place = questions.place_of(case, passages)
    if place is None:
        return None, False
    one = passages[place - 1]
    pages = range(one.page or 0, (one.last_page or one.page or 0) + 1)
    return place, case.page is None or one.page is None or case.page in pages
