"""Database, Valkey, workers, the clock of periodic tasks."""

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from django.conf import settings
from django.db import DatabaseError, connection
from django.db.migrations.executor import MigrationExecutor

from portal import parts, valkey
from portal.doctor._findings import ERROR, OK, WARNING, Finding

_START = "Start Havre: manage.py serve, or docker compose up -d."
_BEAT_SECONDS = 600
_NAMES = {"inference": "No answer can be written", "knowledge": "Guidelines can be neither read in nor found"}


def look_at_database(thorough: bool) -> Iterator[Finding]:
    """Reached, and up to date."""
    try:
        connection.ensure_connection()
        executor = MigrationExecutor(connection)
        waiting = executor.migration_plan(executor.loader.graph.leaf_nodes())
    except DatabaseError as error:
        said = str(error).splitlines()[0] if str(error) else type(error).__name__
        remedy = "Is it running, and is HAVRE_DATABASE_URL right? On a workstation: is the data folder writable?"
        yield Finding("database", ERROR, f"The database cannot be reached: {said}", remedy)
        return
    if waiting:
        message = f"The database is not up to date: {len(waiting)} migrations wait."
        yield Finding("database", ERROR, message, "Make a backup, then run manage.py migrate.")
        return
    yield Finding("database", OK, f"{connection.vendor}, up to date.")


def look_at_valkey(thorough: bool) -> Iterator[Finding]:
    """Answers."""
    try:
        version = valkey.client().info("server").get("redis_version", "")
    except valkey.Unreachable as error:
        embedded = settings.HAVRE_REDIS_URL.startswith("unix://")
        remedy = _START if embedded else "Is the server running, and are HAVRE_REDIS_URL and its password right?"
        yield Finding("valkey", ERROR, f"Valkey does not answer ({type(error).__name__}).", remedy)
        return
    yield Finding("valkey", OK, f"answers, version {version}.")


def look_at_workers(thorough: bool) -> Iterator[Finding]:
    """Alive, with what they need loaded."""
    seen = parts.look()
    if not seen.valkey:
        yield Finding("workers", ERROR, "Without Valkey, no worker can be reached.", "Mend Valkey first.")
        return
    for name, consequence in _NAMES.items():
        said = seen.details.get(name)
        if said is None:
            yield Finding("workers", ERROR, f"The {name} worker is not running. {consequence}.", _START)
        elif said.get("installed") is False:
            message = "The inference worker has no model: answers are quoted from the guidelines."
            yield Finding("workers", OK, message)
        elif said.get("state") == "failed":
            reason = said.get("reason", "")
            remedy = f"Mend what it says, then restart it. Its log: {Path(settings.HAVRE_DATA_DIR) / 'logs'}"
            yield Finding("workers", ERROR, f"The {name} worker cannot work: {reason}", remedy)
        elif said.get("state") == "words":
            message = f"The {name} worker finds passages by their words alone: {said.get('reason', '')}"
            yield Finding("workers", WARNING, message, "Mend what it says; it tries again by itself.")
        elif said.get("state") != "ready":
            yield Finding(
                "workers", WARNING, f"The {name} worker is still {said.get('state')}.", "Wait, then look again."
            )
        else:
            yield Finding("workers", OK, f"The {name} worker is ready{_chosen(said)}.")


def _chosen(said: dict[str, Any]) -> str:
    """How the model is run, of an inference worker."""
    if "engine" not in said:
        return ""
    where = ", ".join(said["gpus"]) or f"the CPU, {said['threads']} threads"
    slots = f"{said['slots']} slots of {said['context']} tokens"
    return f": {said['model']} by {said['engine']} on {where}; {slots}, keys and values as {said['kv_type']}"


def look_at_beat(thorough: bool) -> Iterator[Finding]:
    """Has ticked lately. Its memory lies in the data folder, of a facility at the top of it."""
    folder = Path(settings.HAVRE_DATA_DIR)
    files = [*folder.glob("beat-schedule*"), *(folder / "run").glob("beat-schedule*")]
    newest = max((file.stat().st_mtime for file in files), default=None)
    if newest is None:
        message = "The clock of periodic tasks has never run: lost answers are not taken up, drafts not tested."
        yield Finding("beat", WARNING, message, _START)
    elif (silent := time.time() - newest) > _BEAT_SECONDS:
        message = f"The clock of periodic tasks has been silent for {silent / 60:.0f} minutes."
        yield Finding("beat", WARNING, message, _START)
    else:
        yield Finding("beat", OK, "The clock of periodic tasks ticks.")
