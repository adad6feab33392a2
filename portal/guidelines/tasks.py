"""The guideline library's tasks, on the queue `knowledge`."""

from portal.celery import app
from portal.guidelines import services


@app.task
def ingest_pending() -> None:
    """Ingest what waits. Sent after an upload, and every minute in case that message was lost."""
    services.ingest_pending()
