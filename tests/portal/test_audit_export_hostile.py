"""Whatever somebody hands to the verifier, it ends with a sentence: 0 fine, 1 findings, 2 no bundle."""

import hashlib
import io
import json
import os
import struct
import zipfile
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from django.core.management import call_command
from django.db import transaction
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from portal.audit import sealing, verifier
from portal.audit.services import record
from tests.portal.test_audit_export_forms import JSON

MULTIPLES = cache(verifier.multiples)  # of few keys, hundreds of times
KEY = Ed25519PrivateKey.generate()  # of somebody who makes bundles of his own: what he signs is read
SIGNED = ("manifest.json", "checkpoints.jsonl")
MEMBERS = ("manifest.json", "checkpoints.jsonl", "events.jsonl", "support.jsonl", "names.jsonl", "left_out.jsonl")


_BUILT: dict[str, bytes] = {}  # once: nothing here changes it


@pytest.fixture
def files(db: None, tmp_path: Path) -> dict[str, bytes]:
    """The files of a small bundle, a selection, with every sort of line in it."""
    if not _BUILT:
        for number in range(4):
            with transaction.atomic():
                record("x.happened", actor=("anna", "system")[number % 2], payload={"n": number})
            sealing.seal("minute")
        file = tmp_path / "bundle.zip"
        call_command("export_audit", "--format=bundle", "--kind=x", "-o", str(file), stdout=io.StringIO())
        with zipfile.ZipFile(file) as archive:
            _BUILT.update({name: archive.read(name) for name in archive.namelist()})
    return dict(_BUILT)


def packed(files: dict[str, bytes], **how: Any) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", **how) as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return out.getvalue()


def ended(content: bytes, folder: Path, *more: str) -> int:
    """How the verifier ends with this file; a traceback fails the test."""
    (folder / "x.zip").write_bytes(content)
    with pytest.MonkeyPatch.context() as patch:
        out, err = io.StringIO(), io.StringIO()
        patch.setattr(verifier, "multiples", MULTIPLES)
        patch.setattr("sys.stdout", out)
        patch.setattr("sys.stderr", err)
        code = verifier.main([str(folder / "x.zip"), *more])
    said = out.getvalue() + err.getvalue()
    assert "Traceback" not in said
    words = {0: "VERIFIED: ", 1: "NOT VERIFIED: ", 2: "Nothing was verified: "}
    as_json = {0: '{"verified": true', 1: '{"verified": false', 2: words[2]}
    assert (as_json if "--json" in more else words)[code] in said
    assert "that a ledger writes" not in said, "the net under everything has caught something"
    return code


def places(value: Any) -> list[tuple[Any, ...]]:
    """Each place within a JSON value."""
    inner = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return [(), *((name, *rest) for name, one in inner for rest in places(one))]


def replaced(value: Any, place: tuple[Any, ...], new: Any) -> Any:
    """The value with something else at a place; with `...` nothing there."""
    if not place:
        return new
    name, *rest = place
    if new is ... and not rest:
        if isinstance(value, list):
            return value[:name] + value[name + 1 :]
        return {key: one for key, one in value.items() if key != name}
    whole = dict(value) if isinstance(value, dict) else list(value)
    whole[name] = replaced(value[name], tuple(rest), new)
    return whole


ODD = st.sampled_from(
    [
        *(..., None, True, 0, -1, 1.5, 2**63, 2**53, "", "x", "00", "\ud800", "\x1b[2J", "é" * 9, [], {}, [[]], [None]),
        *("9" * 30, "2026-01-01T00:00:00.000000Z", 1e300, {"sha256": 1}, {"x": {"sha256": "y"}}, "f" * 64, "0" * 128),
    ]
)


def _signed(manifest: Any) -> bytes:
    return KEY.sign(verifier.MANIFEST + _json(manifest)).hex().encode()


def _json(value: Any) -> bytes:
    return json.dumps(value).encode()


