"""Whether the database is set up, what several transactions may not do at the same time, and how long they wait."""

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager, suppress

from django.core.management import call_command
from django.core.management.base import CommandError
from django.db import DatabaseError, DataError, IntegrityError, InterfaceError, connection, transaction
from django.db.migrations.executor import MigrationExecutor

NOT_TAKEN = (DatabaseError, InterfaceError)
"""A database that is full, held, spoilt, without a table or a right, or away; and what `is_unfit` tells from these."""


def is_unfit(error: BaseException | None) -> bool:
    """Whether a database refused the values themselves: it will not take them later either, and somebody who programs
    has to look."""
    return isinstance(error, (IntegrityError, DataError))


def ensure_tables() -> None:
    """Make sure that a command finds its tables. A workstation's SQLite file is created and brought up to date here, so
    that any command may be the first one; in a facility, upgrading is a step that somebody takes on purpose.

    Raises CommandError with a sentence when the database cannot be reached or is not up to date.
    """
    try:
        executor = MigrationExecutor(connection)
        waiting = executor.migration_plan(executor.loader.graph.leaf_nodes())
    except DatabaseError as error:
        raise CommandError(f"The database cannot be reached: {str(error).splitlines()[0]}") from error
    if not waiting:
        return
    if connection.vendor != "sqlite":
        raise CommandError("The database is not up to date: run `manage.py migrate` first.")
    call_command("migrate", verbosity=0, interactive=False)


def one_at_a_time(what: str) -> None:
    """Wait until every other transaction that called this for the same thing has ended; the others then wait for this
    one. For what is counted first and written afterwards. On SQLite transactions are one at a time from their beginning
    (`transaction_mode` in the settings). Must be called within a transaction."""
    if connection.vendor == "postgresql":
        key = int.from_bytes(hashlib.sha256(what.encode()).digest()[:8], signed=True)
        with connection.cursor() as cursor:
            cursor.execute("SELECT pg_advisory_xact_lock(%s)", [key])


@contextmanager
def patience(seconds: float) -> Iterator[None]:
    """Wait no longer than this for what others hold, at each statement within: whoever waits for the answer is told
    why it does not come. A database that holds longer raises OperationalError. Raises DatabaseError."""
    milliseconds = int(seconds * 1000)
    on_postgresql = connection.vendor == "postgresql"
    _execute(f"SET lock_timeout = {milliseconds}" if on_postgresql else f"PRAGMA busy_timeout = {milliseconds}")
    try:
        yield
    finally:
        usual = int(1000 * connection.settings_dict["OPTIONS"].get("timeout", 5))
        with suppress(DatabaseError):  # a connection that broke is opened anew, with the usual patience
            _execute("RESET lock_timeout" if on_postgresql else f"PRAGMA busy_timeout = {usual}")


@contextmanager
def brief_transaction(seconds: float) -> Iterator[None]:
    """A transaction with such patience, from its beginning to its commit. Raises DatabaseError."""
    if connection.vendor == "postgresql":  # set for the transaction alone: nothing to be set back
        with transaction.atomic():
            _execute(f"SET LOCAL lock_timeout = {int(seconds * 1000)}")
            yield
    else:
        with patience(seconds), transaction.atomic():
            yield


def _execute(statement: str) -> None:
    with connection.cursor() as cursor:
        cursor.execute(statement)
