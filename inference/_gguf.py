"""The header of a GGUF file, read with bounds on everything, before any engine is let near the file.

llama.cpp trusts what it maps: a truncated file can end the process. So the header is read here first, in plain Python,
and every count, length and offset in it is held against the size of the file.

A model in several parts is read part by part: the first says what the model is, the others hold weights alone.

Format: https://github.com/ggml-org/ggml/blob/master/docs/gguf.md (versions 2 and 3, little-endian).
"""

import math
import struct
from collections import Counter
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import BinaryIO

from inference._errors import ModelNotFound, ModelRejected
from inference._files import parts_of
from inference._ggjt import FORMAT, MAGIC, OLD_MAGICS, read_ggjt

_MAGIC = b"GGUF"
_SCALARS = {0: "B", 1: "b", 2: "H", 3: "h", 4: "I", 5: "i", 6: "f", 7: "?", 10: "Q", 11: "q", 12: "d"}
_STRING, _ARRAY = 8, 9
_MOST_KEYS = 4096
_MOST_TENSORS = 200_000
_MOST_ELEMENTS = 4_000_000  # the longest array known is a vocabulary's merges, below one million
_MOST_LAYERS = 1024  # an array this short may hold a number for each layer
_LONGEST_STRING = 4 * 1024 * 1024
_LONGEST_MARKER = 48
_TOKENS = "tokenizer.ggml.tokens"
_VOCABULARY_KINDS = "tokenizer.ggml.token_type"
_SPECIAL_TYPES = {3, 4}  # control and user-defined: the engine reads such a token where its text stands in a prompt

Scalar = str | int | float | bool


@dataclass(frozen=True, slots=True)
class Header:
    """What the header says, of all parts together.

    `markers` are the vocabulary's tokens that look like markers of a chat format, `specials` those of them that an
    engine takes for more than text; `vocabulary` counts all tokens. `quantization` is the tensor type that most of the
    weights have. `size` is bytes, `parameters` counts weights, `active_parameters` those that one token passes through:
    the experts used of all experts, without the table that tokens are looked up in. `arrays` are a number for each
    layer.
    """

    metadata: dict[str, Scalar]
    markers: frozenset[str]
    tensors: int
    quantization: str
    size: int
    architecture: str = ""
    arrays: dict[str, tuple[int, ...]] = field(default_factory=dict)
    specials: frozenset[str] = frozenset()
    vocabulary: int = 0
    parameters: int = 0
    active_parameters: int = 0
    types: frozenset[str] = frozenset()  # of all tensors

    def per_layer(self, key: str) -> tuple[int, ...]:
        """Numbers below the architecture's prefix, one a layer; the same for all where the header has one for all."""
        layers = self.number("block_count")
        found = self.arrays.get(f"{self.architecture}.{key}", ())
        if len(found) == layers:
            return found
        return (self.number(key),) * min(layers, _MOST_LAYERS)

    def number(self, key: str) -> int:
        """A whole number below the architecture's prefix, 0 where it is absent."""
        value = self.metadata.get(f"{self.architecture}.{key}", 0)
        return value if isinstance(value, int) else 0

    @property
    def context(self) -> int:
        """The longest context that the model was made for, in tokens; 0 when the header does not say."""
        return self.number("context_length")

    @property
    def is_gguf(self) -> bool:
        """Whether the file is a GGUF; otherwise it is of the format before, and fewer engines load it."""
        return FORMAT not in self.metadata

    @property
    def licence(self) -> str:
        """The licence that the header names, or an empty string."""
        return str(self.metadata.get("general.license", ""))


