"""`manage.py erase --conversation ID | --user NAME`."""

import getpass
import json
from dataclasses import asdict
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.core.serializers.json import DjangoJSONEncoder
from django.db import DatabaseError

from portal.audit import keys
from portal.chat import erasing
from portal.chat.models import Conversation
from portal.database import ensure_tables


class Command(BaseCommand):
    help = (
        "Erase a conversation, or a person with all of their conversations: keys and names are destroyed, for good; a "
        "tombstone stays, and every proof of the audit trail still holds. Copies of the database from before can be "
        "read with the master key until they are gone: docs/compliance.md."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        what = parser.add_mutually_exclusive_group(required=True)
        what.add_argument("--conversation", metavar="ID", help="the id of a conversation, or of a question in it")
        what.add_argument(
            "--user", metavar="NAME", help="the sign-in name, exactly; terminal:NAME: whoever ran commands"
        )
        parser.add_argument("--reason", default="", metavar="TEXT", help="kept in the audit trail: no names of anybody")
        parser.add_argument("--dry-run", action="store_true", help="say what would go, and erase nothing")
        parser.add_argument("--yes", action="store_true", help="do not ask")
        parser.add_argument("--json", action="store_true", help="one JSON object")

    def handle(self, *args: Any, **options: Any) -> None:
        ensure_tables()
        target = _target(options)
        refusal, extent = _refusal(target), _extent(target)
        report = {"what": _name(target), **asdict(extent), "refusal": refusal, "erased": False}
        if not options["dry_run"]:
            if refusal:
                raise CommandError(refusal)
            if not options["yes"] and not self._is_wanted(report):
                raise CommandError("Nothing was erased.")
            report |= _erase(target, options["reason"], extent)
        if options["json"]:
            self.stdout.write(json.dumps(report, cls=DjangoJSONEncoder))
            return
        would = "Erased" if report["erased"] else "Would be erased"
        self.stdout.write(f"{would}: {_said(report)}.")
        if refusal:
            self.stdout.write(f"But: {refusal}")
        if report["erased"] and not report["written_over"]:
            self.stdout.write("Somebody reads the database at this moment: its log is written over within a minute.")

    def _is_wanted(self, report: dict[str, Any]) -> bool:
        self.stdout.write(f"This erases {_said(report)}, for good.")
        return input("Type yes to erase: ").strip().lower() == "yes"


def _target(options: dict[str, Any]) -> erasing.Target | str:
    """What is meant; a name that only the audit trail knows as it is."""
    text: str = options["user"] or options["conversation"]
    target = erasing.find_person(text) if options["user"] else erasing.find_conversation(text)
    if target is None and options["user"] and not erasing.refusal_to_forget(text):
        return text
    if target is None:
        what = "person with this name" if options["user"] else "conversation with this id"
        raise CommandError(f"There is no {what}.")
    return target


def _refusal(target: erasing.Target | str) -> str:
    return erasing.refusal_to_forget(target) if isinstance(target, str) else erasing.refusal(target)


def _extent(target: erasing.Target | str) -> erasing.Extent:
    return erasing.Extent(0, 0, 0, None, None) if isinstance(target, str) else erasing.extent_of(target)


def _erase(target: erasing.Target | str, reason: str, gone: erasing.Extent) -> dict[str, Any]:
    by = erasing.By(f"terminal:{getpass.getuser()}", reason=reason)
    try:
        if isinstance(target, str):
            erasing.forget_name(target, by)
        else:
            gone = erasing.erase(target, by)
    except (erasing.NotErased, keys.NoAuditKey) as error:
        raise CommandError(str(error)) from error
    except DatabaseError as error:
        said = str(error).splitlines()[0]
        text = f"Broken off: {said} What was erased until then is recorded, and erasing again goes on."
        raise CommandError(text) from error
    return {**asdict(gone), "erased": True, "written_over": erasing.write_over()}


def _name(target: erasing.Target | str) -> str:
    """What it is called once it is erased: the report may be kept."""
    if isinstance(target, str):
        return "the name of somebody without an account"
    return f"conversation {target.pk}" if isinstance(target, Conversation) else f"person {target.pk}"


def _said(report: dict[str, Any]) -> str:
    return f"{report['what']}, {report['conversations']} conversations with {report['turns']} questions"
