"""What was found out about texts that come again, without the texts: an answer may repeat what a person wrote."""

import hashlib
import os
import threading
from collections import OrderedDict
from collections.abc import Callable
from typing import Generic, TypeVar

T = TypeVar("T")
_DIGEST_BYTES = 16


class Remembered(Generic[T]):
    """The results for the `most` texts that came last, each under a hash that this process alone can make. Safe to use
    from several threads."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._salt = os.urandom(_DIGEST_BYTES)
        self._found: OrderedDict[bytes, T] = OrderedDict()
        self._lock = threading.Lock()

    def of(self, *texts: str, read: Callable[..., T]) -> T:
        """What `read` says of these texts, or said. What it raises is not remembered."""
        key = self._key(texts)
        with self._lock:
            if key in self._found:
                self._found.move_to_end(key)
                return self._found[key]
        result = read(*texts)  # two that come at once both read
        with self._lock:
            self._found[key] = result
            while len(self._found) > self._most:
                self._found.popitem(last=False)
        return result

    def _key(self, texts: tuple[str, ...]) -> bytes:
        digest = hashlib.blake2b(digest_size=_DIGEST_BYTES, key=self._salt)
        for text in texts:
            raw = text.encode("utf-8", errors="surrogatepass")
            digest.update(len(raw).to_bytes(8, "big") + raw)
        return digest.digest()
