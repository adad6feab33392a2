"""Downloading a file that may be tens of gigabytes, over a line that may break.

What has come is kept beside the target until it is whole and has the right hash: a break, a full disk or Ctrl+C lose
nothing, and the next try asks the server for the rest (Range, If-Range). A server that does not know ranges, or whose
file has changed meanwhile, starts again from the beginning. What arrives is never more than was announced in the
catalogue, and nobody reads it before its SHA-256 is right.
"""

import http.client
import json
import logging
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from inference._errors import InferenceError, ModelRejected
from inference._files import Progress, sha256_of
from inference._folder import claimed, disk_errors, open_part, refuse_full

logger = logging.getLogger(__name__)

_CHUNK = 1024 * 1024
_TIMEOUT_SECONDS = 60
_PAUSES = (1.0, 2.0, 4.0, 8.0, 16.0, 30.0, 30.0)  # seconds between tries that brought nothing
_SPARE = 200 * 1024 * 1024  # bytes that stay free on the disk
_AGAIN = {408, 425, 429, 500, 502, 503, 504}  # answers after which another try may succeed
_LOOPBACK = {"127.0.0.1", "localhost", "::1"}


@dataclass(frozen=True, slots=True)
class Wanted:
    """A file to fetch: where it is, and what it has to be."""

    url: str
    size: int
    sha256: str


class _Broken(Exception):
    """The line broke or the server is busy: worth another try. The text says how."""


class _Redirects(urllib.request.HTTPRedirectHandler):
    """Follows a server to another address, but asks nothing of one that is not https, nor of this machine."""

    def redirect_request(  # noqa: PLR0917 (as urllib calls it)
        self, req: Any, fp: Any, code: int, msg: str, headers: Any, newurl: str
    ) -> Any:
        if urllib.parse.urlsplit(newurl).hostname in _LOOPBACK - {urllib.parse.urlsplit(req.full_url).hostname}:
            raise InferenceError(f"{req.full_url} is not fetched: it leads to this machine.")
        _refuse_unsafe(newurl)
        return super().redirect_request(req, fp, code, msg, headers, newurl)


class _Restart(Exception):
    """What is kept does not fit what the server has: begin again."""


def fetch(
    wanted: Wanted, target: Path, on_progress: Progress | None = None, *, pauses: Sequence[float] = _PAUSES
) -> Path:
    """Download a file to `target`, going on where an earlier try ended. Returns `target`.

    Raises InferenceError when the server does not give it, the disk is full or somebody else downloads it at this
    moment; ModelRejected when what came is not what was wanted (it is deleted then).
    """
    _refuse_unsafe(wanted.url)
    part = target.with_name(f".{target.name}.part")
    busy = f"{target.name} is being downloaded by another process."
    with disk_errors(), claimed(part.with_name(part.name + ".lock"), busy):
        if not (target.exists() and target.stat().st_size == wanted.size):
            _fill(wanted, part, on_progress, list(pauses))
            part.replace(target)
        if sha256_of(target) != wanted.sha256:
            target.unlink()
            raise ModelRejected(
                f"{target.name} is not the file that was expected: its SHA-256 is a different one. It was deleted."
            )
        _notes(part).unlink(missing_ok=True)
    return target


def _fill(wanted: Wanted, part: Path, on_progress: Progress | None, pauses: list[float]) -> None:
    left, restarts = list(pauses), 1
    while True:
        have = part.stat().st_size if part.exists() else 0
        if have > wanted.size:
            part.unlink()
            have = 0
        if have == wanted.size:
            return
        refuse_full(part.parent, wanted.size - have, what="the download", spare=_SPARE)
        try:
            _ask(wanted, part, have, on_progress)
            continue
        except _Restart:
            part.unlink(missing_ok=True)
            if not restarts:
                raise InferenceError(f"{wanted.url} changes while it is downloaded. Try again later.") from None
            restarts -= 1
            continue
        except _Broken as error:
            why = str(error)
        came = part.stat().st_size if part.exists() else 0
        if came > have:
            left = list(pauses)  # something came: patience begins anew
        if not left:
            raise InferenceError(
                f"{wanted.url} could not be downloaded ({why}). What has come is kept: the same command goes on."
            )
        logger.info("download broke off at %d of %d bytes: %s", came, wanted.size, why)
        time.sleep(left.pop(0))


