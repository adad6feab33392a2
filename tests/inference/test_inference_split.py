"""A model in several parts is one model: every part is found, hashed and checked, and the engine loads it."""

import shutil
from pathlib import Path

import pytest

import inference
from inference import EngineSettings, ModelNotFound, ModelRejected, ModelStore
from inference._files import combined, parts_of, sha256_of
from inference._gguf import read_header
from tests.inference.split_models import split


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory, tiny_file: Path) -> list[Path]:
    return split(tiny_file, tmp_path_factory.mktemp("parts"), "tiny")


@pytest.fixture
def parts(tmp_path: Path, written: list[Path]) -> list[Path]:
    return [Path(shutil.copy(one, tmp_path)) for one in written]


def test_the_parts_together_are_the_whole(parts: list[Path], tiny_file: Path) -> None:
    whole, one = read_header(tiny_file), read_header(parts[1])
    assert (one.parameters, one.active_parameters, one.tensors) == (
        whole.parameters,
        whole.active_parameters,
        whole.tensors,
    )
    assert one.markers == whole.markers and one.architecture == "gpt-oss"
    assert one.size == sum(part.stat().st_size for part in parts)


def test_a_split_model_is_imported_activated_and_answers(parts: list[Path], tmp_path: Path) -> None:
    store = ModelStore(tmp_path / "models")
    steps: list[tuple[int, int]] = []
    one = store.import_file(parts[2], "big", on_progress=lambda done, total: steps.append((done, total)))
    assert [part.file for part in one.parts] == [f"big-0000{number}-of-00003.gguf" for number in (1, 2, 3)]
    assert one.path.name == "big-00001-of-00003.gguf" and one.sha256 == combined([sha256_of(part) for part in parts])
    assert steps[-1] == (one.size, one.size) and steps == sorted(steps)
    assert store.verify()[0].ok
    settings = EngineSettings(one.path, slots=1, context=2048, threads=1)
    said: list[inference.Sentence] = []
    active = store.activate("big", lambda info: inference.smoke(info, settings, said.append))
    assert active.smoke is not None and active.smoke.passed and active.smoke.tokens > 0 and len(said) == 2
    store.remove("big")
    assert not list(store.folder.glob("*.gguf"))


def test_a_changed_part_is_found_whichever_it_is(parts: list[Path], tmp_path: Path) -> None:
    store = ModelStore(tmp_path / "models")
    one = store.import_file(parts[0], "big")
    for part in one.parts:
        path = store.folder / part.file
        whole = path.read_bytes()
        path.write_bytes(whole[:-1] + bytes([whole[-1] ^ 1]))
        assert part.file in store.verify("big")[0].problem
        with pytest.raises(ModelRejected, match="not the file that was approved"):
            inference.load(EngineSettings(one.path), approved_sha256=one.sha256)
        path.write_bytes(whole)
    assert store.verify()[0].ok


def test_parts_that_do_not_belong_together_are_refused(parts: list[Path], tmp_path: Path, tiny_file: Path) -> None:
    (tmp_path / "swapped").mkdir()
    for file, name in zip([parts[0], parts[2], parts[1]], [one.name for one in parts], strict=True):
        shutil.copy(file, tmp_path / "swapped" / name)
    with pytest.raises(ModelRejected, match="says that it is part 3 of 3"):
        read_header(tmp_path / "swapped" / parts[0].name)
    renamed = tmp_path / "renamed.gguf"
    shutil.copy(parts[0], renamed)
    with pytest.raises(ModelRejected, match="says that it is part 1 of 3"):
        read_header(renamed)
    shutil.copy(tiny_file, tmp_path / "x-00001-of-00001.gguf")
    assert read_header(tmp_path / "x-00001-of-00001.gguf").tensors, "a whole file may be called part 1 of 1"
    parts[1].unlink()
    with pytest.raises(ModelNotFound, match=r"tiny-00002-of-00003\.gguf is not beside it"):
        ModelStore(tmp_path / "models").import_file(parts[0])


@pytest.mark.parametrize("name", ["x-00000-of-00003.gguf", "x-00004-of-00003.gguf", "x-00001-of-99999.gguf"])
def test_names_that_count_wrongly_are_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(ModelRejected, match="counts wrongly"):
        parts_of(tmp_path / name)
