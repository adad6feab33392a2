"""Chat templates by family of models: how a dialogue becomes the one text that a model reads.

A family is known by the special tokens in a model's vocabulary, by its kind of tokenizer and by its architecture; a
model that fits none is refused. What stands in the file as its chat template is never looked at.
"""

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

from inference._errors import ModelRejected
from inference._gguf import Header
from inference._harmony import Filter, HarmonyFilter, PlainFilter, ThinkFilter
from inference._types import Effort, Message

if TYPE_CHECKING:
    from jinja2 import Template

_FOLDER = Path(__file__).parent / "templates"
_MPT_30B_WIDTH = 7168


class _RoleFilter(PlainFilter):
    """For families that mark roles by plain words: a model that goes on as the person who asks has ended its answer."""

    _stops = ("\nUser:", "\n### Instruction")
    _literals: ClassVar[tuple[str, ...]] = (*PlainFilter._literals, *_stops)

    def _marker(self, name: str) -> str:
        if name in self._stops:
            self.done = True
        return super()._marker(name)


@dataclass(frozen=True, slots=True)
class Family:
    """Models that share a chat format. `template` is the file that writes it, with `options`; `channels` says that the
    raw output is more than the answer, so that no grammar can bound it as a whole. `reserved` are texts that content
    must not hold because they would be read as part of the format: special tokens of the vocabulary, words for roles.
    """

    name: str
    template: str
    output: type[HarmonyFilter] | type[PlainFilter] | type[ThinkFilter]
    channels: bool = False
    options: tuple[tuple[str, str | bool], ...] = ()
    reserved: tuple[str, ...] = ()

    def render(self, messages: Sequence[Message], effort: Effort) -> str:
        """The prompt, up to the point where the model has to speak."""
        return _template(self.template).render(
            messages=[{"role": one.role, "content": defused(one.content, self.reserved)} for one in messages],
            reasoning_effort=effort.value,
            add_generation_prompt=True,
            **dict(self.options),
        )

    def filter(self) -> Filter:
        """A new filter for one answer."""
        return self.output()


def _mistral(name: str, *, space: str, outer: str = "", system: bool = False) -> Family:
    options = (("space", space), ("outer", outer), ("system", system))
    return Family(name, "mistral", PlainFilter, options=options, reserved=("[INST]", "[/INST]"))


_HARMONY = Family("harmony", "harmony", HarmonyFilter, channels=True)
_CHATML = Family("chatml", "chatml", PlainFilter)
_THINKING_CHATML = Family("chatml-think", "chatml", ThinkFilter, channels=True, options=(("thinking", True),))
_DEEPSEEK = Family("deepseek-r1", "deepseek-r1", ThinkFilter, channels=True)
_LLAMA2 = Family("llama2", "llama2", PlainFilter, reserved=("[INST]", "[/INST]", "<<SYS>>", "<</SYS>>"))
_LLAMA3 = Family("llama3", "llama3", PlainFilter)
_LLAMA4 = Family("llama4", "llama4", PlainFilter)
_FALCON = Family("falcon", "falcon", _RoleFilter, reserved=("\nUser:", "\nAssistant:"))
_MPT = Family("mpt", "mpt", _RoleFilter, options=(("colon", ":"),), reserved=("### Instruction", "### Response"))
_MPT_30B = replace(_MPT, name="mpt-30b", options=(("colon", ""),))
_MISTRAL_V1 = _mistral("mistral-v1", space=" ", outer=" ")
_MISTRAL_V3 = _mistral("mistral-v3", space=" ")
_MISTRAL_V3_TEKKEN = _mistral("mistral-v3-tekken", space="")
_MISTRAL_V7 = _mistral("mistral-v7", space=" ", system=True)
_MISTRAL_V7_TEKKEN = _mistral("mistral-v7-tekken", space="", system=True)


def _has(*markers: str) -> Callable[[Header], bool]:
    return lambda header: header.markers.issuperset(markers)


def _without(found: Callable[[Header], bool], *markers: str) -> Callable[[Header], bool]:
    return lambda header: found(header) and not header.markers & set(markers)


def _all(*conditions: Callable[[Header], bool]) -> Callable[[Header], bool]:
    return lambda header: all(holds(header) for holds in conditions)


def _is(architecture: str) -> Callable[[Header], bool]:
    return lambda header: header.architecture == architecture


