"""The FHIR export: valid by the official schema of R4, along IHE BALP, and nothing of the ledger is lost in it."""

import ast
import base64
import hashlib
import io
import json
import re
import uuid
from collections.abc import Iterator
from copy import deepcopy
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from django.conf import settings
from django.core.management import call_command
from django.db import transaction
from hypothesis import given
from hypothesis import strategies as st

from portal.audit._canonical import canonical, plain
from portal.audit.exporting import About, Selection
from portal.audit.exporting._fhir import KIND_SYSTEM, audit_event
from portal.audit.exporting._fhir_kinds import DCM, KINDS, PROFILE, meaning_of
from portal.audit.models import Event
from portal.audit.services import leaf_of, record
from portal.audit.stored import row_of
from portal.audit.wording import SENTENCES
from portal.chat.models import State
from portal.guidelines import signals, wording
from tests.portal.test_audit_export_forms import JSON

LEDGER = "0f6c3c62-3f0e-4a52-9d55-0a6a2b6f1d11"
ANNA = "p-0123456789abcdef01234567"
SCHEMA = json.loads((Path(__file__).parent / "fhir-r4-auditevent.schema.json").read_text(encoding="utf-8"))
VALIDATOR = jsonschema.Draft6Validator(SCHEMA)
ABOUT = About(
    number=7,
    ledger=LEDGER,
    facility="Hôpital de l’Essai",
    asked_by="emil",
    at=datetime(2026, 1, 1, tzinfo=UTC),
    language="fr",
    selection=Selection(),
    up_to=7,
    count=7,
    checkpoint=None,
    problem="",
    names={ANNA: "anna", "system": "system"},
)


def event(kind: str = "turn.started", seq: int = 1, actor: str = ANNA, **values: Any) -> Event:
    made = Event(seq=seq, at=datetime(2026, 3, 29, 1, 30, 5, 7, tzinfo=UTC), kind=kind, actor_id=actor, **values)
    made.leaf = leaf_of(made)
    return made


def told(made: Event) -> dict[str, Any]:
    """The AuditEvent as somebody else reads it."""
    row = row_of(made)
    assert row
    found: dict[str, Any] = json.loads(json.dumps(audit_event(row, ABOUT)))
    return found


def details(resource: dict[str, Any]) -> dict[str, str]:
    found = resource["entity"][-1]["detail"]
    return {one["type"]: one.get("valueString") or base64.b64decode(one["valueBase64Binary"]).decode() for one in found}


def read_back(resource: dict[str, Any]) -> dict[str, Any]:
    """The event, from an AuditEvent and nothing else."""
    found: dict[str, Any] = json.loads(details(resource)["event"])
    return found


@given(
    kind=st.sampled_from(sorted(KINDS)) | st.text(max_size=64),
    actor=st.sampled_from([ANNA, "system", "anonymous"]),
    subject=st.text(max_size=170),
    role=st.sampled_from(["", "admin"]),
    payload=st.dictionaries(st.text(), JSON, max_size=4),
)
def test_every_event_is_valid_and_comes_back_as_the_ledger_holds_it(
    kind: str, actor: str, subject: str, role: str, payload: dict[str, Any]
) -> None:
    values = {"subject": plain(subject), "actor_role": role, "payload": plain(_exact(payload))}
    made = event(plain(kind), 2**53 - 1, actor, **values)
    resource = told(made)
    VALIDATOR.validate(resource)
    back = read_back(resource)
    assert back == {
        "v": 1,
        "seq": made.seq,
        "at": "2026-03-29T01:30:05.000007Z",
        "kind": made.kind,
        "actor": made.actor_id,
        "actor_role": made.actor_role,
        "subject": made.subject,
        "payload": made.payload,
    }
    said = details(resource)
    assert (said["seq"], said["leaf"]) == (str(made.seq), made.leaf.hex())
    assert hashlib.sha256(b"\0" + canonical(back)).hexdigest() == said["leaf"]


def _exact(value: Any) -> Any:
    """Without numbers that no event can hold."""
    if isinstance(value, float) and abs(value) >= 2**53:
        return 0.5
    if isinstance(value, dict):
        return {name: _exact(one) for name, one in value.items()}
    return [_exact(one) for one in value] if isinstance(value, list) else value


