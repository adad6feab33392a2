"""What is wrong with an installation, and how to mend it: `manage.py doctor`.

Looks and never changes anything. It is asked when things are down, so each look stands for itself: one that fails is a
finding, and none keeps the others from being made.
"""

import logging
from collections.abc import Callable, Iterable

from django.db import DatabaseError

from portal.doctor._audit import look_at_audit_trail
from portal.doctor._content import look_at_guidelines, look_at_hotlines, look_at_model, look_at_people, look_at_rules
from portal.doctor._dpia import draft
from portal.doctor._findings import ERROR, OK, WARNING, Finding
from portal.doctor._machine import look_at_clock, look_at_data_folder, look_at_secret, look_at_settings
from portal.doctor._services import look_at_beat, look_at_database, look_at_valkey, look_at_workers
from portal.doctor._waiting import look_at_what_waits

__all__ = ["ERROR", "OK", "WARNING", "Finding", "draft", "examine"]

logger = logging.getLogger(__name__)

Look = Callable[[bool], Iterable[Finding]]
_LOOKS: tuple[tuple[str, Look], ...] = (
    ("settings", look_at_settings),
    ("data folder", look_at_data_folder),
    ("secret key", look_at_secret),
    ("clock", look_at_clock),
    ("database", look_at_database),
    ("valkey", look_at_valkey),
    ("workers", look_at_workers),
    ("beat", look_at_beat),
    ("audit trail", look_at_audit_trail),
    ("what waits", look_at_what_waits),
    ("rules", look_at_rules),
    ("hotlines", look_at_hotlines),
    ("model", look_at_model),
    ("guidelines", look_at_guidelines),
    ("people", look_at_people),
)


def examine(*, thorough: bool = False) -> list[Finding]:
    """Every finding, in the order in which things depend on each other. `thorough` also hashes the model's file, which
    takes seconds a gigabyte. Never raises."""
    found: list[Finding] = []
    for part, look in _LOOKS:
        try:
            found += look(thorough)
        except DatabaseError:
            message = "This could not be examined, because the database cannot be used."
            found.append(Finding(part, WARNING, message, "Mend the database, then look again."))
        except Exception as error:
            logger.debug("looking at %s failed", part, exc_info=True)
            said = str(error).splitlines()[0] if str(error) else type(error).__name__
            found.append(
                Finding(
                    part, ERROR, f"This could not be examined: {said}", "Mend what is named above, then look again."
                )
            )
    return found
