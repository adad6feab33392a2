"""Changes to the guideline library: taking files in, ingesting them, switching guidelines, mending the index."""

from pathlib import Path
from typing import BinaryIO
from uuid import UUID

from knowledge._types import IndexReport, OnProgress
from knowledge.models import Guideline, GuidelineVersion


def add_version(
    source: Path | str | BinaryIO,
    *,
    filename: str = "",
    title: str | None = None,
    language: str | None = None,
    uploaded_by: str = "",
    publisher: str = "",
    licence: str = "",
    source_url: str = "",
    approve: bool = True,
) -> GuidelineVersion:
    """Take a file into the library as a new guideline, or as the next version of the one with this title and publisher."""
    raise NotImplementedError


def ingest(version_id: UUID | str, on_progress: OnProgress | None = None) -> GuidelineVersion:
    """Read, cut, embed and index a version; resumable."""
    raise NotImplementedError


def retry(version_id: UUID | str) -> GuidelineVersion:
    """Put a failed version back among the pending ones."""
    raise NotImplementedError


def approve(version_id: UUID | str) -> GuidelineVersion:
    """Make a version effective."""
    raise NotImplementedError


def set_enabled(guideline_id: UUID | str, enabled: bool) -> Guideline:
    """Switch a guideline on or off."""
    raise NotImplementedError


def rebuild_index() -> IndexReport:
    """Make the vector index again from SQL."""
    raise NotImplementedError


def verify_index() -> IndexReport:
    """Compare the vector index with SQL and mend it."""
    raise NotImplementedError


def ingest_samples(
    on_progress: OnProgress | None = None, *, uploaded_by: str = "samples"
) -> list[GuidelineVersion]:
    """Take in and ingest the sample guidelines; what is there already is left alone."""
    raise NotImplementedError


def warm() -> None:
    """Load the embedder and open the index."""
    raise NotImplementedError
