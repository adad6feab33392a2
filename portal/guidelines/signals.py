"""What the library tells of its own work goes into the audit trail, in the library's transaction. The subject is the
guideline, so that its events are its history."""

from collections.abc import Mapping
from typing import Any

from django.dispatch import receiver

from knowledge.models import Department, Guideline, GuidelineVersion, Index
from knowledge.signals import (
    department_changed,
    guideline_changed,
    index_changed,
    ingestion_ended,
    version_added,
    version_changed,
)
from portal.accounts.models import User
from portal.accounts.selectors import role_of
from portal.accounts.services import set_departments
from portal.audit.services import code_of, record

State = GuidelineVersion.State
# (before, after): what happened; where only one of both says it, the other is None
_KINDS: dict[tuple[str | None, str | None], str] = {
    (State.DRAFT, State.IN_REVIEW): "submitted",
    (State.IN_REVIEW, State.DRAFT): "sent_back",
    (State.IN_REVIEW, State.APPROVED): "approved",
    (State.DRAFT, State.APPROVED): "approved",
    (State.APPROVED, State.DRAFT): "unapproved",
    (State.EFFECTIVE, State.DRAFT): "unapproved",
    (None, State.EFFECTIVE): "effective",
    (None, State.SUPERSEDED): "superseded",
    (None, State.EXPIRED): "expired",
    (None, State.ARCHIVED): "archived",
    (State.ARCHIVED, None): "restored",
    (State.SUPERSEDED, None): "restored",
    (State.EXPIRED, None): "restored",
}


@receiver(version_added)
def _added(sender: object, version: GuidelineVersion, actor: str, **_: Any) -> None:
    payload = {"title": version.guideline.title, "filename": version.filename, "origin": version.origin}
    _record("uploaded", version.guideline, actor, version, payload)


@receiver(version_changed)
def _changed(sender: object, version: GuidelineVersion, before: str, actor: str, **said: Any) -> None:
    after = version.state
    kind = _KINDS.get((before, after)) or _KINDS.get((None, after)) or _KINDS[before, None]
    payload: dict[str, str | bool] = {"before": before, "state": after}
    if said.get("note"):
        payload["note"] = said["note"]
    if kind == "approved":
        payload |= {"alone_as_operator": bool(said.get("operator"))}
    if after == State.APPROVED:
        for name in ("effective_from", "review_due", "expires_at"):
            value = getattr(version, name)
            payload[name] = value.isoformat() if value else ""
    _record(kind, version.guideline, actor, version, payload)


@receiver(guideline_changed)
def _described(
    sender: object,
    guideline: Guideline,
    *,
    kind: str,
    actor: str,
    changes: Mapping[str, list[Any]],
    version: GuidelineVersion | None,
    **_: Any,
) -> None:
    said = {name: _coded(pair) if name == "asked_by" else pair for name, pair in changes.items()}
    payload = {"title": guideline.title, **({"changes": said} if said else {})}
    _record(kind, guideline, actor, version, payload)


@receiver(department_changed)
def _department(
    sender: object, department: Department, kind: str, actor: str, changes: Mapping[str, list[Any]], **_: Any
) -> None:
    if kind == "removed":  # each of its people loses what was for it: that is recorded of them, too
        for person in User.objects.filter(departments=department.pk).order_by("username"):
            set_departments(person, list(person.departments.exclude(pk=department.pk)), actor=actor)
    record(
        f"department.{kind}",
        actor=actor,
        actor_role=role_of(actor),
        subject=str(department.pk),
        payload={"name": department.name, "changes": dict(changes)},
    )


@receiver(ingestion_ended)
def _ended(sender: object, version: GuidelineVersion, **_: Any) -> None:
    indexed = version.ingestion == GuidelineVersion.Ingestion.INDEXED
    payload = {"state": version.state, "error": version.error_code}
    _record("indexed" if indexed else "failed", version.guideline, "system", version, payload)


@receiver(index_changed)
def _index(sender: object, index: Index, kind: str, details: Mapping[str, Any], **_: Any) -> None:
    payload = {"embedder": index.embedder, **details}
    record(f"index.{kind}", actor="system", subject=str(index.pk), payload=payload)


def _coded(names: list[str]) -> list[str]:
    """Names as events hold them: as codes, so that a name can be erased."""
    return [code_of(one) if one else "" for one in names]


def _record(
    kind: str, guideline: Guideline, actor: str, version: GuidelineVersion | None, payload: Mapping[str, Any]
) -> None:
    of_version = {"version": version.label, "sha256": version.sha256} if version else {}
    record(
        f"guideline.{kind}",
        actor=actor,
        actor_role=role_of(actor),
        subject=str(guideline.pk),
        payload={**of_version, **payload},
    )
