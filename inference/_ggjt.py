"""The header of a GGJT file (version 3): the format of Llama models from May to August 2023, before GGUF.

It says little: sizes, a vocabulary and tensors, one behind the other to the end of the file. So everything that it does
say is held against what a Llama of these sizes has to be: each tensor by name, shape and type, once, all of them, and
nothing behind the last. Chat format and context are not in it: it is taken for Llama 2 chat, with the shorter context
of the two generations that were written in this format.

Format: llama.cpp before 21 August 2023 (llama_file_loader in llama.cpp, convert.py).
"""

import math
import struct
from collections import Counter
from typing import BinaryIO

from inference._errors import ModelRejected

MAGIC = b"tjgg"  # 0x67676a74 as it lies in a file
OLD_MAGICS = {MAGIC, b"lmgg", b"fmgg", b"algg"}
FORMAT = "general.file_format"
_VERSION = 3
_CONTEXT = 2048
_ALIGNMENT = 32
_MOST_TOKENS, _LONGEST_TOKEN = 300_000, 1024
_MOST_WIDTH, _MOST_HEADS, _MOST_LAYERS = 1 << 16, 1024, 1024
_LONGEST_NAME = 64
_TYPES = {"F32", "F16", "Q4_0", "Q4_1", "Q5_0", "Q5_1", "Q8_0", "Q2_K", "Q3_K", "Q4_K", "Q5_K", "Q6_K"}

Shape = tuple[int, ...]
Found = tuple[dict[str, str | int | float | bool], Counter[str], int, int]


def read_ggjt(file: BinaryIO, size: int, name: str) -> Found:
    """What the header of the file says, which is read behind its magic: metadata as a GGUF would have it, bytes by type
    of weights, and how many weights and tokens there are. Raises ModelRejected."""
    reader = _Reader(file, size, name)
    if reader.numbers(1) != (_VERSION,):
        raise ModelRejected("old_format", file=name)
    tokens, width, multiple, heads, layers, rotated, _ = reader.numbers(7)
    sane = (
        0 < tokens <= _MOST_TOKENS,
        0 < width <= _MOST_WIDTH,
        0 < heads <= _MOST_HEADS and width % heads == 0 and rotated == width // heads,
        0 < layers <= _MOST_LAYERS,
        0 < multiple <= _MOST_WIDTH,
    )
    if not all(sane):
        raise reader.damaged()
    for _ in range(tokens):
        (length,) = reader.numbers(1)
        if length > _LONGEST_TOKEN:
            raise reader.damaged()
        reader.bytes(length)
        if not math.isfinite(struct.unpack("<f", reader.bytes(4))[0]):
            raise reader.damaged()
    inner = -(-(2 * 4 * width // 3) // multiple) * multiple
    held, weights = _tensors(reader, _expected(tokens, width, inner, layers))
    metadata: dict[str, str | int | float | bool] = {
        FORMAT: "ggjt",
        "general.architecture": "llama",
        "tokenizer.ggml.model": "llama",
        "llama.block_count": layers,
        "llama.embedding_length": width,
        "llama.feed_forward_length": inner,
        "llama.attention.head_count": heads,
        "llama.context_length": _CONTEXT,
    }
    return metadata, held, weights, tokens


def _expected(tokens: int, width: int, inner: int, layers: int) -> dict[str, Shape]:
    """Every tensor of a Llama of these sizes."""
    table, square = (width, tokens), (width, width)
    found: dict[str, Shape] = {"tok_embeddings.weight": table, "norm.weight": (width,), "output.weight": table}
    for layer in range(layers):
        rows = {
            **dict.fromkeys(("attention_norm", "ffn_norm"), (width,)),
            **dict.fromkeys(("attention.wq", "attention.wk", "attention.wv", "attention.wo"), square),
            **dict.fromkeys(("feed_forward.w1", "feed_forward.w3"), (width, inner)),
            "feed_forward.w2": (inner, width),
        }
        found |= {f"layers.{layer}.{name}.weight": shape for name, shape in rows.items()}
    return found


def _tensors(reader: "_Reader", expected: dict[str, Shape]) -> tuple[Counter[str], int]:
    from gguf.constants import GGML_QUANT_SIZES, GGMLQuantizationType

    held, weights = Counter[str](), 0
    while expected:
        dimensions, length, kind = reader.numbers(3)
        if not 1 <= dimensions <= 2 or not 1 <= length <= _LONGEST_NAME:
            raise reader.damaged()
        shape = reader.numbers(dimensions)
        name = reader.bytes(length).decode("ascii", errors="replace")
        try:
            known = GGMLQuantizationType(kind)
        except ValueError as error:
            raise ModelRejected("weights_unknown", file=reader.name, type=kind) from error
        block, width = GGML_QUANT_SIZES[known]
        plain = dimensions == 2 or known.name == "F32"  # what scales is never packed
        if expected.pop(name, None) != shape or known.name not in _TYPES or shape[0] % block or not plain:
            raise reader.damaged()
        reader.skip(-reader.at() % _ALIGNMENT)
        elements = math.prod(shape)
        reader.skip(elements // block * width)
        held[known.name] += elements // block * width
        weights += elements
    if reader.at() != reader.size:
        raise reader.damaged()
    return held, weights


class _Reader:
    """Reads front to back, and never behind the end."""

    def __init__(self, file: BinaryIO, size: int, name: str) -> None:
        self._file = file
        self.size = size
        self.name = name

    def at(self) -> int:
        return self._file.tell()

    def bytes(self, length: int) -> bytes:
        data = self._file.read(length)
        if len(data) != length:
            raise self.damaged()
        return data

    def numbers(self, count: int) -> Shape:
        return struct.unpack(f"<{count}I", self.bytes(4 * count))

    def skip(self, length: int) -> None:
        if self._file.seek(length, 1) > self.size:
            raise self.damaged()

    def damaged(self) -> ModelRejected:
        return ModelRejected("damaged", file=self.name)
