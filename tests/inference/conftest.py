"""The tiny real gpt-oss, loaded once for all tests of this folder."""

from collections.abc import Iterator
from pathlib import Path

import pytest

import inference
from inference import EngineSettings, LoadedModel

TINY = Path(__file__).parents[1] / "models" / "tiny-gpt-oss.gguf"


@pytest.fixture(scope="session")
def tiny_file() -> Path:
    return TINY


@pytest.fixture(scope="module")
def engine() -> Iterator[LoadedModel]:
    inference.unload()
    yield inference.load(EngineSettings(model=TINY, slots=2, context=4096, threads=1))
    inference.unload()
