"""What reading one document may cost, and the failures of reading."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Limits:
    """Bounds on one document.

    `memory_bytes` is address space of the child process (a bare one with pdfium and lxml loaded takes about 300 MB of
    it), `unpacked_bytes` what a DOCX may unpack to, `characters` the text of the whole document.
    """

    memory_bytes: int = 1536 * 1024 * 1024
    cpu_seconds: int = 120
    wall_seconds: float = 240.0
    pages: int = 5000
    characters: int = 40_000_000
    unpacked_bytes: int = 200 * 1024 * 1024
    xml_bytes: int = 40 * 1024 * 1024
    archive_entries: int = 5000


class ParseFailed(Exception):
    """No text can be had from the document, told by the child process: a code of `knowledge._messages` and what its
    sentence says beside the file's name."""

    def __init__(self, code: str, **parameters: str | int) -> None:
        super().__init__(code)
        self.code = code
        self.parameters = parameters
