"""The lines of a PDF's page with the place of every word, asked of pdfium with as few calls as will do."""

import ctypes
import re
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from itertools import accumulate
from math import isfinite
from typing import Any

from knowledge.parsing._boxes import Rect
from knowledge.parsing._sheet import Line, Sheet

_WORD = re.compile(r"\S+")
# The first letter of a line, behind a bullet or a number in the margin, which are often set in another font and size.
_LETTER = re.compile(r"\s*(?:\d{1,5}\s+)?[\W_]*[^\W_]")
_BOLD = 600  # font weight
_BOLD_NAME = re.compile(rb"bold|black|heavy|demi", re.IGNORECASE)
# A line's end; one after a hyphen is written as a mark in place of the hyphen, without a line break.
_BREAK = re.compile(r"\r\n|(?<=[\x02\ufffe])(?=\S)")
_HYPHENS = str.maketrans({"\x02": "-", "\ufffe": "-"})
_NOWHERE = (0.0, 0.0, -1.0, -1.0)


def read_sheet(page: Any, frame: "Frame") -> Sheet:
    """The lines of a page in the order of the file, placed as the page is shown: turned and cut as the file says.

    Two boxes a word are asked for, of its first and its last character, because each call costs about half a
    microsecond. Raises PdfiumError.
    """
    sheet = Sheet(width=frame.width, height=frame.height)
    textpage = page.get_textpage()
    try:
        _Reader(textpage, sheet, frame).read()
    finally:
        textpage.close()
    return sheet


@dataclass(frozen=True, slots=True)
class Frame:
    """The part of a page that is shown, in the file's coordinates (from below), and its quarter turns clockwise."""

    left: float
    top: float
    right: float
    bottom: float
    turns: int

    @property
    def width(self) -> float:
        """As shown, in points."""
        return self.top - self.bottom if self.turns % 2 else self.right - self.left

    @property
    def height(self) -> float:
        """As shown, in points."""
        return self.right - self.left if self.turns % 2 else self.top - self.bottom

    def shown(self, left: float, top: float, right: float, bottom: float) -> Rect:
        """A rectangle of the file as it is shown, from the top left corner."""
        if self.turns == 1:
            return bottom - self.bottom, left - self.left, top - self.bottom, right - self.left
        if self.turns == 2:
            return self.right - right, bottom - self.bottom, self.right - left, top - self.bottom
        if self.turns == 3:
            return self.top - top, self.right - right, self.top - bottom, self.right - left
        return left - self.left, self.top - top, right - self.left, self.top - bottom


