"""The error tree of inference.

    InferenceError
    ├── ModelNotFound      no such model name or file
    ├── ModelRejected      not a GGUF, an architecture the engine cannot load, not on the approved list
    ├── SettingsRejected   settings that no machine, or not this one, can satisfy
    ├── EngineNotLoaded    generate() before load()
    ├── EngineFailed       the engine broke while it answered
    ├── MalformedOutput    the model's output was not well-formed harmony and no answer could be kept
    └── RequestTooLong     prompt and answer do not fit the slot's context

Every error's text is one sentence that a person can act on, without content of the conversation. What pages may show
is a code with values: `error.said`.
"""

from inference._sentences import Sentence, Value
from inference._types import Usage


class InferenceError(Exception):
    """Anything that inference can raise on purpose. `said` is a code of `inference._sentences` with its values, or a
    text for a terminal or a log alone. Where an answer was begun, `usage` is what it took until then."""

    usage: Usage | None = None

    def __init__(self, said: str | Sentence = "", /, **values: Value) -> None:
        self.said = said if isinstance(said, Sentence) else Sentence(said, values)
        super().__init__(str(self.said))


class ModelNotFound(InferenceError):
    """There is no model with this name, or no file at this path."""


class ModelRejected(InferenceError):
    """The file is not a model that may be, or can be, loaded."""


class SettingsRejected(InferenceError):
    """The engine's settings contradict each other, or ask for what this machine or this model does not have."""


class EngineNotLoaded(InferenceError):
    """An answer was asked for before a model was loaded in this process."""


class EngineFailed(InferenceError):
    """The engine broke while it was answering."""


class MalformedOutput(InferenceError):
    """The model's output was not well formed, and nothing of an answer could be kept."""


class RequestTooLong(InferenceError):
    """Prompt and answer together do not fit into the context of a slot."""
