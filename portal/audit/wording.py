"""What the pages call the events of the audit trail: one sentence a kind, beside the code."""

from collections.abc import Iterator, Mapping
from typing import Any

from django.utils.functional import Promise
from django.utils.translation import gettext, pgettext_lazy
from django.utils.translation import gettext_lazy as _

Words = str | Promise

SENTENCES: dict[str, Words] = {
    # people
    "session.signed_in": _("Signed in"),
    "session.signed_out": _("Signed out"),
    "session.ended": _("A session was ended"),
    "session.refused": _("A sign-in was refused: wrong name or password"),
    "session.locked": _("Sign-in was locked after too many wrong passwords"),
    "user.created": _("Made an account"),
    "user.closed": _("Closed an account"),
    "user.reopened": _("Opened a closed account again"),
    "user.departments_changed": _("Changed a person's departments"),
    "user.password_changed": _("Changed the own password"),
    "user.password_renewed": _("Gave an account a new password"),
    "user.role_changed": _("Changed a person's role"),
    "user.activated": _("Switched an account on"),
    "user.deactivated": _("Switched an account off"),
    "person.named": _("A person got a code"),
    "person.erased": _("Erased a person's name: the code stays"),
    # questions and answers
    "turn.started": _("Asked a question"),
    "crisis.shown": _("The hotlines were shown while nothing could be written down: the record followed"),
    "turn.retrieving": _("The guidelines are searched"),
    "turn.passages": _("The search of the guidelines ended"),
    "turn.generating": _("A model took the question"),
    "turn.prompted": _("The model was asked"),
    "turn.shown": _("A piece of the answer was shown"),
    "turn.card_shown": _("The hotlines were shown in the place of an answer: the record followed"),
    "turn.taken_back": _("What was shown was taken back: the answer begins anew"),
    "turn.handed_over": _("Handed over: the guidelines are quoted instead"),
    "turn.broken_off": _("The model broke off"),
    "turn.requeued": _("The answering process was lost: the question waits again"),
    "turn.stop_asked": _("Asked to stop the answer"),
    "turn.completed": _("The answer was completed"),
    "turn.redirected": _("The hotlines were shown instead of an answer"),
    "turn.refused": _("The question was refused"),
    "turn.cancelled": _("The answer was stopped"),
    "turn.failed": _("No answer came about"),
    "turn.source_opened": _("Opened a source of the answer"),
    "turn.verified": _("Checked the answer against the guideline"),
    "turn.verification_withdrawn": _("Took back that the answer was checked"),
    "turn.reasoning_read": _("Read what the model thought"),
    "conversation.read": _("Read the words of a question and its answer"),
    "conversation.erased": _("Erased a conversation"),
    "erasure.asked": _("Asked for an erasure"),
    "erasure.confirmed": _("Confirmed an erasure"),
    "erasure.declined": _("Declined an erasure"),
    "erasure.done": _("Carried out an erasure that two people decided"),
    "erasure.withdrawn": _("Took back that an erasure was asked for"),
    "hold.set": _("Set a legal hold"),
    "hold.lifted": _("Lifted a legal hold"),
    "retention.ran": _("The retention periods were applied"),
    # guidelines
    "guideline.uploaded": _("Uploaded a guideline"),
    "guideline.indexed": _("A guideline was read and indexed"),
    "guideline.failed": _("A guideline could not be read"),
    "guideline.retried": _("Had a guideline read again"),
    "guideline.ocr_asked": _("Had a guideline read by OCR"),
    "guideline.submitted": _("Submitted a version for approval"),
    "guideline.sent_back": _("Sent a version back"),
    "guideline.approved": _("Approved a version"),
    "guideline.unapproved": _("Took the approval of a version back"),
    "guideline.effective": _("A version came into force"),
    "guideline.superseded": _("A version was superseded"),
    "guideline.expired": _("A version expired"),
    "guideline.archived": _("Archived a version"),
    "guideline.restored": _("Brought a version back"),
    "guideline.rescheduled": _("Changed the dates of a version"),
    "guideline.described": _("Changed the description of a guideline"),
    "guideline.opening_asked": _("Asked to open a guideline to more departments"),
    "guideline.opened": _("Opened a guideline to more departments"),
    "guideline.opening_withdrawn": _("Did not open a guideline to more departments"),
    "guideline.enabled": _("Switched a guideline on"),
    "guideline.disabled": _("Switched a guideline off"),
    "guideline.joined": _("Made a file a version of a guideline"),
    "guideline.split_off": _("Made a guideline of its own of a version"),
    "guideline.kept_apart": _("Said that two guidelines are not versions of one"),
    "guideline.tried": _("Tried the library with a question"),
    "guideline.case_added": _("Added a test question for the library"),
    "guideline.case_removed": _("Removed a test question for the library"),
    "guideline.case_restored": _("Brought a test question for the library back"),
    "guideline.cases_run": _("Had the library's test questions asked"),
    "guideline.cases_exported": _("Exported the library's test questions"),
    "guideline.cases_imported": _("Imported test questions for the library"),
    "department.added": _("Added a department"),
    "department.renamed": _("Renamed a department"),
    "department.removed": _("Removed a department"),
    "index.switched": _("The search index was replaced"),
    "index.failed": _("A search index could not be built"),
    "index.mended": _("The search index was mended"),
    # models, rules, settings
    "model.imported": _("Imported a model"),
    "model.pulled": _("Fetched a model"),
    "model.removed": _("Removed a model"),
    "model.activated": _("Activated a model"),
    "model.trial_asked": _("Asked for the trial of a model"),
    "model.trial_failed": _("The trial of a model failed"),
    "safeguards.draft_started": _("Began a change of the safeguards"),
    "safeguards.draft_changed": _("Changed the draft of the safeguards"),
    "safeguards.draft_discarded": _("Discarded the draft of the safeguards"),
    "safeguards.draft_sent_back": _("Sent the draft of the safeguards back"),
    "safeguards.case_added": _("Added a test message for the safeguards"),
    "safeguards.case_withdrawn": _("Took a test message out of the tests"),
    "safeguards.case_kept": _("Put a test message back into the tests"),
    "safeguards.test_requested": _("Had the draft of the safeguards tested"),
    "safeguards.tested": _("The draft of the safeguards was tested"),
    "safeguards.release_requested": _("Asked for the release of new safeguards"),
    "safeguards.released": _("Released new safeguards"),
    "safeguards.files_written_again": _("Wrote the files of the safeguards again"),
    "settings.changed": _("The settings of this installation changed"),
    # the audit trail
    "audit.exported": _("Asked for an export"),
    "audit.export_finished": _("An export was written"),
    "audit.export_failed": _("An export came to nothing"),
    "audit.export_downloaded": _("Downloaded an export"),
    "audit.verified": _("The audit trail was verified"),
    "audit.verification_asked": _("Asked for a verification of the whole audit trail"),
    "audit.sealing_refused": _("Sealing was refused: the audit trail is not what was recorded"),
    "audit.tail_missing": _("The end of the audit trail was found cut off or changed"),
    "audit.index_mended": _("The index of the audit trail was mended: it was not what the events give"),
    "audit.key_replaced": _("The audit key was replaced"),
    "clock.went_back": _("The clock went back"),
    "clock.jumped": _("The clock jumped"),
}

