"""In-process quantized language models behind one small API.

    engine = inference.load(EngineSettings(model=Path("gpt-oss-20b-mxfp4.gguf"), slots=4))
    for delta in inference.generate(GenerationRequest(messages=(Message("user", "Hello"),))):
        print(delta.text, end="")

Knows nothing of Django, queues or browsers.
"""

from inference._errors import (
    EngineFailed,
    EngineNotLoaded,
    InferenceError,
    MalformedOutput,
    ModelNotFound,
    ModelRejected,
    RequestTooLong,
)
from inference._types import Delta, Effort, EngineSettings, FinishReason, GenerationRequest, Message, ModelInfo, Usage

__all__ = [
    "Delta",
    "Effort",
    "EngineFailed",
    "EngineNotLoaded",
    "EngineSettings",
    "FinishReason",
    "GenerationRequest",
    "InferenceError",
    "MalformedOutput",
    "Message",
    "ModelInfo",
    "ModelNotFound",
    "ModelRejected",
    "RequestTooLong",
    "Usage",
]