def _of_his_own(files: dict[str, bytes]) -> tuple[Any, list[Any]]:
    """The manifest and the checkpoints, as somebody would sign them who has a key of his own."""
    public = KEY.public_key().public_bytes_raw()
    manifest = json.loads(files["manifest.json"]) | {"public_key": public.hex()}
    bodies = [json.loads(json.loads(line)["body"]) for line in files["checkpoints.jsonl"].splitlines()]
    return manifest, [body | {"key": hashlib.sha256(public).hexdigest()[:16]} for body in bodies]


@given(data=st.data())
@settings(max_examples=120, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_any_value_at_any_place(files: dict[str, bytes], tmp_path: Path, data: st.DataObject) -> None:
    name = data.draw(st.sampled_from(MEMBERS))
    changed = dict(files)
    manifest, bodies = _of_his_own(files)
    lines = [] if name in SIGNED else [json.loads(line) for line in files[name].splitlines()]
    target = {"manifest.json": manifest, "checkpoints.jsonl": bodies}.get(name, lines)
    place = data.draw(st.sampled_from(places(target)))
    target = replaced(target, place, data.draw(ODD | JSON))
    if name == "manifest.json":
        manifest = None if target is ... else target
    elif name == "checkpoints.jsonl":
        bodies = target if isinstance(target, list) else [target]
    else:
        changed[name] = b"".join(_json(one) + b"\n" for one in (target if isinstance(target, list) else [0]))
    changed["checkpoints.jsonl"] = b"".join(_checkpoint(body) for body in bodies if body is not ...)
    changed["manifest.json"], changed["manifest.sig"] = _json(manifest), _signed(manifest)
    ended(packed(changed), tmp_path, *data.draw(st.sampled_from([[], ["--prove", "2"], ["--prove", "-3"], ["--json"]])))


def _checkpoint(body: Any) -> bytes:
    text = json.dumps(body, sort_keys=True, separators=(",", ":"))
    said = {"body": text, "signature": KEY.sign(verifier.CHECKPOINT + text.encode()).hex()}
    return _json(said) + b"\n"


@given(data=st.data())
@settings(max_examples=80, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_any_bytes_in_the_place_of_a_file_or_of_the_zip(
    files: dict[str, bytes], tmp_path: Path, data: st.DataObject
) -> None:
    name = data.draw(st.sampled_from([*files, "the zip"]))
    whole = packed(files) if name == "the zip" else files[name]
    start = data.draw(st.integers(0, len(whole)))
    end = data.draw(st.integers(start, len(whole)) | st.just(len(whole)))
    odd = st.sampled_from([b"\n", b"\xff", b"{}\n", b"\x00", b"null\n", b'"\\ud800"\n', b"[" * 5000, b'{"a":' * 5000])
    whole = whole[:start] + data.draw(odd | st.binary(max_size=8)) + whole[end:]
    ended(whole if name == "the zip" else packed(files | {name: whole}), tmp_path)


def _with_flags(content: bytes, flags: int) -> bytes:
    """Every member says in the directory and before it that it has these flags."""
    for mark, at in ((b"PK\x01\x02", 8), (b"PK\x03\x04", 6)):
        place = -1
        while (place := content.find(mark, place + 1)) >= 0:
            content = content[: place + at] + struct.pack("<H", flags) + content[place + at + 2 :]
    return content


def _with_sizes(content: bytes, size: int) -> bytes:
    """The directory says of each file that it is so large."""
    place = -1
    while (place := content.find(b"PK\x01\x02", place + 1)) >= 0:
        content = content[: place + 24] + struct.pack("<I", size) + content[place + 28 :]
    return content


def _twice(files: dict[str, bytes]) -> bytes:
    content = packed(files | {"verify.pz": b"x"})
    return content.replace(b"verify.pz", b"verify.py")


HOSTILE = {
    "encrypted": lambda files: _with_flags(packed(files), 1),
    "strongly encrypted": lambda files: _with_flags(packed(files), 0x41),
    "patched": lambda files: _with_flags(packed(files), 0x20),
    "lzma": lambda files: packed(files, compression=zipfile.ZIP_LZMA),
    "bzip2": lambda files: packed(files, compression=zipfile.ZIP_BZIP2),
    "a name twice": _twice,
    "an absolute path": lambda files: packed(files | {"/etc/passwd": b"x"}),
    "a path upwards": lambda files: packed(files | {"../x": b"x"}),
    "a folder": lambda files: packed(files | {"events.jsonl/": b""}),
    "a bomb": lambda files: packed(files | {"events.jsonl": bytes(40 << 20)}, compression=zipfile.ZIP_DEFLATED),
    "a bomb that says it is small": lambda files: _with_sizes(
        packed(files | {"names.jsonl": bytes(40 << 20)}, compression=zipfile.ZIP_DEFLATED), 100
    ),
    "sizes of four gigabytes": lambda files: _with_sizes(packed(files), 0xFFFFFFFE),
    "names of escapes": lambda files: packed(files | {"\x1b]0;x\x07": b"x"}),
    "a comment": lambda files: packed(files) + b"x" * 70000,
    "half": lambda files: packed(files)[: len(packed(files)) // 2],
    "only its end": lambda files: packed(files)[-200:],
}


@pytest.mark.parametrize("how", HOSTILE)
def test_zips_that_mean_harm(files: dict[str, bytes], tmp_path: Path, how: str) -> None:
    assert ended(HOSTILE[how](files), tmp_path) != 0


@pytest.mark.parametrize(
    "arguments",
    [
        ["--public-key", "xyz"],
        ["--public-key", "é"],
        ["--public-key", "00" * 32],
        ["--checkpoint", "/does/not/exist"],
        ["--checkpoint", "{folder}"],
        ["--prove", "99999999999999999999999"],
        ["--prove", "-1"],
    ],
)
def test_arguments_that_are_none(files: dict[str, bytes], tmp_path: Path, arguments: list[str]) -> None:
    given_ = [one.format(folder=tmp_path) for one in arguments]
    assert ended(packed(files), tmp_path, *given_) in {1, 2}


@pytest.mark.parametrize("name", ["bundle", "nothing", "device", "fifo"])
def test_paths_that_are_no_bundle(files: dict[str, bytes], tmp_path: Path, name: str, capsys: Any) -> None:
    folder = tmp_path / "bundle"
    folder.mkdir()
    for one, content in files.items():
        (folder / one).write_bytes(content)
    (folder / "events.jsonl").unlink()
    (folder / "events.jsonl").mkdir()
    os.mkfifo(tmp_path / "fifo")
    path = {"bundle": folder, "device": Path("/dev/null")}.get(name, tmp_path / name)
    assert verifier.main([str(path)]) in {1, 2}
    assert "Traceback" not in capsys.readouterr().err


def test_an_untouched_bundle_is_verified(files: dict[str, bytes], tmp_path: Path) -> None:
    assert ended(packed(files), tmp_path) == 0


def test_what_a_bundle_says_obeys_no_terminal(files: dict[str, bytes], tmp_path: Path, capsys: Any) -> None:
    manifest, bodies = _of_his_own(files)
    manifest |= {"problem": "\x1b]0;owned\x07\x1b[2J", "files": {"\x1b[31m": {}}}
    names = _json({"code": "\x1b[1m", "name": "x", "salt": "00"}) + b"\n"
    changed = files | {"manifest.json": _json(manifest), "manifest.sig": _signed(manifest), "names.jsonl": names}
    changed["checkpoints.jsonl"] = b"".join(map(_checkpoint, bodies))
    (tmp_path / "x.zip").write_bytes(packed(changed))
    assert verifier.main([str(tmp_path / "x.zip")]) == 1
    assert "\x1b" not in capsys.readouterr().out
