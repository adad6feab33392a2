"""The rules and panels that are drawn on a PDF's page: what tables and boxes are told by."""

import ctypes
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from functools import cache
from typing import Any

from knowledge.parsing._boxes import Rect
from knowledge.parsing._lines import Frame, bare

_MOST_DRAWN = 1500  # objects of a page that are not text; what comes after is drawing
_MOST_OBJECTS = 10_000  # a page; browsers print each letter as one
_MOST_EDGES = 1500
_MOST_SEGMENTS = 60  # of one path: a grid drawn in one go has some, a picture thousands
_DEPTH = 3  # of drawings inside drawings
_THIN = 3.0  # points: a rule, not an area
_SHORT = 12.0  # points: neither a rule nor a panel
_DOT = (1.5, 9.0)  # points: the least and the greatest size of the mark of an item, which is about as wide as high
_ROUND = 2.0  # points that it may be wider than high
_PANEL = (100.0, 24.0)  # points: the least width and height
_BLEED = 4.0  # points: a panel that reaches the edges of the page is decoration
_WHITE = 245  # of 255
_TEXT, _PATH, _IMAGE, _FORM = 1, 2, 3, 5  # FPDF_PAGEOBJ_TEXT, FPDF_PAGEOBJ_PATH, FPDF_PAGEOBJ_IMAGE, FPDF_PAGEOBJ_FORM
_MOVE, _LINE = 2, 0  # FPDF_SEGMENT_MOVETO, FPDF_SEGMENT_LINETO


class Handle(ctypes.c_void_p):
    """A pointer that pdfium gives. ctypes makes a plain number of a `c_void_p`, not of a subclass."""


Matrix = tuple[float, float, float, float, float, float]


@dataclass(slots=True)
class Shapes:
    """Rules (thin rectangles and the straight edges of areas), panels (areas with a colour or a border) and dots (what
    is small enough to be the mark of an item), in points from the top left corner of the page as shown; and where there
    are pictures. `objects` counts all that is drawn, text included."""

    rules: list[Rect] = field(default_factory=list)
    panels: list[Rect] = field(default_factory=list)
    dots: list[Rect] = field(default_factory=list)
    pictures: list[Rect] = field(default_factory=list)
    objects: int = 0


def read_shapes(page: Any, frame: Frame) -> Shapes:
    """The rules and panels of a page of pdfium. Of a page with very much drawing some are left out."""
    shapes = Shapes()
    reader = _Reader(frame, shapes)
    reader.read(ctypes.c_void_p(ctypes.cast(page.raw, ctypes.c_void_p).value))
    return shapes


def outermost(panels: Iterable[Rect], width: float, height: float) -> list[Rect]:
    """The panels that may be boxes of text on a page of this size, none inside another: those that do not reach its
    left and right edges."""
    kept: list[Rect] = []
    for panel in sorted(set(panels), key=lambda p: (p[0] - p[2]) * (p[3] - p[1])):  # the largest first
        left, top, right, bottom = panel
        if left < _BLEED or right > width - _BLEED or top < -_BLEED or bottom > height + _BLEED:
            continue
        if not any(_shared(panel, other) > 0.5 for other in kept):
            kept.append(panel)
    return sorted(kept, key=lambda p: p[1])


def _shared(inner: Rect, outer: Rect) -> float:
    """The share of one area that lies in another."""
    width = min(inner[2], outer[2]) - max(inner[0], outer[0])
    height = min(inner[3], outer[3]) - max(inner[1], outer[1])
    return max(width, 0.0) * max(height, 0.0) / ((inner[2] - inner[0]) * (inner[3] - inner[1]))


