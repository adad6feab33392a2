"""The turn's tasks: each loads by id, calls one function and hands on.

A task may run twice or be lost; both are harmless, because turns are claimed with a lease and `recover_turns` brings
back what was lost.
"""

import logging
import uuid

from portal.celery import app
from portal.chat import dispatch, rescue, selectors

logger = logging.getLogger(__name__)


@app.task
def retrieve_passages(turn: str) -> None:
    """Step 4, on the queue `knowledge`."""
    from portal.chat.retrieving import retrieve_passages as retrieve

    if retrieve(uuid.UUID(turn)):
        try:
            dispatch.generate(uuid.UUID(turn))
        except dispatch.Undeliverable:
            pass  # recover_turns queues it again


@app.task
def quote_answer(turn: str) -> None:
    """Quotation mode, on the queue `knowledge`: the guidelines' own sentences, where no language model answers."""
    from portal.chat.quoting import quote_answer as quote

    quote(uuid.UUID(turn))


@app.task
def generate_answer(turn: str) -> None:
    """Steps 5 to 8, on the queue `inference`."""
    from portal.chat.answering import generate_answer as generate

    generate(uuid.UUID(turn))


@app.task
def recover_turns() -> None:
    """Every ten seconds, on any worker: bring back the turns that a lost worker or a lost message left behind."""
    for turn in selectors.abandoned_turns():
        try:
            rescue.rescue_turn(turn)
        except Exception as error:  # one that cannot be helped does not keep the others waiting
            logger.error("turn %s not rescued: %s", turn.id, type(error).__name__, exc_info=error)
