"""Exports of the audit trail: which events (`Selection`), in which form (`FORMATS`), and the record of themselves that
they leave (`begin`, `write_file`).

A format is a module of this package with one function, `write` (see `Writer`). It streams: it keeps no list of events.
"""

from portal.audit.exporting._formats import FORMATS, About, Events, Format, Unavailable, Writer, writer_of
from portal.audit.exporting._jobs import (
    KEPT,
    PROBLEMS,
    ExportRefused,
    ask,
    exports_of,
    file_of,
    look_after,
    record_download,
    stop,
    work,
)
from portal.audit.exporting._run import Asker, ExportFailed, Order, Outcome, Stopped, begin, write_file
from portal.audit.exporting._selection import Selection, events, kinds

__all__ = [
    "FORMATS",
    "KEPT",
    "PROBLEMS",
    "About",
    "Asker",
    "Events",
    "ExportFailed",
    "ExportRefused",
    "Format",
    "Order",
    "Outcome",
    "Selection",
    "Stopped",
    "Unavailable",
    "Writer",
    "ask",
    "begin",
    "events",
    "exports_of",
    "file_of",
    "kinds",
    "look_after",
    "record_download",
    "stop",
    "work",
    "write_file",
    "writer_of",
]
