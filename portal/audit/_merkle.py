"""The Merkle tree over the events: RFC 6962, section 2.1 (SHA-256; a leaf is hashed behind 0x00, a node behind 0x01).

Pure functions over bytes. Proofs are made where they are needed, in a bundle and without Havre: `verifier.Proof`.
"""

import hashlib
from collections.abc import Iterable

HASH_BYTES = 32
EMPTY_ROOT = hashlib.sha256(b"").digest()


def leaf_hash(entry: bytes) -> bytes:
    """The hash of one entry."""
    return hashlib.sha256(b"\x00" + entry).digest()


def node_hash(left: bytes, right: bytes) -> bytes:
    """The hash of a node over its two children."""
    return hashlib.sha256(b"\x01" + left + right).digest()


class Frontier:
    """A tree that only grows: its size and the roots of its complete subtrees, the largest first, one for each bit
    that is set in the size. Appending costs one hash on average, the root at most one for each bit."""

    def __init__(self, size: int = 0, roots: bytes = b"") -> None:
        """Go on from a size and the roots as `packed` gave them. Raises ValueError when they do not belong together."""
        if size < 0 or len(roots) != HASH_BYTES * size.bit_count():
            raise ValueError(f"A tree of {size} leaves has other subtrees.")
        self.size = size
        self._roots = [roots[at : at + HASH_BYTES] for at in range(0, len(roots), HASH_BYTES)]

    def append(self, leaf: bytes) -> None:
        """One more leaf, by its hash."""
        full = self.size
        while full & 1:
            leaf = node_hash(self._roots.pop(), leaf)
            full >>= 1
        self._roots.append(leaf)
        self.size += 1

    def root(self) -> bytes:
        """The root of the tree as it is."""
        if not self._roots:
            return EMPTY_ROOT
        right = self._roots[-1]
        for left in reversed(self._roots[:-1]):
            right = node_hash(left, right)
        return right

    def packed(self) -> bytes:
        """The subtrees' roots, to be kept."""
        return b"".join(self._roots)


def root_of(leaves: Iterable[bytes]) -> bytes:
    """The root over leaf hashes."""
    tree = Frontier()
    for leaf in leaves:
        tree.append(leaf)
    return tree.root()
