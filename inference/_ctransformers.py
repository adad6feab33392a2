"""The engine ctransformers: the older files that it can load, one answer at a time, on the CPU.

Its last release is of 2023 and nobody mends it. So it opens only what the gate has approved and what a check of the
header says it was made for, its own tokenizing is replaced (it writes past its buffer when a text has letters of more
than one byte), and no other part of it is used than the calls into its library.
"""

import codecs
import ctypes
import random
import re
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from inference._engine import Piece, Sampling
from inference._errors import EngineFailed, ModelRejected, RequestTooLong
from inference._gguf import Header
from inference._sentences import Sentence, say
from inference._shared import Shared
from inference._slots import Slots
from inference._types import Plan

# The kind of tokenizer that goes with each architecture, and the texts of the tokens that begin and end
_KNOWN = {"llama": ("llama", "<s>", "</s>"), "falcon": ("gpt2", "<|endoftext|>", "<|endoftext|>")}
_TYPES = {"F32", "F16", "Q4_0", "Q4_1", "Q5_0", "Q5_1", "Q8_0", "Q2_K", "Q3_K", "Q4_K", "Q5_K", "Q6_K"}
_TOP_K, _TOP_P = 40, 0.95  # as the other engine


class CtransformersEngine:
    """One model, one state: further answers wait in order. Raises ModelRejected for a file that it cannot run."""

    def __init__(self, model: Path, header: Header, chosen: Plan) -> None:
        _refuse_unknown(model, header)
        from ctransformers.llm import LLM, Config

        config = Config(context_length=chosen.context, threads=chosen.threads, batch_size=chosen.batch)
        try:
            llm: Any = LLM(str(model), "gguf" if header.is_gguf else "llama", config=config, lib=_library())
        except (RuntimeError, ValueError, OSError) as error:
            raise _rejected(model, say("did_not_load")) from error
        _, begin, end = _KNOWN[header.architecture]
        self._special = {end: llm.eos_token_id, begin: llm.bos_token_id}
        self._between = re.compile("|".join(re.escape(one) for one in self._special))
        self._batch = chosen.batch
        self._context = chosen.context
        self._slots = Slots(1)
        self._shared = Shared(llm)

    def tokenize(self, text: str) -> list[int]:
        """The tokens of a rendered prompt; the tokens that begin and end a text count as such. Raises EngineFailed."""
        tokens: list[int] = []
        at = 0
        with self._shared.use() as llm:
            for found in self._between.finditer(text):
                tokens += _split(llm, text[at : found.start()])
                tokens.append(self._special[found[0]])
                at = found.end()
            return tokens + _split(llm, text[at:])

    def stream(self, tokens: Sequence[int], sampling: Sampling, emit: Callable[[Piece], bool]) -> None:
        """Generate, calling `emit` for every piece. Raises EngineFailed, RequestTooLong."""
        if len(tokens) >= self._context:
            raise RequestTooLong("The request is longer than the context of a slot.")
        if sampling.grammar:
            raise EngineFailed("The engine ctransformers cannot bound an answer by a grammar; xllamacpp can.")
        with self._shared.use() as llm:
            if not tokens or not all(0 <= token < llm.vocab_size for token in tokens):
                raise EngineFailed("The engine refused the request: it holds no tokens, or unknown ones.")
            taken = self._slots.take(tokens, lambda: emit(Piece()))
            if taken is None:
                return
            try:
                if self._read(llm, tokens, emit):
                    self._answer(llm, sampling, emit)
            except RuntimeError as error:
                llm._context.clear()  # nobody knows what it has read
                raise EngineFailed("The engine broke off.") from error
            finally:
                self._slots.give_back(0, tokens)

    def close(self) -> None:
        """Free the model, once the answer that is running has ended: at its next token."""
        self._slots.close()
        self._shared.take_away()

    def _read(self, llm: Any, tokens: Sequence[int], emit: Callable[[Piece], bool]) -> bool:
        """Read the prompt, as far as it is not what was read before; False when the caller has left."""
        left = llm.prepare_inputs_for_generation(list(tokens), reset=True)
        cached = len(tokens) - len(left)
        for at in range(0, len(left), self._batch):
            if emit(Piece(cached_tokens=cached)):
                return False
            self._evaluate(llm, left[at : at + self._batch])
        return True

    def _answer(self, llm: Any, sampling: Sampling, emit: Callable[[Piece], bool]) -> None:
        greedy = sampling.temperature <= 0
        draws = random.Random(sampling.seed)  # noqa: S311 (it chooses words, not keys)
        decoder = codecs.getincrementaldecoder("utf-8")(errors="replace")
        for count in range(1, sampling.max_tokens + 1):
            token = llm.sample(
                top_k=1 if greedy else _TOP_K,
                top_p=_TOP_P,
                temperature=1.0 if greedy else sampling.temperature,
                repetition_penalty=1.0,
                last_n_tokens=1,
                seed=draws.getrandbits(31),  # the library begins anew from its seed with every token
            )
            if llm.is_eos_token(token):
                emit(Piece(decoder.decode(b"", final=True), "stop", count))
                return
            text = decoder.decode(llm.detokenize([token], decode=False))
            if count == sampling.max_tokens or len(llm._context) + 1 >= self._context:
                emit(Piece(text + decoder.decode(b"", final=True), "length", count))
                return
            if emit(Piece(text, completion_tokens=count)):
                return
            self._evaluate(llm, [token])

    def _evaluate(self, llm: Any, tokens: Sequence[int]) -> None:
        if self._shared.is_leaving:
            raise EngineFailed("The model was unloaded.")
        llm.eval(tokens)


def _split(llm: Any, text: str) -> list[int]:
    """Its library's tokenizer, given as much room as it can ever need: a token for each byte."""
    raw = text.replace("\0", " ").encode("utf-8", errors="replace")
    if not raw:
        return []
    room = (ctypes.c_int * (len(raw) + 8))()
    count = llm.ctransformers_llm_tokenize(raw, False, room)
    return room[:count]


def _refuse_unknown(model: Path, header: Header) -> None:
    """What the library was not made for may end the process, so it never sees it."""
    if header.architecture not in _KNOWN:
        raise _rejected(model, say("made_before", architecture=header.architecture))
    if header.metadata.get("tokenizer.ggml.model") != _KNOWN[header.architecture][0]:
        raise _rejected(model, say("unknown_vocabulary"))
    if header.number("expert_count"):
        raise _rejected(model, say("made_before_experts"))
    width = header.number("embedding_length") // max(1, header.number("attention.head_count"))
    if {header.number("attention.key_length"), header.number("attention.value_length")} - {0, width}:
        raise _rejected(model, say("unknown_heads"))
    if unknown := header.types - _TYPES:
        raise _rejected(model, say("unknown_types", types=", ".join(sorted(unknown))))


def _rejected(model: Path, why: Sentence) -> ModelRejected:
    return ModelRejected("ctransformers_refuses", file=model.name, why=why)


def _library() -> str | None:
    """Which of its libraries suits this processor; None: let it look for itself."""
    with suppress(OSError):
        for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines():
            if line.startswith("flags"):
                flags = set(line.split())
                return next((one for one in ("avx2", "avx") if {one, "f16c"} <= flags), "basic")
    return None
