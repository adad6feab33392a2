"""The fixed cast of people, and the real parts that tests share: Valkey, the tiny model."""

import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from django.conf import settings

from tests.services import embedded_valkey

pytest_plugins = ["tests.spreading"]

TINY_MODEL = Path(__file__).parent / "models" / "tiny-gpt-oss.gguf"
PASSWORD = "correct-horse-battery"


@dataclass(frozen=True)
class Cast:
    """Everybody who ever signs in during a test."""

    anna: object  # clinician
    bela: object  # another clinician
    dora: object  # administrator
    emil: object  # compliance officer


def at_once(times: int, work: Callable[[], object]) -> None:
    """Do the same in several threads at the same time, each with a database connection of its own."""
    from django.db import connection

    def do() -> None:
        try:
            work()
        finally:
            connection.close()

    threads = [threading.Thread(target=do) for _ in range(times)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


@pytest.fixture
def cast(db: None, valkey_server: str) -> Cast:
    """The people, and a Valkey that answers unless the test also asks for `dead_valkey`."""
    from portal.accounts.models import User

    def person(name: str, role: str) -> User:
        return User.objects.create_user(name, password=PASSWORD, role=role)

    return Cast(
        anna=person("anna", "clinician"),
        bela=person("bela", "clinician"),
        dora=person("dora", "admin"),
        emil=person("emil", "compliance"),
    )


@pytest.fixture(autouse=True)
def _channel_layer_of_its_own() -> Iterator[None]:
    """A layer waits with a lock of the event loop that it was first used in, and each test has a loop of its own: where
    one ends in the middle of waiting, the next would be refused."""
    yield
    from channels.layers import channel_layers

    channel_layers.backends.clear()


@pytest.fixture(scope="session")
def valkey_server() -> Iterator[str]:
    """A real Valkey at the address of the settings: the embedded one, or the server that HAVRE_REDIS_URL names."""
    from portal import valkey

    if not settings.HAVRE_REDIS_URL.startswith("unix://"):
        valkey.client().flushdb()
        yield settings.HAVRE_REDIS_URL
        return
    with embedded_valkey():
        yield settings.HAVRE_REDIS_URL


@pytest.fixture
def dead_valkey(settings: object, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Nothing answers where Valkey should be."""
    from portal import valkey

    monkeypatch.setattr(valkey, "_down_until", 0.0)  # and is set back afterwards

    address = f"unix://{settings.HAVRE_DATA_DIR}/run/nobody.sock"
    settings.HAVRE_REDIS_URL = address
    layers = {"BACKEND": "portal.layer.PatientChannelLayer", "CONFIG": {"hosts": [address]}}
    settings.CHANNEL_LAYERS = {"default": layers}
    valkey.client.cache_clear()
    yield
    valkey.client.cache_clear()


@pytest.fixture
def living_workers(valkey_server: str) -> Iterator[None]:
    """The web process believes that both workers are alive; the test plays their part itself."""
    from portal.parts import Heartbeat

    beats = [Heartbeat(name, lambda: {"state": "ready"}) for name in ("inference", "knowledge")]
    for beat in beats:
        beat.beat()
        beat.start()  # a model may take longer to load than one beat is believed
    yield
    for beat in beats:
        beat.stop()


@pytest.fixture(scope="session")
def installation(tmp_path_factory: pytest.TempPathFactory) -> Iterator[object]:
    """Every process of Havre, running, with the tiny model, the sample safety plans and the cast."""
    from tests.installation import Installation

    samples = Path(settings.BASE_DIR) / "knowledge" / "samples"
    running = Installation(tmp_path_factory.mktemp("installation"))
    running.prepare(
        {
            "Safety plan": samples / "safety-plan-en-sample-protocol.pdf",
            "Plan de sécurité": samples / "safety-plan-fr-sample-protocol.pdf",
        }
    )
    try:
        running.start()
        yield running
    finally:
        running.stop()


def _empty_with_audit_trail() -> None:
    """Tests that commit are cleaned up by emptying every table, which the triggers of the audit trail refuse: they are
    away for that moment."""
    from django.db import connection
    from django.test import TransactionTestCase

    from portal.audit import _triggers

    empty = TransactionTestCase._fixture_teardown

    def without_triggers(self: TransactionTestCase) -> None:
        _triggers.remove(connection)
        try:
            empty(self)
        finally:
            _triggers.install(connection)

    TransactionTestCase._fixture_teardown = without_triggers


_empty_with_audit_trail()