def read_header(path: Path) -> Header:
    """Read and check the header of the model at `path`, of every part of it.

    Raises ModelNotFound when there is no such file or a part is missing, ModelRejected with a sentence when it is not a
    whole GGUF model.
    """
    parts = parts_of(path)
    read = [_read_part(one) for one in parts]
    for number, (one, part) in enumerate(zip(parts, read, strict=True)):
        said = (part.metadata.get("split.no", 0), part.metadata.get("split.count", 0) or 1)
        if said != (number, len(parts)):
            raise ModelRejected("part_elsewhere", file=one.name, number=_shown(said[0]), count=said[1])
    first = read[0].metadata
    architecture = first.get("general.architecture", "")
    if not isinstance(architecture, str) or not architecture:
        raise ModelRejected("no_architecture", file=parts[0].name)
    tensors = sum(one.tensors for one in read)
    if len(parts) > 1 and first.get("split.tensors.count") != tensors:
        raise ModelRejected("parts_incomplete", file=parts[0].name, tensors=tensors)
    return _whole(read, architecture, tensors)


def _whole(read: "list[_Part]", architecture: str, tensors: int) -> Header:
    first, held = read[0], Counter[str]()
    for one in read:
        held.update(one.held)
    header = Header(
        metadata=first.metadata,
        markers=frozenset(first.markers),
        tensors=tensors,
        quantization=held.most_common(1)[0][0] if held else "",
        types=frozenset(held),
        size=sum(one.size for one in read),
        architecture=architecture,
        arrays=first.arrays,
        specials=frozenset(first.specials),
        vocabulary=first.vocabulary,
        parameters=sum(one.parameters for one in read),
    )
    experts, used = header.number("expert_count"), header.number("expert_used_count")
    idle = sum(one.expert_parameters for one in read)
    idle -= idle * used // experts if 0 < used <= experts else idle
    tied = not any(one.has_output for one in read)
    looked_up = 0 if tied else sum(one.embedding_parameters for one in read)
    return replace(header, active_parameters=header.parameters - idle - looked_up)


def _shown(number: Scalar) -> Scalar:
    return number + 1 if isinstance(number, int) else number


@dataclass(slots=True)
class _Part:
    """What the header of one file says."""

    metadata: dict[str, Scalar]
    size: int
    markers: set[str]
    specials: set[str]
    arrays: dict[str, tuple[int, ...]]
    vocabulary: int = 0
    tensors: int = 0
    held: Counter[str] = field(default_factory=Counter)
    parameters: int = 0
    expert_parameters: int = 0
    embedding_parameters: int = 0
    has_output: bool = False


def _read_part(path: Path) -> _Part:
    try:
        size = path.stat().st_size
        if not path.is_file():
            raise ModelRejected("no_file", file=path.name)
        with path.open("rb") as file:
            return _Reader(file, size, path.name).part()
    except FileNotFoundError as error:
        raise ModelNotFound("file_missing", path=str(path)) from error
    except OSError as error:
        raise ModelRejected("file_unreadable", path=str(path), reason=error.strerror or "") from error


