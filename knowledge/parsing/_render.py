"""The image of a page, with the words that were quoted marked on it."""

import io
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from knowledge.parsing._boxes import Rect
from knowledge.parsing._limits import Options, ParseFailed
from knowledge.parsing._pdf import opened

_PIXELS = 6_000_000
_LONGEST = 6_000  # pixels of an edge
_YELLOW, _PALE, _STRONG = (255, 226, 77), (255, 243, 178), (255, 205, 64)
_MARGIN = 1.0  # points around a mark, so that it does not cut into letters


def render(path: Path, wanted: Options) -> bytes:
    """A page of a PDF as PNG, `scale` pixels a point or fewer where the page is huge; marks are in points from its top
    left corner. Raises ParseFailed."""
    import pypdfium2 as pdfium

    number = wanted.page
    with opened(path) as document:
        if not 1 <= number <= len(document):
            raise ParseFailed("page_missing", number=number)
        try:
            page = document[number - 1]
            image = picture(page, wanted.scale)
        except (pdfium.PdfiumError, ValueError, OverflowError) as error:
            raise ParseFailed("damaged", kind="pdf") from error
        ratio = image.width / page.get_width()
        page.close()
    _mark(image, [(wanted.marks, _PALE if wanted.strong else _YELLOW), (wanted.strong, _STRONG)], ratio)
    target = io.BytesIO()
    image.save(target, "PNG", compress_level=6)
    return target.getvalue()


def picture(page: Any, scale: float) -> Any:
    """A page of pdfium as a Pillow image in RGB, `scale` pixels a point, fewer where it would be too large. Raises
    PdfiumError or ValueError for a page that has no size."""
    width, height = page.get_size()
    if not (0 < width < math.inf and 0 < height < math.inf):
        raise ValueError("a page without size")
    scale = min(scale, math.sqrt(_PIXELS / (width * height)), _LONGEST / max(width, height))
    bitmap = page.render(scale=scale, draw_annots=True)
    try:
        return bitmap.to_pil().convert("RGB")
    finally:
        bitmap.close()


def _mark(image: Any, pens: Sequence[tuple[Sequence[Rect], tuple[int, int, int]]], ratio: float) -> None:
    """Lay yellow over the marks of each pen: what is dark stays dark. Marks that overlap do not add up, the last pen
    covers those before it."""
    from PIL import Image, ImageChops, ImageDraw

    if not any(marks for marks, _ in pens):
        return
    ink = Image.new("RGB", image.size, (255, 255, 255))
    draw = ImageDraw.Draw(ink)
    for (left, top, right, bottom), colour in [(mark, colour) for marks, colour in pens for mark in marks]:
        edges = (left - _MARGIN, top - _MARGIN, right + _MARGIN, bottom + _MARGIN)
        x0, y0, x1, y1 = (min(max(edge * ratio, -1.0), _LONGEST + 1.0) for edge in edges)
        if x0 < x1 and y0 < y1:
            draw.rectangle((x0, y0, x1, y1), fill=colour)
    image.paste(ImageChops.multiply(image, ink))
