import io
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from django.db import transaction
from django.test import override_settings

import knowledge
from knowledge.models import GuidelineVersion


@pytest.fixture
def data_folder(settings: Any, tmp_path: Path) -> Iterator[Path]:
    """A data folder of the test's own; the index in it is closed afterwards."""
    settings.HAVRE_DATA_DIR = tmp_path
    yield tmp_path
    knowledge.close()


@pytest.fixture
def take_in(db: None, data_folder: Path) -> Callable[..., GuidelineVersion]:
    """Add a document, approved unless the test says otherwise, and ingest it."""

    def add(data: bytes | str, filename: str, **fields: Any) -> GuidelineVersion:
        raw = data.encode() if isinstance(data, str) else data
        fields = {"approve": True, "uploaded_by": "anna", **fields}
        version = knowledge.add_version(io.BytesIO(raw), filename=filename, **fields)
        return knowledge.ingest(version.pk)

    return add


@pytest.fixture(scope="module")
def sample_library(
    django_db_setup: None, django_db_blocker: Any, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[list[GuidelineVersion]]:
    """The sample guidelines, ingested once for a module and taken out of the database after it."""
    folder = tmp_path_factory.mktemp("samples")
    with django_db_blocker.unblock(), override_settings(HAVRE_DATA_DIR=folder), transaction.atomic():
        yield knowledge.ingest_samples()
        knowledge.close()
        transaction.set_rollback(True)
