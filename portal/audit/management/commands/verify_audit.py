"""`manage.py verify_audit [BUNDLE]`."""

import getpass
import json
import sys
from dataclasses import asdict
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.db import DatabaseError
from tqdm import tqdm

from portal.audit import _pushed, keys, verifying
from portal.database import ensure_tables

_LONG = 20_000  # events: a few seconds


class Command(BaseCommand):
    help = (
        "Checks that the audit trail is what was recorded: every event, each checkpoint and its signature, every name. "
        "Says where it is not, and then ends with 1; the outcome is recorded. With BUNDLE, an exported file is checked "
        "instead."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("bundle", nargs="?", type=Path, metavar="BUNDLE", help="a bundle that was exported")
        parser.add_argument(
            "--checkpoints",
            type=Path,
            metavar="FILE",
            help="checkpoints that lay elsewhere: a file of a syslog server, the folder they were dropped in, or a "
            "bundle that somebody kept",
        )
        parser.add_argument(
            "--public-key", metavar="HEX", help="the public key to trust, got elsewhere; without it the key file's"
        )
        parser.add_argument("--json", action="store_true", help="one JSON object")

    def handle(self, *args: Any, **options: Any) -> None:
        public = _public_key(options["public_key"]) if options["public_key"] else None
        if options["bundle"]:
            self._bundle(options["bundle"], options)
            return
        ensure_tables()
        try:
            pushed = list(_pushed.read(options["checkpoints"])) if options["checkpoints"] else []
            outcome = self._verify(public, pushed)
        except (_pushed.Unusable, keys.NoAuditKey) as error:
            raise CommandError(str(error)) from error
        kept = self._keep(outcome)
        if options["json"]:
            self.stdout.write(json.dumps(_report(outcome), ensure_ascii=False, indent=2))
        else:
            self._tell(outcome)
        if kept:
            self.stderr.write(kept)
        if not outcome.is_sound:
            sys.exit(1)

    def _verify(self, public: bytes | None, pushed: list[_pushed.Pushed]) -> verifying.Outcome:
        quiet = not sys.stderr.isatty()
        with tqdm(desc="events", unit="", unit_scale=True, disable=quiet, file=sys.stderr, leave=False) as bar:

            def show(done: int, total: int) -> None:
                bar.total = total
                bar.update(done - bar.n)
                if quiet and done // _LONG != (done - 2000) // _LONG and total > _LONG:
                    self.stderr.write(f"{done} of {total} events")

            return verifying.verify(public_key=public, pushed=pushed, on_progress=show)

    def _keep(self, outcome: verifying.Outcome) -> str:
        """Record the outcome; returns why that was not possible."""
        try:
            verifying.keep(outcome, actor=f"terminal:{getpass.getuser()}")
        except keys.NoAuditKey as error:
            return f"The outcome could not be recorded. {error}"
        except DatabaseError as error:
            return f"The outcome could not be recorded: {str(error).splitlines()[0]}"
        return ""

    def _tell(self, outcome: verifying.Outcome) -> None:
        for one in outcome.findings:
            self.stdout.write(f"FOUND   {one}")
        if outcome.more:
            self.stdout.write(f"FOUND   and {outcome.more} more")
        for one in outcome.breaks:
            self.stdout.write(f"note    {one}")
        which = f"{outcome.events} events, {outcome.checkpoints} checkpoints, key {outcome.key_id}"
        number = len(outcome.findings) + outcome.more
        verdict = "the audit trail is what was recorded" if outcome.is_sound else f"{number} findings"
        self.stdout.write(f"{which}, {outcome.seconds:.1f} s: {verdict}.")
        self.stdout.write(f"root {outcome.root}")

    def _bundle(self, bundle: Path, options: dict[str, Any]) -> None:
        """Have the bundle's own verifier look at it, as it is in this version of Havre."""
        from portal.audit import verifier

        arguments = [str(bundle)]
        if options["public_key"]:
            arguments += ["--public-key", options["public_key"]]
        if options["checkpoints"]:
            arguments += ["--checkpoint", str(options["checkpoints"])]
        if options["json"]:
            arguments.append("--json")
        if code := verifier.main(arguments):
            sys.exit(code)


def _public_key(given: str) -> bytes:
    try:
        public = bytes.fromhex(given.strip())
    except ValueError:
        public = b""
    if len(public) != 32:
        raise CommandError("A public key is 64 hexadecimal digits, as `manage.py audit_key` shows it.")
    return public


def _report(outcome: verifying.Outcome) -> dict[str, Any]:
    places = {name: [asdict(one) for one in getattr(outcome, name)] for name in ("findings", "breaks")}
    return {"sound": outcome.is_sound, **asdict(outcome), **places}
