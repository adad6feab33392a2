"""Triggers that keep the audit trail append-only, whichever way somebody reaches the tables: bulk_create, update, raw
SQL. Who owns the database can drop them; what was changed then is found by the marks, the tree and its checkpoints.
"""

from typing import Any

MOST_LOST = 1_000_000
"""How many events may have been cut off for the head's number to be believed."""

_EVENT_FITS = (
    "NEW.seq = (SELECT last_seq FROM audit_head) AND NOT EXISTS (SELECT 1 FROM audit_event WHERE seq = NEW.seq)"
)
_GOES_ON = (
    # by one; or, where somebody set it back, behind a row that is there; or back from a number that is far beyond all:
    # damage is recorded, and stops nobody
    "(NEW.last_seq - 1 = OLD.last_seq "
    "OR (NEW.last_seq > OLD.last_seq AND EXISTS (SELECT 1 FROM audit_event WHERE seq = NEW.last_seq - 1)) "
    "OR OLD.last_seq > NEW.last_seq + 1000000) "  # MOST_LOST
    "AND NOT EXISTS (SELECT 1 FROM audit_event WHERE seq = NEW.last_seq) "
    "AND NEW.last_at IS NOT NULL AND NEW.mark IS NOT NULL "
    "AND (NEW.public_key = OLD.public_key OR OLD.public_key = '')"
)
_KEY_WAS_REPLACED = (
    "NEW.last_seq = OLD.last_seq AND NEW.last_at = OLD.last_at "
    "AND NEW.mark IS NOT NULL AND NEW.public_key = "
    "(SELECT payload {new} FROM audit_event WHERE seq = OLD.last_seq AND kind = 'audit.key_replaced')"
)
_HEAD_FITS = f"NEW.id = OLD.id AND NEW.ledger = OLD.ledger AND (({_GOES_ON}) OR ({_KEY_WAS_REPLACED}))"
_FIRST_HEAD = "NEW.last_seq = 0 AND NOT EXISTS (SELECT 1 FROM audit_head)"
_CHECKPOINT_FITS = (
    "NEW.number = (SELECT COALESCE(MAX(number), 0) + 1 FROM audit_checkpoint) "
    "AND NEW.tree_size <= (SELECT last_seq FROM audit_head) "
    "AND NEW.tree_size >= (SELECT COALESCE(MAX(tree_size), 0) FROM audit_checkpoint)"
)
_ACTOR_ERASED = (
    "NEW.code = OLD.code AND NEW.name IS NULL AND NEW.salt IS NULL "
    "AND EXISTS (SELECT 1 FROM audit_event WHERE subject = OLD.code AND kind = 'person.erased')"
)
_NEVER = "FALSE"
_NEW_KEY = {True: "payload ->> 'new'", False: "json_extract(payload, '$.new')"}

_RULES = (
    ("audit_event", "INSERT", _EVENT_FITS, "an event is appended by the audit service alone"),
    ("audit_event", "UPDATE", _NEVER, "an event is never changed"),
    ("audit_event", "DELETE", _NEVER, "an event is never deleted"),
    ("audit_head", "INSERT", _FIRST_HEAD, "there is one head"),
    ("audit_head", "UPDATE", _HEAD_FITS, "the head goes on by one, behind its event"),
    ("audit_head", "DELETE", _NEVER, "the head is never deleted"),
    ("audit_checkpoint", "INSERT", _CHECKPOINT_FITS, "checkpoints follow one another"),
    ("audit_checkpoint", "UPDATE", _NEVER, "a checkpoint is never changed"),
    ("audit_checkpoint", "DELETE", _NEVER, "a checkpoint is never deleted"),
    ("audit_actor", "UPDATE", _ACTOR_ERASED, "a name is erased behind its event, or stays"),
    ("audit_actor", "DELETE", _NEVER, "a code is never deleted"),
)
TABLES = ("audit_event", "audit_head", "audit_checkpoint", "audit_actor")


def install(connection: Any) -> None:
    """Create the triggers, replacing those that are there."""
    remove(connection)
    with connection.cursor() as cursor:
        for statement in _statements(connection.vendor):
            cursor.execute(statement)