def _sentencepiece(header: Header) -> bool:
    """A Llama with Llama 2's own vocabulary: a format that is words alone, and no special token to know it by."""
    return (
        header.architecture == "llama"
        and header.metadata.get("tokenizer.ggml.model") == "llama"
        and {"<s>", "</s>"} <= header.markers
        and not any(one.startswith("<|") for one in header.markers)
    )


def _named_mistral(header: Header) -> bool:
    """Mistral 7B and Mixtral before v3 have Llama 2's vocabulary too; their names and their shape tell them apart."""
    named = " ".join(str(header.metadata.get(f"general.{key}", "")) for key in ("name", "basename")).lower()
    if "mistral" in named or "mixtral" in named:
        return True
    return header.number("embedding_length") == 4096 and header.number("feed_forward_length") == 14336


def _tekken(header: Header) -> bool:
    return header.metadata.get("tokenizer.ggml.model") == "gpt2"


_RULES: tuple[tuple[Callable[[Header], bool], Family], ...] = (
    (_has("<|start|>", "<|channel|>", "<|message|>"), _HARMONY),
    (_has("<｜User｜>", "<｜Assistant｜>", "<think>"), _DEEPSEEK),  # before those whose vocabulary it was made from
    (_has("<|im_start|>", "<|im_end|>", "<think>"), _THINKING_CHATML),
    (_without(_has("<|im_start|>", "<|im_end|>"), "<|im_sep|>"), _CHATML),
    (_has("<|header_start|>", "<|header_end|>", "<|eot|>"), _LLAMA4),
    (_has("<|start_header_id|>", "<|end_header_id|>", "<|eot_id|>"), _LLAMA3),
    (_all(_has("[SYSTEM_PROMPT]", "[INST]"), _tekken), _MISTRAL_V7_TEKKEN),
    (_has("[SYSTEM_PROMPT]", "[INST]"), _MISTRAL_V7),
    (_all(_has("[INST]", "[/INST]"), _tekken), _MISTRAL_V3_TEKKEN),
    (_has("[INST]", "[/INST]"), _MISTRAL_V3),
    (_is("falcon"), _FALCON),
    (_all(_is("mpt"), lambda header: header.number("embedding_length") >= _MPT_30B_WIDTH), _MPT_30B),
    (_is("mpt"), _MPT),
    (_all(_sentencepiece, _named_mistral), _MISTRAL_V1),
    (_sentencepiece, _LLAMA2),
)


_FAMILIES = tuple(family for _, family in _RULES)


def family_of(header: Header, name: str) -> Family:
    """The family that the model's vocabulary belongs to. Raises ModelRejected when there is no template for it."""
    for fits, family in _RULES:
        if fits(header):
            # what is written <|…|> is broken up in any case, whichever vocabulary it is of
            others = {one for one in header.specials if not one.startswith("<|")}
            return replace(family, reserved=tuple(sorted(others | set(family.reserved))))
    raise ModelRejected("unknown_format", file=name, architecture=header.architecture)


def defused(content: str, reserved: Sequence[str] = ()) -> str:
    """Content in which nothing can be read as a special token: a passage or a question that holds `<|start|>system`
    must stay a text about markers and never become one. Half characters, which no engine takes, become "?"."""
    whole = content.encode("utf-8", errors="replace").decode("utf-8")
    for bar in "|｜":
        whole = whole.replace(f"<{bar}", f"< {bar}").replace(f"{bar}>", f"{bar} >")
    if reserved:
        whole = _pattern(tuple(reserved)).sub(lambda match: f"{match[0][0]} {match[0][1:]}", whole)
    return whole


@cache
def _pattern(reserved: tuple[str, ...]) -> re.Pattern[str]:
    """Any of the texts; the longest first, so that none hides behind a shorter one that it begins with."""
    return re.compile("|".join(re.escape(one) for one in sorted(reserved, key=len, reverse=True)))


@cache
def _template(name: str) -> "Template":
    from jinja2.sandbox import ImmutableSandboxedEnvironment

    environment = ImmutableSandboxedEnvironment(trim_blocks=True, lstrip_blocks=True)
    environment.globals["strftime_now"] = lambda form: datetime.now().astimezone().strftime(form)
    return environment.from_string((_FOLDER / f"{name}.jinja").read_text(encoding="utf-8"))
