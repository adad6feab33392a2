"""Versions as they are in the database, for tests that need no file."""

import uuid
from datetime import datetime, timedelta
from typing import Any

from django.utils import timezone

from knowledge.models import Guideline, GuidelineVersion

State = GuidelineVersion.State


def day(number: float) -> datetime:
    return timezone.now() + timedelta(days=number)


def make(guideline: Guideline | None = None, **fields: Any) -> GuidelineVersion:
    """A version as it is in the database, read and indexed, uploaded by anna and submitted by bela."""
    guideline = guideline or Guideline.objects.create(title=f"Seclusion {uuid.uuid4()}")
    number = guideline.versions.count() + 1
    state = fields.get("state", State.DRAFT)
    known: dict[str, Any] = {
        "filename": "seclusion.pdf", "media_type": "application/pdf", "sha256": uuid.uuid4().hex, "size": 1,
        "uploaded_by": "anna", "submitted_by": "" if state == State.DRAFT else "bela", "ingestion": "indexed",
    }  # fmt: skip
    if state in {State.APPROVED, State.EFFECTIVE, State.SUPERSEDED, State.EXPIRED}:
        known |= {"approved_by": "dora", "approved_at": day(-2), "effective_from": day(-1)}
    if state == State.APPROVED:
        known["effective_from"] = day(1)
    return GuidelineVersion.objects.create(guideline=guideline, number=number, **{**known, **fields})
