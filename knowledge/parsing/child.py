"""The child process that reads one document: `python -m knowledge.parsing.child text|title|image FILE OPTIONS`.

Sets its own limits before it touches the file, writes lines of JSON to standard output and ends: first how far it is,
[done, total, step], then one object, the result. A failure is {"failed": code, "parameters": {…}}, of which the parent
makes a sentence; a child that dies without writing one has run into a limit.
"""

import gc
import json
import os
import resource
import sys
import time
from base64 import b64encode
from dataclasses import asdict
from pathlib import Path
from typing import Any, TextIO

from knowledge.parsing._document import ParsedDocument
from knowledge.parsing._limits import OnPage, Options, ParseFailed, silent

_TITLE_PAGES = 3
_PAUSE = 0.25  # seconds between two reports


def read(path: Path, options: Options, first: int | None = None, on_page: OnPage = silent) -> ParsedDocument:
    """Read one document in this process, of a PDF its `first` pages alone where that is given. Raises ParseFailed."""
    media_type, limits = options.media_type, options.limits
    if media_type == "application/pdf":
        from knowledge.parsing._pdf import parse_pdf

        document = parse_pdf(path, limits, first, ocr=options.ocr, on_page=on_page)
    elif media_type.endswith("wordprocessingml.document"):
        from knowledge.parsing._docx import parse_docx

        document = parse_docx(path.read_bytes(), limits)
    elif media_type.endswith("opendocument.text"):
        from knowledge.parsing._odt import parse_odt

        document = parse_odt(path.read_bytes(), limits)
    elif media_type == "application/epub+zip":
        from knowledge.parsing._epub import parse_epub

        document = parse_epub(path.read_bytes(), limits)
    elif media_type == "text/html":
        from knowledge.parsing._html import parse_html

        document = parse_html(path.read_bytes())
    elif media_type == "text/markdown":
        from knowledge.parsing._markdown import parse_markdown

        document = parse_markdown(path.read_bytes())
    else:
        from knowledge.parsing._text import parse_text

        document = parse_text(path.read_bytes())
    if sum(len(page.text) for page in document.pages) > limits.characters:
        raise ParseFailed("too_much_text")
    if not any(char.isalnum() for page in document.pages for char in page.text):
        raise ParseFailed("no_text")
    return document


def _result(what: str, path: Path, options: Options, on_page: OnPage) -> dict[str, Any]:
    try:
        if what == "title":
            from knowledge.parsing._title import find_title

            return asdict(find_title(read(path, options, _TITLE_PAGES)))
        if what == "image":
            from knowledge.parsing._render import render

            return {"png": b64encode(render(path, options)).decode("ascii")}
        return read(path, options, on_page=on_page).as_json()
    except ParseFailed as error:
        return {"failed": error.code, "parameters": error.parameters}
    except ImportError as error:
        if "allocate memory" not in str(error):  # a library that found no room
            raise
        return {"failed": "memory", "parameters": {}}
    except (MemoryError, RecursionError):
        return {"failed": "memory", "parameters": {}}


class _Reporter:
    """Tells the parent how far the work is, a few times a second."""

    def __init__(self, output: TextIO) -> None:
        self._output, self._next = output, 0.0

    def __call__(self, done: int, total: int, step: str) -> None:
        now = time.monotonic()
        if now >= self._next:
            self._next = now + _PAUSE
            self._write([done, total, step])

    def _write(self, value: list[Any]) -> None:
        self._output.write(json.dumps(value) + "\n")
        self._output.flush()


def main(arguments: list[str]) -> int:
    """Read the document named on the command line and print the result."""
    what, path, given = arguments
    options = Options.from_json(given)
    limits = options.limits
    resource.setrlimit(resource.RLIMIT_AS, (limits.memory_bytes, limits.memory_bytes))
    resource.setrlimit(resource.RLIMIT_CPU, (limits.cpu_seconds, limits.cpu_seconds + 5))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))  # reads one file, writes none
    gc.set_threshold(200_000)  # a process that ends with its document has little to collect, and a great many boxes
    output = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)  # whatever a library prints must not end up in the result
    with output:
        json.dump(_result(what, Path(path), options, _Reporter(output)), output, separators=(",", ":"))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
