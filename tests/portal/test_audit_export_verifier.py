"""The verifier of bundles alone: on every Python, with zips that mean harm, and its signatures."""

import ast
import io
import json
import random
import shutil
import subprocess
import sys
import warnings
import zipfile
from functools import cache
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from django.core.management import call_command
from django.db import transaction

from portal.audit import sealing, verifier
from portal.audit.services import record

_multiples = cache(verifier.multiples)  # of few keys, hundreds of times


@pytest.fixture(autouse=True)
def few_keys(monkeypatch: pytest.MonkeyPatch) -> None:
    """The tables of a key are computed once."""
    monkeypatch.setattr(verifier, "multiples", _multiples)


@pytest.fixture
def bundle(db: None, tmp_path: Path) -> Path:
    for number in range(12):
        with transaction.atomic():
            record("x.happened", actor=("anna", "system")[number % 2], payload={"n": number, "é": "<b>"})
        sealing.seal("minute")
    file = tmp_path / "bundle.zip"
    call_command("export_audit", "--format", "bundle", "-o", str(file), stdout=io.StringIO())
    return file


@pytest.mark.parametrize("version", ["3.9", "3.10", "3.12", "3.13", ""])
def test_the_verifier_runs_alone_on_any_python(bundle: Path, tmp_path: Path, version: str) -> None:
    python = python_of(version)
    if python is None:
        pytest.skip(f"no Python {version} here")
    folder = tmp_path / "empty"
    folder.mkdir()
    with zipfile.ZipFile(bundle) as archive:
        (folder / "verify.py").write_bytes(archive.read("verify.py"))
    command = [python, "-I", "-S", "verify.py", str(bundle)]
    run = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=120, check=False)
    assert (run.returncode, run.stderr) == (0, "")
    assert "VERIFIED: " in run.stdout
    assert sorted(one.name for one in folder.iterdir()) == ["verify.py"]


def python_of(version: str) -> str | None:
    """Another Python of this machine: on the path, or installed beside the one that runs the tests."""
    if not version:
        return sys.executable
    beside = sorted(Path(sys.base_prefix).parent.glob(f"*/bin/python{version}"))
    for python in (shutil.which(f"python{version}"), *map(str, beside)):
        asked = [python or "", "-c", "import sys; print('%d.%d' % sys.version_info[:2])"]
        run = subprocess.run(asked, capture_output=True, text=True, check=False) if python else None
        if run and run.stdout.strip() == version:
            return python
    return None


def test_the_verifier_is_python_3_9_without_packages() -> None:
    tree = ast.parse(Path(verifier.__file__).read_text(encoding="utf-8"), feature_version=(3, 9))
    imports = {one.names[0].name for one in ast.walk(tree) if isinstance(one, ast.Import)}
    imports |= {str(one.module) for one in ast.walk(tree) if isinstance(one, ast.ImportFrom)}
    assert imports - {"__future__"} <= set(sys.stdlib_module_names)
    assert not [one for one in ast.walk(tree) if isinstance(one, ast.Match)]
    called = {one.func.id for one in ast.walk(tree) if isinstance(one, ast.Call) and isinstance(one.func, ast.Name)}
    named = {one.attr for one in ast.walk(tree) if isinstance(one, ast.Attribute)}
    assert not (called | named) & {"aiter", "anext", "pairwise", "bit_count", "file_digest", "batched", "StrEnum"}
    asked = [one for one in ast.walk(tree) if isinstance(one, ast.Call) and {k.arg for k in one.keywords} & {"strict"}]
    assert not asked  # zip(…, strict=) of 3.10


