"""Handing a turn to the workers. By task name, so that the web process imports nothing of what a worker needs."""

import uuid
from contextlib import suppress

from kombu.exceptions import OperationalError

from portal.celery import app
from portal.chat.models import Turn


class Undeliverable(Exception):
    """The broker cannot be reached."""


def retrieve(turn_id: uuid.UUID) -> None:
    """Queue step 4 for the knowledge worker. Raises Undeliverable."""
    _send("portal.chat.tasks.retrieve_passages", turn_id)


def generate(turn_id: uuid.UUID) -> None:
    """Queue steps 5 to 8 for an inference worker. Raises Undeliverable."""
    _send("portal.chat.tasks.generate_answer", turn_id)


def quote(turn_id: uuid.UUID) -> None:
    """Queue a turn for the knowledge worker, to be answered with quotations. Raises Undeliverable."""
    _send("portal.chat.tasks.quote_answer", turn_id)


def go_on(turn: Turn) -> None:
    """Queue a turn for its next step, whichever that is; where it cannot be queued, `recover_turns` does it again."""
    step = retrieve if turn.covered is None else quote if turn.quotation else generate
    with suppress(Undeliverable):
        step(turn.id)


def _send(task: str, turn_id: uuid.UUID) -> None:
    try:
        app.send_task(task, args=[str(turn_id)], retry=False)
    except (OperationalError, OSError) as error:
        raise Undeliverable from error
