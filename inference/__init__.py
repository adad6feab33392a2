"""In-process quantized language models behind one small API.

    inference.load(EngineSettings(model=Path("gpt-oss-20b-mxfp4.gguf"), slots=4))
    for delta in inference.generate(GenerationRequest(messages=(Message("user", "Hello"),))):
        print(delta.text, end="")

Knows nothing of Django, queues or browsers.
"""

from inference._catalogue import CatalogueEntry, catalogue
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
from inference._runtime import LoadedModel, count_tokens, load, loaded, unload
from inference._store import ModelStore, Verification
from inference._types import Delta, Effort, EngineSettings, FinishReason, GenerationRequest, Message, ModelInfo, Usage

__all__ = [
    "CatalogueEntry",
    "Delta",
    "Effort",
    "EngineFailed",
    "EngineNotLoaded",
    "EngineSettings",
    "FinishReason",
    "GenerationRequest",
    "InferenceError",
    "LoadedModel",
    "MalformedOutput",
    "Message",
    "ModelInfo",
    "ModelNotFound",
    "ModelRejected",
    "ModelStore",
    "RequestTooLong",
    "SettingsRejected",
    "Usage",
    "Verification",
    "catalogue",
    "count_tokens",
    "generate",
    "load",
    "loaded",
    "unload",
]
