"""Database connections that outlive a piece of work.

Opening one takes longer than most of what is asked through it, and Django closes it after every request, Celery after
every task. Threads that live as long as their process keep theirs for a while instead. Django asks before each piece of
work (`close_old_connections`) whether it is old or broken, so that a database that was started again costs nobody a
turn.
"""

from django.conf import settings
from django.db import connections


def keep() -> None:
    """From now on this thread keeps its connections until they are old. Only for threads that serve piece after piece:
    those of a request come and go, and would leave theirs open."""
    for one in connections.all():
        one.settings_dict = {
            **one.settings_dict,
            "CONN_MAX_AGE": settings.HAVRE_CONNECTION_SECONDS,
            "CONN_HEALTH_CHECKS": True,
        }
