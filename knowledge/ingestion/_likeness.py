"""Which documents are nearly the same: by the least hashes of their shingles.

A sketch is the 128 least hashes of all runs of five words of a text. Of two texts, the share of the least 128 hashes of
both together that are in both sketches estimates the share of their runs in common (Jaccard; standard error 0.04 at
most). Numbers and punctuation say little of what a document is and change with every edition, so only words count.
"""

import re
import unicodedata
from hashlib import blake2b

from knowledge.models import GuidelineVersion

SHINGLE = 5  # words
SIZE = 128  # hashes
LIKE = 0.5  # from here on a document is pointed out as another edition
_BYTES = 8
_WORD = re.compile(r"[^\W\d_]+")


def sketch(text: str) -> bytes:
    """The least hashes of a text, in order; empty for a text of fewer than five words."""
    words = _WORD.findall(unicodedata.normalize("NFC", text).lower())
    runs = {" ".join(words[start : start + SHINGLE]) for start in range(len(words) - SHINGLE + 1)}
    hashes = sorted(blake2b(run.encode(), digest_size=_BYTES).digest() for run in runs)
    return b"".join(hashes[:SIZE])


def resemblance(one: bytes, other: bytes) -> float:
    """The share of their shingles that two texts have in common, 0 to 1, estimated from their sketches."""
    first, second = _hashes(one), _hashes(other)
    if not first or not second:
        return 0.0
    least = sorted(first | second)[:SIZE]
    return sum(one in first and one in second for one in least) / len(least)


def compare_with_library(version: GuidelineVersion, sketched: bytes) -> None:
    """Write down a version's sketch and the version of any guideline that it is most like, if one is like enough."""
    version.sketch = sketched
    best: tuple[float, int] = (0.0, 0)
    version.similar_to_id, version.similarity = None, None
    others = GuidelineVersion.objects.exclude(pk=version.pk).exclude(sketch=None)
    for pk, number, other in others.values_list("pk", "number", "sketch").iterator(chunk_size=500):
        found = (resemblance(sketched, bytes(other or b"")), number)
        if found[0] >= LIKE and found > best:
            best, version.similar_to_id, version.similarity = found, pk, round(found[0], 3)
    version.save(update_fields=["sketch", "similar_to", "similarity"])


def _hashes(sketched: bytes) -> set[bytes]:
    return {sketched[start : start + _BYTES] for start in range(0, len(sketched), _BYTES)}
