"""The tasks of the safeguards, on the queue `knowledge`."""

from portal.celery import app
from portal.safeguards import releasing, testing


@app.task
def run_tests() -> None:
    """Test the draft that waits. Sent when somebody asks, and every minute in case that message was lost."""
    testing.run_tests()


@app.task
def look_after_files() -> None:
    """Bring back released files that are gone."""
    releasing.look_after_files()
