"""What each kind of event is in the words of FHIR R4, IHE BALP and DICOM.

Whatever creates, reads, changes or deletes something that is kept follows the pattern of BALP for that ("RESTful
Operation"), and so may name its profile. Signing in and out, exports, use of the audit trail and alarms have codes of
DICOM of their own; what is left is "Application Activity". None is about a patient as far as Havre knows, so that the
patterns for patients are never used.
"""

from dataclasses import dataclass, replace
from typing import Literal

DCM = "http://dicom.nema.org/resources/ontology/DCM"
REST = "http://terminology.hl7.org/CodeSystem/audit-event-type"
INTERACTION = "http://hl7.org/fhir/restful-interaction"
PROFILE = "https://profiles.ihe.net/ITI/BALP/StructureDefinition/IHE.BasicAudit."

Coding = tuple[str, str, str]  # system, code, display

_DOMAIN_RESOURCE, _REPORT, _USER, _SECURITY, _JOB = ("4", "3", "6", "13", "20")
_MINOR, _SERIOUS, _MAJOR = "4", "8", "12"


@dataclass(frozen=True, slots=True)
class Thing:
    """What an event happened to: a name for readers, the FHIR resource that it is most like ("" for none), its role
    (object-role), whether it is a person to the event, not a thing that is kept."""

    name: str
    resource: str = ""
    role: str = _DOMAIN_RESOURCE
    is_person: bool = False


@dataclass(frozen=True, slots=True)
class Meaning:
    """How a kind of event is told. `outcome` is FHIR's: 0 success, 4, 8 and 12 minor, serious and major failure.
    `profile` is the pattern of BALP that a success follows."""

    type: Coding
    subtypes: tuple[Coding, ...]
    action: Literal["C", "R", "U", "D", "E"]
    thing: Thing
    outcome: str = "0"
    profile: Literal["", "Create", "Read", "Update", "Delete"] = ""


_ACTIVITY: Coding = (DCM, "110100", "Application Activity")
_LOG_USED: Coding = (DCM, "110101", "Audit Log Used")
_EXPORT: Coding = (DCM, "110106", "Export")
_ALERT: Coding = (DCM, "110113", "Security Alert")
_AUTHENTICATION: Coding = (DCM, "110114", "User Authentication")
_LOGIN: Coding = (DCM, "110122", "Login")
_LOGOUT: Coding = (DCM, "110123", "Logout")
_SECURITY_CHANGED: Coding = (DCM, "110129", "Security Configuration")
_SOFTWARE_CHANGED: Coding = (DCM, "110131", "Software Configuration")
_ACCESS_CHANGED: Coding = (DCM, "110135", "Object Security Attributes Changed")
_ROLES_CHANGED: Coding = (DCM, "110136", "Security Roles Changed")
_USER_CHANGED: Coding = (DCM, "110137", "User Security Attributes Changed")
_RESTFUL: Coding = (REST, "rest", "RESTful Operation")

_TURN, _CONVERSATION = Thing("turn"), Thing("conversation")
_GUIDELINE, _DEPARTMENT = Thing("guideline", "DocumentReference"), Thing("department", "Organization")
_INDEX, _CASE = Thing("search index"), Thing("test case")
_MODEL, _RULES, _SETTING = Thing("model", "Device"), Thing("guardrail rules"), Thing("setting")
_ACCOUNT = Thing("user account", "Person")
_SIGNING_IN = Thing("user", "Person", _USER, is_person=True)
_AUDIT, _FILE = Thing("audit trail", role=_SECURITY), Thing("export", role=_REPORT)
_ERASURE, _HOLD, _RETENTION = Thing("erasure", role=_JOB), Thing("legal hold"), Thing("retention", role=_JOB)


def _create(thing: Thing, *more: Coding) -> Meaning:
    return Meaning(_RESTFUL, ((INTERACTION, "create", "create"), *more), "C", thing, profile="Create")


def _read(thing: Thing) -> Meaning:
    return Meaning(_RESTFUL, ((INTERACTION, "read", "read"),), "R", thing, profile="Read")


def _update(thing: Thing, *more: Coding) -> Meaning:
    return Meaning(_RESTFUL, ((INTERACTION, "update", "update"), *more), "U", thing, profile="Update")


def _delete(thing: Thing) -> Meaning:
    return Meaning(_RESTFUL, ((INTERACTION, "delete", "delete"),), "D", thing, profile="Delete")


def _activity(thing: Thing, outcome: str = "0") -> Meaning:
    return Meaning(_ACTIVITY, (), "E", thing, outcome)


