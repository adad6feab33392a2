"""The vector index as the knowledge worker looks after it: opened at its start, verified at night, built anew beside
the one that answers when another embedder is wanted; documents read anew when reading has become better.

Everything here belongs into the process that has the index (`IndexLocked` tells others so).
"""

import logging
import time

from django.conf import settings

from knowledge._errors import IndexBuilding, IngestionRunning, KnowledgeError
from knowledge._types import IndexReport
from knowledge.indexing import _rebuild, _sync
from knowledge.indexing._rebuild import OnBuilt
from knowledge.indexing._vectors import private as is_private
from knowledge.ingestion import _rereading
from knowledge.models import GuidelineVersion

logger = logging.getLogger(__name__)
AGAIN = 6 * 3600.0  # seconds until an index that could not be built is tried again
READ_ANEW = 5  # versions at a time
_tried: dict[str, float] = {}  # embedders for which an index was built, and when that began


def warm() -> str:
    """Open the vector index and load its embedder, so that the first question need not wait for them. Returns what
    HAVRE_EMBEDDER was when the index was made; an empty text when its embedder cannot be loaded and words alone answer.

    Raises EmbedderUnavailable when there is no index yet, IndexLocked, IndexUnavailable.
    """
    row = _sync.active()
    able = _sync.embedder_now()
    _sync.open_index()
    return row.source if able else ""


def close() -> None:
    """Close the vector index if this process has it open, so that another may have it."""
    _sync.close_index()


def verify_index() -> IndexReport:
    """Compare the vector index with SQL, chunk by chunk and by searching for a sample; mend it, or make it again beside
    itself, when they differ. Raises IndexLocked, IndexUnavailable, EmbedderUnavailable."""
    index = _sync.open_index()
    report = _sync.reconcile(index)
    lost = _sync.unfindable(index)
    if lost:
        logger.warning("The vector index does not find %d of its passages; it is made again.", lost)
        rebuild_index()
    _tried.clear()
    return IndexReport(report.expected, report.missing, report.stray, lost, report.rebuilt or bool(lost))


def rebuild_index(on_built: OnBuilt | None = None) -> IndexReport:
    """Make the vector index again from SQL, with the embedder of the settings; the one that is there answers until the
    new one is complete and has passed its check, and goes on when it does not.

    Raises IndexBuilding when that is going on already, IndexLocked when another process has the index, and
    KnowledgeError with the reason when the new one was not made.
    """
    _tried[str(settings.HAVRE_EMBEDDER)] = time.monotonic()
    _rebuild.build(on_built)
    report = _sync.reconcile(_sync.open_index())
    return IndexReport(report.expected, 0, 0, 0, True)


def look_after_index() -> None:
    """What the knowledge worker does each minute: build the index that the settings want, read some documents anew
    that an older version of the program has read, delete what no index needs any more."""
    try:
        tried = _tried.get(str(settings.HAVRE_EMBEDDER))
        if (tried is None or time.monotonic() - tried > AGAIN) and _rebuild.due():
            rebuild_index()
        reread_outdated(READ_ANEW)
        _rebuild.clean_up()
    except IndexBuilding:
        _tried.pop(str(settings.HAVRE_EMBEDDER), None)
    except KnowledgeError as error:
        logger.error("The index was not looked after: %s", error)


def reread_all() -> int:
    """Have every indexed version read anew, a few a minute. Returns how many there are."""
    return GuidelineVersion.objects.filter(ingestion=GuidelineVersion.Ingestion.INDEXED).update(reader=0)


def waiting_to_be_read_anew() -> int:
    """How many versions are still to be read and cut anew, by this version of the program or for the embedder that
    answers now. Loads no model."""
    return _rereading.outdated().count()


def reread_outdated(most: int) -> int:
    """Read versions anew that an older reader has read, at most so many; their old passages answer until then. Returns
    how many still wait. Raises KnowledgeError when the vectors cannot be made."""
    for version in _rereading.outdated()[:most]:
        try:
            _rereading.reread(version)
        except IngestionRunning:
            break
    return waiting_to_be_read_anew()


__all__ = [
    "close", "is_private", "look_after_index", "rebuild_index", "reread_all", "reread_outdated", "verify_index",
    "waiting_to_be_read_anew", "warm",
]  # fmt: skip
