"""The real parts of a turn in this process: the tiny gpt-oss, the embedder, the index."""

import io
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from django.conf import settings
from django.db import transaction
from django.test import Client, override_settings

from tests.conftest import TINY_MODEL, Cast
from tests.portal import obstacles
from tests.portal.bench import TEXTS, Library
from tests.portal.obstacles import Lift, Obstacle

PROTOCOL = """# Safety plan

A safety plan is written together with the person, in their own words.

## Steps

Go through this together with the person, step by step, and write down what was agreed. First, write down the
warning signs that a crisis may be developing. Then list what the person can do alone to take
their mind off the problem. Then list people and places that distract. Then list people whom the person can ask for
help. Last, make the surroundings safe and keep the number of the ward at hand.

## Follow-up

Read the plan again at every contact, and within seven days of discharge.
"""


@pytest.fixture(scope="session")
def active_model() -> Iterator[str]:
    """The tiny gpt-oss, imported, active, and loaded in this process as a worker would."""
    import inference
    from portal import workers

    store = inference.ModelStore(settings.HAVRE_MODELS_DIR)
    store.import_file(TINY_MODEL, "tiny-gpt-oss")
    store.activate("tiny-gpt-oss", lambda _: inference.Smoke(at="2026-01-01T00:00:00+00:00"))
    workers.load_model()
    assert inference.loaded(), workers._state
    yield "tiny-gpt-oss"
    inference.unload()
    shutil.rmtree(settings.HAVRE_MODELS_DIR, ignore_errors=True)


@pytest.fixture
def guideline(transactional_db: None, tmp_path: Path) -> Iterator[str]:
    """One guideline that answers; returns its title."""
    import knowledge

    file = tmp_path / "safety-plan.md"
    file.write_text(PROTOCOL, encoding="utf-8")
    version = knowledge.add_version(file, filename=file.name, uploaded_by="dora", approve=True)
    knowledge.ingest(version.pk)
    yield version.guideline.title
    shutil.rmtree(settings.HAVRE_DATA_DIR / "guidelines", ignore_errors=True)


@pytest.fixture(scope="module")
def bench_documents(
    django_db_setup: None, django_db_blocker: Any, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Library]:
    """Documents that answer, taken in once for this module and taken out of the database after it."""
    folder = tmp_path_factory.mktemp("library")
    with django_db_blocker.unblock(), override_settings(HAVRE_DATA_DIR=folder), transaction.atomic():
        import knowledge

        found = {}
        for name, text in TEXTS.items():
            file = io.BytesIO(text.encode())
            version = knowledge.add_version(file, filename=f"{name}.md", uploaded_by="dora", approve=True)
            found[name] = knowledge.ingest(version.pk)
        yield found
        knowledge.close()
        transaction.set_rollback(True)


@pytest.fixture
def library(db: None, bench_documents: Library) -> Library:
    """Documents that answer, as they are in the database now."""
    from knowledge.models import GuidelineVersion

    return {name: GuidelineVersion.objects.get(pk=version.pk) for name, version in bench_documents.items()}


@pytest.fixture
def admin(client: Client, cast: Cast) -> Client:
    """An administrator's browser."""
    client.force_login(cast.dora)
    return client


@pytest.fixture
def obstacle(settings: Any) -> Iterator[Obstacle]:
    """Put something in the way of writing, by its name (`tests.portal.obstacles`); what is returned takes it away."""
    lifts: list[Lift] = []

    def put(name: str) -> Lift:
        lifts.append(obstacles.put(name, settings))
        return lifts[-1]

    yield put
    for lift in lifts:
        lift()


@pytest.fixture(autouse=True)
def emptied_spool() -> Iterator[None]:
    """No hotline card waits any more for its record."""
    yield
    from portal.chat import spool

    for one in spool._folder().glob("*"):
        one.unlink()
