"""The trial of a model, on the queue `inference`: where the graphics card is."""

import uuid

from portal.celery import app


@app.task
def try_model(trial: str) -> None:
    """Try a model with the smoke prompt and activate it."""
    from portal.modelcards.services import run_trial

    run_trial(uuid.UUID(trial))
