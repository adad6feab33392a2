"""`manage.py close_account NAME [--reopen]`."""

import getpass
import json
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.db import DatabaseError

from portal.accounts.models import User
from portal.accounts.services import AccountError, close, reopen
from portal.audit import keys
from portal.database import ensure_tables


class Command(BaseCommand):
    help = (
        "Close the account of somebody who left: every session ends, nobody signs in with it, and what is theirs is "
        "kept as long as docs/compliance.md says. --reopen undoes it. To erase a person: manage.py erase --user NAME."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("name", help="the sign-in name, exactly")
        parser.add_argument("--reopen", action="store_true", help="let the person sign in again")
        parser.add_argument("--json", action="store_true", help="one JSON object")

    def handle(self, *args: Any, **options: Any) -> None:
        ensure_tables()
        user = User.objects.filter(username=options["name"]).first()
        if user is None:
            raise CommandError("There is no person with this name.")
        change = reopen if options["reopen"] else close
        try:
            change(user, actor=f"terminal:{getpass.getuser()}")
        except (AccountError, keys.NoAuditKey) as error:
            raise CommandError(str(error)) from error
        except DatabaseError as error:
            raise CommandError(f"Nothing was changed: {str(error).splitlines()[0]}") from error
        result = {"name": user.username, "open": options["reopen"]}
        said = f"{'Reopened' if options['reopen'] else 'Closed'} the account {user.username}."
        self.stdout.write(json.dumps(result) if options["json"] else said)
