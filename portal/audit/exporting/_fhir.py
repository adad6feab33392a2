"""FHIR R4: one AuditEvent a line (NDJSON), along the Basic Audit Log Patterns of IHE.

Everything that the ledger holds of an event comes along: the entity of the audit trail carries the number, the hash
(`leaf`) and the event itself as JSON, whose canonical form behind a zero byte has that hash. So an AuditEvent can be
checked against a bundle years later, in whatever archive it stands.
"""

import json
import re
import uuid
from base64 import b64encode
from collections.abc import Callable
from typing import IO, Any

from portal.audit.exporting._fhir_kinds import DCM, PROFILE, Coding, Meaning, meaning_of
from portal.audit.exporting._formats import About, Events
from portal.audit.services import NOBODY
from portal.audit.stored import Row

KIND_SYSTEM = "urn:x-havre:audit-event-kind"
_LINES_AT_ONCE = 1000
_LONGEST = 1_000_000  # characters of a FHIR string: 1 MB
_NO_STRING = re.compile(r"[^ \S]+")  # what a FHIR string cannot hold, or not everywhere
_FAILED_TO = frozenset({"erased", "unreadable"})  # `outcome` of a reading, in its payload

_ENTITY_TYPE = "http://terminology.hl7.org/CodeSystem/audit-entity-type"
_ROLE = "http://terminology.hl7.org/CodeSystem/object-role"
_SOURCE_TYPE = "http://terminology.hl7.org/CodeSystem/security-source-type"
_PARTICIPATION = "http://terminology.hl7.org/CodeSystem/v3-ParticipationType"
_HUMAN: Coding = ("http://terminology.hl7.org/CodeSystem/extra-security-role-type", "humanuser", "human user")
_SOURCE: Coding = (DCM, "110153", "Source Role ID")
_DESTINATION: Coding = (DCM, "110152", "Destination Role ID")
_APPLICATION: Coding = (DCM, "110150", "Application")
_CUSTODIAN: Coding = ("http://terminology.hl7.org/CodeSystem/provenance-participant-type", "custodian", "Custodian")
_AUTHOR: Coding = (_PARTICIPATION, "AUT", "author (originator)")
_RECIPIENT: Coding = (_PARTICIPATION, "IRCP", "information recipient")
# who asks, who serves, the person: as the pattern for each action wants it
_PARTIES: dict[str, tuple[Coding, Coding, Coding]] = {
    "C": (_SOURCE, _DESTINATION, _AUTHOR),
    "U": (_SOURCE, _DESTINATION, _AUTHOR),
    "R": (_DESTINATION, _SOURCE, _RECIPIENT),
    "D": (_APPLICATION, _CUSTODIAN, _AUTHOR),
    "E": (_SOURCE, _DESTINATION, _HUMAN),
}
_OBJECTS = {"1": "Person", "2": "System Object", "4": "Other"}
_ROLES = {"3": "Report", "4": "Domain Resource", "6": "User", "13": "Security Resource", "20": "Job"}
# Havre keeps no addresses of people's machines
_NO_ADDRESS = {
    "extension": [
        {"url": "http://hl7.org/fhir/StructureDefinition/data-absent-reason", "valueCode": "unsupported"},
    ]
}

_NO_TIME = {"extension": [{"url": "http://hl7.org/fhir/StructureDefinition/data-absent-reason", "valueCode": "error"}]}


def write(events: Events, out: IO[bytes], about: About, progress: Callable[[int], None]) -> int:
    """One AuditEvent a line. Their ids are the same in every export of a ledger."""
    dumps = json.JSONEncoder(separators=(",", ":"), ensure_ascii=False).encode
    count = 0
    for count, event in enumerate(events, 1):
        out.write(dumps(audit_event(event, about)).encode() + b"\n")
        if not count % _LINES_AT_ONCE:
            progress(count)
    return count


def audit_event(event: Row, about: About) -> dict[str, Any]:
    """The AuditEvent that tells of an event."""
    meaning = meaning_of(event.kind)
    outcome, description = _outcome(event, meaning, about)
    profile = meaning.profile if outcome == "0" else ""
    reason = _string(event.payload.get("reason"))
    found: dict[str, Any] = {
        "resourceType": "AuditEvent",
        "id": str(uuid.uuid5(uuid.UUID(about.ledger), str(event.seq))),
        "meta": {"profile": [PROFILE + profile]} if profile else None,
        "type": _coding(meaning.type),
        "subtype": [*map(_coding, meaning.subtypes), {"system": KIND_SYSTEM, "code": _code(event.kind)}],
        "action": meaning.action,
        "recorded": event.when if event.at else None,
        "_recorded": None if event.at else _NO_TIME,
        "outcome": outcome,
        "outcomeDesc": description,
        "purposeOfEvent": [{"text": reason}] if reason else None,
        "agent": _agents(event, meaning, about),
        "source": {
            "site": _string(about.facility),
            "observer": {"type": "Device", "identifier": _ledger(about), "display": "Havre"},
            "type": [{"system": _SOURCE_TYPE, "code": "4", "display": "Application Server"}],
        },
        "entity": [_subject(event, meaning, about), _record(event, about)],
    }
    return {name: value for name, value in found.items() if value}


