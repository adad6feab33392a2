"""The Celery application: `celery -A portal.celery worker -Q inference,housekeeping …`.

Which part a worker plays follows from the queues that it takes: a worker of the queue `inference` loads the model once
before it takes work, a worker of the queue `knowledge` the embedder and the index. Both say every few seconds that they
are alive.
"""

import logging
import os
from typing import Any

from celery import Celery, signals

from portal import broker

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "portal.settings")

logger = logging.getLogger(__name__)

broker.be_patient()
app = Celery("havre")
app.config_from_object("django.conf:settings", namespace="CELERY")
app.autodiscover_tasks(["portal.audit", "portal.audit.exporting", "portal.chat", "portal.guidelines"])
app.autodiscover_tasks(["portal.safeguards", "portal.modelcards", "portal.accounts"])


@signals.setup_logging.connect
def _keep_logging(**_: Any) -> None:
    """Django's LOGGING is used as it is: Celery's own would print task arguments."""


@signals.celeryd_init.connect
def _load_model(sender: str, conf: Any, options: dict[str, Any], **_: Any) -> None:
    """The model first: how many threads this worker gets is how many slots fit beside it."""
    from portal import workers

    if "inference" in (options.get("queues") or ()):
        workers.prepare({"inference"})
        conf.worker_concurrency = workers.slots()


@signals.celeryd_after_setup.connect
def _prepare_worker(sender: str, instance: Any, **_: Any) -> None:
    from portal import workers

    workers.prepare(set(instance.app.amqp.queues.consume_from) - {"inference"})


@signals.task_prerun.connect
@signals.task_postrun.connect
def _keep_connections(sender: Any, **_: Any) -> None:
    from django.db import close_old_connections

    from portal import connections

    if not sender.request.is_eager:
        connections.keep()
        close_old_connections()


@signals.worker_shutdown.connect
def _leave(**_: Any) -> None:
    from portal import workers

    workers.leave()
