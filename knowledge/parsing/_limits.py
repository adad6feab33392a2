"""What reading one document may cost, and the failures of reading."""

import json
from collections.abc import Callable
from dataclasses import dataclass

from knowledge.parsing._boxes import Rect

OnPage = Callable[[int, int, str], None]
"""Called with the pages done, the pages to do and the step: "text" or "ocr"."""


def silent(_done: int, _total: int, _step: str) -> None:
    """The `OnPage` of nobody."""


@dataclass(frozen=True, slots=True)
class Limits:
    """Bounds on one document.

    `memory_bytes` is address space of the child process (a bare one with pdfium and lxml loaded takes about 300 MB of
    it), `silent_seconds` how long it may take from one page to the next, `ocr_pages` how many pages may be read off
    images, `unpacked_bytes` what a DOCX may unpack to, `characters` the text of the whole document.
    """

    memory_bytes: int = 1536 * 1024 * 1024
    cpu_seconds: int = 120
    wall_seconds: float = 240.0
    silent_seconds: float = 240.0
    pages: int = 5000
    ocr_pages: int = 1000
    characters: int = 40_000_000
    unpacked_bytes: int = 200 * 1024 * 1024
    xml_bytes: int = 40 * 1024 * 1024
    archive_entries: int = 5000


TITLE_LIMITS = Limits(memory_bytes=1024 * 1024 * 1024, cpu_seconds=5, wall_seconds=15.0)  # somebody waits for it
IMAGE_LIMITS = Limits(memory_bytes=1024 * 1024 * 1024, cpu_seconds=15, wall_seconds=30.0)  # as well
# OCR takes about ten CPU seconds a page, and minutes on a busy machine.
OCR_LIMITS = Limits(
    memory_bytes=4 * 1024 * 1024 * 1024, cpu_seconds=8 * 3600, wall_seconds=8 * 3600.0, silent_seconds=900.0
)


@dataclass(frozen=True, slots=True)
class Options:
    """What is asked of the child beside the file: `ocr` is the language of pages that are images, `page`, `marks` and
    `strong` marks (in points) what an image shows."""

    limits: Limits
    media_type: str = "application/pdf"
    ocr: str = ""
    page: int = 1
    marks: tuple[Rect, ...] = ()
    strong: tuple[Rect, ...] = ()
    scale: float = 1.0

    @classmethod
    def from_json(cls, text: str) -> "Options":
        """What `json.dumps(asdict(options))` wrote."""
        value = json.loads(text)
        value["limits"] = Limits(**value["limits"])
        for name in ("marks", "strong"):
            value[name] = tuple(tuple(mark) for mark in value[name])
        return cls(**value)


class ParseFailed(Exception):
    """No text can be had from the document, told by the child process: a code of `knowledge._messages` and what its
    sentence says beside the file's name."""

    def __init__(self, code: str, **parameters: str | int) -> None:
        super().__init__(code)
        self.code = code
        self.parameters = parameters