def _outcome(event: Row, meaning: Meaning, about: About) -> tuple[str, str]:
    """FHIR's code, and why it was no success as far as the event says. A row that is not what was recorded is a major
    failure, whatever it tells of."""
    if problem := about.problem_of(event):
        return "12", f"This is not what was recorded: {problem}."
    payload = event.payload
    if payload.get("outcome") in _FAILED_TO:
        return "4", _string(payload["outcome"])
    if meaning.outcome == "0":
        return "0", ""
    said = (payload.get(name) for name in ("code", "rule", "error", "why"))
    return meaning.outcome, next(filter(None, map(_string, said)), "")


def _agents(event: Row, meaning: Meaning, about: About) -> list[dict[str, Any]]:
    """Whoever acts asks (`requestor`): a person through Havre, or a part of Havre itself."""
    asks, serves, person = _PARTIES[meaning.action]
    is_person = event.actor_id not in NOBODY
    identifier = {"system": f"urn:uuid:{about.ledger}", "value": _string(event.actor_id) or "-"}
    through = {"display": "Havre, page or terminal"} if is_person else {"identifier": identifier}
    agents: list[dict[str, Any]] = [
        {"type": _concept(asks), "who": through, "requestor": not is_person, "network": _NO_ADDRESS},
        {"type": _concept(serves), "who": _observer(about), "requestor": False, "network": _NO_ADDRESS},
    ]
    if is_person:
        user: dict[str, Any] = {"type": _concept(person), "who": {"identifier": identifier}, "requestor": True}
        if name := _string(about.names.get(event.actor_id)):
            user["name"] = name
        if role := _string(event.actor_role):
            user["role"] = [{"text": role}]
        agents.append(user)
    return agents


def _subject(event: Row, meaning: Meaning, about: About) -> dict[str, Any]:
    thing = meaning.thing
    what: dict[str, Any] = {"display": _string(thing.name) or "event"}
    if thing.resource:
        what["type"] = thing.resource
    if subject := _string(event.subject):
        what["identifier"] = {"system": f"urn:uuid:{about.ledger}", "value": subject}
        if name := _string(about.names.get(event.subject)):
            what["display"] = name
    kind = "1" if thing.is_person else "2"
    return {"what": what, "type": _object(kind), "role": _role(thing.role)}


def _record(event: Row, about: About) -> dict[str, Any]:
    """The event as the ledger holds it. JSON in ASCII: no white space or control character is lost on the way."""
    text = json.dumps(json.loads(event.line), separators=(",", ":"), sort_keys=True)
    said = {"valueString": text}
    if len(text) > _LONGEST:
        said = {"valueBase64Binary": b64encode(text.encode()).decode()}
    return {
        "what": {"identifier": _ledger(about), "display": "audit trail"},
        "type": _object("4"),
        "role": _role("13"),
        "detail": [
            {"type": "seq", "valueString": str(event.seq)},
            {"type": "leaf", "valueString": event.leaf.hex() or "-"},
            {"type": "event", **said},
        ],
    }


def _ledger(about: About) -> dict[str, str]:
    return {"system": "urn:ietf:rfc:3986", "value": f"urn:uuid:{about.ledger}"}


def _observer(about: About) -> dict[str, Any]:
    return {"type": "Device", "identifier": _ledger(about), "display": "Havre"}


def _coding(coding: Coding) -> dict[str, str]:
    system, code, display = coding
    return {"system": system, "code": code, "display": display}


def _concept(coding: Coding) -> dict[str, Any]:
    return {"coding": [_coding(coding)]}


def _object(code: str) -> dict[str, str]:
    return {"system": _ENTITY_TYPE, "code": code, "display": _OBJECTS[code]}


def _role(code: str) -> dict[str, str]:
    return {"system": _ROLE, "code": code, "display": _ROLES[code]}


def _string(value: object) -> str:
    """The value as a FHIR string, which is never empty; "" where nothing of it can be one."""
    return _NO_STRING.sub(" ", value).strip() if isinstance(value, str) else ""


def _code(kind: str) -> str:
    return " ".join(_string(kind).split()) or "unknown"