@pytest.mark.parametrize("kind", sorted(KINDS))
def test_each_kind_keeps_to_the_value_sets_and_to_its_pattern(kind: str) -> None:
    for actor in (ANNA, "system"):
        resource = told(event(kind, actor=actor, actor_role="clinician", subject=str(uuid.uuid4())))
        VALIDATOR.validate(resource)
        assert (resource["type"]["system"], resource["type"]["code"]) in _TYPES
        assert resource["subtype"][-1] == {"system": KIND_SYSTEM, "code": kind}
        assert {(one["system"], one["code"]) for one in resource["subtype"][:-1]} <= _SUBTYPES
        assert [one["requestor"] for one in resource["agent"]].count(True) == 1
        assert len({one["type"]["coding"][0]["code"] for one in resource["agent"]}) == len(resource["agent"])
        assert resource["outcome"] == "0" or "meta" not in resource
        if "meta" in resource:
            _follows_its_pattern(resource, with_person=actor == ANNA)


_TYPES = {(DCM, str(code)) for code in range(110100, 110115)}
_TYPES |= {("http://terminology.hl7.org/CodeSystem/audit-event-type", "rest")}
_SUBTYPES = {(DCM, str(code)) for code in range(110120, 110143)}
_SUBTYPES |= {("http://hl7.org/fhir/restful-interaction", code) for code in ("create", "read", "update", "delete")}

# name of the profile: interaction, action, types of the agents client, server and user
_PATTERNS = {
    "Create": ("create", "C", "110153", "110152", "AUT"),
    "Read": ("read", "R", "110152", "110153", "IRCP"),
    "Update": ("update", "U", "110153", "110152", "AUT"),
    "Delete": ("delete", "D", "110150", "custodian", "AUT"),
}


def _follows_its_pattern(resource: dict[str, Any], *, with_person: bool) -> None:
    """The rules of IHE BALP 1.1 for Create, Read, Update and Delete without a patient."""
    (profile,) = resource["meta"]["profile"]
    interaction, action, client, server, user = _PATTERNS[profile.removeprefix(PROFILE)]
    assert resource["type"]["code"] == "rest"
    assert [one["code"] for one in resource["subtype"]].count(interaction) == 1
    assert (resource["action"], resource["outcome"]) == (action, "0")
    agents = {one["type"]["coding"][0]["code"]: one for one in resource["agent"]}
    assert set(agents) == {client, server, *([user] if with_person else [])}
    for machine in (agents[client], agents[server]):
        assert machine["who"]
        assert "network" in machine
        assert "media" not in machine
    if with_person:
        assert agents[user]["requestor"] is True
        assert agents[user]["who"]["identifier"]["value"] == ANNA
        assert (agents[user]["name"], agents[user]["role"]) == ("anna", [{"text": "clinician"}])
        assert not {"network", "media"} & set(agents[user])
    data = [one for one in resource["entity"] if one["type"]["code"] == "2"]
    assert len(data) == 1
    assert data[0]["role"]["code"] in {"3", "4", "20"}
    assert data[0]["what"]
    assert not {"lifecycle", "name", "query", "detail"} & set(data[0])


@pytest.mark.parametrize(
    ("kind", "payload", "outcome"),
    [
        ("turn.completed", {}, ("0", None)),
        ("turn.refused", {"rule": "dosing"}, ("4", "dosing")),
        ("turn.failed", {"code": "worker_lost"}, ("8", "worker_lost")),
        ("session.refused", {}, ("4", None)),
        ("audit.sealing_refused", {"event": 3, "why": "event 3: it was changed"}, ("12", "event 3: it was changed")),
        ("conversation.read", {"reason": "complaint 12", "outcome": "read"}, ("0", None)),
        ("conversation.read", {"reason": "complaint 12", "outcome": "erased"}, ("4", "erased")),
    ],
)
def test_outcomes(kind: str, payload: dict[str, Any], outcome: tuple[str, str | None]) -> None:
    resource = told(event(kind, payload=payload))
    assert (resource["outcome"], resource.get("outcomeDesc")) == outcome
    assert ("meta" in resource) == (outcome[0] == "0" and kind == "conversation.read")
    assert resource.get("purposeOfEvent") == ([{"text": "complaint 12"}] if "reason" in payload else None)


def test_an_erased_person_is_a_code() -> None:
    erased = "p-ffffffffffffffffffffffff"
    resource = told(event("user.password_changed", actor=erased, subject=erased))
    (user,) = (one for one in resource["agent"] if one["requestor"])
    assert user["who"]["identifier"] == {"system": f"urn:uuid:{LEDGER}", "value": erased}
    assert "name" not in user
    assert resource["entity"][0]["what"]["display"] == "user account"


def test_a_payload_too_long_for_a_string_comes_along() -> None:
    made = event(payload={"why": "é" * 400_000})
    resource = told(made)
    VALIDATOR.validate(resource)
    assert read_back(resource)["payload"] == made.payload


