"""What a worker does before it says that it is ready, and what becomes of one that is not."""

import os
import signal
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import pytest
from django.db import OperationalError

import inference
import knowledge
from portal import workers
from tests.conftest import TINY_MODEL


@pytest.fixture
def worker(settings: Any, monkeypatch: pytest.MonkeyPatch) -> Iterator[SimpleNamespace]:
    """A worker process that has loaded nothing yet, and the model that is active."""
    from hashlib import sha256

    before = inference.loaded()
    inference.unload()
    settings.HAVRE_ENGINE, settings.HAVRE_SLOTS, settings.HAVRE_CONTEXT = "auto", 1, 1024
    card = SimpleNamespace(path=TINY_MODEL, name="tiny", sha256=sha256(TINY_MODEL.read_bytes()).hexdigest())
    monkeypatch.setattr(inference, "ModelStore", lambda *_, **__: SimpleNamespace(active=lambda: card))
    monkeypatch.setattr(workers, "_chosen", "")
    monkeypatch.setattr(workers, "_card", None)
    monkeypatch.setitem(workers._state, "inference", {"state": "loading"})
    yield card
    inference.unload()
    if before:  # other tests go on with it
        inference.load(before.settings, approved_sha256=before.sha256)


def said() -> str:
    return str(workers._state["inference"]["state"])


def test_it_is_ready_when_its_model_has_written_a_token(
    worker: SimpleNamespace, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[tuple[str, float]] = []
    prove = inference.first_token

    def first_token() -> float:
        seen.append((said(), prove()))
        return 0.0

    monkeypatch.setattr(inference, "first_token", first_token)
    workers.load_model()
    assert said() == "ready"
    assert [state for state, seconds in seen if seconds > 0] == ["loading"]


def test_a_model_that_writes_nothing_is_given_back(worker: SimpleNamespace, monkeypatch: pytest.MonkeyPatch) -> None:
    def silent() -> float:
        raise inference.EngineFailed("The model was loaded, and wrote nothing.")

    monkeypatch.setattr(inference, "first_token", silent)
    workers.load_model()
    assert said() == "failed"
    assert inference.loaded() is None


def test_another_file_than_the_approved_one_is_not_loaded(worker: SimpleNamespace) -> None:
    worker.sha256 = "0" * 64
    workers.load_model()
    assert said() == "failed"
    assert "not the file that was approved" in workers._state["inference"]["reason"]


@pytest.mark.parametrize("damaged", [False, True])
def test_a_register_that_cannot_be_read_is_not_taken_for_an_installation_without_a_model(
    worker: SimpleNamespace, monkeypatch: pytest.MonkeyPatch, damaged: bool
) -> None:
    def active() -> None:
        if damaged:
            raise inference.InferenceError("register.json is damaged.")

    monkeypatch.setattr(inference, "ModelStore", lambda *_, **__: SimpleNamespace(active=active))
    workers.load_model()
    assert (said(), workers._state["inference"]["installed"]) == ("failed", damaged)


@pytest.mark.parametrize(("state", "ends"), [("failed", True), ("ready", False)])
def test_a_worker_without_its_model_is_started_again(
    worker: SimpleNamespace, monkeypatch: pytest.MonkeyPatch, state: str, ends: bool
) -> None:
    sent: list[int] = []
    monkeypatch.setattr(os, "kill", lambda pid, number: sent.append(number))
    monkeypatch.setattr(workers, "_FOLLOW_SECONDS", 0.0)
    monkeypatch.setattr(workers, "_TRY_AGAIN_SECONDS", -1.0)
    looks = iter([False, False, True])
    monkeypatch.setattr(workers, "_leaving", SimpleNamespace(wait=lambda _: next(looks)))
    monkeypatch.setattr(workers, "_chosen", worker.sha256)
    monkeypatch.setitem(workers._state, "inference", {"state": state})
    workers._follow_active_model()
    assert sent == ([signal.SIGTERM] if ends else [])


def test_a_knowledge_worker_tries_again_whatever_kept_it(monkeypatch: pytest.MonkeyPatch) -> None:
    known = knowledge.KnowledgeError("internal")
    away, locked = knowledge.IndexUnavailable("index_failed", reason="gone"), knowledge.IndexLocked("internal")
    outcomes: list[Any] = [OperationalError("is locked"), known, away, locked, "e5"]
    later: list[Any] = []

    def warm() -> str:
        outcome = outcomes.pop(0)
        if isinstance(outcome, Exception):
            raise outcome
        return str(outcome)

    def timer(seconds: float, again: Any) -> SimpleNamespace:
        later.append(again)
        return SimpleNamespace(start=lambda: None, daemon=False)

    monkeypatch.setattr(knowledge, "warm", warm)
    monkeypatch.setattr(workers.threading, "Timer", timer)
    monkeypatch.setattr(workers, "_heartbeats", [object()])
    monkeypatch.setattr(workers, "connections", SimpleNamespace(close_all=lambda: None))
    monkeypatch.setitem(workers._state, "knowledge", {"state": "loading"})
    workers._warm_knowledge()
    said = []
    while later:
        said.append((workers._state["knowledge"]["state"], workers._state["knowledge"]["reason"]))
        later.pop()()
    assert said == [
        ("failed", "The database cannot be reached."),
        ("failed", str(known)),
        ("words", str(away)),  # it answers meanwhile
        ("failed", str(locked)),
    ]
    assert workers._state["knowledge"]["state"] == "ready"
