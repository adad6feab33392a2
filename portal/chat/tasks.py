"""The turn's tasks: each loads by id, calls one function and hands on.

A task may run twice or be lost; both are harmless, because turns are claimed with a lease and `recover_turns` brings
back what was lost.
"""

import logging
import time
import uuid
from datetime import timedelta

from django.conf import settings
from django.db import DataError
from django.utils import timezone

import inference
from portal import parts
from portal.celery import app
from portal.chat import dispatch, erasing, erasures, late, rescue, retaining, selectors
from portal.chat.models import Turn

logger = logging.getLogger(__name__)

_WRITING_SECONDS = 10.0  # longer than a question waits to be written down
_LEAVE_SECONDS = 0.5  # until a turn that cannot be answered here is offered again


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
    """Steps 5 to 8, on the queue `inference`. A message says that there is one more turn to answer; the one that is
    answered is the first in the line, whichever message came first: searching takes longer for one than for another,
    and messages are put back and sent again."""
    from portal.chat.answering import generate_answer as generate

    if not _leave_to_another_worker(uuid.UUID(turn)):  # until one is this worker's
        any(_can_be_read(first) and generate(first) for first in selectors.ready_for_model())


def _can_be_read(turn: uuid.UUID) -> bool:
    """A row that somebody spoilt in the database does not keep those behind it in the line waiting."""
    try:
        selectors.get_turn(turn)
    except (ValueError, TypeError, AttributeError, OverflowError, DataError) as error:
        logger.error("turn %s cannot be read: %s", turn, type(error).__name__)
        return False
    return True


def _leave_to_another_worker(turn: uuid.UUID) -> bool:
    """A worker without a model is never busy: left alone, it would take every turn before the workers that have one.
    It takes its time, so that a message which only such workers are free to take does not keep them running. Where no
    worker has a model it leaves nothing: the turn is quoted."""
    if inference.loaded() is not None or not parts.look().slots:
        return False
    time.sleep(_LEAVE_SECONDS)
    try:
        dispatch.generate(turn)
    except dispatch.Undeliverable:
        pass  # recover_turns queues it again
    return True


@app.task
def write_down_cards() -> None:
    """Every ten seconds: the records of hotline cards that were shown when nothing could be written down. Whoever shows
    one may be writing it down himself at that moment, and the question beside it may yet be answered."""
    late.write_down(older_than=_WRITING_SECONDS)


@app.task
def recover_turns() -> None:
    """Every ten seconds, on any worker: bring back the turns that a lost worker or a lost message left behind."""
    for turn in list(selectors.abandoned_turns().values_list("pk", flat=True)):
        try:
            rescue.rescue_turn(selectors.abandoned_turns().get(pk=turn))
        except Turn.DoesNotExist:
            pass  # somebody was faster
        except Exception as error:  # one that cannot be helped, or read, does not keep the others waiting
            logger.error("turn %s not rescued: %s", turn, type(error).__name__, exc_info=error)


@app.task
def retain() -> None:
    """Each night: erase what has been kept long enough."""
    retaining.retain()


@app.task
def carry_out_erasures() -> None:
    """Every minute: go on with erasures that two people decided and whose process was lost."""
    erasures.carry_out_what_was_broken_off()


@app.task
def forget_erased_streams() -> None:
    """Every minute, for what was erased so short ago that a stream of it may live."""
    seconds = 2 * settings.HAVRE_STREAM_SECONDS
    erasing.forget_again(timezone.now() - timedelta(seconds=seconds))
