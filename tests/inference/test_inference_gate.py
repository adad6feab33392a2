"""The gate, against somebody who can write the models folder: what the engine opens is what was hashed, and what is
written into a file later shows. Other processes do the writing."""

import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

import inference
from inference import EngineSettings, GenerationRequest, Message, ModelNotFound, ModelRejected, _holding, _runtime
from inference._files import combined, parts_of, sha256_of
from tests.inference.split_models import split

MODELS = Path(__file__).parents[1] / "models"
OSS, LLAMA = MODELS / "tiny-gpt-oss.gguf", MODELS / "tiny-llama.gguf"
QUESTION = (Message("user", "What is reviewed?"),)


@pytest.fixture(autouse=True)
def nothing_stays(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Nothing is loaded before, and nothing is left behind: no folder of links, no open descriptor."""
    inference.unload()
    (tmp_path / "temporary").mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "temporary"))
    before = len(list(Path("/proc/self/fd").iterdir()))
    yield
    inference.unload()
    assert list((tmp_path / "temporary").iterdir()) == []
    assert len(list(Path("/proc/self/fd").iterdir())) <= before


@pytest.fixture
def model(tmp_path: Path, tiny_file: Path) -> Path:
    (tmp_path / "models").mkdir()
    return Path(shutil.copy(tiny_file, tmp_path / "models" / "model.gguf"))


@pytest.fixture(params=[True, False], ids=["leases", "no leases"])
def leases(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> bool:
    """With the system's leases, and as on a system or a disk that has none."""
    if not request.param:
        monkeypatch.setattr(_holding, "_lease", lambda *_: False)
    return bool(request.param)


def settings(path: Path, **values: object) -> EngineSettings:
    return EngineSettings(path, slots=1, context=1024, threads=1, **values)  # type: ignore[arg-type]


def hash_of(path: Path) -> str:
    return combined([sha256_of(one) for one in parts_of(path)])


def once_hashed(monkeypatch: pytest.MonkeyPatch, then: Callable[[], object]) -> None:
    """Do something between the hashing and the first parser."""
    real = _runtime.read_header

    def after(path: Path) -> object:
        then()
        return real(path)

    monkeypatch.setattr(_runtime, "read_header", after)


def run(code: str, *words: object) -> "subprocess.Popen[str]":
    return subprocess.Popen([sys.executable, "-c", code, *map(str, words)], stdout=subprocess.PIPE, text=True)


@pytest.mark.parametrize(("engine", "file"), [("xllamacpp", OSS), ("xllamacpp", LLAMA), ("ctransformers", LLAMA)])
def test_a_file_that_takes_the_place_of_the_one_that_was_hashed_is_never_opened(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, engine: str, file: Path
) -> None:
    path = Path(shutil.copy(file, tmp_path / "model.gguf"))
    hostile = tmp_path / "hostile"
    hostile.write_bytes(b"GGUF" + b"\xff" * 4096)  # what parsers choke on
    once_hashed(monkeypatch, lambda: os.link(hostile, tmp_path / "new") or (tmp_path / "new").replace(path))
    approved = hash_of(path)
    try:
        loaded = inference.load(settings(path, engine=engine), approved_sha256=approved)
    except ModelRejected as error:  # its change of names shows in the file that was held: that is a refusal too
        assert "was changed while it was loaded" in str(error)
        assert inference.loaded() is None
    else:
        assert loaded.sha256 == approved
    assert path.read_bytes()[:8] == b"GGUF\xff\xff\xff\xff", "the trick was played"


def test_a_link_that_is_turned_round_leads_nowhere_else(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing of the held file changes by this: the model is loaded, and it is the approved one."""
    good, hostile = Path(shutil.copy(OSS, tmp_path / "good.gguf")), tmp_path / "hostile.gguf"
    hostile.write_bytes(b"GGUF" + b"\xff" * 4096)
    path = tmp_path / "model.gguf"
    path.symlink_to(good)
    once_hashed(monkeypatch, lambda: (path.unlink(), path.symlink_to(hostile)))
    inference.load(settings(path), approved_sha256=sha256_of(good))
    request = GenerationRequest(QUESTION, max_tokens=30, temperature=0.0)
    assert "".join(one.text for one in inference.generate(request)) and inference.untouched()


def test_no_part_of_a_split_model_can_be_swapped(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "there").mkdir()
    parts = split(OSS, tmp_path / "there", "big")
    (tmp_path / "models").mkdir()
    links = [tmp_path / "models" / one.name for one in parts]
    for link, part in zip(links, parts, strict=True):
        link.symlink_to(part)
    hostile = tmp_path / "hostile.gguf"
    hostile.write_bytes(b"GGUF" + b"\xff" * 4096)

    def swap() -> None:
        for link in links[1:]:
            link.unlink()
            link.symlink_to(hostile)

    approved = hash_of(links[0])
    once_hashed(monkeypatch, swap)
    inference.load(settings(links[0]), approved_sha256=approved)
    assert inference.untouched() and links[1].read_bytes() == hostile.read_bytes()


@pytest.mark.parametrize("part", [0, 2])
@pytest.mark.parametrize("tidy", [False, True], ids=["as it comes", "with the old time put back"])
def test_what_is_written_while_it_is_loaded_shows(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, part: int, tidy: bool
) -> None:
    monkeypatch.setattr(_holding, "_lease", lambda *_: False)  # with leases the writer would wait
    parts = split(OSS, tmp_path, "big")

    def write() -> None:
        before = parts[part].stat()
        with parts[part].open("r+b") as file:
            file.seek(before.st_size - 8)
            file.write(b"\0" * 8)
        if tidy:
            os.utime(parts[part], ns=(before.st_atime_ns, before.st_mtime_ns))
            assert parts[part].stat().st_mtime_ns == before.st_mtime_ns

    once_hashed(monkeypatch, write)
    with pytest.raises(ModelRejected, match="was changed while it was loaded"):
        inference.load(settings(parts[0]), approved_sha256=hash_of(parts[0]))
    assert inference.loaded() is None


_WRITE = "import sys; file = open(sys.argv[1], 'r+b'); print('opened', flush=True); file.write(b'x'); file.close()"


def test_who_writes_into_a_loaded_file_waits_until_it_is_unloaded(model: Path) -> None:
    whole = model.read_bytes()
    inference.load(settings(model), approved_sha256=sha256_of(model))
    assert inference.untouched()
    writer = run(_WRITE, model)
    try:
        ends = time.monotonic() + 10
        while inference.untouched() and time.monotonic() < ends:
            time.sleep(0.02)
        assert not inference.untouched(), "the worker is told that somebody wants to write"
        assert model.read_bytes() == whole, "and nothing is written meanwhile"
        inference.unload()
        assert inference.untouched()
        assert writer.wait(10) == 0 and model.read_bytes()[:1] == b"x"
    finally:
        writer.kill()
        writer.communicate()


def test_without_leases_what_was_written_shows_afterwards(model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_holding, "_lease", lambda *_: False)
    inference.load(settings(model), approved_sha256=sha256_of(model))
    assert inference.untouched()
    with run(_WRITE, model) as writer:
        assert writer.wait(10) == 0
    assert not inference.untouched()


_HOLD = """
import mmap, os, signal, sys
file = open(sys.argv[1], "r+b")
held = mmap.mmap(file.fileno(), 0)
held[0:1] = held[0:1]  # the page may be written from now on, and no time of the file tells of it
if sys.argv[2] == "mapping":
    file.close()
print("held", flush=True)
signal.pause()
"""


@pytest.mark.parametrize("how", ["open", "mapping"])
def test_a_file_that_somebody_can_still_write_to_is_not_loaded(
    model: Path, monkeypatch: pytest.MonkeyPatch, how: str
) -> None:
    monkeypatch.setattr(_holding, "_LEASE_PAUSE", 0.01)
    with run(_HOLD, model, how) as writer:
        assert writer.stdout is not None and writer.stdout.readline() == "held\n"
        with pytest.raises(ModelRejected, match="is open for writing in another process"):
            inference.load(settings(model), approved_sha256=sha256_of(model))
        writer.send_signal(signal.SIGKILL)
    inference.load(settings(model), approved_sha256=sha256_of(model))


def test_what_is_no_file_holds_nobody_up(tmp_path: Path, leases: bool) -> None:
    os.mkfifo(tmp_path / "pipe.gguf")
    (tmp_path / "folder.gguf").mkdir()
    (tmp_path / "circle.gguf").symlink_to(tmp_path / "circle.gguf")
    for name, kind, sentence in (
        ("pipe", ModelRejected, "is not a file"),
        ("folder", ModelRejected, "is not a file"),
        ("circle", ModelRejected, "cannot be read"),
        ("nothing", ModelNotFound, "There is no file"),
    ):
        with pytest.raises(kind, match=sentence):
            inference.load(settings(tmp_path / f"{name}.gguf"), approved_sha256="0" * 64)


def test_the_approved_file_loads_with_and_without_leases(model: Path, leases: bool) -> None:
    loaded = inference.load(settings(model), approved_sha256=sha256_of(model))
    assert loaded.settings.model == model and inference.untouched()
    held = _runtime.current().files
    assert held is not None and held.leased is leases


def test_two_processes_hold_one_file(model: Path) -> None:
    """Several workers, and the trial of a model that is loaded already."""
    inference.load(settings(model), approved_sha256=sha256_of(model))
    code = (
        "import sys, inference; from pathlib import Path;"
        "inference.load(inference.EngineSettings(Path(sys.argv[1]), slots=1, context=1024, threads=1),"
        " approved_sha256=sys.argv[2]); print(inference.untouched())"
    )
    with run(code, model, sha256_of(model)) as other:
        assert other.communicate(timeout=60)[0] == "True\n"
    assert inference.untouched()
