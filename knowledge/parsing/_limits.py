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


OUT_OF_MEMORY = (
    "“{name}” needs more memory to be read than a document may use. Please split it or save it again as PDF."
)


class ParseFailed(Exception):
    """No text can be had from the document. `code` names the kind, the message is a sentence for the admin."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code
