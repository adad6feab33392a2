"""A bad model file gets a sentence, whatever is in it, and never reaches the engine."""

import struct
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from inference import EngineSettings, ModelNotFound, ModelRejected, load, loaded
from inference._gguf import read_header
from inference._templates import family_of


def test_the_header_of_a_real_model_is_read(tiny_file: Path) -> None:
    header = read_header(tiny_file)
    assert header.architecture == "gpt-oss"
    assert header.context == 131072
    assert header.quantization == "F16"
    assert header.licence == "apache-2.0"
    assert header.size == tiny_file.stat().st_size
    assert family_of(header, "tiny").name == "harmony"


def _gguf(path: Path, architecture: str, tokens: list[str]) -> Path:
    import gguf
    import numpy as np

    writer = gguf.GGUFWriter(path, architecture)
    writer.add_context_length(512)
    writer.add_token_list(tokens)
    writer.add_tensor("token_embd.weight", np.zeros((4, 32), np.float32))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path


def test_files_that_are_no_models_are_refused_with_a_sentence(tmp_path: Path, tiny_file: Path) -> None:
    whole = tiny_file.read_bytes()
    cases = {
        "empty.gguf": (b"", "is empty"),
        "text.gguf": (b"%PDF-1.7 and so on", "is not a GGUF"),
        "old.gguf": (b"GGUF" + struct.pack("<I", 1) + bytes(64), "of version 1"),
        "short.gguf": (whole[: len(whole) - 1000], "is not complete"),
        "header.gguf": (whole[:5000], "damaged or not complete"),
        "claims.gguf": (b"GGUF" + struct.pack("<IQQ", 3, 1 << 60, 1), "damaged"),
    }
    for name, (data, sentence) in cases.items():
        path = tmp_path / name
        path.write_bytes(data)
        with pytest.raises(ModelRejected, match=sentence) as caught:
            load(EngineSettings(model=path))
        assert name in str(caught.value)
    with pytest.raises(ModelNotFound):
        load(EngineSettings(model=tmp_path / "nothing.gguf"))
    with pytest.raises(ModelRejected):
        load(EngineSettings(model=tmp_path))
    assert loaded() is None


def test_a_model_whose_chat_format_is_unknown_is_refused(tmp_path: Path) -> None:
    path = _gguf(tmp_path / "bert.gguf", "bert", ["[CLS]", "[SEP]", "word"])
    with pytest.raises(ModelRejected, match="chat format"):
        load(EngineSettings(model=path))


def test_a_file_that_the_engine_cannot_load_is_refused_and_the_process_lives(tmp_path: Path) -> None:
    path = _gguf(tmp_path / "strange.gguf", "nosucharch", ["<|im_start|>", "<|im_end|>", "a"])
    with pytest.raises(ModelRejected, match="could not load"):
        load(EngineSettings(model=path))
    assert loaded() is None


def test_the_hash_is_checked_before_the_file_is_parsed(tmp_path: Path) -> None:
    path = tmp_path / "evil.gguf"
    path.write_bytes(b"not even a GGUF")
    with pytest.raises(ModelRejected, match="approved"):
        load(EngineSettings(model=path), approved_sha256="0" * 64)


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.tuples(st.integers(0, 400), st.binary(min_size=1, max_size=9)), max_size=4), st.integers(0, 3000))
def test_a_damaged_header_never_raises_anything_else(
    tmp_path: Path, damage: list[tuple[int, bytes]], length: int
) -> None:
    path = tmp_path / "seed.gguf"
    if not path.exists():
        _gguf(path, "llama", ["<|im_start|>", "<|im_end|>"])
    data = bytearray(path.read_bytes())
    for place, new in damage:
        data[place : place + len(new)] = new
    broken = tmp_path / "broken.gguf"
    broken.write_bytes(data[: max(length, 1)] if length < 2500 else data)
    try:
        header = read_header(broken)
    except ModelRejected as error:
        assert "broken.gguf" in str(error)
    else:
        assert header.architecture


@given(st.binary(max_size=300))
@settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_random_bytes_are_refused(tmp_path: Path, data: bytes) -> None:
    path = tmp_path / "noise.gguf"
    path.write_bytes(b"GGUF\x03\x00\x00\x00" + data)
    with pytest.raises(ModelRejected):
        read_header(path)
