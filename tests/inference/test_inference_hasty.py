"""Operators in a hurry and processes that are killed: several work on one models folder, and what the register names is
there afterwards, byte for byte. All of them are real processes."""

import os
import shutil
import signal
import stat
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest

from inference import InferenceError, ModelRejected, ModelStore
from inference._files import sha256_of
from inference._folder import Busy, claimed, open_part

_IMPORT = """
import sys
from pathlib import Path
from inference import InferenceError, ModelStore
sys.stdin.readline()
try:
    print(ModelStore(Path(sys.argv[1])).import_file(Path(sys.argv[2]), sys.argv[3]).sha256)
except InferenceError as error:
    print(type(error).__name__)
"""


@pytest.fixture
def store(tmp_path: Path) -> ModelStore:
    return ModelStore(tmp_path / "models")


def start(code: str, *words: object) -> "subprocess.Popen[str]":
    command = [sys.executable, "-c", code, *map(str, words)]
    return subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)


def at_once(processes: Sequence["subprocess.Popen[str]"]) -> list[str]:
    """Let all of them go, and read what each says."""
    for one in processes:
        assert one.stdin is not None
        one.stdin.write("go\n")
        one.stdin.flush()
    return [one.communicate(timeout=60)[0].strip() for one in processes]


def test_of_several_files_imported_under_one_name_at_once_one_is_kept_whole(
    store: ModelStore, tmp_path: Path, tiny_file: Path
) -> None:
    files = [tmp_path / f"other-{number}.gguf" for number in range(4)]
    for number, file in enumerate(files):
        file.write_bytes(tiny_file.read_bytes() + bytes([number]) * 4096)
    for turn in range(3):
        said = at_once([start(_IMPORT, store.folder, file, f"name-{turn}") for file in files])
        hashes = [one for one in said if len(one) == 64]
        assert len(hashes) == 1 and set(said) - set(hashes) <= {"Busy", "ModelRejected"}
        one = store.get(f"name-{turn}")
        assert one.sha256 == hashes[0] == sha256_of(one.path), "the file is the one that was registered"
    assert all(one.ok for one in store.verify())
    assert sorted(path.name for path in store.folder.glob(".*")) == [".lock"], "no lock and no half file stays"


def test_the_same_file_imported_twice_at_once_is_there_once(store: ModelStore, tiny_file: Path) -> None:
    said = at_once([start(_IMPORT, store.folder, tiny_file, "tiny") for _ in range(3)])
    assert set(said) - {"Busy"} == {sha256_of(tiny_file)} and store.verify()[0].ok


_COUNT = """
import sys, time
from pathlib import Path
from inference._folder import Busy, claimed
number = Path(sys.argv[1])
sys.stdin.readline()
for _ in range(40):
    while True:
        try:
            with claimed(number.with_name(".lock"), "busy"):
                count = int(number.read_text())
                time.sleep(0.0005)
                number.write_text(str(count + 1))
            break
        except Busy:
            time.sleep(0.0001)
"""


def test_a_claim_is_never_held_by_two(tmp_path: Path) -> None:
    """The lock's file goes with each claim; whoever had opened it before must not take the old one for the claim."""
    (tmp_path / "number").write_text("0")
    at_once([start(_COUNT, tmp_path / "number") for _ in range(4)])
    assert (tmp_path / "number").read_text() == "160" and not (tmp_path / ".lock").exists()


def test_a_claim_of_a_process_that_was_killed_is_free(tmp_path: Path) -> None:
    code = (
        "import signal, sys; from pathlib import Path; from inference._folder import claimed\n"
        "with claimed(Path(sys.argv[1]), 'busy'): print('held', flush=True); signal.pause()"
    )
    with start(code, tmp_path / ".lock") as other:
        assert other.stdout is not None and other.stdout.readline() == "held\n"
        with pytest.raises(Busy, match="busy"), claimed(tmp_path / ".lock", "busy"):
            pass
        other.send_signal(signal.SIGKILL)
    with claimed(tmp_path / ".lock", "busy"):
        pass


_REMOVE = """
import os, signal, sys
from pathlib import Path
from inference import ModelStore
real, left = Path.unlink, int(sys.argv[3])
def unlink(self, missing_ok=False):
    global left
    if self.suffix == ".gguf":
        if left == 0:
            os.kill(os.getpid(), signal.SIGKILL)
        left -= 1
    real(self, missing_ok=missing_ok)
Path.unlink = unlink
ModelStore(Path(sys.argv[1])).remove(sys.argv[2])
"""


