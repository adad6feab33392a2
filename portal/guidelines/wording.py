"""The words that the library's pages use for states, steps and events."""

from typing import Any

from django.utils.functional import Promise
from django.utils.translation import gettext_lazy as _
from django.utils.translation import pgettext_lazy

from knowledge.models import GuidelineVersion

State = GuidelineVersion.State
Words = str | Promise

STATES: dict[str, Words] = {
    State.DRAFT: _("Draft"),
    State.IN_REVIEW: _("In review"),
    State.APPROVED: _("Approved, begins later"),
    State.EFFECTIVE: _("In force"),
    State.SUPERSEDED: _("Superseded"),
    State.EXPIRED: _("Expired"),
    State.ARCHIVED: _("Archived"),
}

STEPS: dict[str, Words] = {  # what its button says
    "submit": _("Submit for approval"),
    "send_back": _("Send back"),
    "approve": _("Approve"),
    "unapprove": _("Take the approval back"),
    "archive": _("Archive"),
    "restore": _("Restore"),
    "reschedule": _("Change the dates"),
}

DONE: dict[str, Words] = {  # what is said when it is done
    "submit": _("Version %(number)s was submitted. A second person has to approve it."),
    "send_back": _("Version %(number)s is a draft again."),
    "approve": _("Version %(number)s is approved."),
    "unapprove": _("The approval of version %(number)s was taken back: it does not answer."),
    "archive": _("Version %(number)s is archived."),
    "restore": _("Version %(number)s is back."),
    "reschedule": _("The dates of version %(number)s were changed."),
}

UNDONE_BY = {  # the step that takes another one back, offered beside the message
    "submit": "send_back",
    "send_back": "submit",
    "approve": "unapprove",
    "archive": "restore",
    "restore": "archive",
}

EVENTS: dict[str, Words] = {
    "guideline.uploaded": _("Uploaded"),
    "guideline.indexed": _("Read and indexed"),
    "guideline.failed": _("Could not be read"),
    "guideline.retried": _("Read again"),
    "guideline.ocr_asked": _("Read by OCR"),
    "guideline.submitted": _("Submitted for approval"),
    "guideline.sent_back": _("Sent back"),
    "guideline.approved": _("Approved"),
    "guideline.unapproved": _("Approval taken back"),
    "guideline.effective": pgettext_lazy("a version, event", "Came into force"),
    "guideline.superseded": pgettext_lazy("a version, event", "Superseded"),
    "guideline.expired": pgettext_lazy("a version, event", "Expired"),
    "guideline.archived": pgettext_lazy("a version, event", "Archived"),
    "guideline.restored": pgettext_lazy("a version, event", "Restored"),
    "guideline.rescheduled": _("Dates changed"),
    "guideline.described": _("Description changed"),
    "guideline.opening_asked": _("Asked to be opened to more departments"),
    "guideline.opened": _("Opened to more departments"),
    "guideline.opening_withdrawn": _("Not opened to more departments"),
    "guideline.enabled": _("Switched on"),
    "guideline.disabled": _("Switched off"),
    "guideline.joined": _("Made a version of this guideline"),
    "guideline.split_off": _("Made a guideline of its own"),
    "guideline.kept_apart": _("Not a version of the guideline that it is like"),
    "guideline.case_added": _("Test question added"),
    "guideline.case_removed": _("Test question removed"),
    "guideline.case_restored": _("Test question brought back"),
}

FIELDS: dict[str, Any] = {
    "title": _("Title"),
    "publisher": _("Publisher"),
    "language": _("Language"),
    "population": _("For whom"),
    "setting": _("Where"),
    "evidence_level": _("Level of evidence"),
    "licence": _("Licence"),
    "source_url": _("Source"),
    "contact": _("Contact"),
    "departments": _("Departments"),
    "effective_from": _("In force from"),
    "review_due": _("Review due"),
    "expires_at": _("Expires"),
    "note": _("Note"),
}


def language_name(code: str) -> str:
    """A language in words, e.g. "French"; its code where it is neither French nor English."""
    names: dict[str, Any] = {"fr": _("French"), "en": _("English")}
    return str(names.get(code, code.upper()))