def missing(connection: Any) -> list[str]:
    """The names of those that are not there, are switched off, or are other ones than `install` creates."""
    there = _there(connection)
    return sorted(name for name, text in _texts(connection.vendor).items() if there.get(name) != text)


def _texts(vendor: str) -> dict[str, str]:
    """What each trigger does, by its name: on SQLite its statement, on PostgreSQL the body of its function."""
    found = {}
    for statement in _statements(vendor):
        words = statement.split()
        if vendor != "postgresql":
            found[words[2]] = statement
        elif words[1] == "FUNCTION":
            found[words[2].removesuffix("()")] = statement.split("$$")[1]
    if vendor == "postgresql":
        truncate = found.pop("audit_truncate")
        found |= {f"{table}_truncate": truncate for table in TABLES}
    return found


def _there(connection: Any) -> dict[str, str]:
    with connection.cursor() as cursor:
        if connection.vendor != "postgresql":
            cursor.execute("SELECT name, sql FROM sqlite_master WHERE type = 'trigger'")
        else:
            cursor.execute(
                "SELECT t.tgname, p.prosrc FROM pg_trigger t JOIN pg_proc p ON p.oid = t.tgfoid "
                "JOIN pg_class c ON c.oid = t.tgrelid WHERE c.relname = ANY(%s) AND pg_table_is_visible(c.oid) "
                "AND NOT t.tgisinternal AND t.tgenabled IN ('O', 'A')",
                [list(TABLES)],
            )
        return dict(cursor.fetchall())


def remove(connection: Any) -> None:
    """Drop the triggers: for migrations that rebuild the tables, and for tests that empty the database."""
    on_postgresql = connection.vendor == "postgresql"
    with connection.cursor() as cursor:
        for table, event, _, _ in _RULES:
            name = f"{table}_{event.lower()}"
            cursor.execute(f"DROP TRIGGER IF EXISTS {name}" + (f" ON {table}" if on_postgresql else ""))
            if on_postgresql:
                cursor.execute(f"DROP FUNCTION IF EXISTS {name}()")
        if on_postgresql:
            for table in TABLES:
                cursor.execute(f"DROP TRIGGER IF EXISTS {table}_truncate ON {table}")
            cursor.execute("DROP FUNCTION IF EXISTS audit_truncate()")


def _statements(vendor: str) -> list[str]:
    on_postgresql = vendor == "postgresql"
    found = [*_postgresql(), *_postgresql_truncate()] if on_postgresql else _sqlite()
    return [statement.replace("payload {new}", _NEW_KEY[on_postgresql]) for statement in found]


def _sqlite() -> list[str]:
    return [
        f"CREATE TRIGGER {table}_{event.lower()} BEFORE {event} ON {table} WHEN NOT COALESCE(({fits}), FALSE) "
        f"BEGIN SELECT RAISE(ABORT, 'audit trail: {why}'); END"
        for table, event, fits, why in _RULES
    ]


def _postgresql() -> list[str]:
    statements = []
    for table, event, fits, why in _RULES:
        name, row = f"{table}_{event.lower()}", "OLD" if event == "DELETE" else "NEW"
        statements += [
            f"CREATE FUNCTION {name}() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN IF NOT COALESCE(({fits}), FALSE) "
            f"THEN RAISE EXCEPTION 'audit trail: {why}' USING ERRCODE = 'integrity_constraint_violation'; END IF; "
            f"RETURN {row}; END $$",
            f"CREATE TRIGGER {name} BEFORE {event} ON {table} FOR EACH ROW EXECUTE FUNCTION {name}()",
        ]
    return statements


def _postgresql_truncate() -> list[str]:
    return [
        "CREATE FUNCTION audit_truncate() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE EXCEPTION "
        "'audit trail: it is never emptied' USING ERRCODE = 'integrity_constraint_violation'; END $$",
        *(
            f"CREATE TRIGGER {table}_truncate BEFORE TRUNCATE ON {table} FOR EACH STATEMENT "
            "EXECUTE FUNCTION audit_truncate()"
            for table in TABLES
        ),
    ]
