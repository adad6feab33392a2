"""`manage.py audit_key`: which key signs the audit trail, and another one."""

import getpass
import json
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from portal.audit import keys, rotation, sealing
from portal.database import ensure_tables


class Command(BaseCommand):
    help = (
        "Shows the public key of the audit trail, to be kept elsewhere for verifications. With --new, puts another key "
        "into the file HAVRE_AUDIT_KEY_FILE: the old one signs it off and is destroyed."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--new", action="store_true", help="replace the key")
        parser.add_argument("--lost", action="store_true", help="with --new: the old one is lost; recorded as a break")
        parser.add_argument("--reason", default="", help="why; required with --lost, kept in the audit trail")
        parser.add_argument("--json", action="store_true", help="one JSON object")

    def handle(self, *args: Any, **options: Any) -> None:
        ensure_tables()
        if options["lost"] and not options["new"]:
            raise CommandError("--lost goes with --new.")
        try:
            said = self._replace(options) if options["new"] else _shown(keys.current())
        except rotation.NotLost:
            raise CommandError("The key is there and is the right one: replace it without --lost.") from None
        except sealing.Tampered as error:
            raise CommandError(f"Nothing was replaced: {error}. `manage.py verify_audit` says more.") from error
        except keys.WrongAuditKey as error:
            raise CommandError(
                f"{error} Bring the right one back. When this is the right one, somebody changed the "
                "database: keep it as it is, and run `manage.py verify_audit`."
            ) from error
        except keys.NoAuditKey as error:
            raise CommandError(str(error)) from error
        if options["json"]:
            self.stdout.write(json.dumps(said))
        else:
            self.stdout.write("\n".join(f"{name.replace('_', ' '):12} {value}" for name, value in said.items()))

    def _replace(self, options: dict[str, Any]) -> dict[str, Any]:
        actor, reason = f"terminal:{getpass.getuser()}", options["reason"].strip()
        if options["lost"] and not reason:
            raise CommandError("Say with --reason what became of the old key: it is kept in the audit trail.")
        exchange = rotation.replace_lost if options["lost"] else rotation.replace
        done = exchange(actor=actor, reason=reason)
        self.stderr.write("Copy the new key to where the facility keeps its keys, and to every machine of Havre.")
        return {"event": done.seq, "old_public_key": done.old.hex(), **_shown(keys.current())}


def _shown(key: keys.AuditKey) -> dict[str, Any]:
    return {"public_key": key.public.hex(), "key_id": key.key_id}
