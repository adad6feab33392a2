"""Splitting text into tokens with llama.cpp's own code, in this process.

xllamacpp offers it only over HTTP. The library inside it exports llama.cpp's C functions, so that a second, small model
object that holds the vocabulary alone can be asked directly.
"""

import ctypes
import hashlib
import itertools
import re
import threading
from array import array
from collections import OrderedDict
from collections.abc import Sequence
from pathlib import Path

from inference._errors import EngineFailed, ModelRejected
from inference._shared import Shared

# llama.cpp splits text by regular expressions whose search calls itself for each character of a match: a run of 20,000
# letters or spaces, and the stack is at an end, and the process. So none is longer than this; what may begin a special
# token ends a run, so that none of those is cut.
_LONGEST_RUN = 4000
_RUN = re.compile(rf"(?:[^\s<\[]|[<\[](?![|｜\w/])){{{_LONGEST_RUN}}}|\s{{{_LONGEST_RUN}}}")
_COUNTED = 16  # texts whose tokens are kept for a moment
_PASSAGES = 2048  # of guidelines whose tokens are kept: a few megabytes
_PERSON = "<|start|>user<|message|>"  # what stands before it in a prompt was written by nobody who asks
# Before and behind the number of a passage, "\n\n[2] (", and behind the last one this way of splitting always begins a
# new word. A part takes a millisecond however short it is, so that there are no more of them.
_PASSAGE = re.compile(r"(?<=\n\n)(?=\[\d{1,2}\] \(|<\|end\|>)|(?:(?<=\n\n\[\d\])|(?<=\n\n\[\d\d\]))(?= \()")
_SPLIT_BY_LINES = frozenset({b"gpt-4o"})
_DEFAULT_FLAGS = (False, False, True, False, False, False)


class _ModelParams(ctypes.Structure):
    """llama_model_params of llama.h; `_room` makes it larger than any version of it, which costs nothing."""

    _fields_ = (
        ("devices", ctypes.c_void_p),
        ("tensor_buft_overrides", ctypes.c_void_p),
        ("n_gpu_layers", ctypes.c_int32),
        ("split_mode", ctypes.c_int),
        ("load_mode", ctypes.c_int),
        ("lazy_mode", ctypes.c_int),
        ("main_gpu", ctypes.c_int32),
        ("tensor_split", ctypes.c_void_p),
        ("progress_callback", ctypes.c_void_p),
        ("progress_callback_user_data", ctypes.c_void_p),
        ("kv_overrides", ctypes.c_void_p),
        ("flags", ctypes.c_bool * 6),  # vocab_only, check_tensors, use_extra_bufts, no_host, no_alloc, load_mtp
        ("_room", ctypes.c_byte * 128),
    )


