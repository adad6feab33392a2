"""What the library tells of its own work goes into the audit trail, in the library's transaction."""

from typing import Any

from django.dispatch import receiver

from knowledge.models import GuidelineVersion
from knowledge.signals import ingestion_ended
from portal.audit.services import record


@receiver(ingestion_ended)
def _ended(sender: object, version: GuidelineVersion, **_: Any) -> None:
    indexed = version.ingestion == GuidelineVersion.Ingestion.INDEXED
    record(
        "guideline.indexed" if indexed else "guideline.failed",
        actor="system",
        subject=str(version.guideline_id),
        payload={
            "version": version.label,
            "sha256": version.sha256,
            "state": version.state,
            "error": version.error_code,
        },
    )