def _alert(thing: Thing, outcome: str, *more: Coding) -> Meaning:
    return Meaning(_ALERT, more, "E", thing, outcome)


def _failed(meaning: Meaning, outcome: str = _SERIOUS) -> Meaning:
    """The same, that did not succeed: it follows no pattern of BALP, which are for successes."""
    return replace(meaning, outcome=outcome, profile="")


_EXPORTED = Meaning(_EXPORT, (), "R", _FILE)
_USED = Meaning(_LOG_USED, (), "R", _AUDIT)
_SIGNED_IN = Meaning(_AUTHENTICATION, (_LOGIN,), "E", _SIGNING_IN)

KINDS: dict[str, Meaning] = {
    # people
    "session.signed_in": _SIGNED_IN,
    "session.signed_out": replace(_SIGNED_IN, subtypes=(_LOGOUT,)),
    "session.ended": replace(_SIGNED_IN, subtypes=(_LOGOUT,)),
    "session.refused": _failed(_SIGNED_IN, _MINOR),
    "session.locked": _failed(_SIGNED_IN),
    "user.created": _create(_ACCOUNT),
    "user.closed": _update(_ACCOUNT, _USER_CHANGED),
    "user.reopened": _update(_ACCOUNT, _USER_CHANGED),
    "user.password_renewed": _update(_ACCOUNT, _USER_CHANGED),
    "user.password_changed": _update(_ACCOUNT, _USER_CHANGED),
    "user.departments_changed": _update(_ACCOUNT, _USER_CHANGED),
    "user.role_changed": _update(_ACCOUNT, _ROLES_CHANGED),
    "user.deactivated": _update(_ACCOUNT, _USER_CHANGED),
    "user.activated": _update(_ACCOUNT, _USER_CHANGED),
    "person.named": _create(_ACCOUNT),
    "person.erased": _delete(_ACCOUNT),
    # turns
    "turn.started": _create(_TURN),
    "turn.retrieving": _activity(_TURN),
    "turn.passages": _activity(_TURN),
    "turn.generating": _activity(_TURN),
    "turn.prompted": _activity(_TURN),
    "turn.shown": _activity(_TURN),
    "turn.card_shown": _activity(_TURN),
    "turn.taken_back": _activity(_TURN, _MINOR),
    "turn.handed_over": _activity(_TURN),
    "turn.broken_off": _activity(_TURN, _SERIOUS),
    "turn.requeued": _activity(_TURN, _SERIOUS),
    "turn.stop_asked": _activity(_TURN),
    "turn.completed": _activity(_TURN),
    "turn.redirected": _activity(_TURN),
    "turn.refused": _activity(_TURN, _MINOR),
    "turn.cancelled": _activity(_TURN),
    "turn.failed": _activity(_TURN, _SERIOUS),
    "turn.source_opened": _read(_GUIDELINE),
    "turn.verified": _update(_TURN),
    "turn.verification_withdrawn": _update(_TURN),
    "turn.reasoning_read": _read(_TURN),
    "crisis.shown": _activity(_TURN),
    "conversation.read": _read(_CONVERSATION),
    "conversation.erased": _delete(_CONVERSATION),
    # what is kept and what goes
    "erasure.asked": _activity(_ERASURE),
    "erasure.confirmed": _activity(_ERASURE),
    "erasure.declined": _activity(_ERASURE),
    "erasure.done": _activity(_ERASURE),
    "erasure.withdrawn": _activity(_ERASURE),
    "hold.set": _create(_HOLD),
    "hold.lifted": _update(_HOLD),
    "retention.ran": _activity(_RETENTION),
    # guidelines
    "guideline.uploaded": _create(_GUIDELINE),
    "guideline.indexed": _update(_GUIDELINE),
    "guideline.failed": _failed(_update(_GUIDELINE)),
    "guideline.retried": _activity(_GUIDELINE),
    "guideline.ocr_asked": _activity(_GUIDELINE),
    "guideline.submitted": _update(_GUIDELINE),
    "guideline.sent_back": _update(_GUIDELINE),
    "guideline.approved": _update(_GUIDELINE),
    "guideline.unapproved": _update(_GUIDELINE),
    "guideline.effective": _update(_GUIDELINE),
    "guideline.superseded": _update(_GUIDELINE),
    "guideline.expired": _update(_GUIDELINE),
    "guideline.archived": _update(_GUIDELINE),
    "guideline.restored": _update(_GUIDELINE),
    "guideline.rescheduled": _update(_GUIDELINE),
    "guideline.described": _update(_GUIDELINE),
    "guideline.opening_asked": _activity(_GUIDELINE),
    "guideline.opened": _update(_GUIDELINE, _ACCESS_CHANGED),
    "guideline.opening_withdrawn": _activity(_GUIDELINE),
    "guideline.enabled": _update(_GUIDELINE),
    "guideline.disabled": _update(_GUIDELINE),
    "guideline.joined": _update(_GUIDELINE),
    "guideline.split_off": _update(_GUIDELINE),
    "guideline.kept_apart": _update(_GUIDELINE),
    "guideline.tried": _activity(_GUIDELINE),
    "guideline.case_added": _create(_CASE),
    "guideline.case_removed": _delete(_CASE),
    "guideline.case_restored": _create(_CASE),
    "guideline.cases_run": _activity(_CASE),
    "guideline.cases_exported": replace(_EXPORTED, thing=_CASE),
    "guideline.cases_imported": _create(_CASE),
    "department.added": _create(_DEPARTMENT),
    "department.renamed": _update(_DEPARTMENT),
    "department.removed": _delete(_DEPARTMENT),
    "index.switched": _update(_INDEX, _SOFTWARE_CHANGED),
    "index.failed": _activity(_INDEX, _SERIOUS),
    "index.mended": _update(_INDEX),
    # models, rules, settings
    "model.imported": _create(_MODEL, _SOFTWARE_CHANGED),
    "model.pulled": _create(_MODEL, _SOFTWARE_CHANGED),
    "model.removed": _delete(_MODEL),
    "model.activated": _update(_MODEL, _SOFTWARE_CHANGED),
    "model.trial_failed": _failed(_update(_MODEL, _SOFTWARE_CHANGED)),
    "model.trial_asked": _activity(_MODEL),
    "safeguards.draft_started": _create(_RULES),
    "safeguards.draft_changed": _update(_RULES),
    "safeguards.draft_discarded": _delete(_RULES),
    "safeguards.draft_sent_back": _update(_RULES),
    "safeguards.case_added": _create(_CASE),
    "safeguards.case_withdrawn": _update(_CASE),
    "safeguards.case_kept": _update(_CASE),
    "safeguards.test_requested": _activity(_RULES),
    "safeguards.tested": _activity(_RULES),
    "safeguards.release_requested": _activity(_RULES),
    "safeguards.released": _update(_RULES, _SOFTWARE_CHANGED),
    "safeguards.files_written_again": _alert(_RULES, _MINOR, _SOFTWARE_CHANGED),
    "settings.changed": _update(_SETTING, _SECURITY_CHANGED),
    # the audit trail itself
    "audit.exported": _EXPORTED,
    "audit.export_finished": _EXPORTED,
    "audit.export_failed": _failed(_EXPORTED),
    "audit.export_downloaded": _EXPORTED,
    "audit.viewed": _USED,
    "audit.verification_asked": replace(_USED, action="E"),
    "audit.verified": replace(_USED, action="E"),
    "audit.sealing_refused": _alert(_AUDIT, _MAJOR),
    "audit.tail_missing": _alert(_AUDIT, _MAJOR),
    "audit.index_mended": _alert(_AUDIT, _SERIOUS),
    "audit.key_replaced": _alert(_AUDIT, "0", _SECURITY_CHANGED),
    "clock.went_back": _alert(_AUDIT, _MINOR),
    "clock.jumped": _alert(_AUDIT, _MINOR),
}
"""Each kind that Havre records, and some that are announced."""

_OF_ROOM = {
    "session": replace(_SIGNED_IN, subtypes=()),
    "user": _activity(_ACCOUNT),
    "person": _activity(_ACCOUNT),
    "turn": _activity(_TURN),
    "crisis": _activity(_TURN),
    "conversation": _activity(_CONVERSATION),
    "guideline": _activity(_GUIDELINE),
    "department": _activity(_DEPARTMENT),
    "index": _activity(_INDEX),
    "model": _activity(_MODEL),
    "safeguards": _activity(_RULES),
    "settings": _activity(_SETTING),
    "audit": replace(_USED, action="E"),
    "clock": _alert(_AUDIT, _MINOR),
    "erasure": _activity(_ERASURE),
    "retention": _activity(_RETENTION),
    "hold": _activity(_HOLD),
}


def meaning_of(kind: str) -> Meaning:
    """What a kind of event is. One that is not known here, of another version of Havre, is told as an activity."""
    room = kind.partition(".")[0]
    return KINDS.get(kind) or _OF_ROOM.get(room) or _activity(Thing(room or "event"))