class _Reader:
    def __init__(self, frame: Frame, shapes: Shapes) -> None:
        self._frame, self._shapes = frame, shapes
        self._left = _MOST_DRAWN
        self._buffer = (ctypes.c_float * 4)()
        self._bounds = memoryview(self._buffer).cast("B").cast("f")
        self._targets = tuple(ctypes.byref(self._buffer, 4 * index) for index in range(4))

    def read(self, page: ctypes.c_void_p) -> None:
        """Read the objects of a page."""
        call = _functions()
        count = call["FPDFPage_CountObjects"](page)
        get, kind = call["FPDFPage_GetObject"], call["FPDFPageObj_GetType"]
        for index in range(min(count, _MOST_OBJECTS)):
            item = get(page, index)
            found = kind(item)
            if found == _TEXT:
                continue
            self._left -= 1
            if self._left < 0:
                break
            if found == _PATH:
                self._path(item, None)
            elif found == _IMAGE:
                self._picture(item, None)
            elif found == _FORM:
                self._form(item, None, 1)
        self._shapes.objects = count

    def _form(self, form: ctypes.c_void_p, outer: Matrix | None, depth: int) -> None:
        """Read the objects of a drawing inside the page, whose places are its own."""
        call = _functions()
        matrix = _product(_matrix(form), outer)
        count = max(0, min(call["FPDFFormObj_CountObjects"](form), self._left))
        self._left -= count
        for index in range(count):
            # An index of FPDFFormObj_GetObject is an unsigned long; ctypes would pass an int of 32 bits.
            item = call["FPDFFormObj_GetObject"](form, ctypes.c_ulong(index))
            found = call["FPDFPageObj_GetType"](item)
            if found == _PATH:
                self._path(item, matrix)
            elif found == _IMAGE:
                self._picture(item, matrix)
            elif found == _FORM and depth < _DEPTH:
                self._form(item, matrix, depth + 1)

    def _path(self, path: ctypes.c_void_p, outer: Matrix | None) -> None:
        call = _functions()
        if not call["FPDFPageObj_GetBounds"](path, *self._targets):
            return
        left, bottom, right, top = self._bounds
        if outer:
            left, bottom, right, top = _moved((left, bottom, right, top), outer)
        width, height = right - left, top - bottom
        if _DOT[0] <= min(width, height) and max(width, height) <= _DOT[1]:
            if abs(width - height) <= _ROUND and self._visible(path):
                self._shapes.dots.append(self._frame.shown(left, top, right, bottom))
            return
        if not _SHORT <= max(width, height) < 1e5 or len(self._shapes.rules) > _MOST_EDGES:
            return
        if min(width, height) <= _THIN:
            self._shapes.rules.append(self._frame.shown(left, top, right, bottom))
        elif min(width, height) >= _SHORT and self._visible(path):
            segments = call["FPDFPath_CountSegments"](path)
            straight = self._edges(path, segments, outer) if 0 < segments <= _MOST_SEGMENTS else 0.0
            # A rectangle, whose corners may be round, not a letter or a wave.
            if width >= _PANEL[0] and height >= _PANEL[1] and straight >= 1.2 * (width + height):
                self._shapes.panels.append(self._frame.shown(left, top, right, bottom))

    def _picture(self, image: ctypes.c_void_p, outer: Matrix | None) -> None:
        if _functions()["FPDFPageObj_GetBounds"](image, *self._targets):
            left, bottom, right, top = self._bounds
            if outer:
                left, bottom, right, top = _moved((left, bottom, right, top), outer)
            self._shapes.pictures.append(self._frame.shown(left, top, right, bottom))

    def _visible(self, path: ctypes.c_void_p) -> bool:
        """Whether an area has a border or a colour other than white."""
        from pypdfium2 import raw

        call = _functions()
        fill, stroke = ctypes.c_int(), ctypes.c_int()
        if not call["FPDFPath_GetDrawMode"](path, ctypes.byref(fill), ctypes.byref(stroke)):
            return False
        if stroke.value:
            return True
        if fill.value == raw.FPDF_FILLMODE_NONE:
            return False
        red, green, blue, alpha = (ctypes.c_uint() for _ in range(4))
        colours = (red, green, blue, alpha)
        if not call["FPDFPageObj_GetFillColor"](path, *(ctypes.byref(colour) for colour in colours)):
            return True  # a pattern
        return alpha.value > 0 and min(red.value, green.value, blue.value) < _WHITE

    def _edges(self, path: ctypes.c_void_p, segments: int, outer: Matrix | None) -> float:
        """Add the straight upright and level edges of a path as rules; gives their length in all."""
        length = 0.0
        matrix = _product(_matrix(path), outer)
        before: tuple[float, float] | None = None
        begin: tuple[float, float] | None = None
        for kind, x, y, closed in _segments(path, segments):
            point = (matrix[0] * x + matrix[2] * y + matrix[4], matrix[1] * x + matrix[3] * y + matrix[5])
            if kind == _MOVE:
                begin = point
            elif kind == _LINE and before:
                length += self._edge(before, point)
            before = point
            if closed and begin:
                length += self._edge(point, begin)
                before = begin
        return length

    def _edge(self, start: tuple[float, float], end: tuple[float, float]) -> float:
        wide, high = abs(start[0] - end[0]), abs(start[1] - end[1])
        if min(wide, high) > 1.0 or max(wide, high) < _SHORT:
            return 0.0
        left, right = sorted((start[0], end[0]))
        bottom, top = sorted((start[1], end[1]))
        self._shapes.rules.append(self._frame.shown(left, top, right, bottom))
        return max(wide, high)