def frame_of(page: Any) -> Frame:
    """The frame of a page of pdfium."""
    from pypdfium2 import raw

    box = raw.FS_RECTF()
    if not raw.FPDF_GetPageBoundingBox(page.raw, ctypes.byref(box)):
        box.left, box.bottom = 0.0, 0.0
        box.right, box.top = page.get_size()
    return Frame(box.left, box.top, box.right, box.bottom, page.get_rotation() // 90 % 4)


class _Reader:
    """Fills a sheet from a text page."""

    def __init__(self, textpage: Any, sheet: Sheet, frame: Frame) -> None:
        self._sheet, self._frame = sheet, frame
        self._text: str = textpage.get_text_range()
        self._page = ctypes.c_void_p(ctypes.cast(textpage.raw, ctypes.c_void_p).value)
        self._name = ctypes.create_string_buffer(128)
        # Positions in the text and in pdfium's list of characters part company where the file has characters without a
        # code, or beyond the first plane, which pdfium counts twice.
        self._aligned = textpage.count_chars() == len(self._text)
        self._units = [] if self._aligned else list(accumulate((1 + (c > "\uffff") for c in self._text), initial=0))

    def read(self) -> None:
        """Read all lines."""
        start = 0
        for end in _BREAK.finditer(self._text + "\r\n"):
            piece = self._text[start : end.start()]
            if piece and not piece.isspace():
                self._line(piece.translate(_HYPHENS), start)
            start = end.end()

    def _line(self, piece: str, start: int) -> None:
        places, first = self._sheet.places, len(self._sheet.places) // 4
        shown, aligned, page = self._frame.shown, self._aligned, self._page
        at_box = _functions().box
        buffer = (ctypes.c_float * 4)()
        rect = memoryview(buffer).cast("B").cast("f")  # is read ten times faster than the array itself
        target, end = ctypes.byref(buffer), 0
        across, down, turned = self._frame.left, self._frame.top, self._frame.turns != 0
        edges: list[float] = []
        for word in _WORD.finditer(piece):
            begin, end = word.span()
            begin, end = start + begin, start + end - 1
            if not aligned:
                begin, end = self._character(begin), self._character(end)
            known = at_box(page, begin, target)
            left, top, right, bottom = rect
            if end > begin:
                known = known and at_box(page, end, target)
                left2, top2, right2, bottom2 = rect
                if left <= left2 and right <= right2 and top == top2 and bottom == bottom2:  # nearly always
                    right = right2
                else:
                    left, right = min(left, left2), max(right, right2)
                    top, bottom = max(top, top2), min(bottom, bottom2)
            if not known:
                edges += _NOWHERE
            elif turned:
                edges += shown(left, top, right, bottom)
            else:
                edges += (left - across, down - top, right - across, down - bottom)
        places.extend(edges)
        _, top, _, bottom = shown(*rect)
        tail = bottom - top
        letter = _LETTER.match(piece)
        place = start + (letter.end() - 1 if letter else len(piece) - len(piece.lstrip()))
        place = place if aligned else self._character(place)
        _, top, _, bottom = shown(*rect) if at_box(page, place, target) else _NOWHERE
        height = bottom - top
        if abs(height - tail) > 0.5:  # a word or a footnote's number is set in another font: that of most of three
            middle = shown(*rect) if at_box(page, (place + end) // 2, target) else _NOWHERE
            height = sorted((height, tail, middle[3] - middle[1]))[1]
        height = round(height * 2) / 2 if isfinite(height) else 0.0
        bold = self._is_bold(place) and self._is_bold(end)
        self._sheet.lines.append(Line(piece, height, bold, top, min(edges[0::4]), max(edges[2::4]), first))

    def _is_bold(self, character: int) -> bool:
        """By the weight that the font states, or by its name, for many state none."""
        call = _functions()
        if call.weight(self._page, character) >= _BOLD:
            return True
        length = call.font(self._page, character, self._name, ctypes.c_ulong(len(self._name)), None)
        return 0 < length <= len(self._name) and _BOLD_NAME.search(self._name.value) is not None

    def _character(self, position: int) -> int:
        """The character of pdfium's list at a position of the text."""
        return max(int(_functions().number(self._page, self._units[position])), 0)


@dataclass(frozen=True, slots=True)
class _Functions:
    """pdfium's functions for the box, the weight and the font's name of a character, and for its number by its position
    in the text."""

    box: Callable[..., int]
    weight: Callable[..., int]
    font: Callable[..., int]
    number: Callable[..., int]


@cache
def _functions() -> _Functions:
    return _Functions(
        bare("FPDFText_GetLooseCharBox", ctypes.c_int),
        bare("FPDFText_GetFontWeight", ctypes.c_int),
        bare("FPDFText_GetFontInfo", ctypes.c_ulong),
        bare("FPDFText_GetCharIndexFromTextIndex", ctypes.c_int),
    )


def bare(name: str, result: type) -> Callable[..., Any]:
    """A function of pdfium without the checks of arguments that ctypes would otherwise make at each call, and without
    letting go of the interpreter's lock: together two thirds of its time. Pointers must be given as `c_void_p` or
    `byref`, or they are cut to 32 bits."""
    from pypdfium2 import raw

    address = ctypes.cast(getattr(raw, name), ctypes.c_void_p).value
    return ctypes.PYFUNCTYPE(result)(address or 0)