@pytest.mark.parametrize("files_removed", [0, 1])
@pytest.mark.parametrize("then", ["import", "link", "verify", "remove again"])
def test_a_removal_that_is_killed_leaves_nothing_wrong(
    store: ModelStore, tmp_path: Path, tiny_file: Path, files_removed: int, then: str
) -> None:
    from tests.inference.split_models import split

    (tmp_path / "parts").mkdir()
    parts = split(tiny_file, tmp_path / "parts", "big", 2)
    store.import_file(parts[0], "big")
    store.import_file(tiny_file, "kept", link=True)
    killed = start(_REMOVE, store.folder, "big", files_removed)
    killed.communicate(timeout=60)
    assert killed.returncode == -signal.SIGKILL
    assert [one.name for one in store.list()] == ["kept"], "the register names nothing that is not there"
    assert len(list(store.folder.glob("big*"))) == 2 - files_removed
    if then == "import":
        assert store.import_file(parts[0], "big").parts and store.verify("big")[0].ok
    elif then == "link":
        assert store.import_file(tiny_file, "big", link=True).path.is_symlink() and store.verify("big")[0].ok
    elif then == "verify":
        store.verify()
    else:
        with pytest.raises(InferenceError, match="no model called big"):
            store.remove("big")
        store.verify()
    left = {path.name for path in store.folder.glob("big*")}
    expected = {"import": {"big-00001-of-00002.gguf", "big-00002-of-00002.gguf"}, "link": {"big.gguf"}}
    assert left == expected.get(then, set())
    assert store.get("kept").path.exists() and tiny_file.exists()


def test_a_good_file_mends_a_spoilt_one(store: ModelStore, tiny_file: Path) -> None:
    one = store.import_file(tiny_file, "tiny")
    with one.path.open("r+b") as file:
        file.seek(4000)
        file.write(b"spoilt")
    assert not store.verify()[0].ok
    store.import_file(tiny_file, "tiny")
    assert store.verify()[0].ok and len(store.list()) == 1


def test_a_file_that_lies_there_unregistered_is_not_lost_to_a_link(store: ModelStore, tiny_file: Path) -> None:
    store.folder.mkdir()
    mine = Path(shutil.copy(tiny_file, store.folder / "mine.gguf"))
    with pytest.raises(ModelRejected, match="is not registered"):
        store.import_file(tiny_file, "mine", link=True)
    assert mine.exists()
    assert store.import_file(mine).path == mine and store.verify()[0].ok, "and it can be imported where it lies"


def test_what_the_store_makes_is_for_its_owner_to_write(store: ModelStore, tiny_file: Path) -> None:
    before = os.umask(0)
    try:
        store.import_file(tiny_file, "copied")
        paths = [store.folder, *store.folder.iterdir()]
    finally:
        os.umask(before)
    assert len(paths) == 4
    assert not [path for path in paths if stat.S_IMODE(path.stat().st_mode) & 0o022 and path.name != ".lock"]
    assert store.exposed() == ()
    store.folder.chmod(0o777)
    (store.folder / "register.json").chmod(0o666)
    assert store.exposed() == (store.folder, store.folder / "register.json")


@pytest.mark.parametrize("planted", ["link", "hard link", "pipe", "open to all"])
def test_what_somebody_planted_in_the_place_of_a_copy_is_not_written_through(
    store: ModelStore, tmp_path: Path, tiny_file: Path, planted: str
) -> None:
    treasure = tmp_path / "treasure"
    treasure.write_text("of somebody else")
    store.folder.mkdir()
    part = store.folder / ".tiny.gguf.part"
    if planted == "link":
        part.symlink_to(treasure)
    elif planted == "hard link":
        part.hardlink_to(treasure)
    elif planted == "pipe":
        os.mkfifo(part)
    else:
        part.touch()
        part.chmod(0o666)
    one = store.import_file(tiny_file, "tiny")
    assert treasure.read_text() == "of somebody else"
    assert not one.path.is_symlink() and one.path.stat().st_nlink == 1 and store.verify()[0].ok
    assert not one.path.stat().st_mode & 0o022


def test_a_register_does_not_lead_out_of_its_folder(store: ModelStore, tmp_path: Path, tiny_file: Path) -> None:
    store.import_file(tiny_file, "tiny")
    treasure = tmp_path / "treasure"
    treasure.touch()
    register = store.folder / "register.json"
    for name in ("../treasure", str(treasure), "", ".."):
        register.write_text(register.read_text().replace("tiny.gguf", name))
        with pytest.raises(InferenceError, match="is damaged"):
            store.remove("tiny")
        assert treasure.exists()
        register.write_text(register.read_text().replace(f'"file": "{name}"', '"file": "tiny.gguf"'))
    store.remove("tiny")


def test_a_part_that_is_a_folder_is_a_sentence(store: ModelStore, tiny_file: Path) -> None:
    (store.folder / ".tiny.gguf.part").mkdir(parents=True)
    with pytest.raises(InferenceError, match="cannot be written"):
        store.import_file(tiny_file, "tiny")
    with pytest.raises(OSError, match="directory"):
        open_part(store.folder / ".tiny.gguf.part")
