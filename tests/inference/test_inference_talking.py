"""The file in the shapes of gpt-oss that talks without having learnt, with which the whole path is measured where
nobody has the weights: made small, it says its chain of words through the real engine, whatever is asked."""

import importlib.util
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import pytest

import inference
from inference import Effort, EngineSettings, FinishReason, GenerationRequest, Message

MODELS = Path(__file__).parents[1] / "models"


@pytest.fixture(scope="module")
def maker() -> Iterator[ModuleType]:
    spec = importlib.util.spec_from_file_location("make_talking_gpt_oss", MODELS / "make_talking_gpt_oss.py")
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # its dataclasses look for it there
    spec.loader.exec_module(module)
    yield module
    del sys.modules[spec.name]


@pytest.mark.parametrize("repack", [True, False])
def test_a_small_one_says_its_words_and_ends(maker: ModuleType, tmp_path: Path, repack: bool) -> None:
    file, words = tmp_path / "talking.gguf", maker.vocabulary(MODELS / "tiny-gpt-oss.gguf")
    maker.write(file, words, maker.Shape(layers=1, experts=4, width=320))
    expected = maker.answer(words.tokens)
    assert expected.startswith("The plan when a and in sit down together without any.") and len(expected) > 400
    inference.unload()
    loaded = inference.load(EngineSettings(model=file, slots=1, context=1024, threads=1, repack=repack))
    assert loaded.plan.repack is repack
    try:
        for question, temperature in (("Are you ready?", 0.2), ("Say something else, please!", 1.0)):
            messages = (Message("system", "You help."), Message("user", question))
            asked = GenerationRequest(messages, Effort.LOW, max_tokens=400, temperature=temperature, seed=1)
            deltas = list(inference.generate(asked))
            assert "".join(one.text for one in deltas) == expected
            assert deltas[-1].finish is FinishReason.STOP
            assert deltas[-1].usage and deltas[-1].usage.opened == "" and not deltas[-1].thoughts
    finally:
        inference.unload()