def _ask(wanted: Wanted, part: Path, have: int, on_progress: Progress | None) -> None:
    """One request, for the rest. Returns when the connection has ended properly, however much came."""
    headers = {"User-Agent": "havre", "Accept-Encoding": "identity"}
    tag = _tag_of(part)
    if have:
        headers["Range"] = f"bytes={have}-"
        if tag:
            headers["If-Range"] = tag
    request = urllib.request.Request(wanted.url, headers=headers)  # noqa: S310 (checked in _refuse_unsafe)
    try:
        with urllib.request.build_opener(_Redirects).open(request, timeout=_TIMEOUT_SECONDS) as answer:
            begin = _begin(wanted, answer, have)
            with open_part(_notes(part)) as notes:
                notes.write(json.dumps({"etag": answer.headers.get("ETag", "")}).encode())
                notes.truncate()
            with open_part(part) as file:
                file.seek(begin)
                file.truncate()
                _pour(wanted, answer, file, begin, on_progress)
    except ModelRejected:
        part.unlink(missing_ok=True)
        raise
    except urllib.error.HTTPError as error:
        _say_refused(wanted, error.code, have)
    except urllib.error.URLError as error:
        raise _Broken(str(error.reason)) from error
    except (http.client.HTTPException, TimeoutError, ConnectionError) as error:
        raise _Broken(type(error).__name__) from error


def _begin(wanted: Wanted, answer: Any, have: int) -> int:
    """Where what the server sends belongs. Raises _Restart, and ModelRejected when it is another file."""
    partial = http.HTTPStatus.PARTIAL_CONTENT
    if answer.status == partial:
        span, _, total = answer.headers.get("Content-Range", "").partition("/")
        if span.partition("-")[0].strip() != f"bytes {have}":
            raise _Restart
        length = total
    else:  # the whole file: the server knows no ranges, or the file is a new one
        have, length = 0, answer.headers.get("Content-Length", "")
    if length.isdigit() and int(length) != wanted.size:
        raise ModelRejected(
            f"{wanted.url} is not the file that was expected: it has {int(length):,} bytes instead of {wanted.size:,}."
        )
    return have


def _pour(wanted: Wanted, answer: Any, file: IO[bytes], done: int, on_progress: Progress | None) -> None:
    while True:
        try:
            chunk = answer.read(_CHUNK)
        except http.client.IncompleteRead as error:
            file.write(error.partial[: wanted.size - done])
            raise _Broken("the connection broke") from error
        except OSError as error:  # no route any more, a record of TLS that cannot be read: the line, not the disk
            raise _Broken(error.strerror or type(error).__name__) from error
        if not chunk:
            break
        if done + len(chunk) > wanted.size:
            raise ModelRejected(f"{wanted.url} is not the file that was expected: it is longer than {wanted.size:,}.")
        try:
            file.write(chunk)
        except OSError as error:
            raise InferenceError(f"The disk does not take the download ({error.strerror}).") from error
        done += len(chunk)
        if on_progress:
            on_progress(done, wanted.size)
    if done < wanted.size:
        raise _Broken("the connection ended early")


def _say_refused(wanted: Wanted, code: int, have: int) -> None:
    if code == http.HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE and have:
        raise _Restart
    if code in _AGAIN:
        raise _Broken(f"the server answers {code}")
    if code in {401, 403}:
        raise InferenceError(
            f"{wanted.url} is not given to everybody ({code}): its publisher may want its licence accepted first. "
            "Download it in a browser, then `manage.py models import FILE`."
        )
    raise InferenceError(f"{wanted.url} could not be downloaded: the server answers {code}.")


def _refuse_unsafe(url: str) -> None:
    parts = urllib.parse.urlsplit(url)
    if parts.scheme != "https" and not (parts.scheme == "http" and parts.hostname in _LOOPBACK):
        raise InferenceError(f"{url} is not fetched: only https addresses are.")


def _notes(part: Path) -> Path:
    return part.with_name(part.name + ".json")


def _tag_of(part: Path) -> str:
    """The strong ETag that came with what is kept; a weak one is no promise about bytes."""
    try:
        tag = json.loads(_notes(part).read_text(encoding="utf-8")).get("etag", "")
    except (OSError, ValueError, AttributeError):
        return ""
    return tag if isinstance(tag, str) and tag.startswith('"') else ""
