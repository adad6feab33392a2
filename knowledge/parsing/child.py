"""The child process that reads one document: `python -m knowledge.parsing.child FILE MEDIA_TYPE NAME LIMITS`.

Sets its own limits before it touches the file, writes one JSON object to standard output and ends. A failure is
{"failed": code, "message": sentence}; a child that dies without writing has run into a limit.
"""

import json
import os
import resource
import sys
from pathlib import Path

from knowledge.parsing._document import ParsedDocument
from knowledge.parsing._limits import OUT_OF_MEMORY, Limits, ParseFailed


def read(path: Path, media_type: str, name: str, limits: Limits) -> ParsedDocument:
    """Read one document in this process. Raises ParseFailed."""
    if media_type == "application/pdf":
        from knowledge.parsing._pdf import parse_pdf

        document = parse_pdf(path, name, limits)
    elif media_type.endswith("wordprocessingml.document"):
        from knowledge.parsing._docx import parse_docx

        document = parse_docx(path.read_bytes(), name, limits)
    elif media_type in {"text/html", "text/markdown"}:
        from knowledge.parsing._html import parse_html, parse_markdown

        document = (parse_html if media_type == "text/html" else parse_markdown)(path.read_bytes(), name)
    else:
        from knowledge.parsing._text import parse_text

        document = parse_text(path.read_bytes(), name)
    characters = sum(len(page.text) for page in document.pages)
    if characters > limits.characters:
        raise ParseFailed("limit", f"“{name}” has more text than a document may have ({characters:,} characters).")
    if not any(char.isalnum() for page in document.pages for char in page.text):
        raise ParseFailed("no_text", f"“{name}” has no text in it.")
    return document


def main(arguments: list[str]) -> int:
    """Read the document named on the command line and print the result."""
    path, media_type, name, given = arguments
    limits = Limits(**json.loads(given))
    resource.setrlimit(resource.RLIMIT_AS, (limits.memory_bytes, limits.memory_bytes))
    resource.setrlimit(resource.RLIMIT_CPU, (limits.cpu_seconds, limits.cpu_seconds + 5))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))  # reads one file, writes none
    output = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)  # whatever a library prints must not end up in the result
    try:
        result = read(Path(path), media_type, name, limits).as_json()
    except ParseFailed as error:
        result = {"failed": error.code, "message": str(error)}
    except ImportError as error:
        if "allocate memory" not in str(error):  # a library that found no room
            raise
        result = {"failed": "memory", "message": OUT_OF_MEMORY.format(name=name)}
    except (MemoryError, RecursionError):
        result = {"failed": "memory", "message": OUT_OF_MEMORY.format(name=name)}
    with output:
        json.dump(result, output, ensure_ascii=True, separators=(",", ":"))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
