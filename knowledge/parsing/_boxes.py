"""Where words stand on a page: packing it small, and the rectangles of a run of text, for marking a quotation."""

import sys
import zlib
from array import array
from collections.abc import Iterable, Sequence
from operator import sub

Box = tuple[int, int, float, float, float, float]
"""Where a word stands: `text[start:end]` of its page, then left, top, right, bottom in points from the page's top left
corner, as the page is shown (turned and cut as the file says)."""

Rect = tuple[float, float, float, float]
"""Left, top, right, bottom in points from the page's top left corner."""

_FORMATS = {1: "i", 2: "h"}  # version byte: how wide the numbers are; short ones do for nearly all pages
_PRECISION = 10  # steps a point
_COLUMNS = 6
_MOST = 64 * 1024 * 1024  # bytes that packed boxes may unpack to


def pack_boxes(boxes: Iterable[Box]) -> bytes:
    """Boxes as bytes, about 5 a word: a version byte, then zlib over columns of differences, in tenths of a point.

    Raises ValueError for edges that are no numbers or farther out than any page is.
    """
    columns = list(zip(*boxes, strict=True))
    if not columns:
        return b""
    starts, ends = ([int(place) for place in column] for column in columns[:2])
    return pack_columns(starts, list(map(sub, ends, starts)), columns[2:])


def pack_columns(starts: Sequence[int], lengths: Sequence[int], edges: Sequence[Sequence[float]]) -> bytes:
    """The same for boxes that have come in columns, for a long document has a million of them: where the words begin,
    their lengths, and their left, top, right and bottom edges."""
    if not starts:
        return b""
    try:
        left, top, right, bottom = ([int(x * _PRECISION + 0.5) for x in column] for column in edges)
    except OverflowError as error:
        raise ValueError("boxes beyond any page") from error
    numbers = [*_steps(starts), *lengths, *_steps(left), *_steps(top)]
    numbers += [*map(sub, right, left), *map(sub, bottom, top)]
    for version in (2, 1):
        try:
            data = array(_FORMATS[version], numbers)
        except OverflowError:
            continue
        if sys.byteorder == "big":
            data.byteswap()
        return bytes([version]) + zlib.compress(data.tobytes(), 1)
    raise ValueError("boxes beyond any page")


def unpack_boxes(packed: bytes | memoryview | None) -> tuple[Box, ...]:
    """The boxes that `pack_boxes` packed, in the order of the text; none for nothing. Raises ValueError where the bytes
    are something else."""
    packed = bytes(packed or b"")
    if not packed:
        return ()
    if packed[0] not in _FORMATS:
        raise ValueError(f"boxes of an unknown version: {packed[0]}")
    try:
        data = zlib.decompressobj().decompress(packed[1:], _MOST)
    except zlib.error as error:
        raise ValueError("boxes that cannot be unpacked") from error
    numbers = array(_FORMATS[packed[0]])
    if len(data) % (numbers.itemsize * _COLUMNS):
        raise ValueError("boxes of a wrong length")
    numbers.frombytes(data)
    if sys.byteorder == "big":
        numbers.byteswap()
    count = len(numbers) // _COLUMNS
    starts, lengths, lefts, tops, widths, heights = (numbers[i * count : (i + 1) * count] for i in range(_COLUMNS))
    boxes, start, left, top = [], 0, 0, 0
    for a, length, x, y, width, height in zip(starts, lengths, lefts, tops, widths, heights, strict=True):
        start, left, top = start + a, left + x, top + y
        box = (left, top, left + width, top + height)
        boxes.append((start, start + length, *(edge / _PRECISION for edge in box)))
    return tuple(boxes)


def boxes_of(boxes: Sequence[Box], start: int, end: int) -> tuple[Rect, ...]:
    """The rectangles of `text[start:end]`, one for each printed line. Of a word that is cut, the part is estimated from
    its characters."""
    rects: list[Rect] = []
    for first, last, left, top, right, bottom in boxes:
        if last <= start or first >= end:
            continue
        width, length = right - left, last - first
        piece = (
            left + width * max(0, start - first) / length,
            top,
            right - width * max(0, last - end) / length,
            bottom,
        )
        if rects and _same_line(rects[-1], piece):
            before = rects[-1]
            rects[-1] = (
                min(before[0], piece[0]),
                min(before[1], piece[1]),
                max(before[2], piece[2]),
                max(before[3], piece[3]),
            )
        else:
            rects.append(piece)
    return tuple(rects)


def _same_line(before: Rect, after: Rect) -> bool:
    """Whether two words stand side by side: they share half of their height, and no gap of three times that is between
    them, as there is between columns and the cells of a table."""
    height = min(before[3] - before[1], after[3] - after[1])
    shared = min(before[3], after[3]) - max(before[1], after[1])
    gap = max(after[0] - before[2], before[0] - after[2])
    return shared >= 0.5 * height and gap <= 3 * height


def _steps(values: Sequence[int]) -> list[int]:
    """The first value, then how far each is from the one before."""
    return [values[0], *map(sub, values[1:], values)]
