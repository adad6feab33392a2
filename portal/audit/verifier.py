#!/usr/bin/env python3
"""Verifies a bundle of a Havre audit trail. Needs Python 3.9 or newer, and nothing else: not Havre, no package, no
network. It writes nothing, and runs nothing of the bundle.

    python3 verify.py BUNDLE.zip [--public-key HEX] [--checkpoint FILE] [--prove NUMBER]

Exit code 0: everything was verified. 1: something is wrong, and is named. 2: nothing could be verified (no bundle).

What it computes: each event's hash, SHA-256(0x00, line); from these the Merkle tree of RFC 6962, in which the parts
that an export leaves out stand as one hash each; at the size of every checkpoint the root, compared with what the
checkpoint says; and the checkpoints' Ed25519 signatures (RFC 8032).
"""

from __future__ import annotations

import argparse
import hashlib
import heapq
import io
import json
import re
import struct
import sys
import zipfile
import zlib
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import IO, Any, Iterable, Iterator  # noqa: UP035  (Python 3.9)

CHECKPOINT = b"havre audit checkpoint v1\n"
SUCCESSION = b"havre audit key replaced v1\n"
MANIFEST = b"havre audit manifest v1\n"
STREAMS = ("events.jsonl", "support.jsonl", "left_out.jsonl")
LISTS = ("checkpoints.jsonl", "names.jsonl")
OTHERS = ("manifest.json", "manifest.sig", "public_key.txt", "README.txt", "verify.py")
LONGEST_LINE = 4 << 20
LARGEST_FILE = 1 << 20  # of those that are read in one piece
MOST_EXPANSION = 500  # times that honest lines never shrink
MOST_CHECKPOINTS = 2_000_000
MOST_KEYS = 200
MOST_KINDS = 5000
MOST_FINDINGS = 10_000
LARGEST_NUMBER = 2**63 - 1
UNREADABLE = (OSError, EOFError, ValueError, RuntimeError, ArithmeticError, LookupError, TypeError, AttributeError)
UNREADABLE += (zipfile.BadZipFile, zlib.error, struct.error)  # type: ignore[assignment]


class NotABundle(Exception):
    """What was given is no bundle, or cannot be read: nothing is said of its events."""


class Broken(Exception):
    """A file of the bundle is not what a bundle holds."""


@dataclass
class Finding:
    """Something that is wrong, and where: "events 5 to 9", "checkpoint 3", the name of a file."""

    where: str
    what: str


@dataclass
class Report:
    """What was checked, what was found wrong, and what somebody should know."""

    checked: list[str] = field(default_factory=list)
    findings: list[Finding] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    events: int = 0
    tree_size: int = 0
    public_key: str = ""
    proof: dict[str, Any] = field(default_factory=dict)
    more: int = 0  # findings beyond those that are kept

    def wrong(self, where: str, what: str) -> None:
        """Add a finding."""
        if len(self.findings) < MOST_FINDINGS:
            self.findings.append(Finding(where, what))
        else:
            self.more += 1

    @property
    def is_good(self) -> bool:
        """Whether everything was verified."""
        return not self.findings


@dataclass
class Checkpoint:
    """A checkpoint: what it claims, the bytes that were signed, the signature."""

    number: int
    size: int
    root: str
    at: str
    ledger: str
    key: str
    counts: dict[str, int]
    body: bytes
    signature: bytes


# --- Ed25519 (RFC 8032, 5.1): verification alone -------------------------------------------------------------------

