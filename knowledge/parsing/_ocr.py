"""Reading pages that are images: rapidocr with the models that come in its wheel; nothing is downloaded."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from knowledge.parsing._boxes import Rect
from knowledge.parsing._order import by_columns
from knowledge.parsing._sheet import Line, Sheet
from knowledge.parsing._text import clean

_THREADS = 2
_SIDE = 2000  # pixels of the longer edge of a page, about 170 dots an inch of A4; larger ones are made smaller anyway
_FINEST = 300 / 72  # pixels a point
_UNSURE = 0.9  # a line that is read with less confidence is tried again with some white around it
_NOISE = 0.6  # … and left out below this
# Heights of lines, as multiples of the usual one, and what is made of them: measured heights are noisy, and headings of
# one level must come out the same.
_SIZES = ((1.22, 1.0), (1.7, 1.4), (2.4, 2.0), (float("inf"), 2.8))
# A space that was not seen after a sentence or a clause.
_RUN_ON = re.compile(r"(?<=[a-zà-ÿ)][.,;:!?])(?=[A-ZÀ-Ý][a-zà-ÿ])")
_TILTS = [step / 4 for step in range(-16, 17)]  # degrees that a page may have been laid askew on the scanner
_RULE = 40  # pixels: longer than any letter of running text
_THICK = 12  # pixels: an area, not a rule
_MOST_RULES = 600
_MODELS = {
    "Det.model_path": "PP-OCRv6_det_small.onnx",
    "Rec.model_path": "PP-OCRv6_rec_small.onnx",
    "Cls.model_path": "ch_ppocr_mobile_v2.0_cls_mobile.onnx",
}
# The model knows the letters of all languages; these are of neither French nor English.
_FOREIGN = {ord(letter): plain for plain, letters in {"i": "íìĩī", "o": "óòõō", "u": "úũū", "a": "áãāą", "c": "ćč",
            "e": "ėęěē", "n": "ńň", "s": "śš", "z": "źżž", "l": "ł", "I": "ÍÌ", "O": "ÓÒ", "U": "Ú", "A": "ÁÃ",
            }.items() for letter in letters}  # fmt: skip


class Reader:
    """Reads images of pages; one model knows both languages. Making one takes a second, reading a page about ten of the
    CPU's."""

    def __init__(self) -> None:
        import rapidocr

        folder = Path(rapidocr.__file__).parent / "models"
        parameters: dict[str, Any] = {name: str(folder / file) for name, file in _MODELS.items()}
        parameters |= {
            "Global.log_level": "error",
            "Global.max_side_len": _SIDE,
            "EngineConfig.onnxruntime.intra_op_num_threads": _THREADS,
            "EngineConfig.onnxruntime.inter_op_num_threads": 1,
        }
        self._height = 0.0
        self._engine: Any = rapidocr.RapidOCR(params=parameters)

    def read(self, page: Any) -> tuple[Sheet, list[Rect]]:
        """The lines on the image of a page of pdfium, none where it is blank, and its rules. Raises PdfiumError and
        ValueError for a page that cannot be drawn."""
        import numpy

        from knowledge.parsing._render import picture

        width, height = page.get_size()
        image = numpy.asarray(picture(page, min(_FINEST, _SIDE / max(width, height))))[:, :, ::-1]
        sheet = Sheet(width=width, height=height, ocr=True)
        if int(image.max()) - int(image.min()) < 30:  # a blank page
            return sheet, []
        scale = image.shape[1] / width
        sheet.tilt = _tilt(image)
        image = _turned(image, sheet.tilt)
        lines = sorted(self._lines(image), key=lambda line: (line[1][1] + line[1][3]) / 2)
        usual = self._usual([place[3] - place[1] for _, place, _ in lines], scale)
        for text, place, words in lines:
            ratio = (place[3] - place[1]) / scale / usual
            size = next(size for most, size in _SIZES if ratio < most)
            first = sheet.placed([(x0 / scale, y0 / scale, x1 / scale, y1 / scale) for x0, y0, x1, y1 in words])
            left, top, right, _ = (edge / scale for edge in place)
            sheet.lines.append(Line(text, round(2 * size * usual) / 2, False, top, left, right, first))
        sheet.lines = by_columns(sheet)
        return sheet, [tuple(edge / scale for edge in rule) for rule in _rules(image)]

    def _usual(self, heights: list[float], scale: float) -> float:
        """The usual height of a line in points: that of the pages before, where this one's is about the same."""
        if not heights:
            return 1.0
        here = sorted(heights)[len(heights) // 2] / scale
        if not self._height or abs(here - self._height) > 0.25 * self._height:
            self._height = here
        return self._height

    def _lines(self, image: Any) -> Iterator[tuple[str, Rect, list[Rect]]]:
        """The lines on an image with the place of each and of its words, in pixels."""
        # rapidocr keeps what a call says for the next one, so each says everything.
        found = self._engine(image, use_det=True, use_cls=True, use_rec=True, return_word_box=True)
        if found.boxes is None:
            return
        for quad, read, sure, words in zip(found.boxes, found.txts, found.scores, found.word_results, strict=True):
            place = _around(quad)
            text, score = (read, sure) if sure >= _UNSURE else self._again(image, place, read, sure)
            tokens = clean(text).translate(_FOREIGN).split()
            if score < _NOISE or not tokens:
                continue
            spelt = [str(word[0]).translate(_FOREIGN) for word in words]
            places = [_around(word[2]) for word in words] if spelt == tokens else list(_shares(tokens, place))
            apart = [
                (part, share) for token, at in zip(tokens, places, strict=True) for part, share in _parted(token, at)
            ]
            yield " ".join(part for part, _ in apart), place, [share for _, share in apart]

    def _again(self, image: Any, place: Rect, text: str, score: float) -> tuple[str, float]:
        """A line read again, cut out with a margin; what was read first where that is surer."""
        left, top, right, bottom = place
        margin = max(3.0, 0.2 * (bottom - top))
        rows = slice(max(0, int(top - margin)), int(bottom + margin) + 1)
        columns = slice(max(0, int(left - margin)), int(right + margin) + 1)
        found = self._engine(image[rows, columns], use_det=False, use_cls=False, use_rec=True, return_word_box=False)
        if found.txts and found.scores and found.scores[0] > score:
            return str(found.txts[0]), float(found.scores[0])
        return text, score


def _around(quad: Any) -> Rect:
    """The upright rectangle around four corners."""
    xs, ys = [float(x) for x, _ in quad], [float(y) for _, y in quad]
    return min(xs), min(ys), max(xs), max(ys)


def _parted(token: str, place: Rect) -> Iterator[tuple[str, Rect]]:
    """A word, or the two that stand in it without a space, with their shares of its place."""
    parts = _RUN_ON.split(token)
    yield from zip(parts, _shares(parts, place), strict=True) if len(parts) > 1 else [(token, place)]


def _shares(tokens: list[str], place: Rect) -> Iterator[Rect]:
    """Where the words of a line stand, if all characters are equally wide."""
    left, top, right, bottom = place
    step = (right - left) / max(1, len(" ".join(tokens)))
    at = left
    for token in tokens:
        yield at, top, at + step * len(token), bottom
        at += step * (len(token) + 1)


def _rules(image: Any) -> list[Rect]:
    """The level and upright rules on an image, in pixels, which tables are told by; edges of areas are some too."""
    import cv2

    ink = cv2.adaptiveThreshold(cv2.cvtColor(image, cv2.COLOR_BGR2GRAY), 255, 0, cv2.THRESH_BINARY_INV, 15, 8)
    found: list[Rect] = []
    for shape in ((_RULE, 1), (1, _RULE)):
        lines = cv2.morphologyEx(ink, cv2.MORPH_OPEN, cv2.getStructuringElement(cv2.MORPH_RECT, shape))
        # Dark areas, the head of a table perhaps, would hide the rules that end at them.
        areas = cv2.morphologyEx(lines, cv2.MORPH_OPEN, cv2.getStructuringElement(cv2.MORPH_RECT, (_THICK, _THICK)))
        # Breaks of a pixel or two, where a rule is not quite level, are closed.
        lines = cv2.dilate(cv2.subtract(lines, areas), cv2.getStructuringElement(cv2.MORPH_RECT, (3, 3)))
        for left, top, right, bottom in (*_outlines(lines), *_outlines(areas)):
            if max(right - left, bottom - top) < 1.5 * _RULE:
                continue
            if min(right - left, bottom - top) <= _THICK:
                found.append((left, top, right, bottom))
            else:
                found += [(left, top, right, top), (left, bottom, right, bottom)]
                found += [(left, top, left, bottom), (right, top, right, bottom)]
    return found if len(found) <= _MOST_RULES else []


def _outlines(mask: Any) -> Iterator[Rect]:
    """The rectangles around the connected parts of a mask."""
    import cv2

    for contour in cv2.findContours(mask, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_SIMPLE)[0]:
        x, y, width, height = cv2.boundingRect(contour)
        yield float(x), float(y), float(x + width), float(y + height)


def _tilt(image: Any) -> float:
    """How far the lines of an image run downhill, in degrees: the turn at which ink and white rows differ most."""
    import cv2

    scale = 700 / max(image.shape[:2])
    small = cv2.resize(image, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
    ink = 255 - cv2.cvtColor(small, cv2.COLOR_BGR2GRAY)
    ink = cv2.threshold(ink, 0, 255, cv2.THRESH_BINARY + cv2.THRESH_OTSU)[1]

    def sharpness(degrees: float) -> float:
        rows = _turned(ink, degrees, 0).sum(axis=1, dtype="float64")
        return float(((rows[1:] - rows[:-1]) ** 2).sum())

    best = max(_TILTS, key=sharpness)
    return best if sharpness(best) > 1.05 * sharpness(0.0) else 0.0


def _turned(image: Any, degrees: float, white: int = 255) -> Any:
    """An image turned about its centre so that lines which run downhill by so many degrees run level."""
    import cv2

    if not degrees:
        return image
    height, width = image.shape[:2]
    matrix = cv2.getRotationMatrix2D((width / 2, height / 2), degrees, 1.0)
    colour = (white, white, white) if image.ndim == 3 else white
    return cv2.warpAffine(image, matrix, (width, height), flags=cv2.INTER_LINEAR, borderValue=colour)
