"""How an installation's settings reach the engine, and what is refused."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from django.core.checks import run_checks

import inference
from inference import EngineSettings, SettingsRejected
from portal import celery, workers


def test_every_engine_setting_has_one_of_the_installation(settings: Any) -> None:
    settings.HAVRE_SLOTS, settings.HAVRE_CONTEXT, settings.HAVRE_KV_TYPE = 3, 2048, "q8_0"
    settings.HAVRE_TENSOR_SPLIT, settings.HAVRE_FLASH_ATTENTION = (1.0, 2.0), "on"
    wanted = workers.engine_settings(Path("model.gguf"))
    assert (wanted.slots, wanted.context, wanted.kv_type) == (3, 2048, "q8_0")
    assert (wanted.tensor_split, wanted.flash_attention, wanted.engine) == ((1.0, 2.0), "on", "auto")


def test_the_scripted_engine_answers_nobody_in_production(settings: Any) -> None:
    settings.HAVRE_ENGINE, settings.DEBUG = "scripted", False
    assert "havre.E003" in {one.id for one in run_checks(include_deployment_checks=True)}
    with pytest.raises(SettingsRejected, match="HAVRE_DEBUG=1"):
        workers.engine_settings(Path("model.gguf"))
    settings.DEBUG = True  # a demonstration of the guardrails; the check stays
    assert workers.engine_settings(Path("model.gguf")).engine == "scripted"
    assert "havre.E003" in {one.id for one in run_checks(include_deployment_checks=True)}
    settings.HAVRE_ENGINE = "auto"
    assert "havre.E003" not in {one.id for one in run_checks(include_deployment_checks=True)}


def test_a_worker_that_is_to_be_scripted_says_why_it_answers_nobody(
    settings: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from tests.conftest import TINY_MODEL

    inference.unload()
    settings.HAVRE_ENGINE, settings.DEBUG, settings.HAVRE_MODELS_DIR = "scripted", False, tmp_path
    card = SimpleNamespace(path=TINY_MODEL, name="tiny", sha256="")
    monkeypatch.setattr(inference, "ModelStore", lambda *_, **__: SimpleNamespace(active=lambda: card))
    monkeypatch.setitem(workers._state, "inference", {"state": "loading"})
    workers.load_model()
    assert workers._state["inference"]["state"] == "failed"
    assert "obeys whatever it reads" in workers._state["inference"]["reason"]
    assert inference.loaded() is None


@pytest.mark.parametrize(("wanted", "threads"), [(0, 2), (5, 5)])
def test_a_worker_has_as_many_threads_as_slots(
    monkeypatch: pytest.MonkeyPatch, settings: Any, wanted: int, threads: int
) -> None:
    from tests.conftest import TINY_MODEL

    inference.unload()
    loading = EngineSettings(TINY_MODEL, slots=wanted, context=1024, threads=1)
    monkeypatch.setattr(workers, "prepare", lambda queues: inference.load(loading) if queues == {"inference"} else None)
    conf = SimpleNamespace(worker_concurrency=None)
    try:
        celery._load_model("inference@here", conf=conf, options={"queues": ["knowledge"]})
        assert conf.worker_concurrency is None
        celery._load_model("inference@here", conf=conf, options={"queues": ["inference", "housekeeping"]})
        loaded = inference.loaded()
        assert loaded and conf.worker_concurrency == loaded.slots
        assert threads == loaded.slots or wanted == 0
    finally:
        inference.unload()
