"""The guideline library's tasks, on the queue `knowledge`."""

import logging

import knowledge
from portal.celery import app
from portal.guidelines import questions, services, trials

logger = logging.getLogger(__name__)


@app.task
def ingest_pending() -> None:
    """Ingest what waits. Sent after an upload, and every minute in case that message was lost."""
    services.ingest_pending()


@app.task
def bring_up_to_date() -> None:
    """Write down which versions have begun, were overtaken or have expired. On the queue `housekeeping`: it needs
    neither the index nor the embedder, and must not wait for an ingestion."""
    knowledge.bring_up_to_date()


@app.task
def look_into_folder() -> None:
    """Take in what is new in the watched folder."""
    if knowledge.look_into_folder().taken:
        services.ingest_pending()


@app.task
def try_question(trial_id: str) -> None:
    """Work out a trial of the test bench."""
    trials.work_out(trial_id)


@app.task
def ask_questions() -> None:
    """Ask the cases of the question set that wait."""
    questions.ask_waiting()


@app.task
def look_after_bench() -> None:
    """Trials and cases whose message got lost, and those that are old enough to be deleted."""
    trials.forget_old()
    questions.forget_old()
    trials.work_out_lost()
    questions.ask_waiting()


@app.task
def look_after_index() -> None:
    """Build the index that the settings want, and read documents anew that an older version of the program has read."""
    knowledge.look_after_index()


@app.task
def verify_index() -> None:
    """At night: compare the index with the database, and mend it."""
    knowledge.verify_index()


@app.task
def rebuild_index() -> None:
    """Make the index again because somebody asked for it (`manage.py reindex`)."""
    try:
        knowledge.rebuild_index()
    except knowledge.KnowledgeError as error:
        logger.error("index not built: %s", error)
