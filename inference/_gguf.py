"""The header of a GGUF file, read with bounds on everything, before any engine is let near the file.

llama.cpp trusts what it maps: a truncated file can end the process. So the header is read here first, in plain Python,
and every count, length and offset in it is held against the size of the file.

Format: https://github.com/ggml-org/ggml/blob/master/docs/gguf.md (versions 2 and 3, little-endian).
"""

import math
import struct
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO

from inference._errors import ModelNotFound, ModelRejected

_MAGIC = b"GGUF"
_SCALARS = {0: "B", 1: "b", 2: "H", 3: "h", 4: "I", 5: "i", 6: "f", 7: "?", 10: "Q", 11: "q", 12: "d"}
_STRING, _ARRAY = 8, 9
_MOST_KEYS = 4096
_MOST_TENSORS = 200_000
_MOST_ELEMENTS = 4_000_000  # the longest array known is a vocabulary's merges, below one million
_LONGEST_STRING = 4 * 1024 * 1024
_TOKENS = "tokenizer.ggml.tokens"

Scalar = str | int | float | bool


@dataclass(frozen=True, slots=True)
class Header:
    """What the header says. `markers` are the vocabulary's tokens that look like markers of a chat format;
    `quantization` is the tensor type that most of the weights have."""

    metadata: dict[str, Scalar]
    markers: frozenset[str]
    tensors: int
    quantization: str
    size: int
    architecture: str = field(default="")

    def number(self, key: str) -> int:
        """A whole number below the architecture's prefix, 0 where it is absent."""
        value = self.metadata.get(f"{self.architecture}.{key}", 0)
        return value if isinstance(value, int) else 0

    @property
    def context(self) -> int:
        """The longest context that the model was made for, in tokens; 0 when the header does not say."""
        return self.number("context_length")

    @property
    def licence(self) -> str:
        """The licence that the header names, or an empty string."""
        return str(self.metadata.get("general.license", ""))


def read_header(path: Path) -> Header:
    """Read and check the header of the file at `path`.

    Raises ModelNotFound when there is no such file, ModelRejected with a sentence when it is not a whole GGUF model.
    """
    try:
        size = path.stat().st_size
        if not path.is_file():
            raise ModelRejected(f"{path.name} is not a file.")
        with path.open("rb") as file:
            return _Reader(file, size, path.name).header()
    except FileNotFoundError as error:
        raise ModelNotFound(f"There is no file {path}.") from error
    except OSError as error:
        raise ModelRejected(f"{path} cannot be read ({error.strerror}).") from error


class _Reader:
    """Reads one header front to back."""

    def __init__(self, file: BinaryIO, size: int, name: str) -> None:
        self._file = file
        self._size = size
        self._name = name
        self._markers: set[str] = set()

    def header(self) -> Header:
        if self._size == 0:
            raise ModelRejected(f"{self._name} is empty.")
        if self._file.read(4) != _MAGIC:
            raise ModelRejected(f"{self._name} is not a GGUF file.")
        version = self._number("I")
        if version not in {2, 3}:
            raise ModelRejected(f"{self._name} is a GGUF of version {version}; versions 2 and 3 can be loaded.")
        tensors, keys = self._count(_MOST_TENSORS, "tensors"), self._count(_MOST_KEYS, "keys")
        metadata: dict[str, Scalar] = {}
        for _ in range(keys):
            key = self._string()
            value = self._value(self._number("I"), keep=key == _TOKENS)
            if value is not None:
                metadata[key] = value
        architecture = metadata.get("general.architecture", "")
        if not isinstance(architecture, str) or not architecture:
            raise ModelRejected(f"{self._name} does not say which architecture it has.")
        quantization = self._tensors(tensors, metadata.get("general.alignment", 32))
        return Header(metadata, frozenset(self._markers), tensors, quantization, self._size, architecture)

    def _value(self, kind: int, *, keep: bool) -> Scalar | None:
        """The value that comes next, or None for an array, whose elements are only passed over."""
        if kind in _SCALARS:
            number: Scalar = self._number(_SCALARS[kind])
            return number
        if kind == _STRING:
            return self._string()
        if kind != _ARRAY:
            raise self._broken()
        element, count = self._number("I"), self._count(_MOST_ELEMENTS, "elements")
        if element in _SCALARS:
            self._skip(count * struct.calcsize(_SCALARS[element]))
        elif element == _STRING:
            for _ in range(count):
                text = self._string()
                if keep and text[:1] in "<[" and 2 < len(text) < 48:
                    self._markers.add(text)
        else:
            raise self._broken()
        return None

    def _tensors(self, count: int, alignment: Scalar) -> str:
        """Check that every tensor lies inside the file; returns the type of most of the bytes."""
        from gguf.constants import GGML_QUANT_SIZES, GGMLQuantizationType

        if not isinstance(alignment, int) or not 1 <= alignment <= 1 << 20:
            raise self._broken()
        end, held = 0, Counter[str]()
        for _ in range(count):
            self._string()
            dimensions = self._number("I")
            if not 1 <= dimensions <= 4:
                raise self._broken()
            shape = [self._number("Q") for _ in range(dimensions)]
            kind, offset = self._number("I"), self._number("Q")
            try:
                kind = GGMLQuantizationType(kind)
                block, width = GGML_QUANT_SIZES[kind]
            except (ValueError, KeyError) as error:
                raise ModelRejected(f"{self._name} has weights of a type ({kind}) that is not known.") from error
            if min(shape) < 1 or shape[0] % block:
                raise self._broken()
            length = math.prod(shape) // block * width
            held[kind.name] += length
            end = max(end, offset + length)
        start = -(-self._file.tell() // alignment) * alignment
        if start + end > self._size:
            raise ModelRejected(f"{self._name} is not complete: {self._size} bytes are there, {start + end} should be.")
        return held.most_common(1)[0][0] if held else ""

    def _read(self, length: int) -> bytes:
        data = self._file.read(length)
        if len(data) != length:
            raise self._broken()
        return data

    def _skip(self, length: int) -> None:
        if self._file.seek(length, 1) > self._size:
            raise self._broken()

    def _number(self, code: str) -> int:
        (value,) = struct.unpack("<" + code, self._read(struct.calcsize(code)))
        return value  # type: ignore[no-any-return]

    def _count(self, most: int, what: str) -> int:
        value = self._number("Q")
        if value > most:
            raise ModelRejected(f"{self._name} is damaged: it claims {value} {what}.")
        return value

    def _string(self) -> str:
        length = self._count(_LONGEST_STRING, "bytes in one string")
        return self._read(length).decode("utf-8", errors="replace")

    def _broken(self) -> ModelRejected:
        return ModelRejected(f"{self._name} is damaged or not complete: its header cannot be read to the end.")
