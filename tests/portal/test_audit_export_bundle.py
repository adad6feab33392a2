"""A bundle proves itself, on any Python, and whatever somebody does to it is found."""

import hashlib
import io
import json
import re
import zipfile
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from django.conf import settings
from django.core.management import call_command
from django.core.management.base import CommandError
from django.db import connection, transaction

from portal.audit import _triggers, keys, rotation, sealing, verifier
from portal.audit._merkle import leaf_hash
from portal.audit.models import Actor, Event
from portal.audit.services import forget, record
from tests.audit.rfc6962 import is_included

TURNS = [f"{n:08d}-5d7e-4a60-a3c8-0b2d8f0f4c11" for n in range(6)]


def happen() -> None:
    """Some turns of two people, with checkpoints in between."""
    for place, turn in enumerate(TURNS):
        who = ("anna", "bela")[place % 2]
        verdict = {"category": "benign", "action": "allow", "rules": ["r.one"] if place == 3 else [], "score": 0.25}
        conversation = f"{place // 2:08d}-aaaa-4a60-a3c8-0b2d8f0f4c11"
        with transaction.atomic():
            payload = {"conversation": conversation, "verdict": verdict}
            record("turn.started", actor=who, actor_role="clinician", subject=turn, payload=payload)
            record("turn.completed", actor="system", subject=turn, payload={"model": {"name": "m1"}, "é": 1.5})
        sealing.seal("minute")
        sealing.seal("minute")


def export(folder: Path, *filters: str) -> Path:
    file = folder / f"{len(list(folder.iterdir()))}.zip"
    call_command("export_audit", "--format", "bundle", "-o", str(file), *filters, stdout=io.StringIO())
    return file


def wrong(path: Path, **given: Any) -> list[str]:
    return [f"{one.where}: {one.what}" for one in verifier.verify(path, **given).findings]


_multiples = cache(verifier.multiples)  # of few keys, hundreds of times


@pytest.fixture(autouse=True)
def few_keys(monkeypatch: pytest.MonkeyPatch) -> None:
    """The tables of a key are computed once."""
    monkeypatch.setattr(verifier, "multiples", _multiples)


@pytest.fixture
def bundle(db: None, tmp_path: Path) -> Path:
    happen()
    return export(tmp_path)


def test_a_bundle_is_verified_and_holds_its_own_export(bundle: Path) -> None:
    report = verifier.verify(bundle)
    assert report.findings == []
    with zipfile.ZipFile(bundle) as archive:
        kinds = [json.loads(line)["kind"] for line in archive.read("events.jsonl").splitlines()]
        assert archive.read("left_out.jsonl") == b""
    assert kinds[-1] == "audit.exported"
    assert report.events == len(kinds) == report.tree_size
    finished = Event.objects.get(kind="audit.export_finished").payload
    assert finished["sha256"] == hashlib.sha256(bundle.read_bytes()).hexdigest()
    assert finished["events"] == len(kinds)


Change = Callable[[dict[str, bytes]], None]


