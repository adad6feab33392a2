"""The language models of this installation: list, import, pull, verify, activate, remove."""

import getpass
import json
from argparse import ArgumentParser
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError
from django.db import DatabaseError
from tqdm import tqdm

from inference import InferenceError, ModelInfo, ModelStore, Sentence, catalogue, room
from portal.modelcards import services, wording
from portal.workers import engine_settings

Progress = Callable[[int, int], None]


class Command(BaseCommand):
    requires_system_checks = []  # a model may be fetched before the rest of an installation is there
    help = "Shows and changes the language models of this installation. Workers load the active one."

    def add_arguments(self, parser: ArgumentParser) -> None:
        actions = parser.add_subparsers(dest="action", required=True, metavar="ACTION")

        def action(name: str, help_text: str) -> ArgumentParser:
            one = actions.add_parser(name, help=help_text, description=help_text)
            one.add_argument("--json", action="store_true", help="report as JSON")
            return one

        action("list", "The models that are here, and those that can be pulled.")
        one = action("import", "Checks a GGUF file, or all parts of one, and copies it into the models folder.")
        one.add_argument("file", type=Path, help="the GGUF file, or any part of it")
        one.add_argument("--name", help="the name to register it under; without it the file's own name")
        one.add_argument("--link", action="store_true", help="leave the file where it is and link to it")
        one = action("pull", "Fetches a model of the catalogue and checks its SHA-256. Needs a network.")
        one.add_argument("name", help="a name of the catalogue: " + ", ".join(entry.name for entry in catalogue()))
        one.add_argument(
            "--sha256",
            action="append",
            default=[],
            metavar="HASH",
            help="of a file whose hash is not known here",
        )
        one = action("verify", "Hashes the files of one model, or of all, again. Fails when one has changed.")
        one.add_argument("name", nargs="?", help="the model; without it all")
        one = action("activate", "Tries a model with the smoke prompt and makes it the one that workers load.")
        one.add_argument("name", help="the model")
        one = action("remove", "Removes a model and its files. Of a linked one only the links go.")
        one.add_argument("name", help="the model")

    def handle(self, *args: Any, **options: Any) -> None:
        store = services.store()
        try:
            getattr(self, f"_{options['action']}")(store, options)
        except InferenceError as error:
            raise CommandError(wording.sentence(error)) from error
        except KeyboardInterrupt as error:
            raise CommandError("Interrupted. What has come is kept: the same command goes on.") from error

    def _list(self, store: ModelStore, options: dict[str, Any]) -> None:
        active = store.active()
        models = store.list()
        here = {one.name for one in models}
        others = [entry for entry in catalogue() if entry.name not in here]
        if options["json"]:
            rows = [{**_row(one), "active": one == active, "memory": _room(one)} for one in models]
            self._print_json({"models": rows, "catalogue": [entry.name for entry in others]})
            return
        for one in models:
            mark = "*" if one == active else " "
            self.stdout.write(f"{mark} {_line(one)}")
            self.stdout.write(f"    {_room(one)}")
        if not models:
            self.stdout.write("No model is here yet.")
        elif active is None:
            self.stdout.write("None is active: `manage.py models activate NAME`.")
        for entry in others:
            way = f"models pull {entry.name}" + ("" if entry.sha256 else " --sha256 …: its hash is not known here")
            self.stdout.write(f"  {entry.name} (not here: {way}) {entry.licence}, {_size(entry.size)}. {entry.how}")

    def _import(self, store: ModelStore, options: dict[str, Any]) -> None:
        with _progress("copying", options) as progress:
            one = store.import_file(options["file"], options["name"], link=options["link"], on_progress=progress)
        self._record("model.imported", one)
        self._report(one, "Imported", options)

    def _pull(self, store: ModelStore, options: dict[str, Any]) -> None:
        before = {one.sha256 for one in store.list()}
        with _progress("downloading", options) as progress:
            one = store.pull(options["name"], progress, sha256=options["sha256"])
        if one.sha256 not in before:
            self._record("model.pulled", one, source=one.source)
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
        def say(step: Sentence) -> None:
            if not options["json"]:
                self.stdout.write(wording.sentence(step))
                self.stdout.flush()

        say(_needs(store.get(options["name"])))
        one = services.activate(store, options["name"], actor=_who(), say=say, on_unrecorded=self._warn)
        self._report(one, "Active; running workers take it up when their answers are finished", options)

    def _remove(self, store: ModelStore, options: dict[str, Any]) -> None:
        one = store.remove(options["name"])
        self._record("model.removed", one)
        self._report(one, "Removed", options)

    def _record(self, kind: str, one: ModelInfo, **more: str) -> None:
        """Into the audit trail; a model may be fetched before there is one."""
        try:
            services.record_change(kind, one, actor=_who(), **more)
        except DatabaseError as error:
            self._warn(error)

    def _warn(self, error: DatabaseError) -> None:
        self.stderr.write(f"Not written into the audit trail: the database is not ready ({type(error).__name__}).")

    def _report(self, one: ModelInfo, what: str, options: dict[str, Any]) -> None:
        if options["json"]:
            self._print_json({**_row(one), "memory": _room(one)})
            return
        self.stdout.write(f"{what}: {_line(one)}")
        if options["action"] in {"import", "pull"}:
            self.stdout.write(_room(one))

    def _print_json(self, value: object) -> None:
        self.stdout.write(json.dumps(value, indent=2))


def _who() -> str:
    """The person at the terminal, as the operating system knows him."""
    try:
        return f"terminal:{getpass.getuser()}"
    except (OSError, KeyError):  # a user without a name, as in a container
        return "terminal"


def _room(one: ModelInfo) -> str:
    """Whether the model fits this machine, in words."""
    return wording.sentence(_needs(one))


def _needs(one: ModelInfo) -> Sentence:
    try:
        return room(one, engine_settings(one.path)).said()
    except InferenceError as error:
        return error.said


def _row(one: ModelInfo) -> dict[str, Any]:
    names = (
        *("name", "sha256", "size", "architecture", "quantization", "context", "licence", "demonstration", "title"),
        *("publisher", "variant", "family", "parameters", "active_parameters", "source", "added", "verified"),
    )
    parts = [asdict(part) for part in one.parts]
    return {**{name: getattr(one, name) for name in names}, "path": str(one.path), "parts": parts}


def _line(one: ModelInfo) -> str:
    words = [one.architecture, one.quantization, _size(one.size), one.licence or "licence unknown"]
    if one.parameters:
        words.insert(1, f"{_count(one.parameters)} parameters, {_count(one.active_parameters)} active")
    if len(one.parts) > 1:
        words.append(f"{len(one.parts)} parts")
    if one.demonstration:
        words.append("demonstration only, not for clinical use")
    if one.smoke:
        words.append("smoke prompt passed" if one.smoke.passed else "smoke prompt failed")
    return f"{one.name} ({', '.join(words)}) sha256 {one.sha256[:12]}…"


def _count(number: int) -> str:
    return f"{number / 1e9:.1f} B" if number >= 1e9 else f"{number / 1e6:.0f} M"


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