def _zip(*members: tuple[str, bytes]) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for name, content in members:
            archive.writestr(name, content)
    return out.getvalue()


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"PK",
        _zip(),
        _zip(("manifest.json", b"{}"), ("../../evil.py", b"x")),
        _zip(("manifest.json", b"{}"), ("/etc/passwd", b"x")),
        _zip(("manifest.json", b"{}"), ("manifest.json", b"{}")),
        _zip(("manifest.json", b"{}")),
        _zip(("manifest.json", b"[]")),
        _zip(("manifest.json", b'{"files":{},"public_key":"00","ledger":"","up_to":1}')),
        _zip(("manifest.json", b"{}"), ("events.jsonl", bytes(64 << 20))),
        _zip(("manifest.json", bytes(2 << 20))),
    ],
)
def test_what_is_no_bundle_is_refused(tmp_path: Path, content: bytes, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "x.zip").write_bytes(content)
    with pytest.raises(verifier.NotABundle):
        verifier.verify(tmp_path / "x.zip")
    assert verifier.main([str(tmp_path / "x.zip")]) == 2
    assert "Nothing was verified" in capsys.readouterr().err


VECTORS = [  # RFC 8032, 7.1
    (
        "d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a",
        "",
        "e5564300c360ac729086e2cc806e828a84877f1eb8e5d974d873e065224901555fb8821590a33bacc61e39701cf9b46bd25bf5f0595bbe24655141438e7a100b",
    ),
    (
        "3d4017c3e843895a92b70aa74d1b7ebc9c982ccf2ec4968cc0cd55f12af4660c",
        "72",
        "92a009a9f0d4cab8720e820b5f642540a2b27b5416503f8fb3762223ebdb69da085ac1e43e15996e458f3613d0f11d8c387b2eaeb4302aeeb00d291612bb0c00",
    ),
    (
        "fc51cd8e6218a1a38da47ed00230f0580816ed13ba3303ac5deb911548908025",
        "af82",
        "6291d657deec24024827e69c3abe01a30ce548a284743a445e3680d7db5ac3ac18ff9b538d16f290ae67f760984dc6594a7c15e9716ed28dc027beceea1ec40a",
    ),
]


@pytest.mark.parametrize(("public", "message", "signature"), VECTORS)
def test_ed25519_known_answers(public: str, message: str, signature: str) -> None:
    key, text, signed = verifier.Key(bytes.fromhex(public)), bytes.fromhex(message), bytes.fromhex(signature)
    assert key.has_signed(text, signed)
    assert not key.has_signed(text + b"x", signed)
    for place in (0, 31, 32, 63):
        assert not key.has_signed(text, signed[:place] + bytes([signed[place] ^ 1]) + signed[place + 1 :])
    scalar = int.from_bytes(signed[32:], "little") + verifier.ORDER  # the same signature, written a second way
    assert not key.has_signed(text, signed[:32] + scalar.to_bytes(32, "little"))
    assert not key.has_signed(text, signed + b"\x00")


@pytest.mark.parametrize(
    "public",
    [
        bytes(31),
        (1).to_bytes(32, "little"),  # the identity
        bytes(32),  # of order 4
        (verifier.P - 1).to_bytes(32, "little"),  # of order 2
        (verifier.P + 1).to_bytes(32, "little"),  # the identity, written a second way
        (1 | 1 << 255).to_bytes(32, "little"),  # the identity with a sign
        (2).to_bytes(32, "little"),  # not on the curve
        bytes.fromhex("26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05"),  # of order 8
    ],
)
def test_ed25519_keys_that_are_none(public: bytes) -> None:
    with pytest.raises(ValueError, match="Ed25519"):
        verifier.Key(public)


def test_flipped_bits_are_found_or_change_nothing(bundle: Path, tmp_path: Path) -> None:
    chance, whole = random.Random(7), bundle.read_bytes()
    with zipfile.ZipFile(bundle) as archive:
        honest = {name: archive.read(name) for name in archive.namelist()}
    for _ in range(40):
        flipped = bytearray(whole)
        flipped[chance.randrange(len(flipped))] ^= 1 << chance.randrange(8)
        (tmp_path / "flipped.zip").write_bytes(flipped)
        try:
            report = verifier.verify(tmp_path / "flipped.zip")
        except verifier.NotABundle:
            continue
        if report.is_good:
            with zipfile.ZipFile(tmp_path / "flipped.zip") as archive:
                assert {name: archive.read(name) for name in archive.namelist()} == honest


