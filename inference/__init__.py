"""In-process quantized language models behind one small API.

    inference.load(EngineSettings(model=Path("gpt-oss-20b-mxfp4.gguf"), slots=4))
    for delta in inference.generate(GenerationRequest(messages=(Message("user", "Hello"),))):
        print(delta.text, end="")

Knows nothing of Django, queues or browsers.
"""

from inference._bare import BareAnswer, complete_bare, prompt_tokens
from inference._catalogue import CatalogueEntry, Kind, catalogue, kind_of
from inference._errors import (
    EngineFailed,
    EngineNotLoaded,
    InferenceError,
    MalformedOutput,
    ModelNotFound,
    ModelRejected,
    RequestTooLong,
    SettingsRejected,
)
from inference._generating import generate
from inference._hardware import Gpu, Hardware, hardware
from inference._memory import Estimate, estimate
from inference._models import IMPORTED, PACKAGED, ModelInfo, PartFile, Smoke
from inference._runtime import LoadedModel, count_tokens, load, loaded, unload, untouched
from inference._sentences import TEXTS, Sentence, Size, filled, sentence_from
from inference._smoke import first_token, room, smoke
from inference._store import ModelStore, Verification
from inference._types import Delta, Effort, EngineSettings, FinishReason, GenerationRequest, Message, Usage

__all__ = [
    "IMPORTED",
    "PACKAGED",
    "TEXTS",
    "BareAnswer",
    "CatalogueEntry",
    "Delta",
    "Effort",
    "EngineFailed",
    "EngineNotLoaded",
    "EngineSettings",
    "Estimate",
    "FinishReason",
    "GenerationRequest",
    "Gpu",
    "Hardware",
    "InferenceError",
    "Kind",
    "LoadedModel",
    "MalformedOutput",
    "Message",
    "ModelInfo",
    "ModelNotFound",
    "ModelRejected",
    "ModelStore",
    "PartFile",
    "RequestTooLong",
    "Sentence",
    "SettingsRejected",
    "Size",
    "Smoke",
    "Usage",
    "Verification",
    "catalogue",
    "complete_bare",
    "count_tokens",
    "estimate",
    "filled",
    "first_token",
    "generate",
    "hardware",
    "kind_of",
    "load",
    "loaded",
    "prompt_tokens",
    "room",
    "sentence_from",
    "smoke",
    "unload",
    "untouched",
]
