"""The child process that reads one document: `python -m knowledge.parsing.child text|title FILE MEDIA_TYPE LIMITS`.

Sets its own limits before it touches the file, writes one JSON object to standard output and ends. A failure is
{"failed": code, "parameters": {…}}, of which the parent makes a sentence; a child that dies without writing has run
into a limit.
"""

import json
import os
import resource
import sys
from dataclasses import asdict
from pathlib import Path
from typing import Any

from knowledge.parsing._document import ParsedDocument
from knowledge.parsing._limits import Limits, ParseFailed

_TITLE_PAGES = 3


def read(path: Path, media_type: str, limits: Limits, first: int | None = None) -> ParsedDocument:
    """Read one document in this process, of a PDF its `first` pages alone where that is given. Raises ParseFailed."""
    if media_type == "application/pdf":
        from knowledge.parsing._pdf import parse_pdf

        document = parse_pdf(path, limits, first)
    elif media_type.endswith("wordprocessingml.document"):
        from knowledge.parsing._docx import parse_docx

        document = parse_docx(path.read_bytes(), limits)
    elif media_type in {"text/html", "text/markdown"}:
        from knowledge.parsing._html import parse_html, parse_markdown

        document = (parse_html if media_type == "text/html" else parse_markdown)(path.read_bytes())
    else:
        from knowledge.parsing._text import parse_text

        document = parse_text(path.read_bytes())
    if sum(len(page.text) for page in document.pages) > limits.characters:
        raise ParseFailed("too_much_text")
    if not any(char.isalnum() for page in document.pages for char in page.text):
        raise ParseFailed("no_text")
    return document


def _result(what: str, path: Path, media_type: str, limits: Limits) -> dict[str, Any]:
    try:
        if what == "title":
            from knowledge.parsing._title import find_title

            return asdict(find_title(read(path, media_type, limits, _TITLE_PAGES)))
        return read(path, media_type, limits).as_json()
    except ParseFailed as error:
        return {"failed": error.code, "parameters": error.parameters}
    except ImportError as error:
        if "allocate memory" not in str(error):  # a library that found no room
            raise
        return {"failed": "memory", "parameters": {}}
    except (MemoryError, RecursionError):
        return {"failed": "memory", "parameters": {}}


def main(arguments: list[str]) -> int:
    """Read the document named on the command line and print the result."""
    what, path, media_type, given = arguments
    limits = Limits(**json.loads(given))
    resource.setrlimit(resource.RLIMIT_AS, (limits.memory_bytes, limits.memory_bytes))
    resource.setrlimit(resource.RLIMIT_CPU, (limits.cpu_seconds, limits.cpu_seconds + 5))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))  # reads one file, writes none
    output = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)  # whatever a library prints must not end up in the result
    result = _result(what, Path(path), media_type, limits)
    with output:
        json.dump(result, output, ensure_ascii=True, separators=(",", ":"))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