class _Reader:
    """Reads one header front to back."""

    def __init__(self, file: BinaryIO, size: int, name: str) -> None:
        self._file = file
        self._size = size
        self._name = name
        self._marked: dict[int, str] = {}  # tokens that look like markers, by their number
        self._part = _Part({}, size, set(), set(), {})

    def part(self) -> _Part:
        if self._size == 0:
            raise ModelRejected("empty", file=self._name)
        magic = self._file.read(4)
        if magic == MAGIC:
            return self._ggjt()
        if magic in OLD_MAGICS:
            raise ModelRejected("old_format", file=self._name)
        if magic != _MAGIC:
            raise ModelRejected("not_gguf", file=self._name)
        version = self._number("I")
        if version not in {2, 3}:
            raise ModelRejected("gguf_version", file=self._name, version=version)
        tensors, keys = self._count(_MOST_TENSORS, "tensors"), self._count(_MOST_KEYS, "keys")
        types: tuple[int, ...] = ()
        for _ in range(keys):
            key, kind = self._string(), self._number("I")
            if kind == _ARRAY:
                found = self._array(key)
                types = found if key == _VOCABULARY_KINDS else types
            else:
                self._part.metadata[key] = self._scalar(kind)
        self._part.metadata.pop(FORMAT, None)  # what the file is, its magic says, and no key of its own
        special = {number for number, kind in enumerate(types) if kind in _SPECIAL_TYPES}
        self._part.markers = set(self._marked.values())
        self._part.specials = {text for number, text in self._marked.items() if number in special or not types}
        self._tensors(tensors, self._part.metadata.get("general.alignment", 32))
        return self._part

    def _ggjt(self) -> _Part:
        part = self._part
        part.metadata, part.held, part.parameters, part.vocabulary = read_ggjt(self._file, self._size, self._name)
        layers, width = part.metadata["llama.block_count"], part.metadata["llama.embedding_length"]
        assert isinstance(layers, int) and isinstance(width, int)
        part.tensors = 3 + 9 * layers
        part.markers = part.specials = {"<s>", "</s>"}  # the engine knows their numbers; the file has no texts for them
        part.embedding_parameters, part.has_output = part.vocabulary * width, True
        return part

    def _scalar(self, kind: int) -> Scalar:
        if kind in _SCALARS:
            number: Scalar = self._number(_SCALARS[kind])
            return number
        if kind == _STRING:
            return self._string()
        raise self._broken()

    def _array(self, key: str) -> tuple[int, ...]:
        """Pass over an array; returns its numbers where they may be of use."""
        element, count = self._number("I"), self._count(_MOST_ELEMENTS, "elements")
        if element == _STRING:
            for number in range(count):
                text = self._string()
                if key == _TOKENS and text[:1] in "<[" and 2 < len(text) < _LONGEST_MARKER:
                    self._marked[number] = text
            if key == _TOKENS:
                self._part.vocabulary = count
            return ()
        if element not in _SCALARS:
            raise self._broken()
        code = _SCALARS[element]
        if code in "fd" or (key != _VOCABULARY_KINDS and count > _MOST_LAYERS):
            self._skip(count * struct.calcsize(code))
            return ()
        numbers = tuple(map(int, struct.unpack(f"<{count}{code}", self._read(count * struct.calcsize(code)))))
        if key != _VOCABULARY_KINDS:
            self._part.arrays[key] = numbers
        return numbers

    def _tensors(self, count: int, alignment: Scalar) -> None:
        """Check that every tensor lies inside the file, and count what is in them."""
        from gguf.constants import GGML_QUANT_SIZES, GGMLQuantizationType

        if not isinstance(alignment, int) or not 1 <= alignment <= 1 << 20:
            raise self._broken()
        end = 0
        for _ in range(count):
            name = self._string()
            dimensions = self._number("I")
            if not 1 <= dimensions <= 4:
                raise self._broken()
            shape = [self._number("Q") for _ in range(dimensions)]
            kind, offset = self._number("I"), self._number("Q")
            try:
                kind = GGMLQuantizationType(kind)
                block, width = GGML_QUANT_SIZES[kind]
            except (ValueError, KeyError) as error:
                raise ModelRejected("weights_unknown", file=self._name, type=kind) from error
            if min(shape) < 1 or shape[0] % block:
                raise self._broken()
            elements = math.prod(shape)
            length = elements // block * width
            self._note(name, elements, kind.name, length)
            end = max(end, offset + length)
        start = -(-self._file.tell() // alignment) * alignment
        if start + end > self._size:
            raise ModelRejected("incomplete", file=self._name, there=self._size, wanted=start + end)

    def _note(self, name: str, elements: int, kind: str, length: int) -> None:
        part = self._part
        part.tensors += 1
        part.held[kind] += length
        part.parameters += elements
        part.has_output |= name == "output.weight"
        if "_exps." in name:
            part.expert_parameters += elements
        elif name == "token_embd.weight":
            part.embedding_parameters += elements

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
            raise ModelRejected("damaged_count", file=self._name, count=f"{value} {what}")
        return value

    def _string(self) -> str:
        length = self._count(_LONGEST_STRING, "bytes in one string")
        return self._read(length).decode("utf-8", errors="replace")

    def _broken(self) -> ModelRejected:
        return ModelRejected("damaged", file=self._name)
