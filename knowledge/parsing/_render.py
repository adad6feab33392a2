"""The image of a page, with the words that were quoted marked on it."""

import io
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from knowledge.parsing._boxes import Rect
from knowledge.parsing._limits import ParseFailed
from knowledge.parsing._pdf import opened

_PIXELS = 6_000_000
_LONGEST = 6_000  # pixels of an edge
_YELLOW = (255, 226, 77)
_MARGIN = 1.0  # points around a mark, so that it does not cut into letters


def render(path: Path, number: int, marks: Sequence[Rect], scale: float) -> bytes:
    """Page `number` (from 1) of a PDF as PNG, `scale` pixels a point or fewer where the page is huge; `marks` are in
    points from its top left corner. Raises ParseFailed."""
    import pypdfium2 as pdfium

    with opened(path) as document:
        if not 1 <= number <= len(document):
            raise ParseFailed("page_missing", number=number)
        try:
            page = document[number - 1]
            image = picture(page, scale)
        except (pdfium.PdfiumError, ValueError, OverflowError) as error:
            raise ParseFailed("damaged", kind="pdf") from error
        ratio = image.width / page.get_width()
        page.close()
    _mark(image, marks, ratio)
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


def _mark(image: Any, marks: Sequence[Rect], ratio: float) -> None:
    """Lay yellow over the marks as a pen does: what is dark stays dark. Marks that overlap do not add up."""
    from PIL import Image, ImageChops, ImageDraw

    if not marks:
        return
    ink = Image.new("RGB", image.size, (255, 255, 255))
    draw = ImageDraw.Draw(ink)
    for left, top, right, bottom in marks:
        edges = (left - _MARGIN, top - _MARGIN, right + _MARGIN, bottom + _MARGIN)
        x0, y0, x1, y1 = (min(max(edge * ratio, -1.0), _LONGEST + 1.0) for edge in edges)
        if x0 < x1 and y0 < y1:
            draw.rectangle((x0, y0, x1, y1), fill=_YELLOW)
    image.paste(ImageChops.multiply(image, ink))