def signed_handover(seq: int, old: Ed25519PrivateKey, new: Ed25519PrivateKey) -> verifier.Handover:
    """As the old key signs off the new one, after checkpoint 4 of the ledger "x"."""
    publics = {"old": old.public_key().public_bytes_raw().hex(), "new": new.public_key().public_bytes_raw().hex()}
    said = {"last_checkpoint": 4, "ledger": "x", "v": 1} | publics
    statement = verifier.SUCCESSION + json.dumps(said, sort_keys=True, separators=(",", ":")).encode()
    taken = verifier.SUCCESSION + json.dumps(said | {"unvouched": None}, sort_keys=True, separators=(",", ":")).encode()
    return verifier.Handover(
        seq=seq,
        last=4,
        signature=old.sign(statement).hex(),
        lost=False,
        accepted=new.sign(taken).hex(),
        unvouched=None,
        **publics,
    )


@pytest.mark.parametrize("is_linked", [True, False])
def test_a_key_that_never_took_over_hands_nothing_over(is_linked: bool) -> None:
    """Somebody copies the true handover and puts one between keys of his own behind it."""
    first, second, third, last = (Ed25519PrivateKey.generate() for _ in range(4))
    between = signed_handover(9, second if is_linked else third, last)
    walk = verifier.Walk(handovers=[signed_handover(5, first, second), between])
    report, newest = verifier.Report(), verifier.Key(last.public_key().public_bytes_raw())
    keys = verifier.eras(report, walk, newest, "x")
    verifier.check_trust(report, [verifier.Key(first.public_key().public_bytes_raw())], keys)
    assert report.is_good == is_linked


def _kept(number: int, size: int, at: str, root: str = "r", ledger: str = "x") -> verifier.Checkpoint:
    """A checkpoint that somebody kept elsewhere, signed by the ledger's key."""
    body = json.dumps({"number": number, "size": size, "at": at, "root": root}).encode()
    signature = _SIGNER.sign(verifier.CHECKPOINT + body)
    return verifier.Checkpoint(number, size, root, at, ledger, "k", {}, body, signature)


_SIGNER = Ed25519PrivateKey.generate()
_THEN, _LATER = "2026-01-01T00:00:00.000000Z", "2026-01-03T00:00:00.000000Z"


@pytest.mark.parametrize(
    ("kept", "finding", "note"),
    [
        (_kept(2, 20, _THEN), "", ""),
        (_kept(3, 30, _THEN), "younger and yet ends before it: events up to 30 were cut off", ""),
        (_kept(3, 30, _LATER), "", "Checkpoint 3 is younger than this bundle"),
        (_kept(1, 30, _THEN), "events up to 30 were cut off: the bundle has 20", ""),
        (_kept(1, 20, _THEN, root="s"), "sealed over other events up to 20", ""),
        (_kept(1, 15, _THEN), "", "ends in a part that this bundle leaves out"),
        (_kept(2, 20, _THEN, root="s"), "the bundle has another one with this number", ""),
        (_kept(2, 20, _THEN, ledger="y"), "it belongs to another ledger", ""),
    ],
    ids=["the same", "cut", "later", "cut, renumbered", "others", "left out", "twice", "another ledger"],
)
def test_a_checkpoint_kept_elsewhere_shows_what_was_cut_off(kept: verifier.Checkpoint, finding: str, note: str) -> None:
    key = verifier.Key(_SIGNER.public_key().public_bytes_raw())
    walk = verifier.Walk(sealed=[_kept(2, 20, _THEN)], keys=[(sys.maxsize, key, True)], roots={20: "r"}, size=20)
    manifest = verifier.Manifest("x", "2026-01-02T00:00:00.000000Z", 20, 20, "", {}, {}, "")
    report = verifier.Report()
    verifier.check_kept(report, walk, [kept], manifest)
    assert [one.what for one in report.findings if finding in one.what] == [one.what for one in report.findings]
    assert (bool(report.findings), bool(report.notes)) == (bool(finding), bool(note))
    assert note in "".join(report.notes)