class Vocabulary:
    """The vocabulary of one model file. `library` is the path of the shared library that exports llama.cpp.

    Raises ModelRejected when the library is a version whose structures are other ones, or refuses the file.
    """

    def __init__(self, library: str, model: Path) -> None:
        self._library = native = ctypes.CDLL(library)
        native.llama_model_default_params.restype = _ModelParams
        native.llama_model_load_from_file.argtypes = [ctypes.c_char_p, _ModelParams]
        native.llama_model_load_from_file.restype = ctypes.c_void_p
        native.llama_model_get_vocab.argtypes = native.llama_model_free.argtypes = [ctypes.c_void_p]
        native.llama_model_get_vocab.restype = ctypes.c_void_p
        native.llama_model_free.restype = None
        native.llama_vocab_n_tokens.argtypes = [ctypes.c_void_p]
        native.llama_model_meta_val_str.argtypes = [
            *(ctypes.c_void_p, ctypes.c_char_p, ctypes.c_char_p, ctypes.c_size_t),
        ]
        native.llama_tokenize.argtypes = [
            *(ctypes.c_void_p, ctypes.c_char_p, ctypes.c_int32),
            *(ctypes.POINTER(ctypes.c_int32), ctypes.c_int32, ctypes.c_bool, ctypes.c_bool),
        ]
        params = native.llama_model_default_params()
        if tuple(params.flags) != _DEFAULT_FLAGS or params.n_gpu_layers != -1 or params.main_gpu != 0:
            raise ModelRejected("engine_unknown")
        params.flags[0] = True  # vocab_only
        params.n_gpu_layers = 0
        self._model = native.llama_model_load_from_file(str(model).encode(), params)
        if not self._model:
            raise ModelRejected("vocabulary_unreadable", file=model.name)
        vocabulary: int = native.llama_model_get_vocab(self._model)
        self._shared = Shared(vocabulary)
        self._size: int = native.llama_vocab_n_tokens(vocabulary)
        split = ctypes.create_string_buffer(64)
        native.llama_model_meta_val_str(self._model, b"tokenizer.ggml.pre", split, len(split))
        self._is_split_by_lines = split.value in _SPLIT_BY_LINES
        self._counted: dict[bytes, list[int]] = {}
        self._passages: OrderedDict[bytes, array[int]] = OrderedDict()
        self._keeping = threading.Lock()

    def tokenize(self, text: str) -> list[int]:
        """The tokens of a text; special tokens in it count as such. Raises EngineFailed.

        A prompt is counted before it is answered, and splitting it takes 20 ms: what was found is kept until the same
        text comes again, by its hash and for the last few texts alone. What stands in it before a person's first word,
        passages above all, comes in many prompts: it is kept for longer, part by part.
        """
        key = _hash(text)
        with self._keeping:
            known = self._counted.pop(key, None)
        if known is None:
            said = text.find(_PERSON) if self._is_split_by_lines else -1
            shared, own = text[: max(0, said)], text[max(0, said) :]
            known = [token for one in _PASSAGE.split(shared) if one for token in self._passage(one)]
            known += self._whole(own)
            with self._keeping:
                self._counted[key] = known
                while len(self._counted) > _COUNTED:
                    self._counted.pop(next(iter(self._counted)))
        return list(known)

    def _passage(self, text: str) -> Sequence[int]:
        key = _hash(text)
        with self._keeping:
            known = self._passages.get(key)
            if known is not None:
                self._passages.move_to_end(key)
                return known
        known = array("i", self._whole(text))
        with self._keeping:
            self._passages[key] = known
            while len(self._passages) > _PASSAGES:
                self._passages.popitem(last=False)
        return known

    def _whole(self, text: str) -> list[int]:
        return [token for piece in _pieces(text) for token in self._split(piece)]

    def _split(self, text: str) -> list[int]:
        raw = text.encode("utf-8", errors="replace")
        room = len(raw) + 8  # a token is at least a byte; some vocabularies put a space in front
        tokens = (ctypes.c_int32 * room)()
        with self._shared.use() as vocabulary:
            count = self._library.llama_tokenize(vocabulary, raw, len(raw), tokens, room, False, True)
        if count < 0:
            raise EngineFailed("The engine could not split the request into tokens.")
        return tokens[:count]

    def knows(self, tokens: Sequence[int]) -> bool:
        """Are these all tokens of this vocabulary?"""
        return all(0 <= token < self._size for token in tokens)

    def close(self) -> None:
        """Free it, once nobody uses it any more."""
        if self._shared.take_away():
            self._library.llama_model_free(self._model)


def _hash(text: str) -> bytes:
    return hashlib.blake2b(text.encode("utf-8", errors="replace"), digest_size=16).digest()


def _pieces(text: str) -> list[str]:
    """The text, cut where a run is too long; almost always whole."""
    cuts = [0, *(one.end() for one in _RUN.finditer(text)), len(text)]
    return [text[begin:end] for begin, end in itertools.pairwise(cuts)] if len(cuts) > 2 else [text]
