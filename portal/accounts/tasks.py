"""What the clock does about sessions."""

from portal.accounts import sessions
from portal.celery import app


@app.task
def forget_expired_sessions() -> None:
    """Each night: delete the sessions that have expired."""
    sessions.forget_expired()
