"""Exports of the audit trail: which events (`Selection`), in which form (`FORMATS`), and the record of themselves that
they leave.

A format is a module of this package with one function, `write` (see `Writer`). It streams: it keeps no list of events.
"""

from portal.audit.exporting._formats import FORMATS, About, Events, Format, Unavailable, Writer, writer_of
from portal.audit.exporting._selection import Selection, events

__all__ = ["FORMATS", "About", "Events", "Format", "Selection", "Unavailable", "Writer", "events", "writer_of"]
