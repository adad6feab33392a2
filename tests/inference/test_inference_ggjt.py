"""Files from before GGUF: a tiny Llama in GGJT is written here, imported, activated and asked, and whatever is done to
its header is refused with a sentence."""

import struct
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import inference
from inference import EngineSettings, GenerationRequest, Message, ModelRejected, ModelStore, SettingsRejected
from inference._files import sha256_of
from inference._gguf import read_header

WIDTH, MULTIPLE, HEADS, LAYERS = 32, 32, 2, 1
INNER = 96
WORDS = [b" \xe2\x81\x87 ", b"", b"", *(bytes([one]) for one in range(256)), b" the", b" plan"]


def _tensor(at: int, name: bytes, *shape: int) -> bytes:
    noise = np.random.default_rng(at).normal(0, 0.1, shape) if len(shape) > 1 else np.ones(shape)
    head = struct.pack(f"<3I{len(shape)}I", len(shape), len(name), 0, *reversed(shape)) + name
    return head + b"\0" * (-(at + len(head)) % 32) + noise.astype("<f4").tobytes()


def written() -> bytes:
    """A Llama of random weights."""
    data = b"tjgg" + struct.pack("<8I", 3, len(WORDS), WIDTH, MULTIPLE, HEADS, LAYERS, WIDTH // HEADS, 0)
    for number, word in enumerate(WORDS):
        data += struct.pack("<I", len(word)) + word + struct.pack("<f", -number)
    for name in ("tok_embeddings", "norm", "output"):
        data += _tensor(len(data), f"{name}.weight".encode(), *((WIDTH,) if name == "norm" else (len(WORDS), WIDTH)))
    for layer in range(LAYERS):
        shapes = dict.fromkeys(("attention_norm", "ffn_norm"), (WIDTH,))
        shapes |= {f"attention.w{one}": (WIDTH, WIDTH) for one in "qkvo"}
        shapes |= {"feed_forward.w1": (INNER, WIDTH), "feed_forward.w2": (WIDTH, INNER)}
        shapes |= {"feed_forward.w3": (INNER, WIDTH)}
        for name, shape in shapes.items():
            data += _tensor(len(data), f"layers.{layer}.{name}.weight".encode(), *shape)
    return data


WHOLE = written()


@pytest.fixture
def old(tmp_path: Path) -> Path:
    path = tmp_path / "llama-2-tiny.ggmlv3.bin"
    path.write_bytes(WHOLE)
    return path


def test_the_header_says_what_a_gguf_would(old: Path) -> None:
    one = read_header(old)
    assert (one.architecture, one.quantization, one.is_gguf, one.context) == ("llama", "F32", False, 2048)
    assert one.vocabulary == len(WORDS) and one.tensors == 12 and one.size == len(WHOLE)
    assert one.parameters == 2 * len(WORDS) * WIDTH + 3 * WIDTH + 4 * WIDTH * WIDTH + 3 * WIDTH * INNER
    assert one.active_parameters == one.parameters - len(WORDS) * WIDTH


def test_it_is_imported_estimated_loaded_and_answers(old: Path, tmp_path: Path) -> None:
    store = ModelStore(tmp_path / "models")
    one = store.import_file(old, "old")
    assert one.sha256 == sha256_of(old) and one.family == "llama2" and store.verify()[0].ok
    wanted = EngineSettings(one.path, threads=1, context=512)
    found = inference.room(store.get("old"), wanted)
    assert found.kv == 2 * 2 * WIDTH * 512 and found.slots == 1, "keys and values as f16"
    inference.unload()
    loaded = inference.load(wanted, approved_sha256=one.sha256)
    try:
        assert loaded.plan.engine == "ctransformers"
        request = GenerationRequest((Message("user", "the plan"),), max_tokens=20, temperature=0.0)
        last = list(inference.generate(request))[-1]
        assert last.usage is not None and last.usage.completion_tokens > 0
    finally:
        inference.unload()
    with pytest.raises(SettingsRejected, match="the engine ctransformers loads it"):
        inference.room(one, EngineSettings(one.path, engine="xllamacpp"))


@pytest.mark.parametrize("magic", [b"lmgg", b"fmgg", b"algg", b"tjgg\x01\0\0\0", b"tjgg\x02\0\0\0"])
def test_older_ones_get_a_sentence_on_what_to_do(tmp_path: Path, magic: bytes) -> None:
    (tmp_path / "older.bin").write_bytes(magic + WHOLE[len(magic) :])
    with pytest.raises(ModelRejected, match=r"older than GGUF.*convert_llama_ggml_to_gguf"):
        read_header(tmp_path / "older.bin")


def test_a_gguf_cannot_say_that_it_is_older(tmp_path: Path) -> None:
    import gguf

    writer = gguf.GGUFWriter(tmp_path / "sly.gguf", "llama")
    writer.add_string("general.file_format", "ggjt")
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    assert read_header(tmp_path / "sly.gguf").is_gguf


def _refused(path: Path, data: bytes) -> None:
    path.write_bytes(data)
    with pytest.raises(ModelRejected):
        read_header(path)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(length=st.integers(0, len(WHOLE) - 1))
def test_what_is_cut_off_anywhere_is_refused(tmp_path: Path, length: int) -> None:
    _refused(tmp_path / "cut.bin", WHOLE[:length])


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(where=st.integers(0, 6), value=st.integers(0, 2**32 - 1))
def test_other_sizes_are_refused(tmp_path: Path, where: int, value: int) -> None:
    at = 4 + 4 * where
    other = struct.pack("<I", value)
    # another multiple may lead to the same inner width: then nothing is another
    if other != WHOLE[at : at + 4] and not (where == 3 and -(-(8 * WIDTH // 3) // max(1, value)) * value == INNER):
        _refused(tmp_path / "other.bin", WHOLE[:at] + other + WHOLE[at + 4 :])


_TENSORS = WHOLE.index(b"tok_embeddings.weight") - 20


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(at=st.integers(0, 40), value=st.integers(0, 255))
def test_a_tensor_that_is_another_is_refused(tmp_path: Path, at: int, value: int) -> None:
    at += _TENSORS
    if WHOLE[at] != value:
        _refused(tmp_path / "other.bin", WHOLE[:at] + bytes([value]) + WHOLE[at + 1 :])


def test_what_stands_behind_the_last_tensor_or_twice_is_refused(tmp_path: Path) -> None:
    _refused(tmp_path / "more.bin", WHOLE + b"\0")
    twice = WHOLE.replace(b"layers.0.attention.wq.weight", b"layers.0.attention.wk.weight")
    _refused(tmp_path / "twice.bin", twice)


@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.binary(max_size=400))
def test_noise_is_refused(tmp_path: Path, data: bytes) -> None:
    _refused(tmp_path / "noise.bin", b"tjgg\x03\0\0\0" + data)
