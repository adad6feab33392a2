"""What erasing leaves on the disk: nothing in SQLite's file and log, and in PostgreSQL's files nothing after what
docs/compliance.md says was done."""

import re
import sqlite3
import time
import uuid
from datetime import timedelta
from pathlib import Path

import pytest
from django.apps import apps
from django.conf import settings
from django.db import connection
from django.utils import timezone

from portal.accounts.models import User
from portal.audit import sealing
from portal.chat import erasing
from portal.chat.erasing import By, erase
from portal.chat.models import Conversation, ConversationKey, Turn
from portal.safeguards.models import LabelledCase
from tests.conftest import Cast
from tests.portal.remains import everything_stored, files, hits
from tests.portal.test_erasing import talk

BY = By("terminal:root", reason="She asked for it.")


def statements() -> list[str]:
    """What docs/compliance.md tells a facility to run on PostgreSQL."""
    text = (Path(settings.BASE_DIR) / "docs" / "compliance.md").read_text()
    (block,) = re.findall(r"\n\n((?:    (?:VACUUM|CHECKPOINT).*\n(?:      .*\n)*)+)", text)
    return [one.strip() for one in block.split(";") if one.strip()]


def test_the_docs_name_every_table_that_words_or_names_stand_in() -> None:
    named = set(re.findall(r"\w+_\w+", statements()[0]))
    models = {apps.get_model(model) for model, _ in (*erasing.NAMES, *erasing._DELETED)}
    models |= {User, apps.get_model("audit.Actor"), apps.get_model("safeguards.RuleRelease"), ConversationKey}
    models |= {model for model in apps.get_models() if model.__module__ == Turn.__module__}
    wanted = {model._meta.db_table for model in models} | {"django_session", User.departments.through._meta.db_table}
    assert named == wanted


def somebody() -> tuple[str, list[str]]:
    """A person with a conversation, a row beside, and statistics of the database that tell of both."""
    token = uuid.uuid4().hex
    name = f"name-{token}"
    for one in range(5):  # so that statistics are worth keeping
        User.objects.create_user(f"name-{one}", role="clinician")
    talk(User.objects.create_user(name, role="clinician"), token)
    LabelledCase.objects.create(text="I am well.", language="en", label="benign", added_by=name)
    sealed = [bytes(one).hex()[:64] for one in Turn.objects.values_list("asked", "said").get()]
    sealed += [bytes(ConversationKey.objects.get().wrapped).hex()]
    return name, sealed


@pytest.mark.django_db(transaction=True)
def test_in_postgresqls_files_nothing_is_left_after_what_the_docs_say(valkey_server: str) -> None:
    if connection.vendor != "postgresql":
        pytest.skip("these are PostgreSQL's")
    name, sealed = somebody()
    raw = [name.encode(), *map(bytes.fromhex, sealed)]
    run("CHECKPOINT", "ANALYZE")
    folder = data_folder()
    assert all(one in files(folder) for one in raw), "where it is looked for, it can be found"
    erase(User.objects.get(username=name), BY)
    left = raw
    for _ in range(3):  # autovacuum may begin between two of the statements
        until_nobody_else_sees_old_rows()
        run(*statements())
        if not (left := [one for one in raw if one in files(folder)]):
            break
    assert left == []


def until_nobody_else_sees_old_rows() -> None:
    """What VACUUM waits for: autovacuum, for one, looks at tables that changed a moment ago."""
    ends = time.monotonic() + 60
    others = "SELECT backend_type FROM pg_stat_activity WHERE backend_xmin IS NOT NULL AND pid <> pg_backend_pid()"
    with connection.cursor() as cursor:
        while True:
            cursor.execute(others)
            if not (found := cursor.fetchall()):
                return
            assert time.monotonic() < ends, found
            time.sleep(0.05)


def run(*commands: str) -> None:
    with connection.cursor() as cursor:
        for one in commands:
            cursor.execute(one)


def data_folder() -> Path:
    """Where the tables of this database lie."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT current_setting('data_directory'), oid FROM pg_database WHERE datname=current_database()"
        )
        folder, oid = cursor.fetchone()
    return Path(folder) / "base" / str(oid)


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("with_words", [True, False])
def test_what_somebody_read_at_that_moment_is_written_over_by_the_clock(with_words: bool, cast: Cast) -> None:
    if connection.vendor != "sqlite":
        pytest.skip("this is SQLite's")
    name = f"name-{uuid.uuid4().hex}"
    person = User.objects.create_user(name, role="clinician")
    if with_words:
        talk(person)
    sealing.seal("minute")
    reader = sqlite3.connect(connection.settings_dict["NAME"], isolation_level=None)
    reader.execute("BEGIN")
    reader.execute("SELECT count(*) FROM accounts_user").fetchone()
    erase(User.objects.get(username=name), BY)
    assert hits(everything_stored(), [name]), "a reader may still need it"
    reader.close()
    erasing.forget_again(timezone.now() - timedelta(minutes=5))
    assert hits(everything_stored(), [name]) == []
    assert Conversation.objects.filter(erased_at=None).count() == 0
