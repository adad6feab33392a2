"""An engine that plays back what a model once said, token by token, as llama.cpp would have streamed it."""

import json
import re
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from inference import _runtime, _templates
from inference._engine import Piece, Sampling

CORPUS = Path(__file__).with_name("malformed.jsonl")
TOKEN = re.compile(r"<\|[a-z0-9_]+\|>|\s*\w+|.", re.DOTALL)
ENDS_GENERATION = {"<|return|>", "<|call|>", "<|endoftext|>"}
FINAL = "<|channel|>final<|message|>"


def malformed() -> list[dict[str, str]]:
    """Streams that are not well-formed harmony, each with what a person may see of it."""
    return [json.loads(line) for line in CORPUS.read_text(encoding="utf-8").splitlines()]


class ReplayEngine:
    """Satisfies `Engine`. Plays one script a stream, the last one for ever; keeps the prompts that it was given."""

    def __init__(self, *scripts: str) -> None:
        self._scripts = list(scripts)
        self._texts: list[str] = []
        self.prompts: list[str] = []

    def tokenize(self, text: str) -> list[int]:
        """Every token gets a number of its own."""
        first = len(self._texts)
        self._texts += TOKEN.findall(text)
        return list(range(first, len(self._texts)))

    def stream(self, tokens: Sequence[int], sampling: Sampling, emit: Callable[[Piece], bool]) -> None:
        self.prompts.append("".join(self._texts[token] for token in tokens))
        script = self._scripts.pop(0) if len(self._scripts) > 1 else self._scripts[0]
        count = 0
        for count, token in enumerate(TOKEN.findall(script), start=1):
            if emit(Piece(token, completion_tokens=count)):
                return
            if token in ENDS_GENERATION:
                break
            if count >= sampling.max_tokens:
                emit(Piece("", "length", count))
                return
        emit(Piece("", "stop", count))

    def close(self) -> None:
        """Nothing to free."""


@contextmanager
def replaying(*scripts: str, family: str = "harmony", context: int = 32768) -> Iterator[ReplayEngine]:
    """Have this process answer with these scripts, whatever is loaded."""
    engine = ReplayEngine(*scripts)
    speaks: Any = next(one for one in _templates._FAMILIES if one.name == family)
    before = _runtime._runtime
    model: Any = SimpleNamespace(context=context, slots=2, settings=None, family=family)
    _runtime._runtime = _runtime.Runtime(model, engine, speaks)
    try:
        yield engine
    finally:
        _runtime._runtime = before
