"""Database connections: how long they live, and how long somebody who waits for an answer waits for others.

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


ANSWER_SECONDS = 3.0  # whoever sits in front of a screen is told within five that nothing can be written down


def answer_soon() -> None:
    """From now on nothing that this process asks of the database waits longer than `ANSWER_SECONDS` for what others
    hold, nor for a server that does not take a connection: the web process. Workers and commands wait for longer."""
    for database in connections.settings.values():
        options = database.setdefault("OPTIONS", {})
        if database["ENGINE"].endswith("sqlite3"):
            options["timeout"] = ANSWER_SECONDS
        else:
            options["connect_timeout"] = int(ANSWER_SECONDS)
            # of a setting that is given twice the later counts
            options["options"] = f"{options.get('options', '')} -c lock_timeout={int(ANSWER_SECONDS * 1000)}".strip()
