"""Starting the child process that reads a document, and making sense of how it ended."""

import json
import os
import selectors
import signal
import subprocess
import sys
import time
from base64 import b64decode
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from knowledge._errors import DocumentUnreadable, ParsingLimitExceeded
from knowledge.parsing._boxes import Rect
from knowledge.parsing._document import ParsedDocument
from knowledge.parsing._limits import IMAGE_LIMITS, OCR_LIMITS, TITLE_LIMITS, Limits, OnPage, Options, silent
from knowledge.parsing._title import Title

_LIMIT_CODES = {"too_many_pages", "too_much_text", "too_deep", "memory", "bomb", "time"}
_ERRORS_KEPT = 64 * 1024  # bytes of what the child says on its standard error


def parse(
    path: Path,
    media_type: str,
    name: str,
    limits: Limits | None = None,
    *,
    ocr: str = "",
    on_page: OnPage | None = None,
) -> ParsedDocument:
    """Read the document at `path` in a child process; `name` is what its owner calls it.

    With `ocr`, a language ("fr" or "en"), the pages of a PDF that are images are read too, which takes seconds each.
    `on_page` is called a few times a second with the pages done, the pages to do and the step ("text", "ocr"). Raises
    DocumentUnreadable or ParsingLimitExceeded, which name the file; of a file that is all images without `ocr` the code
    is "scan".
    """
    if ocr not in {"", "fr", "en"}:
        raise ValueError(f"OCR reads French and English, not {ocr}")
    options = Options(limits or (OCR_LIMITS if ocr else Limits()), media_type, ocr)
    return ParsedDocument.from_json(_run("text", path, name, options, on_page or silent))


def read_title(path: Path, media_type: str, name: str) -> Title:
    """What the document at `path` is called, found in a child process within seconds; an empty title where none is
    found, whatever is wrong with the document."""
    try:
        return Title(**_run("title", path, name, Options(TITLE_LIMITS, media_type)))
    except DocumentUnreadable:
        return Title("", sure=False)


def page_image(
    path: Path,
    page: int,
    marks: Sequence[Rect] = (),
    *,
    strong: Sequence[Rect] = (),
    scale: float = 1.6,
    name: str = "",
) -> bytes:
    """Page `page` (from 1) of the PDF at `path` as PNG, `scale` pixels a point, drawn in a child process.

    `marks` (`boxes_of` gives them) are laid over with yellow as with a pen; the text stays readable. `strong` ones get
    a darker yellow, beside which the others are paler. A huge page is drawn smaller, 6 million pixels at most. Raises
    DocumentUnreadable or ParsingLimitExceeded; the code is "page_missing" where the file has no such page.
    """
    options = Options(IMAGE_LIMITS, page=page, marks=tuple(marks), strong=tuple(strong), scale=scale)
    return b64decode(_run("image", path, name or path.name, options)["png"])


def _run(what: str, path: Path, name: str, options: Options, on_page: OnPage = silent) -> dict[str, Any]:
    root = Path(__file__).resolve().parent.parent.parent
    command = [sys.executable, "-P", "-m", "knowledge.parsing.child"]
    command += [what, str(path), json.dumps(asdict(options))]
    # The child gets no settings and no secrets: whatever a hostile file makes of it, there is little to be had.
    environment = {
        "PATH": os.environ.get("PATH", ""),
        "PYTHONPATH": str(root),
        "PYTHONUTF8": "1",
        "MALLOC_ARENA_MAX": "2",
        "OMP_NUM_THREADS": "2",
    }
    with subprocess.Popen(  # noqa: S603 - our own interpreter and module; the file name is an argument, not a command
        command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=environment
    ) as process:
        try:
            output, errors = _listen(process, options.limits, on_page)
        except (TimeoutError, subprocess.TimeoutExpired) as error:
            raise ParsingLimitExceeded("time", name=name) from error
        finally:
            process.kill()
    if process.returncode in {-signal.SIGXCPU, -signal.SIGKILL} and not output:
        raise ParsingLimitExceeded("time", name=name)
    try:
        result: dict[str, Any] = json.loads(output)
    except ValueError as error:
        if b"MemoryError" in errors or b"bad_alloc" in errors or process.returncode == -signal.SIGABRT:
            raise ParsingLimitExceeded("memory", name=name) from error
        raise DocumentUnreadable("stopped", name=name) from error
    if "failed" in result:
        kind = ParsingLimitExceeded if result["failed"] in _LIMIT_CODES else DocumentUnreadable
        raise kind(result["failed"], name=name, **result["parameters"])
    return result


def _listen(process: "subprocess.Popen[bytes]", limits: Limits, on_page: OnPage) -> tuple[bytes, bytes]:
    """What the child writes until it ends, without its reports, and the end of what it says on its standard error.

    Raises TimeoutError when it takes longer than it may, in all or since it was last heard of.
    """
    assert process.stdout and process.stderr
    output, errors = bytearray(), bytearray()
    begun = heard = time.monotonic()
    with selectors.DefaultSelector() as selector:
        selector.register(process.stdout, selectors.EVENT_READ, output)
        selector.register(process.stderr, selectors.EVENT_READ, errors)
        while selector.get_map():
            left = min(begun + limits.wall_seconds, heard + limits.silent_seconds) - time.monotonic()
            ready = selector.select(left) if left > 0 else []
            if not ready:
                raise TimeoutError
            for key, _ in ready:
                block = os.read(key.fd, 1 << 20)
                if not block:
                    selector.unregister(key.fileobj)
                key.data.extend(block)
            heard = time.monotonic()
            _report(output, on_page)
            del errors[:-_ERRORS_KEPT]
    process.wait(timeout=max(1.0, begun + limits.wall_seconds - time.monotonic()))
    return bytes(output), bytes(errors)


def _report(output: bytearray, on_page: OnPage) -> None:
    """Take the reports off the beginning of what the child has written, and pass them on."""
    while output.startswith(b"[") and (end := output.find(b"\n")) >= 0:
        done, total, step = json.loads(output[:end])
        del output[: end + 1]
        on_page(done, total, step)
