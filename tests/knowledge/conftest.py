import io
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from django.db import transaction
from django.test import override_settings

import knowledge
from knowledge.models import Chunk, Embedding, Guideline, GuidelineVersion, Index, Page


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


@pytest.fixture(scope="session")
def samples_taken_in(
    django_db_setup: None, django_db_blocker: Any, tmp_path_factory: pytest.TempPathFactory
) -> tuple[Path, list[list[Any]]]:
    """The data folder of the sample guidelines, ingested once, and their rows, which are not in the database."""
    folder = tmp_path_factory.mktemp("samples")
    with django_db_blocker.unblock(), override_settings(HAVRE_DATA_DIR=folder), transaction.atomic():
        knowledge.ingest_samples()
        knowledge.close()
        rows = [list(model.objects.all()) for model in (Guideline, GuidelineVersion, Page, Chunk, Embedding, Index)]
        transaction.set_rollback(True)
    return folder, rows


@pytest.fixture(scope="module")
def sample_library(
    samples_taken_in: tuple[Path, list[list[Any]]], django_db_blocker: Any
) -> Iterator[list[GuidelineVersion]]:
    """The sample guidelines, in the database for a module."""
    folder, rows = samples_taken_in
    with django_db_blocker.unblock(), override_settings(HAVRE_DATA_DIR=folder), transaction.atomic():
        for some in rows:
            type(some[0]).objects.bulk_create(some, batch_size=500)
        yield list(GuidelineVersion.objects.select_related("guideline").order_by("created_at"))
        knowledge.close()
        transaction.set_rollback(True)