def changed(bundle: Path, change: Change, to: Path) -> Path:
    with zipfile.ZipFile(bundle) as archive:
        files = {name: archive.read(name) for name in archive.namelist()}
    change(files)
    with zipfile.ZipFile(to, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return to


def in_lines(name: str, change: Callable[[list[bytes]], object]) -> Change:
    def apply(files: dict[str, bytes]) -> None:
        lines = files[name].splitlines(keepends=True)
        change(lines)
        files[name] = b"".join(lines)

    return apply


def replaced(old: bytes, new: bytes, name: str = "events.jsonl") -> Change:
    def apply(files: dict[str, bytes]) -> None:
        assert old in files[name]
        files[name] = files[name].replace(old, new, 1)

    return apply


CHANGES: dict[str, tuple[Change, str]] = {
    "a word of an event": (replaced(b'"allow"', b'"alarm"'), "events 1 to "),
    "an event gone": (in_lines("events.jsonl", lambda lines: lines.pop(4)), "events 5 to 5: they are missing"),
    "an event twice": (in_lines("events.jsonl", lambda lines: lines.insert(4, lines[4])), "event 5: it stands where"),
    "two events exchanged": (
        in_lines("events.jsonl", lambda lines: lines.insert(4, lines.pop(5))),
        "events 5 to 5: they are missing",
    ),
    "the tail gone": (in_lines("events.jsonl", lambda lines: lines.__delitem__(slice(-2, None))), "covers"),
    "a checkpoint gone and renumbered": (
        in_lines("checkpoints.jsonl", lambda lines: lines.__delitem__(slice(0, 1))),
        "checkpoints.jsonl: it is not the file",
    ),
    "a checkpoint's body": (replaced(b"minute", b"export", "checkpoints.jsonl"), "checkpoint 1: it does not carry"),
    "checkpoints exchanged": (
        in_lines("checkpoints.jsonl", lambda lines: lines.insert(0, lines.pop(2))),
        "it does not follow checkpoint",
    ),
    "a name": (replaced(b'"anna"', b'"berta"', "names.jsonl"), "this name was not given to this code"),
    "the manifest": (replaced(b'"facility":"', b'"facility":"X', "manifest.json"), "manifest.json: it does not carry"),
    "no signature": (lambda files: files.pop("manifest.sig") and None, "manifest.json: it does not carry"),
    "no checkpoints": (lambda files: files.pop("checkpoints.jsonl") and None, "no checkpoint covers them"),
    "a line that is no event": (in_lines("events.jsonl", lambda lines: lines.insert(0, b"{}\n")), "is no event"),
    "deep nesting": (in_lines("events.jsonl", lambda lines: lines.insert(0, b"[" * 99999 + b"\n")), "is not JSON"),
    "a long number": (replaced(b'"seq":5,', b'"seq":5,"x":' + b"9" * 99999 + b","), "is not JSON"),
    "bytes that are no text": (in_lines("events.jsonl", lambda lines: lines.insert(0, b"\xff\n")), "is not JSON"),
    "a file without an end": (lambda files: files.update({"events.jsonl": files["events.jsonl"][:-5]}), "middle of a"),
    "the public key": (lambda files: files.update({"public_key.txt": b"0" * 64}), "public_key.txt: it is not"),
}


@pytest.mark.parametrize("change", CHANGES)
def test_every_change_is_found(bundle: Path, tmp_path: Path, change: str) -> None:
    how, expected = CHANGES[change]
    found = wrong(changed(bundle, how, tmp_path / "changed.zip"))
    assert any(expected in one for one in found), found


def test_signing_again_with_another_key_is_found_by_whoever_has_the_key(bundle: Path, tmp_path: Path) -> None:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

    public = verifier.verify(bundle).public_key
    other = Ed25519PrivateKey.generate()
    theirs = other.public_key().public_bytes_raw()

    def forge(files: dict[str, bytes]) -> None:
        lines = []
        for line in files["checkpoints.jsonl"].splitlines():
            body = json.loads(line)["body"].replace(hashlib.sha256(bytes.fromhex(public)).hexdigest()[:16], key_id)
            signature = other.sign(verifier.CHECKPOINT + body.encode())
            lines.append(json.dumps({"body": body, "signature": signature.hex()}).encode() + b"\n")
        files["checkpoints.jsonl"] = b"".join(lines)
        manifest = json.loads(files["manifest.json"])
        manifest["public_key"] = theirs.hex()
        manifest["files"]["checkpoints.jsonl"]["sha256"] = hashlib.sha256(files["checkpoints.jsonl"]).hexdigest()
        files["manifest.json"] = json.dumps(manifest).encode()
        files["manifest.sig"] = other.sign(verifier.MANIFEST + files["manifest.json"]).hex().encode()

    key_id = hashlib.sha256(theirs).hexdigest()[:16]
    forged = changed(bundle, forge, tmp_path / "forged.zip")
    assert wrong(forged) == []  # a whole ledger of another key: nothing inside can tell
    assert any("is not signed with the key that you gave" in one for one in wrong(forged, public_keys=[public]))
    assert wrong(bundle, public_keys=[public]) == []
    with zipfile.ZipFile(bundle) as archive:
        (tmp_path / "kept").write_bytes(archive.read("checkpoints.jsonl").splitlines()[3])
    assert any("checkpoint 4, kept elsewhere" in one for one in wrong(forged, checkpoints=[str(tmp_path / "kept")]))


@pytest.mark.parametrize(
    ("filters", "count"),
    [
        (["--conversation", "00000001-aaaa-4a60-a3c8-0b2d8f0f4c11"], 4),
        (["--rule", "r.one"], 2),
        (["--model", "m1", "--actor", "bela"], 6),
        (["--verdict", "allow"], 12),
        (["--kind", "turn.completed"], 6),
        (["--role", "clinician"], 6),
        (["--actor", "nobody"], 0),
        (["--document", "00000000-0000-4000-8000-000000000000"], 0),
        (["--from", "2000-01-01", "--to", "2001-01-01"], 0),
    ],
)
def test_a_selection_proves_each_of_its_events(db: None, tmp_path: Path, filters: list[str], count: int) -> None:
    happen()
    file = export(tmp_path, *filters)
    report = verifier.verify(file)
    assert report.findings == []
    with zipfile.ZipFile(file) as archive:
        lines = archive.read("events.jsonl").splitlines()
        names = {json.loads(line)["name"] for line in archive.read("names.jsonl").splitlines()}
    assert len(lines) == count
    assert names >= ({"bela"} if "bela" in filters else set())
    if lines:
        edited = changed(file, replaced(b'"kind":"turn.', b'"kind":"turx.'), tmp_path / "edited.zip")
        assert any("something there was changed" in one for one in wrong(edited))
        thinned = changed(file, in_lines("events.jsonl", lambda every: every.pop(0)), tmp_path / "thinned.zip")
        assert any("missing" in one for one in wrong(thinned))


@pytest.mark.parametrize("filters", [[], ["--kind", "turn.completed"], ["--role", "clinician"]])
def test_an_event_is_proven_to_programs_that_know_only_the_rfc(db: None, tmp_path: Path, filters: list[str]) -> None:
    happen()
    file = export(tmp_path, *filters)
    with zipfile.ZipFile(file) as archive:
        lines = {json.loads(line)["seq"]: line for line in archive.read("events.jsonl").splitlines()}
        support = {json.loads(line)["seq"] for line in archive.read("support.jsonl").splitlines()}
        body = json.loads(json.loads(archive.read("checkpoints.jsonl").splitlines()[-1])["body"])
    for seq, line in lines.items():
        proof = verifier.verify(file, prove=seq).proof
        assert (proof["tree_size"], proof["root_hash"]) == (body["tree_size"], body["root"])
        path = [bytes.fromhex(one) for one in proof["inclusion_path"]]
        root = bytes.fromhex(body["root"])
        assert is_included(leaf_hash(line), seq - 1, body["tree_size"], path, root)
    missing = min({*range(1, body["tree_size"] + 2)} - set(lines) - support)
    assert any("is not in this bundle" in one for one in wrong(file, prove=missing))


def test_a_tail_that_was_cut_off_shows_beside_checkpoints_kept_elsewhere(db: None, tmp_path: Path) -> None:
    happen()
    whole = export(tmp_path)
    with zipfile.ZipFile(whole) as archive:
        kept = archive.read("checkpoints.jsonl").splitlines()
    (tmp_path / "kept.jsonl").write_bytes(b"<134>1 - havre " + kept[-1] + b"\n" + kept[2] + b"\n")
    assert wrong(whole, checkpoints=[str(tmp_path / "kept.jsonl")]) == []

    def cut(files: dict[str, bytes]) -> None:
        manifest = json.loads(files["manifest.json"])
        checkpoints = files["checkpoints.jsonl"].splitlines(keepends=True)[:3]
        manifest["up_to"] = json.loads(json.loads(checkpoints[-1])["body"])["tree_size"]
        files["checkpoints.jsonl"] = b"".join(checkpoints)
        files["events.jsonl"] = b"".join(files["events.jsonl"].splitlines(keepends=True)[: manifest["up_to"]])
        files["manifest.json"] = json.dumps(manifest).encode()

    found = wrong(changed(whole, cut, tmp_path / "cut.zip"), checkpoints=[str(tmp_path / "kept.jsonl")])
    assert any("were cut off" in one for one in found), found


def test_an_erased_person_has_no_name_in_later_exports_and_everything_is_still_proven(db: None, tmp_path: Path) -> None:
    happen()
    code = Actor.objects.get(name="anna").code
    with transaction.atomic():
        forget("anna", actor="system")
    file = export(tmp_path)
    assert wrong(file) == []
    with zipfile.ZipFile(file) as archive:
        everything = b"".join(archive.read(name) for name in archive.namelist() if name != "verify.py")
    assert code.encode() in everything
    assert b"anna" not in everything


def test_a_ledger_that_somebody_changed_is_exported_as_evidence(db: None, tmp_path: Path) -> None:
    happen()
    with transaction.atomic():
        record("x.happened", actor="system", payload={"n": 1})
    _triggers.remove(connection)
    try:
        Event.objects.filter(kind="x.happened").update(payload={"n": 2})
        changed_at = Event.objects.get(kind="x.happened").seq
        Event.objects.filter(seq=3).delete()
    finally:
        _triggers.install(connection)
    found = wrong(file := export(tmp_path))
    assert any("events 3 to 3: they are missing" in one for one in found), found
    report = verifier.verify(file)
    assert any(f"event {changed_at}: it was changed" in note for note in report.notes), report.notes


def test_a_key_that_handed_over_is_followed(db: None, tmp_path: Path) -> None:
    happen()
    before = keys.current().public.hex()
    rotation.replace(actor="dora", reason="yearly")
    happen()
    whole, part = export(tmp_path), export(tmp_path, "--kind", "turn.started")
    for file in (whole, part):
        assert wrong(file, public_keys=[before]) == []
        assert wrong(file, public_keys=[keys.current().public.hex()]) == []

    def unsigned(files: dict[str, bytes]) -> None:
        for name in ("events.jsonl", "support.jsonl"):
            files[name] = re.sub(rb'"signature":"..', b'"signature":"00', files[name])

    found = wrong(changed(whole, unsigned, tmp_path / "unsigned.zip"))
    assert any("did not sign that another one takes over" in one for one in found), found


def test_a_key_that_was_lost_is_no_successor_of_the_one_that_somebody_knows(db: None, tmp_path: Path) -> None:
    happen()
    before = keys.current().public.hex()
    Path(settings.HAVRE_AUDIT_KEY_FILE).unlink()
    rotation.replace_lost(actor="dora", reason="the disk broke")
    file = export(tmp_path)
    report = verifier.verify(file)
    assert report.findings == []
    assert any("lost" in note for note in report.notes)
    assert any("without the signature of the one that you gave" in one for one in wrong(file, public_keys=[before]))


def test_the_command_refuses_to_write_over_a_file(db: None, tmp_path: Path) -> None:
    (tmp_path / "0.zip").write_bytes(b"mine")
    arguments = ["export_audit", "--format", "bundle", "-o", str(tmp_path / "0.zip")]
    with pytest.raises(CommandError, match="--force"):
        call_command(*arguments)
    assert not Event.objects.exists()
    assert (tmp_path / "0.zip").read_bytes() == b"mine"
    call_command(*arguments, "--force", stdout=io.StringIO())
    assert wrong(tmp_path / "0.zip") == []
    assert (tmp_path / "0.zip").stat().st_mode & 0o777 == 0o600