def _segments(path: ctypes.c_void_p, count: int) -> Iterator[tuple[int, float, float, bool]]:
    call = _functions()
    x, y = ctypes.c_float(), ctypes.c_float()
    for index in range(count):
        segment = call["FPDFPath_GetPathSegment"](path, index)
        if call["FPDFPathSegment_GetPoint"](segment, ctypes.byref(x), ctypes.byref(y)):
            kind = call["FPDFPathSegment_GetType"](segment)
            yield kind, x.value, y.value, bool(call["FPDFPathSegment_GetClose"](segment))


def _matrix(item: ctypes.c_void_p) -> Matrix:
    from pypdfium2 import raw

    found = raw.FS_MATRIX()
    if not _functions()["FPDFPageObj_GetMatrix"](item, ctypes.byref(found)):
        return (1.0, 0.0, 0.0, 1.0, 0.0, 0.0)
    return (found.a, found.b, found.c, found.d, found.e, found.f)


def _product(inner: Matrix, outer: Matrix | None) -> Matrix:
    """First `inner`, then `outer`."""
    if outer is None:
        return inner
    a, b, c, d, e, f = inner
    g, h, i, j, k, m = outer
    return (
        a * g + b * i,
        a * h + b * j,
        c * g + d * i,
        c * h + d * j,
        e * g + f * i + k,
        e * h + f * j + m,
    )


def _moved(rect: Rect, matrix: Matrix) -> Rect:
    """A rectangle (left, bottom, right, top) under a matrix."""
    left, bottom, right, top = rect
    corners = [(x, y) for x in (left, right) for y in (bottom, top)]
    xs = [matrix[0] * x + matrix[2] * y + matrix[4] for x, y in corners]
    ys = [matrix[1] * x + matrix[3] * y + matrix[5] for x, y in corners]
    return min(xs), min(ys), max(xs), max(ys)


_NUMBERS = (
    "FPDFPage_CountObjects",
    "FPDFPageObj_GetType",
    "FPDFPageObj_GetBounds",
    "FPDFPageObj_GetMatrix",
    "FPDFPageObj_GetFillColor",
    "FPDFPath_GetDrawMode",
    "FPDFPath_CountSegments",
    "FPDFPathSegment_GetPoint",
    "FPDFPathSegment_GetType",
    "FPDFPathSegment_GetClose",
    "FPDFFormObj_CountObjects",
)
_POINTERS = ("FPDFPage_GetObject", "FPDFFormObj_GetObject", "FPDFPath_GetPathSegment")


@cache
def _functions() -> dict[str, Callable[..., Any]]:
    numbers = {name: bare(name, ctypes.c_int) for name in _NUMBERS}
    return numbers | {name: bare(name, Handle) for name in _POINTERS}
