"""The bundle: a zip that proves itself, with the program that verifies it."""

import hashlib
import re
import zipfile
from array import array
from collections.abc import Callable, Iterable, Iterator, Sequence
from datetime import UTC, datetime
from heapq import merge
from pathlib import Path
from typing import IO, Any

from django.db.models import Q

from portal.audit import keys, stored, verifier
from portal.audit._canonical import canonical, moment
from portal.audit.exporting._checkpoints import kept_checkpoints, pages
from portal.audit.exporting._formats import About, Events
from portal.audit.exporting._left_out import left_out
from portal.audit.exporting._readme import README
from portal.audit.exporting._selection import read
from portal.audit.models import Event

_PERSON = re.compile(rb"p-[0-9a-f]{24}")
_CODES_AT_ONCE = 500
_EVENTS_AT_ONCE = 1000


def write(events: Events, out: IO[bytes], about: About, progress: Callable[[int], None]) -> int:
    """Write the zip. Raises keys.NoAuditKey as well: the manifest is signed."""
    key = keys.current()
    archive = _Archive(out, about.at)
    people: set[bytes] = set()
    count = archive.add("events.jsonl", _lines(events, people, progress))
    archive.add("names.jsonl", _names(people))
    support = _support(events, people, about.up_to)
    archive.add("support.jsonl", (row.line for row in read(support)))
    checkpoints = list(pages(kept_checkpoints(about)))
    sizes = sorted({size for numbers in checkpoints for size in stored.sizes(numbers) if size})
    kept = () if about.selection.is_everything else merge(events.seqs, support)
    parts = left_out(kept, about.up_to, sizes, lambda: progress(count)) if kept else ()
    archive.add("left_out.jsonl", map(_part, parts))
    archive.add("checkpoints.jsonl", (line for numbers in checkpoints for line in _signed(numbers)))
    archive.add("public_key.txt", [f"{key.public.hex()}".encode()])
    archive.add("README.txt", README.encode().splitlines())
    archive.add("verify.py", Path(verifier.__file__).read_bytes().splitlines())
    manifest = canonical(_manifest(about, key, count, archive.files))
    archive.add_whole("manifest.json", manifest)
    archive.add_whole("manifest.sig", key.sign_manifest(manifest).hex().encode())
    archive.close()
    return count


class _Archive:
    """A zip that is written from front to back; `files` says the size and the SHA-256 of each file."""

    def __init__(self, out: IO[bytes], at: datetime) -> None:
        self._zip = zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED, compresslevel=4)
        self._at = at.astimezone(UTC).timetuple()[:6]
        self.files: dict[str, dict[str, Any]] = {}

    def add(self, name: str, lines: Iterable[bytes]) -> int:
        """A file of these lines; returns how many they were."""
        digest, size, lines_written = hashlib.sha256(), 0, 0
        with self._zip.open(self._member(name), "w", force_zip64=True) as file:
            for line in lines:
                whole = line + b"\n"
                digest.update(whole)
                size += len(whole)
                lines_written += 1
                file.write(whole)
        self.files[name] = {"bytes": size, "sha256": digest.hexdigest()}
        return lines_written

    def add_whole(self, name: str, content: bytes) -> None:
        """A small file, as it is."""
        self._zip.writestr(self._member(name), content)

    def close(self) -> None:
        """The zip's directory."""
        self._zip.close()

    def _member(self, name: str) -> zipfile.ZipInfo:
        member = zipfile.ZipInfo(name, self._at)
        member.compress_type, member.external_attr = zipfile.ZIP_DEFLATED, 0o644 << 16
        return member


def _lines(events: Events, people: set[bytes], progress: Callable[[int], None]) -> Iterator[bytes]:
    for count, event in enumerate(events, 1):
        people.update(_PERSON.findall(event.line))
        yield event.line
        if not count % _EVENTS_AT_ONCE:
            progress(count)


def _names(people: set[bytes]) -> Iterator[bytes]:
    """Who the codes are; an erased person has no line."""
    for codes in _pages(people):
        for code, name, salt in stored.people(codes):
            yield canonical({"code": code, "name": name, "salt": salt})


def _support(events: Events, people: set[bytes], up_to: int) -> "array[int]":
    """The numbers of events that were not asked for and that proofs need: who got which code, which key took over."""
    if isinstance(events.seqs, range):
        return array("q")
    wanted = [Q(kind__in=["audit.key_replaced", "audit.tail_missing"])]
    wanted += [Q(kind="person.named", subject__in=codes) for codes in _pages(people)]
    found: set[int] = set()
    for one in wanted:
        found.update(Event.objects.filter(one, seq__lte=up_to).values_list("seq", flat=True))
    return array("q", sorted(found.difference(events.seqs)))


def _signed(numbers: Sequence[int]) -> Iterator[bytes]:
    for body, signature in stored.checkpoints(numbers):
        yield canonical({"body": body, "signature": signature})


def _part(part: tuple[int, int, bytes]) -> bytes:
    first, count, root = part
    return b'{"first":%d,"count":%d,"hash":"%s"}' % (first, count, root.hex().encode())


def _manifest(about: About, key: keys.AuditKey, count: int, files: dict[str, dict[str, Any]]) -> dict[str, Any]:
    return {
        "v": 1,
        "what": "Havre audit bundle",
        "facility": about.facility,
        "ledger": about.ledger,
        "export": about.number,
        "at": moment(about.at),
        "filters": about.selection.filters(),
        "events": count,
        "up_to": about.up_to,
        "checkpoint": about.checkpoint.number if about.checkpoint else None,
        "problem": about.problem,
        "public_key": key.public.hex(),
        "key": key.key_id,
        "files": files,
    }


def _pages(people: set[bytes]) -> Iterator[list[str]]:
    codes = sorted(code.decode() for code in people)
    for start in range(0, len(codes), _CODES_AT_ONCE):
        yield codes[start : start + _CODES_AT_ONCE]
