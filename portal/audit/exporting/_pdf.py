"""The report that people read: what happened in a period, in sentences and numbers, and what proves it.

The numbers come from one pass over the events, the table of events from a second one, where they are few enough to
stand in it. Nothing in it is content of a conversation: the events hold none.
"""

from collections.abc import Callable
from typing import IO, Any

from django.utils import translation
from django.utils.translation import gettext as _

from portal.audit.exporting import _pdf_proof, _pdf_sections
from portal.audit.exporting._formats import About, Events
from portal.audit.exporting._pdf_counts import Counts
from portal.audit.exporting._pdf_page import build, register_fonts

MOST_EVENTS = 2000  # in the table; of more, the report counts
_EVENTS_AT_ONCE = 1000


def write(events: Events, out: IO[bytes], about: About, progress: Callable[[int], None]) -> int:
    """Write the report in the language of whoever asked."""
    register_fonts()
    counts = Counts()
    for number, event in enumerate(events, 1):
        counts.add(event)
        if not number % _EVENTS_AT_ONCE:
            progress(number)
    with translation.override(about.language):
        story: list[Any] = [
            *_pdf_sections.front(counts, about),
            *_pdf_sections.damaged(counts),
            *_pdf_sections.summary(counts),
            *_pdf_sections.activity(counts, about),
            *_pdf_sections.guardrails(counts),
            *_pdf_sections.redirections(counts),
            *_pdf_sections.sign_ins(counts, about),
            *_pdf_sections.changes(counts, about),
            *_pdf_sections.readings(counts, about),
            *_pdf_sections.going(counts, about),
            *_pdf_proof.integrity(counts, about),
            *_pdf_proof.every_event(events if counts.events <= MOST_EVENTS else None, counts, about, MOST_EVENTS),
            *_pdf_proof.signatures(about),
        ]
        facility = about.facility
        footer = _("%(facility)s · audit report · export %(number)s") % {"facility": facility, "number": about.number}
        title = _("Audit report of %(facility)s") % {"facility": facility}
        build(out, story, title=title, author=about.asked_by, language=about.language, footer=footer)
    return counts.events