_TELLING: dict[str, Words] = {  # the same with what a single event of it holds
    "user.created": _("Made an account: %(role)s"),
    "turn.prompted": _("The model was asked, try %(try)s"),
    "turn.shown": _("Piece %(piece)s of the answer was shown (%(characters)s characters)"),
    "turn.broken_off": _("The model broke off (%(code)s)"),
    "turn.refused": _("The question was refused (%(rule)s)"),
    "turn.failed": _("No answer came about (%(code)s)"),
    "turn.source_opened": _("Opened source %(marker)s of the answer"),
    "audit.exported": _("Asked for an export (%(format)s)"),
    "audit.export_finished": _("An export was written: %(events)s events"),
    "audit.export_failed": _("An export came to nothing (%(code)s)"),
    "audit.verified": _("The audit trail was verified: %(events)s events, %(findings)s findings"),
    "clock.jumped": _("The clock jumped by %(seconds)s seconds"),
}

ROOMS: dict[str, Words] = {  # what a kind begins with, for the filter and for kinds of a later version
    "turn": _("Questions and answers"),
    "conversation": _("Conversations"),
    "crisis": _("Hotlines"),
    "session": _("Sign-ins"),
    "user": _("Accounts"),
    "person": _("People"),
    "guideline": _("Guidelines"),
    "department": _("Departments"),
    "index": _("Search index"),
    "model": _("Models"),
    "safeguards": _("Safeguards"),
    "settings": _("Settings"),
    "audit": _("Audit trail"),
    "clock": _("Clock"),
    "erasure": _("Erasures"),
    "retention": _("Retention"),
    "hold": _("Legal holds"),
}

ROLES: dict[str, Words] = {
    "clinician": _("Clinician"),
    "admin": _("Administrator"),
    "compliance": _("Compliance officer"),
}

CHANGED = _("Changed: this is not what was recorded")

_NOBODY: dict[str, Words] = {
    "system": pgettext_lazy("who acted", "Havre"),
    "anonymous": pgettext_lazy("who acted", "Somebody not signed in"),
    "folder": pgettext_lazy("who acted", "The watched folder"),
    "samples": pgettext_lazy("who acted", "The sample documents"),
}


def plain(kind: str) -> str:
    """A kind in words; one that this version does not know by the room it belongs to and its code."""
    if kind in SENTENCES:
        return str(SENTENCES[kind])
    room, _dot, what = kind.partition(".")
    return f"{ROOMS.get(room, room)}: {what.replace('_', ' ')}"


def sentence(kind: str, payload: Mapping[str, Any]) -> str:
    """What happened, in words, with what the event holds."""
    try:
        return str(_TELLING[kind]) % payload
    except (KeyError, TypeError, ValueError):
        return plain(kind)


def who(code: str, name: str | None, *, is_wrong: bool = False) -> str:
    """Whoever acted: the name, a word for nobody in particular, or the code of somebody whose name was erased, or is
    another one than was recorded (`is_wrong`)."""
    if is_wrong:
        return gettext("Not the recorded name (%(code)s)") % {"code": code}
    if code in _NOBODY:
        return str(_NOBODY[code])
    return name or gettext("Erased person (%(code)s)") % {"code": code}


def details(payload: Mapping[str, Any], names: Mapping[str, str], before: str = "") -> Iterator[tuple[str, str]]:
    """What an event holds, as pairs of a key and a text; people's codes with their names."""
    for key, value in payload.items():
        if isinstance(value, Mapping):
            yield from details(value, names, f"{before}{key}.")
        else:
            yield f"{before}{key}", _text(value, names)


def _text(value: Any, names: Mapping[str, str]) -> str:
    if isinstance(value, list):
        return "; ".join(_text(one, names) for one in value)
    if isinstance(value, Mapping):
        return ", ".join(f"{key} {_text(one, names)}" for key, one in value.items())
    text = str(value)
    return f"{names[text]} ({text})" if text in names else text
