"""The parts of the Merkle tree that an export leaves out: one hash for each complete subtree.

Events and these hashes, in the order of their numbers, are all leaves of the tree: whoever has them computes the root
at the size of each checkpoint. That proves each event's inclusion and the checkpoints' consistency at once, and takes
far less room than a proof for each.
"""

from bisect import bisect_right
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import islice

from portal.audit._merkle import HASH_BYTES, root_of
from portal.audit.models import Event

_LEAVES_AT_ONCE = 5000
_NO_LEAF = bytes(HASH_BYTES)  # of an event that has gone, or has no hash: no root will agree


def left_out(
    kept: Iterable[int], up_to: int, sizes: Sequence[int], still_wanted: Callable[[], None]
) -> Iterator[tuple[int, int, bytes]]:
    """For each part: the number of its first event, how many there are (a power of two), its root. `kept` is the
    numbers that are not left out, in order; no part goes over one of `sizes` (in order), which checkpoints have.
    `still_wanted` is called now and then, and raises to stop."""
    leaves = _leaves(up_to, still_wanted)
    first = 1
    for number in _and(kept, up_to + 1):
        while first < number:
            end = bisect_right(sizes, first - 1)
            stop = min(number, sizes[end] + 1) if end < len(sizes) else number
            count = _largest(first - 1, stop - first)
            yield first, count, root_of(islice(leaves, count))
            first += count
        next(leaves, None)
        first = number + 1


def _and(numbers: Iterable[int], last: int) -> Iterator[int]:
    yield from numbers
    yield last


def _largest(before: int, room: int) -> int:
    """The size of the largest complete subtree that begins after `before` leaves and has room."""
    fits = 1 << (room.bit_length() - 1)
    return min(fits, before & -before) if before else fits


def _leaves(up_to: int, still_wanted: Callable[[], None]) -> Iterator[bytes]:
    """The hashes of all events up to a number, in order."""
    for start in range(1, up_to + 1, _LEAVES_AT_ONCE):
        still_wanted()
        end = min(start + _LEAVES_AT_ONCE - 1, up_to)
        page = dict(Event.objects.filter(seq__range=(start, end)).order_by().values_list("seq", "leaf"))
        for number in range(start, end + 1):
            leaf = page.get(number)
            yield bytes(leaf) if isinstance(leaf, bytes | memoryview) and len(leaf) == HASH_BYTES else _NO_LEAF
