"""The life of a version: draft → in review → approved → effective → superseded or expired → archived.

People decide up to "approved"; from there on the clock does. Each change is announced (`signals.version_changed`).
"""

from datetime import datetime
from uuid import UUID

from django.db import transaction
from django.utils import timezone

from knowledge.models import Guideline, GuidelineVersion
from knowledge.signals import version_changed

State = GuidelineVersion.State
Ingestion = GuidelineVersion.Ingestion


def bring_up_to_date(guideline_id: UUID | str | None = None, at: datetime | None = None) -> list[GuidelineVersion]:
    """Write down what the clock has decided: approved versions whose time has come become effective, the ones before
    them superseded, those whose time is over expired. Returns the versions that changed.

    Answers do not wait for it (`selectors.answering_versions`); it keeps the pages and the audit trail true. Called
    after every decision about a guideline, and for all of them (`guideline_id` None) every minute.
    """
    now = at or timezone.now()
    due = GuidelineVersion.objects.filter(
        state__in=[State.APPROVED, State.EFFECTIVE], ingestion=Ingestion.INDEXED, effective_from__lte=now
    )
    if guideline_id is not None:
        due = due.filter(guideline_id=guideline_id)
    changed: list[GuidelineVersion] = []
    for one in sorted(set(due.values_list("guideline_id", flat=True))):
        with transaction.atomic():
            Guideline.objects.select_for_update().get(pk=one)
            changed += _advance(list(due.filter(guideline_id=one).order_by("number")), now)
    return changed


def _advance(due: list[GuidelineVersion], now: datetime) -> list[GuidelineVersion]:
    """The changes of one guideline; `due` is its versions whose time has come, oldest first."""
    changed = []
    for version in due[:-1]:
        changed.append(_change(version, State.SUPERSEDED))
    for version in due[-1:]:
        if version.expires_at and version.expires_at <= now:
            changed.append(_change(version, State.EXPIRED))
        elif version.state != State.EFFECTIVE:
            changed.append(_change(version, State.EFFECTIVE))
    return changed


def _change(version: GuidelineVersion, state: GuidelineVersion.State, actor: str = "system") -> GuidelineVersion:
    before, version.state = version.state, state
    version.save(update_fields=["state"])
    version_changed.send(GuidelineVersion, version=version, before=before, actor=actor)
    return version
