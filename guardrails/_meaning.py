"""How near texts are in meaning, as far as an encoder is there and works."""

import logging
import threading
from collections.abc import Callable, Sequence
from functools import cache, lru_cache
from typing import Any

logger = logging.getLogger(__name__)

Embed = Callable[[Sequence[str]], Any]
"""Texts to unit vectors, a row a text."""

FAR, CLOSE = 0.80, 0.95  # cosines of strangers and of paraphrases


class Meaning:
    """What the texts of one answer mean: each is encoded once, a passage's sentences once for many answers. False where
    meaning cannot be told, from the start or since the encoder failed. Safe between threads."""

    def __init__(self, embed: Embed | None) -> None:
        self._embed = embed
        self._vectors: dict[str, Any] = {}
        self._lock = threading.Lock()

    def __bool__(self) -> bool:
        return self._embed is not None

    def between(self, text: str, sentences: Sequence[str]) -> list[float] | None:
        """0 for strangers, 1 for paraphrases, for each sentence of a passage; None where meaning cannot be told."""
        with self._lock:
            vector = self._encoded(lambda embed: self._own(embed, text))
            held = self._encoded(lambda embed: [_vector(embed, one) for one in sentences])
        if vector is None or held is None:
            return None
        cosines = [float(vector @ one) for one in held]
        return [min(1.0, max(0.0, (cosine - FAR) / (CLOSE - FAR))) for cosine in cosines]

    def encode(self, sentences: Sequence[str]) -> None:
        """Have the sentences of a passage encoded: whoever asks how near they are finds it done."""
        with self._lock:
            self._encoded(lambda embed: [_vector(embed, one) for one in sentences])

    def _own(self, embed: Embed, text: str) -> Any:
        if text not in self._vectors:
            self._vectors[text] = embed([text])[0]
        return self._vectors[text]

    def _encoded(self, encode: Callable[[Embed], Any]) -> Any:
        if self._embed is None:
            return None
        try:
            return encode(self._embed)
        except Exception as error:  # the words still decide, more strictly
            logger.error("the encoder failed: %s", type(error).__name__)
            self._embed = None
            return None


@lru_cache(maxsize=8192)
def _vector(embed: Embed, sentence: str) -> Any:
    """The vector of a passage's sentence. The same passages answer many questions, and reading one takes longer than
    all that is done with it."""
    return embed([sentence])[0]


def sentence_encoder() -> Embed | None:
    """The encoder that comes with guardrails, loaded once a process; None where it cannot be loaded: then words alone
    decide, more strictly."""
    try:
        return _encoder()
    except Exception as error:  # not remembered: it is tried again at the next answer
        logger.error("the encoder cannot be loaded: %s", type(error).__name__)
        return None


@cache
def _encoder() -> Embed:
    from guardrails._encoder import embed

    embed(["ready"])
    return embed