P = 2**255 - 19
ORDER = 2**252 + 27742317777372353535851937790883648493
D = -121665 * pow(121666, P - 2, P) % P
ROOT_OF_MINUS_ONE = pow(2, (P - 1) // 4, P)
IDENTITY = (0, 1, 1, 0)  # X, Y, Z, T: extended coordinates


def decoded(encoded: bytes) -> Any:
    """The point, or None for what is none: too large, not on the curve, or a second way to write the same."""
    y = int.from_bytes(encoded, "little")
    sign, y = y >> 255, y & (2**255 - 1)
    if len(encoded) != 32 or y >= P:
        return None
    u, v = (y * y - 1) % P, (D * y * y + 1) % P
    x = u * pow(v, 3, P) * pow(u * pow(v, 7, P), (P - 5) // 8, P) % P
    if v * x * x % P == -u % P:
        x = x * ROOT_OF_MINUS_ONE % P
    if v * x * x % P != u or (x == 0 and sign):
        return None
    x = P - x if x & 1 != sign else x
    return (x, y, 1, x * y % P)


def encoded(point: Any) -> bytes:
    """The one way to write a point."""
    inverse = pow(point[2], P - 2, P)
    x, y = point[0] * inverse % P, point[1] * inverse % P
    return int(y | (x & 1) << 255).to_bytes(32, "little")


def added(one: Any, other: Any) -> Any:
    """The sum of two points."""
    x1, y1, z1, t1 = one
    x2, y2, z2, t2 = other
    a, b = (y1 - x1) * (y2 - x2) % P, (y1 + x1) * (y2 + x2) % P
    c, d = 2 * D * t1 * t2 % P, 2 * z1 * z2 % P
    e, f, g, h = b - a, d - c, d + c, b + a
    return (e * f % P, g * h % P, f * g % P, e * h % P)


def multiples(point: Any) -> list[list[Any]]:
    """For each byte of a scalar, the point times each value that the byte can have there."""
    table = []
    for _ in range(32):
        row = [IDENTITY]
        for _ in range(255):
            row.append(added(row[-1], point))
        table.append(row)
        point = added(row[-1], point)
    return table


class Key:
    """A public key. Raises ValueError for bytes that are no point, or one of the few that sign anything."""

    _base: list[list[Any]] = []  # computed once, when it is first needed

    def __init__(self, public: bytes) -> None:
        point = decoded(public)
        if point is None:
            raise ValueError("this is no Ed25519 public key")
        small = point
        for _ in range(3):
            small = added(small, small)
        if encoded(small) == encoded(IDENTITY):
            raise ValueError("this Ed25519 public key is of small order")
        if not Key._base:
            y = 4 * pow(5, P - 2, P) % P
            Key._base = multiples(decoded(y.to_bytes(32, "little")))
        self.public = public
        self.id = hashlib.sha256(public).hexdigest()[:16]
        self._negated = multiples((P - point[0], point[1], 1, P - point[3]))

    def has_signed(self, message: bytes, signature: bytes) -> bool:
        """Whether this is the key's signature of the message."""
        if len(signature) != 64 or int.from_bytes(signature[32:], "little") >= ORDER:
            return False
        digest = hashlib.sha512(signature[:32] + self.public + message).digest()
        challenge = (int.from_bytes(digest, "little") % ORDER).to_bytes(32, "little")
        total: Any = IDENTITY
        for place in range(32):
            total = added(total, Key._base[place][signature[32 + place]])
            total = added(total, self._negated[place][challenge[place]])
        return encoded(total) == signature[:32]


# --- the Merkle tree (RFC 6962, 2.1) -------------------------------------------------------------------------------


class Tree:
    """A tree that grows on the right, by leaves and by whole subtrees."""

    def __init__(self) -> None:
        self.size = 0
        self._roots: list[bytes] = []

    def add(self, count: int, root: bytes) -> None:
        """`count` more leaves (a power of two that divides the size), by the root over them."""
        full = self.size // count
        while full & 1:
            root = hashlib.sha256(b"\x01" + self._roots.pop() + root).digest()
            full >>= 1
        self._roots.append(root)
        self.size += count

    def root(self) -> str:
        """The root over all leaves, in hexadecimal."""
        if not self._roots:
            return hashlib.sha256(b"").hexdigest()
        right = self._roots[-1]
        for left in reversed(self._roots[:-1]):
            right = hashlib.sha256(b"\x01" + left + right).digest()
        return right.hex()


def siblings(index: int, start: int, end: int) -> list[tuple[int, int]]:
    """The parts of a tree whose roots are the inclusion proof of a leaf, in the order of RFC 6962, section 2.1.1."""
    if end - start < 2:
        return []
    middle = start + (1 << ((end - start - 1).bit_length() - 1))
    if index < middle:
        return [*siblings(index, start, middle), (middle, end)]
    return [*siblings(index, middle, end), (start, middle)]


# --- reading what may be hostile -----------------------------------------------------------------------------------


def small_int(digits: str) -> int:
    """A whole number; not one whose digits take minutes to read."""
    if len(digits) > 20:
        raise ValueError("a number is too long")
    return int(digits)


def no_number(name: str) -> float:
    """NaN and the infinities, which JSON does not have."""
    raise ValueError(f"{name} is no number")


DECODER = json.JSONDecoder(parse_int=small_int, parse_constant=no_number)


def shown(value: Any) -> str:
    """A value of a bundle as part of a sentence: short, and without what a terminal would obey."""
    return plain(str(value)[:200])


def plain(text: str) -> str:
    """The text without what a terminal would obey."""
    return "".join(one if one.isprintable() or one == "\n" else "?" for one in text)


def whole(value: Any) -> int:
    """A number as ledgers count with. Raises TypeError for anything else."""
    if type(value) is not int or not 0 <= value <= LARGEST_NUMBER:
        raise TypeError("this is no number of a ledger")
    return value


def text_of(value: Any) -> str:
    """A text. Raises TypeError for anything else."""
    if type(value) is not str:
        raise TypeError("this is no text")
    return value


def parsed(text: str | bytes, where: str) -> dict[str, Any]:
    """A JSON object. Raises Broken."""
    try:
        value = DECODER.decode(text if isinstance(text, str) else text.decode("utf-8"))
    except (ValueError, RecursionError) as error:
        raise Broken(f"{where} is not JSON") from error
    if not isinstance(value, dict):
        raise Broken(f"{where} is no JSON object")
    return value


class Bundle:
    """The files of a bundle, in a zip or unpacked in a folder, each with the SHA-256 of what was read of it."""

    def __init__(self, path: Path) -> None:
        self.digests: dict[str, str] = {}
        self.sizes: dict[str, int] = {}
        self._folder = path if path.is_dir() else None
        self._zip: zipfile.ZipFile | None = None
        known = {*STREAMS, *LISTS, *OTHERS}
        try:
            if not (path.is_dir() or path.is_file()):
                raise OSError("there is no such file")
            if self._folder:
                self.names = {one.name for one in path.iterdir() if one.is_file() and one.name in known}
            else:
                self._zip = zipfile.ZipFile(path)
                self.names = self._checked(self._zip.infolist(), known)
        except UNREADABLE as error:
            raise NotABundle(f"{path} cannot be read: {error}") from error
        if "manifest.json" not in self.names:
            raise NotABundle(f"{path} is no bundle of an audit trail: it holds no manifest.json")

    @staticmethod
    def _checked(members: list[zipfile.ZipInfo], known: set[str]) -> set[str]:
        for one in members:
            if one.filename not in known:
                raise NotABundle(f"a bundle holds no file of the name {one.filename[:80]!r}")
            if one.flag_bits & 1 or one.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
                raise NotABundle(f"{one.filename} is packed in a way that bundles are not")
            if one.file_size > MOST_EXPANSION * one.compress_size + LARGEST_FILE:
                raise NotABundle(f"{one.filename} would unpack to {one.file_size:,} bytes: this is no audit trail")
        names = [one.filename for one in members]
        if len(set(names)) != len(names):
            raise NotABundle("a name occurs twice in this zip")
        return set(names)

    def blocks(self, name: str) -> Iterator[bytes]:
        """A file, piece by piece. Raises Broken when it is damaged."""
        digest, size = hashlib.sha256(), 0
        try:
            with self._open(name) as file:
                while block := file.read(1 << 20):
                    digest.update(block)
                    size += len(block)
                    yield block
        except UNREADABLE as error:
            raise Broken(f"{name} cannot be read: {error}") from error
        self.digests[name], self.sizes[name] = digest.hexdigest(), size

    def _open(self, name: str) -> IO[bytes]:
        if self._zip:
            return self._zip.open(name)
        assert self._folder
        return (self._folder / name).open("rb")

    def whole(self, name: str) -> bytes:
        """A small file. Raises Broken."""
        found = b""
        for block in self.blocks(name) if name in self.names else ():
            found += block
            if len(found) > LARGEST_FILE:
                raise Broken(f"{name} is too large")
        return found

    def lines(self, name: str) -> Iterator[bytes]:
        """The lines of a file. Raises Broken."""
        rest = b""
        for block in self.blocks(name) if name in self.names else ():
            *complete, rest = (rest + block).split(b"\n")
            if len(rest) > LONGEST_LINE:
                raise Broken(f"{name} has a line without an end")
            yield from complete
        if rest:
            raise Broken(f"{name} breaks off in the middle of a line")


def checkpoint_of(line: bytes | str, where: str) -> Checkpoint:
    """A checkpoint as bundles and folders hold it: {"body": "…", "signature": "…"}. Raises Broken."""
    held = parsed(line, where)
    try:
        body = held["body"].encode("utf-8")
        said = parsed(body, where)
        return Checkpoint(
            number=whole(said["number"]),
            size=whole(said["tree_size"]),
            root=text_of(said["root"]),
            at=text_of(said["at"]),
            ledger=text_of(said["ledger"]),
            key=text_of(said["key"]),
            counts={kind: whole(count) for kind, count in said["counts"].items()},
            body=body,
            signature=bytes.fromhex(held["signature"]),
        )
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise Broken(f"{where} is no checkpoint") from error


# --- verifying -----------------------------------------------------------------------------------------------------


@dataclass
class Manifest:
    """What a bundle says of itself: `filters` where it is a selection, `problem` where the installation found one."""

    ledger: str
    at: str
    events: int
    up_to: int
    public_key: str
    files: dict[str, Any]
    filters: dict[str, Any]
    problem: str


def manifest_of(bundle: Bundle) -> Manifest:
    """The manifest. Raises Broken, KeyError or TypeError for what is none."""
    said = parsed(bundle.whole("manifest.json"), "manifest.json")
    files, filters = said["files"], said["filters"]
    if type(files) is not dict or type(filters) is not dict:
        raise TypeError("it does not name its files and filters")
    texts = {name: text_of(said[name]) for name in ("ledger", "at", "public_key", "problem")}
    return Manifest(**texts, events=whole(said["events"]), up_to=whole(said["up_to"]), files=files, filters=filters)


@dataclass
class Handover:
    """An event by which another key took over the ledger: from checkpoint `last` on it is the new one's."""

    seq: int
    old: str
    new: str
    last: int
    signature: str
    lost: bool
    accepted: str
    unvouched: list[int] | None


@dataclass
class Walk:
    """What going through the bundle gathers. `keys` are the ledger's, each with the number of its last checkpoint and
    whether the key before it handed over; `came` the kinds of events since the checkpoint before; `ends` the first and
    the last event that say that the end was found cut off, and how many do."""

    exported: int = 0
    kinds: dict[str, int] = field(default_factory=dict)
    named: dict[str, str] = field(default_factory=dict)
    handovers: list[Handover] = field(default_factory=list)
    sealed: list[Checkpoint] = field(default_factory=list)
    keys: list[tuple[int, Key, bool]] = field(default_factory=list)
    roots: dict[int, str] = field(default_factory=dict)
    came: dict[int, dict[str, int]] = field(default_factory=dict)
    size: int = 0
    first: int = 0
    last: int = 0
    left_out: int = 0
    stopped: bool = False
    ends: tuple[int, int, int] | None = None


def verify(
    path: Path | str,
    *,
    public_keys: Iterable[str] = (),
    checkpoints: Iterable[Path | str] = (),
    prove: int = 0,
) -> Report:
    """Verify a bundle: a zip, or the folder that it was unpacked to.

    `public_keys` are hexadecimal, got from elsewhere: one of them must be a key of this ledger. `checkpoints` are files
    (or folders of files) with checkpoints that were kept elsewhere: the bundle must agree with them. `prove` is the
    number of an event whose inclusion proof the report is to hold. Raises NotABundle when nothing can be said,
    ValueError for a key that is none.
    """
    trusted = [Key(bytes.fromhex(one.strip())) for one in public_keys]
    kept = [one for given in checkpoints for one in kept_elsewhere(Path(given))]
    bundle, report, walk = Bundle(Path(path)), Report(), Walk()
    try:
        manifest = manifest_of(bundle)
        key = Key(bytes.fromhex(manifest.public_key))
        report.public_key, report.tree_size = manifest.public_key, manifest.up_to
    except (Broken, KeyError, TypeError, ValueError, AttributeError) as error:
        raise NotABundle(f"the manifest says nothing that can be verified ({error})") from error
    try:
        signed = bytes.fromhex(bundle.whole("manifest.sig").decode("ascii").strip())
        if not key.has_signed(MANIFEST + bundle.whole("manifest.json"), signed):
            report.wrong("manifest.json", "it does not carry the signature of the key that it names")
        walk.sealed = listed(bundle, report, manifest.ledger)
        proof = Proof(prove - 1, walk.sealed[-1].size) if prove and walk.sealed else None
        go_through(bundle, report, walk, {one.size for one in kept}, proof)
        compare_roots(report, walk)
        walk.keys = eras(report, walk, key, manifest.ledger)
        check_signatures(report, walk)
        check_trust(report, trusted, walk.keys)
        check_kept(report, walk, kept, manifest)
        check_claims(report, walk, manifest)
        check_names(bundle, report, walk)
        if proof:
            report.proof = proof.told(walk)
    except (Broken, UnicodeDecodeError, ValueError) as error:
        report.wrong("bundle", str(error))
    check_files(bundle, report, manifest.files)
    check_ends(report, walk)
    return report


def check_ends(report: Report, walk: Walk) -> None:
    """Whether the end was ever found cut off. One finding, behind the others: such events stay, and hide no new one."""
    if walk.ends:
        first, last, count = walk.ends
        if count == 1:
            report.wrong(f"event {first}", "when it was recorded, the end of the ledger was found cut off or changed")
        else:
            many = f"{count} of these say that the end of the ledger was found cut off or changed"
            report.wrong(f"events {first} to {last}", many)


def listed(bundle: Bundle, report: Report, ledger: str) -> list[Checkpoint]:
    """The bundle's checkpoints. Raises Broken."""
    found: list[Checkpoint] = []
    for place, line in enumerate(bundle.lines("checkpoints.jsonl"), 1):
        one = checkpoint_of(line, f"line {place} of checkpoints.jsonl")
        before = found[-1] if found else None
        if one.ledger != ledger:
            report.wrong(f"checkpoint {one.number}", "it belongs to another ledger")
        if before and (one.number <= before.number or one.size < before.size):
            report.wrong(f"checkpoint {one.number}", f"it does not follow checkpoint {before.number}")
        found.append(one)
        if place > MOST_CHECKPOINTS:
            raise Broken("there are more checkpoints than any ledger has")
    return found


def damaged(line: dict[str, Any]) -> dict[str, Any]:
    """What stands in the place of an event whose row was changed: its number, and the kind that the row claims."""
    return {"seq": line["seq"], "kind": str(line["row"]["kind"])[:64]}


def entries(bundle: Bundle, report: Report, name: str, walk: Walk) -> Iterator[tuple[int, int, bytes, bool]]:
    """For each line of events its number, 1, its hash, and that it is there. A row that the installation found changed
    is a finding, and stands with the hash that stood beside it, so that everything else is still proven."""
    exported = name == "events.jsonl"
    for line in bundle.lines(name):
        event = parsed(line, f"a line of {name}")
        leaf = hashlib.sha256(b"\x00" + line).digest()
        try:
            if problem := event.get("problem"):  # no event has one: the installation found that the row was changed
                event, leaf = damaged(event), bytes.fromhex(event["leaf"]) or bytes(32)
            seq, kind = whole(event["seq"]), text_of(event["kind"])
            if len(leaf) != 32:
                raise TypeError("this is no hash")
            if problem:
                report.wrong(f"event {seq}", f"this is not what was recorded: {shown(problem)}")
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise Broken(f"a line of {name} is no event") from error
        if not problem:
            remember(report, walk, seq, kind, event)
        if kind not in walk.kinds and len(walk.kinds) >= MOST_KINDS:
            kind = ""
            if kind not in walk.kinds:
                report.wrong(f"event {seq}", "there are more kinds of events than any ledger has")
        walk.kinds[kind] = walk.kinds.get(kind, 0) + 1
        if exported:
            walk.first = walk.first or seq
            walk.last = seq
            walk.exported += 1
        yield seq, 1, leaf, True


def remember(report: Report, walk: Walk, seq: int, kind: str, event: dict[str, Any]) -> None:
    """What an event says that others are checked with. One that says nothing of the kind was never recorded by Havre:
    that is a finding, and everything else is checked even so."""
    try:
        if kind == "person.named":
            walk.named[text_of(event["subject"])] = text_of(event["payload"]["commitment"])
        elif kind == "audit.tail_missing":
            first, _, count = walk.ends or (seq, 0, 0)
            walk.ends = (first, seq, count + 1)
        elif kind == "audit.key_replaced":
            if len(walk.handovers) >= MOST_KEYS:
                raise ValueError("there are more audit keys than any ledger has had")
            walk.handovers.append(handover_of(seq, event["payload"]))
    except (KeyError, TypeError, ValueError, AttributeError):
        report.wrong(f"event {seq}", f"this is not what was recorded: no event of the kind {kind} says this")


def handover_of(seq: int, said: dict[str, Any]) -> Handover:
    """The change of keys that an event tells of. Raises KeyError, TypeError, ValueError or AttributeError."""
    lost = bool(said.get("lost"))
    one = Handover(
        seq,
        old=text_of(said["old"]),
        new=text_of(said["new"]),
        last=whole(said["last_checkpoint"]),
        signature=text_of(said.get("signature", "")),
        lost=lost,
        accepted=text_of(said.get("accepted", "")),
        unvouched=[whole(each) for each in said["unvouched"]] if lost else None,
    )
    for text in (one.signature, one.accepted):
        bytes.fromhex(text)
    for text in (one.old, one.new):
        if decoded(bytes.fromhex(text)) is None:
            raise ValueError("this is no public key")
    return one


def subtrees(bundle: Bundle, walk: Walk) -> Iterator[tuple[int, int, bytes, bool]]:
    """For each part of the tree that was left out the number of its first event, how many they are, its root, and that
    they are not there."""
    for line in bundle.lines("left_out.jsonl"):
        held = parsed(line, "a line of left_out.jsonl")
        try:
            first, count, root = whole(held["first"]), whole(held["count"]), bytes.fromhex(held["hash"])
            if len(root) != 32 or count < 1 or count & (count - 1) or first < 1 or (first - 1) % count:
                raise ValueError("no tree has such a part")
        except (KeyError, TypeError, ValueError) as error:
            raise Broken("a line of left_out.jsonl is no part of a tree") from error
        walk.left_out += count
        yield first, count, root, False


class Proof:
    """The inclusion proof of one event, for programs that know RFC 6962 (or RFC 9162) and nothing of bundles."""

    def __init__(self, index: int, size: int) -> None:
        self._index, self._size, self._leaf = index, size, b""
        self._parts = [(start, end, Tree()) for start, end in siblings(index, 0, size)] if index < size else []

    def add(self, first: int, count: int, root: bytes, is_there: bool) -> None:
        """One event, or a part that was left out, in their order."""
        if first - 1 == self._index and is_there:
            self._leaf = root
        for start, end, tree in self._parts:
            if start <= first - 1 < end:
                tree.add(count, root)

    def told(self, walk: Walk) -> dict[str, Any]:
        """The proof. Raises Broken for an event that is not in the bundle."""
        if not self._leaf or self._index >= self._size:
            raise Broken(f"event {self._index + 1} is not in this bundle, or no checkpoint covers it")
        path = [tree.root() for _, _, tree in self._parts]
        proven = {"leaf_index": self._index, "leaf_hash": self._leaf.hex(), "inclusion_path": path}
        return {**proven, "tree_size": self._size, "root_hash": walk.roots.get(self._size, "")}


def go_through(bundle: Bundle, report: Report, walk: Walk, others: set[int], proof: Proof | None) -> None:
    """Go through everything once, in the order of the numbers, and compute the root at the size of each checkpoint and
    at these others. Raises Broken."""
    tree, sizes = Tree(), {one.size for one in walk.sealed}
    before: dict[str, int] = {}
    streams = [entries(bundle, report, name, walk) for name in STREAMS[:2]] + [subtrees(bundle, walk)]
    for first, count, root, is_there in heapq.merge(*streams):
        report.events += is_there
        if walk.stopped:
            continue  # the rest is read for its file's hash
        if first != tree.size + 1:
            walk.stopped = True
            if first > tree.size + 1:
                report.wrong(f"events {tree.size + 1} to {first - 1}", "they are missing")
            else:
                report.wrong(f"event {first}", f"it stands where event {tree.size + 1} belongs")
            continue
        tree.add(count, root)
        if proof:
            proof.add(first, count, root, is_there)
        if tree.size in sizes or tree.size in others:
            walk.roots[tree.size] = tree.root()
        if tree.size in sizes and not walk.left_out:
            now = dict(walk.kinds)
            walk.came[tree.size] = {kind: n - before.get(kind, 0) for kind, n in now.items() if n != before.get(kind)}
            before = now
    walk.size = tree.size


def compare_roots(report: Report, walk: Walk) -> None:
    """Compare the computed roots with what the checkpoints say."""
    before, agreed = 0, 0
    walk.roots[0] = Tree().root()
    for one in walk.sealed:
        computed = walk.roots.get(one.size)
        if computed is None and not walk.stopped:
            report.wrong(f"checkpoint {one.number}", f"the bundle does not have the {one.size:,} events that it covers")
        elif computed is not None and computed != one.root:
            span = f"events {before + 1} to {one.size}" if one.size > before + 1 else f"event {one.size}"
            report.wrong(span, f"something there was changed: checkpoint {one.number} was sealed over something else")
            break  # every later root differs for the same reason
        agreed += computed is not None
        before = one.size
    number, size = 0, 0
    for one in walk.sealed:  # where nothing is left out: the counts by kind, since the checkpoint before
        came = walk.came.get(one.size) if one.size > size else {}
        if one.number == number + 1 and came is not None and came != one.counts:
            report.wrong(f"checkpoint {one.number}", "it counts other kinds of events than there are")
        number, size = one.number, one.size
    report.checked.append(f"{agreed:,} checkpoints say the root that the events give")


def eras(report: Report, walk: Walk, newest: Key, ledger: str) -> list[tuple[int, Key, bool]]:
    """The keys of the ledger, each with the number of its last checkpoint and whether the key before it handed over."""
    found: list[tuple[int, Key, bool]] = []
    handed, expected = True, ""
    walk.handovers.sort(key=lambda one: one.seq)
    for one in walk.handovers:
        try:
            old, new = Key(bytes.fromhex(one.old)), Key(bytes.fromhex(one.new))
        except ValueError:
            report.wrong(f"event {one.seq}", "one of the keys that it names is none that a ledger has")
            continue
        if expected and one.old != expected:
            report.wrong(f"event {one.seq}", "the key that hands over there is not the one that had taken over before")
            handed = False
        expected = one.new
        said = {"last_checkpoint": one.last, "ledger": ledger, "new": one.new, "old": one.old, "v": 1}
        statement = SUCCESSION + json.dumps(said, sort_keys=True, separators=(",", ":")).encode()
        found.append((one.last, old, handed))
        handed = not one.lost and old.has_signed(statement, bytes.fromhex(one.signature))
        taken = (
            SUCCESSION + json.dumps(said | {"unvouched": one.unvouched}, sort_keys=True, separators=(",", ":")).encode()
        )
        if not new.has_signed(taken, bytes.fromhex(one.accepted)):
            report.wrong(f"event {one.seq}", "the key that took over there did not sign which one was before it")
            handed = False
        if one.lost:
            report.notes.append(f"Event {one.seq}: the audit key was lost and replaced without its own signature.")
        elif not handed:
            report.wrong(f"event {one.seq}", "the old key did not sign that another one takes over")
    if walk.handovers and walk.handovers[-1].new != newest.public.hex():
        report.wrong("manifest.json", "its key is not the one that took over the ledger last")
    return [*found, (sys.maxsize, newest, handed)]


def key_at(walk: Walk, number: int) -> Key:
    """Whose signature the checkpoint with this number carries."""
    return next(key for last, key, _ in walk.keys if number <= last)


def check_signatures(report: Report, walk: Walk) -> None:
    """Each checkpoint carries the signature of the key of its time."""
    good = 0
    for one in walk.sealed:
        key = key_at(walk, one.number)
        if one.key == key.id and key.has_signed(CHECKPOINT + one.body, one.signature):
            good += 1
        else:
            report.wrong(f"checkpoint {one.number}", f"it does not carry the signature of key {key.id}")
    report.checked.append(f"{good:,} checkpoints carry the signature of the ledger's key")


def check_trust(report: Report, trusted: list[Key], keys: list[tuple[int, Key, bool]]) -> None:
    """A key got elsewhere is one of the ledger's, and what follows it was handed over with signatures."""
    if not trusted:
        report.notes.append(
            "The public key came with the bundle. Whoever could make a bundle of his own could name a key of his own: "
            "compare the key with what the facility told you on another way, or give it with --public-key."
        )
        return
    publics = [key.public for _, key, _ in keys]
    known = [publics.index(one.public) for one in trusted if one.public in publics]
    if not known:
        report.wrong("public key", "the bundle is not signed with the key that you gave")
    elif not all(handed for _, _, handed in keys[max(known) + 1 :]):
        report.wrong("public key", "a later key took over without the signature of the one that you gave")
    else:
        report.checked.append("the key that you gave is the ledger's")


def check_kept(report: Report, walk: Walk, kept: list[Checkpoint], manifest: Manifest) -> None:
    """Checkpoints kept elsewhere agree with this bundle."""
    agreed, newest = 0, max((one.number for one in walk.sealed), default=0)
    same = {one.number: one for one in walk.sealed}
    for one in kept:
        where = f"checkpoint {one.number}, kept elsewhere"
        key = key_at(walk, one.number)
        if one.ledger != manifest.ledger:
            report.wrong(where, "it belongs to another ledger")
        elif not key.has_signed(CHECKPOINT + one.body, one.signature):
            report.wrong(where, f"it does not carry the signature of key {key.id}")
        elif one.number in same and same[one.number].body != one.body:
            report.wrong(where, "the bundle has another one with this number")
        elif one.number > newest and one.at <= manifest.at:
            report.wrong(where, f"the bundle is younger and yet ends before it: events up to {one.size:,} were cut off")
        elif one.number > newest:
            report.notes.append(f"Checkpoint {one.number} is younger than this bundle: it was not compared.")
        elif one.size > walk.size and not walk.stopped:
            report.wrong(where, f"events up to {one.size:,} were cut off: the bundle has {walk.size:,}")
        elif one.size not in walk.roots:
            report.notes.append(f"Checkpoint {one.number} ends in a part that this bundle leaves out: not compared.")
        elif walk.roots[one.size] != one.root:
            report.wrong(where, f"it was sealed over other events up to {one.size:,} than the bundle holds")
        else:
            agreed += 1
    if kept:
        report.checked.append(f"{agreed:,} of {len(kept):,} checkpoints kept elsewhere agree")


def check_names(bundle: Bundle, report: Report, walk: Walk) -> None:
    """Each name belongs to its code: the event that named the code holds SHA-256(salt, name)."""
    good = 0
    for line in bundle.lines("names.jsonl"):
        held = parsed(line, "a line of names.jsonl")
        try:
            code, name, salt = text_of(held["code"]), text_of(held["name"]), bytes.fromhex(held["salt"])
            commitment = hashlib.sha256(salt + name.encode("utf-8")).hexdigest()
        except (KeyError, TypeError, ValueError) as error:
            raise Broken("a line of names.jsonl is no name") from error
        if walk.named.get(code) == commitment:
            good += 1
        else:
            report.wrong(f"names.jsonl, {shown(code)}", "this name was not given to this code")
    report.checked.append(f"{good:,} names belong to their codes")


def check_claims(report: Report, walk: Walk, manifest: Manifest) -> None:
    """What the manifest says of the events is so."""
    count, up_to = walk.exported, manifest.up_to
    if count != manifest.events:
        report.wrong("manifest.json", f"it says {manifest.events} events, and there are {count}")
    if walk.size != up_to and not walk.stopped:
        report.wrong("manifest.json", f"it says that the ledger had {up_to} events, and the bundle covers {walk.size}")
    newest = max((one.size for one in walk.sealed), default=0)
    if newest < walk.size:
        report.wrong(f"events {newest + 1} to {walk.size}", "no checkpoint covers them")
    if manifest.problem:
        report.notes.append(f"The installation said when it made this bundle: {shown(manifest.problem)}")
    if not manifest.filters and (walk.left_out or count != walk.size):
        report.wrong("events.jsonl", "the bundle calls itself complete, and leaves events out")
    if walk.left_out:
        report.notes.append(
            "This is a selection: each event is proven to stand in the ledger at its number. That nothing which fits "
            "the selection was left out is proven by a complete export alone."
        )
    report.checked.append(f"{count:,} events from {walk.first:,} to {walk.last:,}, in a ledger of {walk.size:,}")


def check_files(bundle: Bundle, report: Report, claimed: dict[str, Any]) -> None:
    """Every file is the one that the signed manifest names, and there is no other."""
    for name in sorted(bundle.names - {"manifest.json", "manifest.sig"} | set(claimed)):
        try:
            if name not in bundle.digests and name in bundle.names:
                for _ in bundle.blocks(name):
                    pass
            said = claimed.get(name)
            if name not in bundle.names:
                report.wrong(shown(name), "the manifest names this file, and it is not there")
            elif not isinstance(said, dict):
                report.wrong(name, "the manifest does not name this file")
            elif said.get("sha256") != bundle.digests[name] and name == "verify.py":
                report.notes.append("The verify.py beside the events is another program than the bundle was made with.")
            elif said.get("sha256") != bundle.digests[name]:
                report.wrong(name, "it is not the file that the manifest names: its SHA-256 differs")
        except Broken as error:
            report.wrong(name, str(error))
    report.checked.append(f"{len(claimed):,} files are those that the manifest names")


def kept_elsewhere(path: Path) -> list[Checkpoint]:
    """The checkpoints in a file (JSON, JSON Lines, or a syslog with JSON in its lines) or in the files of a folder.
    Raises NotABundle."""
    try:
        files = sorted(one for one in path.iterdir() if one.is_file()) if path.is_dir() else [path]
        found = []
        for file in files:
            if file.stat().st_size > 1 << 30:
                raise Broken(f"{file} is too large")
            text = file.read_text(encoding="utf-8", errors="replace")
            for line in re.findall(r"\{.*\}", text):
                if '"signature"' in line and '"body"' in line:
                    found.append(checkpoint_of(line, str(file)))
    except (OSError, Broken) as error:
        raise NotABundle(f"{path} cannot be read: {error}") from error
    if not found:
        raise NotABundle(f"{path} holds no checkpoint")
    return found


def told(report: Report, path: str) -> str:
    """The report for people."""
    lines = [f"Bundle      {path}", f"Public key  {report.public_key}", ""]
    lines += [f"  checked   {one}" for one in report.checked]
    lines += ["", *(f"  WRONG     {one.where}: {one.what}" for one in report.findings[:100])]
    found = len(report.findings) + report.more
    if found > 100:
        lines.append(f"  WRONG     and {found - 100:,} more")
    lines += [f"  note      {one}" for one in report.notes]
    lines += ["", json.dumps(report.proof, indent=1)] if report.proof else []
    good = "VERIFIED: this is what the ledger holds, unchanged."
    bad = f"NOT VERIFIED: {found:,} findings."
    return plain("\n".join([*lines, "", good if report.is_good else bad, ""]))


def main(arguments: list[str] | None = None) -> int:
    """The command line."""
    parser = argparse.ArgumentParser(description="Verify a bundle of a Havre audit trail.")
    here = Path(__file__).resolve().parent
    parser.add_argument("bundle", nargs="?", default=str(here), help="the zip, or the folder it was unpacked to")
    parser.add_argument("--public-key", action="append", default=[], metavar="HEX", help="a key got from elsewhere")
    parser.add_argument("--checkpoint", action="append", default=[], metavar="FILE", help="a checkpoint kept elsewhere")
    parser.add_argument(
        "--prove", type=int, default=0, metavar="NUMBER", help="the RFC 6962 inclusion proof of an event"
    )
    parser.add_argument("--json", action="store_true", help="the report as JSON")
    options = parser.parse_args(arguments)
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")  # a terminal that lacks a letter
    try:
        report = verify(
            options.bundle, public_keys=options.public_key, checkpoints=options.checkpoint, prove=options.prove
        )
    except (NotABundle, ValueError, OSError) as error:
        sys.stderr.write(f"Nothing was verified: {plain(str(error))}\n")
        return 2
    except (Exception, MemoryError) as error:  # nothing is known to lead here: whoever gave this file meant harm
        sys.stderr.write(f"Nothing was verified: this is no bundle that a ledger writes ({type(error).__name__})\n")
        return 2
    said = json.dumps({"verified": report.is_good, **asdict(report)}) if options.json else told(report, options.bundle)
    sys.stdout.write(said + "\n")
    return 0 if report.is_good else 1


if __name__ == "__main__":
    sys.exit(main())