@pytest.mark.parametrize(
    ("path", "wrong"),
    [
        (("action",), "X"),
        (("outcome",), "1"),
        (("recorded",), "2026-03-29"),
        (("agent",), None),
        (("source", "observer"), None),
        (("entity", 0, "nothing"), "known"),
        (("agent", 0, "requestor"), "true"),
        (("source", "site"), ""),
    ],
)
def test_the_schema_refuses_what_is_wrong(path: tuple[Any, ...], wrong: object) -> None:
    resource = deepcopy(told(event()))
    *inside, last = path
    place: Any = resource
    for step in inside:
        place = place[step]
    if wrong is None:
        del place[last]
    else:
        place[last] = wrong
    assert not VALIDATOR.is_valid(resource)


def test_every_kind_that_is_recorded_has_a_meaning_chosen_for_it() -> None:
    recorded = set(_kinds_in_the_code())
    assert len(recorded) > 60, "the search for kinds finds too few"
    assert sorted(recorded - set(KINDS)) == [], "say in portal/audit/exporting/_fhir_kinds.py what these are"
    assert meaning_of("turn.of_a_later_version").thing == meaning_of("turn.started").thing


def _kinds_in_the_code() -> Iterator[str]:
    """Kinds as they stand in the code, and those that are put together there."""
    yield from (f"turn.{state.value}" for state in State if state != State.QUEUED)
    yield from (f"guideline.{what}" for what in signals._KINDS.values())
    yield from wording.EVENTS
    yield from SENTENCES
    for file in (Path(settings.BASE_DIR) / "portal").rglob("*.py"):
        tree = ast.parse(file.read_text(encoding="utf-8"))
        calls = [one for one in ast.walk(tree) if isinstance(one, ast.Call)]
        wrappers = [one for one in ast.walk(tree) if isinstance(one, ast.FunctionDef) and one.name == "_record"]
        room = next((_beginning(one) for wrapper in wrappers for one in ast.walk(wrapper) if _beginning(one)), "")
        constants = {one.targets[0].id: one.value.value for one in tree.body if _is_constant(one)}
        for call in (one for one in calls if _name(one.func) in _RECORDERS):
            given = [*call.args[:3], *(one.value for one in call.keywords if one.arg == "kind")]
            for word in (word for one in given for word in _words(one, constants)):
                if re.fullmatch(r"[a-z]+\.[a-z_]+", word):
                    yield word
                elif room and _name(call.func) == "_record" and word in _words(given[0], constants):
                    yield room + word


_RECORDERS = frozenset({"record", "_record", "record_end", "record_change", "_again", "Event"})


def _is_constant(node: ast.stmt) -> bool:
    """NAME = "text"."""
    return (
        isinstance(node, ast.Assign)
        and isinstance(node.targets[0], ast.Name)
        and isinstance(node.value, ast.Constant)
        and isinstance(node.value.value, str)
    )


def _beginning(node: ast.AST) -> str:
    """Of "turn.{what}" what stands before the brace."""
    match node:
        case ast.JoinedStr(values=[ast.Constant(value=str(start)), *_]):
            return start
    return ""


def _words(node: ast.expr, constants: dict[str, str]) -> list[str]:
    match node:
        case ast.Constant(value=str(word)):
            return [word]
        case ast.Name(id=name) if name in constants:
            return [constants[name]]
        case ast.IfExp(body=one, orelse=other):
            return [*_words(one, constants), *_words(other, constants)]
    return []


def _name(function: ast.expr) -> str:
    return function.id if isinstance(function, ast.Name) else getattr(function, "attr", "")


def test_the_export_is_the_ledger_line_by_line(db: None, tmp_path: Path) -> None:
    with transaction.atomic():
        record("user.created", actor="terminal:root", payload={"role": "clinician"})
        record("turn.started", actor="anna", actor_role="clinician", subject=str(uuid.uuid4()), payload={"é": "\u2028"})
    texts = []
    for name in ("1.ndjson", "2.ndjson"):
        call_command("export_audit", "--format", "fhir", "-o", str(tmp_path / name), stdout=io.StringIO())
        texts.append((tmp_path / name).read_text(encoding="utf-8"))
    first, second = ([json.loads(line) for line in text.split("\n")[:-1]] for text in texts)
    assert [read_back(one)["seq"] for one in second] == [*range(1, len(second) + 1)]
    assert [one["id"] for one in second[: len(first)]] == [one["id"] for one in first]
    assert len({one["id"] for one in second}) == len(second)
    for resource in second:
        VALIDATOR.validate(resource)
        row = Event.objects.get(seq=read_back(resource)["seq"])
        assert (read_back(resource)["payload"], details(resource)["leaf"]) == (row.payload, bytes(row.leaf).hex())
        assert resource["subtype"][-1]["code"] == row.kind
    finished = Event.objects.filter(kind="audit.export_finished").values_list("payload", flat=True)[0]
    assert finished["events"] == len(second)
