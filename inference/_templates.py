"""Chat templates by family of models: how a dialogue becomes the one text that a model reads."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

from inference._errors import ModelRejected
from inference._gguf import Header
from inference._harmony import Filter, HarmonyFilter, PlainFilter
from inference._types import Effort, Message

if TYPE_CHECKING:
    from jinja2 import Template

_FOLDER = Path(__file__).parent / "templates"


@dataclass(frozen=True, slots=True)
class Family:
    """Models that share a chat format. `markers` are the tokens by which its vocabulary is known; `channels` says that
    the raw output is more than the answer, so that no grammar can bound it as a whole."""

    name: str
    markers: frozenset[str]
    output: type[HarmonyFilter] | type[PlainFilter]
    channels: bool

    def render(self, messages: Sequence[Message], effort: Effort) -> str:
        """The prompt, up to the point where the model has to speak."""
        return _template(self.name).render(
            messages=[{"role": one.role, "content": defused(one.content)} for one in messages],
            reasoning_effort=effort.value,
            add_generation_prompt=True,
        )

    def filter(self) -> Filter:
        """A new filter for one answer."""
        return self.output()


_FAMILIES = (
    Family("harmony", frozenset({"<|start|>", "<|channel|>", "<|message|>"}), HarmonyFilter, True),
    Family("chatml", frozenset({"<|im_start|>", "<|im_end|>"}), PlainFilter, False),
)


def family_of(header: Header, name: str) -> Family:
    """The family that the model's vocabulary belongs to. Raises ModelRejected when there is no template for it."""
    for family in _FAMILIES:
        if family.markers <= header.markers:
            return family
    raise ModelRejected(
        f"{name} ({header.architecture}) has a chat format that is not known here. "
        "Known are harmony (gpt-oss) and chatml (SmolLM2, Qwen2)."
    )


def defused(content: str) -> str:
    """Content in which nothing can be read as a special token: a passage or a question that holds `<|start|>system`
    must stay a text about markers and never become one. Half characters, which no engine takes, become "?"."""
    whole = content.encode("utf-8", errors="replace").decode("utf-8")
    return whole.replace("<|", "< |").replace("|>", "| >")


@cache
def _template(name: str) -> "Template":
    from jinja2.sandbox import ImmutableSandboxedEnvironment

    environment = ImmutableSandboxedEnvironment(trim_blocks=True, lstrip_blocks=True)
    environment.globals["strftime_now"] = lambda form: datetime.now().astimezone().strftime(form)
    return environment.from_string((_FOLDER / f"{name}.jinja").read_text(encoding="utf-8"))
