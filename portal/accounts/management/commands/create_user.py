"""`manage.py create_user NAME --role clinician|admin|compliance [--password-stdin]`."""

import getpass
import json
import sys
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.db import DatabaseError

from portal.accounts.models import Role
from portal.accounts.services import AccountError, create_user, random_password
from portal.audit import keys
from portal.database import ensure_tables


class Command(BaseCommand):
    help = "Create a person who can sign in. Without --password-stdin, a fresh random password is printed."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("name", help="the sign-in name")
        parser.add_argument("--role", required=True, choices=Role.values)
        parser.add_argument("--password-stdin", action="store_true", help="read the password from standard input")
        parser.add_argument("--json", action="store_true", help="print the result as JSON")

    def handle(self, *args: Any, **options: Any) -> None:
        ensure_tables()
        given = sys.stdin.readline().rstrip("\r\n") if options["password_stdin"] else None
        password = given or random_password()
        if options["password_stdin"] and not given:
            raise CommandError("Standard input held no password.")
        try:
            user = create_user(
                options["name"],
                role=Role(options["role"]),
                password=password,
                actor=f"terminal:{getpass.getuser()}",
            )
        except (AccountError, keys.NoAuditKey) as error:
            raise CommandError(str(error)) from error
        except DatabaseError as error:
            raise CommandError(f"Nothing was changed: {str(error).splitlines()[0]}") from error
        result = {"name": user.username, "role": user.role}
        if given is None:
            result["password"] = password
        if options["json"]:
            self.stdout.write(json.dumps(result))
        else:
            self.stdout.write(f"Created {user.username} ({user.role}).")
            if given is None:
                self.stdout.write(f"Password: {password}")
