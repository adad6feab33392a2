"""The Merkle tree over the events: RFC 6962, section 2.1 (SHA-256; a leaf is hashed behind 0x00, a node behind 0x01).

Pure functions over bytes. Proofs are lists of hashes in the order in which they are used.
"""

import hashlib
from collections.abc import Iterable, Sequence

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


def inclusion_proof(index: int, leaves: Sequence[bytes]) -> list[bytes]:
    """The path from leaf `index` (from 0) to the root over `leaves`. Raises IndexError."""
    if not 0 <= index < len(leaves):
        raise IndexError(index)
    if len(leaves) == 1:
        return []
    split = _split(len(leaves))
    if index < split:
        return [*inclusion_proof(index, leaves[:split]), root_of(leaves[split:])]
    return [*inclusion_proof(index - split, leaves[split:]), root_of(leaves[:split])]


def consistency_proof(earlier: int, leaves: Sequence[bytes]) -> list[bytes]:
    """What shows that the tree over the first `earlier` leaves is the beginning of the tree over all. Raises
    IndexError."""
    if not 0 < earlier <= len(leaves):
        raise IndexError(earlier)
    return _subproof(earlier, leaves, known=True)


def is_included(leaf: bytes, index: int, size: int, proof: Sequence[bytes], root: bytes) -> bool:
    """Whether `proof` shows that the leaf stands at `index` of the tree with this size and root (RFC 9162, 2.1.3.2)."""
    if not 0 <= index < size:
        return False
    place, last, found = index, size - 1, leaf
    for one in proof:
        if last == 0:
            return False
        if place & 1 or place == last:
            found = node_hash(one, found)
            while not place & 1 and place:
                place, last = place >> 1, last >> 1
        else:
            found = node_hash(found, one)
        place, last = place >> 1, last >> 1
    return last == 0 and found == root


def is_consistent(earlier: int, later: int, proof: Sequence[bytes], root: bytes, new_root: bytes) -> bool:
    """Whether `proof` shows that the tree of size `earlier` with `root` is the beginning of the one of size `later`
    with `new_root` (RFC 9162, 2.1.4.2)."""
    if earlier == later:
        return not proof and root == new_root
    if not 0 < earlier < later:
        return False
    path = [root, *proof] if earlier & (earlier - 1) == 0 else list(proof)
    if not path:
        return False
    place, last = earlier - 1, later - 1
    while place & 1:
        place, last = place >> 1, last >> 1
    old = new = path[0]
    for one in path[1:]:
        if last == 0:
            return False
        if place & 1 or place == last:
            old, new = node_hash(one, old), node_hash(one, new)
            while not place & 1 and place:
                place, last = place >> 1, last >> 1
        else:
            new = node_hash(new, one)
        place, last = place >> 1, last >> 1
    return last == 0 and old == root and new == new_root


def _subproof(earlier: int, leaves: Sequence[bytes], *, known: bool) -> list[bytes]:
    if earlier == len(leaves):
        return [] if known else [root_of(leaves)]
    split = _split(len(leaves))
    if earlier <= split:
        return [*_subproof(earlier, leaves[:split], known=known), root_of(leaves[split:])]
    return [*_subproof(earlier - split, leaves[split:], known=False), root_of(leaves[:split])]


def _split(size: int) -> int:
    """The largest power of two below `size`."""
    return 1 << ((size - 1).bit_length() - 1)
