"""What is chosen for a machine, and the sentences for what cannot be."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from inference import EngineSettings, SettingsRejected
from inference._gguf import Header, read_header
from inference._hardware import Gpu, Hardware, hardware
from inference._memory import estimate
from inference._planning import plan
from inference._xllamacpp import XllamacppEngine

TINY = Path(__file__).parents[1] / "models" / "tiny-gpt-oss.gguf"
GIB = 1 << 30
CARD = Gpu("a card", 16 * GIB, int(15.5 * GIB))
LAPTOP = Hardware(cores=8, memory_total=32 * GIB, memory_free=24 * GIB, gpus=())
WORKSTATION = replace(LAPTOP, gpus=(CARD,))
SERVER = replace(LAPTOP, cores=64, gpus=(Gpu("big", 80 * GIB, 79 * GIB), Gpu("big", 80 * GIB, 79 * GIB)))


def gpt_oss(size: int, layers: int) -> Header:
    numbers = {"block_count": layers, "context_length": 131072, "embedding_length": 2880, "attention.head_count": 64}
    numbers |= {"attention.head_count_kv": 8, "attention.key_length": 64, "attention.value_length": 64}
    numbers |= {"attention.sliding_window": 128, "expert_used_count": 4, "expert_feed_forward_length": 2880}
    metadata: dict[str, Any] = {f"gpt-oss.{key}": value for key, value in numbers.items()}
    return Header(metadata, frozenset(), 1, "MXFP4", size, "gpt-oss", vocabulary=201_088)


SMALL, LARGE = gpt_oss(12_109_566_560, 24), gpt_oss(63_000_000_000, 36)


def settings(**wanted: Any) -> EngineSettings:
    return EngineSettings(Path("model.gguf"), **wanted)


@pytest.mark.parametrize(
    ("header", "machine", "wanted", "slots", "context"),
    [
        (SMALL, WORKSTATION, {}, (6, 9), 8192),  # gpt-oss-20b on a card of 16 GB
        (SMALL, WORKSTATION, {"kv_type": "q8_0"}, (12, 16), 8192),
        (SMALL, WORKSTATION, {"slots": 1}, (1, 1), 8192),
        (SMALL, WORKSTATION, {"context": 32768}, (1, 2), 32768),
        (SMALL, WORKSTATION, {"gpu_layers": 0}, (2, 2), 4096),  # the CPU was asked for
        (SMALL, LAPTOP, {}, (2, 2), 4096),
        (LARGE, LAPTOP, {}, (1, 1), 4096),  # it fits nowhere: the engine will say so
        (LARGE, SERVER, {}, (16, 16), 8192),
        (LARGE, WORKSTATION, {}, (1, 1), 4096),
        (SMALL, replace(LAPTOP, cores=64), {}, (4, 4), 4096),
        (SMALL, SERVER, {"slots": 40, "context": 200_000}, (40, 40), 131072),  # never more than it was made for
    ],
)
def test_slots_and_context_fit_the_machine(
    header: Header, machine: Hardware, wanted: dict[str, Any], slots: tuple[int, int], context: int
) -> None:
    chosen = plan(settings(**wanted), header, machine)
    assert slots[0] <= chosen.slots <= slots[1]
    assert chosen.context == context
    if chosen.gpus and not wanted and chosen.slots > 1:
        assert estimate(header, chosen, machine).place == "gpu"


def test_what_follows_from_the_machine() -> None:
    chosen = plan(settings(), SMALL, SERVER)
    assert (chosen.engine, chosen.gpus, chosen.batch, chosen.gpu_layers) == ("xllamacpp", ("big", "big"), 512, -1)
    chosen = plan(settings(tensor_split=(3.0, 1.0), kv_type="q8_0"), SMALL, SERVER)
    assert (chosen.tensor_split, chosen.flash_attention) == ((3.0, 1.0), "on")
    chosen = plan(settings(), SMALL, LAPTOP)
    assert (chosen.gpus, chosen.batch, chosen.gpu_layers) == ((), 64, 0)
    assert plan(settings(engine="ctransformers"), SMALL, SERVER).slots == 1


@pytest.mark.parametrize(
    ("wanted", "machine", "sentence"),
    [
        ({"context": 100}, LAPTOP, "at least 512"),
        ({"gpu_layers": 10}, LAPTOP, "the engine sees none"),
        ({"tensor_split": (1.0, 1.0)}, WORKSTATION, "over 2 graphics cards, but the engine sees 1"),
        ({"tensor_split": (1.0,)}, LAPTOP, "the engine sees 0"),
        ({"tensor_split": (-1.0, 2.0)}, SERVER, "must not be negative"),
        ({"tensor_split": (0.0, 0.0)}, SERVER, "one must be above 0"),
        ({"kv_type": "q4_0", "flash_attention": "off"}, LAPTOP, "need flash attention"),
        ({"engine": "ctransformers", "slots": 2}, LAPTOP, "one answer at a time"),
        ({"engine": "ctransformers", "kv_type": "q8_0"}, LAPTOP, "keeps keys and values as f16"),
    ],
)
def test_impossible_settings_get_a_sentence(wanted: dict[str, Any], machine: Hardware, sentence: str) -> None:
    with pytest.raises(SettingsRejected, match=sentence) as caught:
        plan(settings(**wanted), SMALL, machine)
    assert str(caught.value).endswith(".")


def test_heads_that_cannot_be_packed_get_a_sentence() -> None:
    odd = replace(SMALL, metadata=SMALL.metadata | {"gpt-oss.attention.key_length": 72})
    with pytest.raises(SettingsRejected, match="which packs 32 together"):
        plan(settings(kv_type="q8_0"), odd, LAPTOP)


def test_the_machine_is_seen() -> None:
    machine = hardware()
    assert machine.cores >= 1
    assert 0 < machine.memory_free <= machine.memory_total
    assert all(gpu.free <= gpu.total for gpu in machine.gpus)


@pytest.mark.parametrize(
    "wanted",
    [
        {"kv_type": "q8_0"},
        {"kv_type": "q4_0", "flash_attention": "on"},
        {"flash_attention": "off"},
        {"batch": 16},
        {"swa_full": False},
        {"context": 512, "slots": 7},
    ],
)
def test_the_engine_takes_what_was_planned(wanted: dict[str, Any]) -> None:
    from inference._engine import Sampling

    header = read_header(TINY)
    engine = XllamacppEngine(
        TINY, plan(settings(**{"slots": 1, "context": 1024, "threads": 1} | wanted), header, LAPTOP)
    )
    said: list[str] = []
    try:
        tokens = engine.tokenize("<|start|>user<|message|>What is reviewed at each visit?<|end|><|start|>assistant" * 3)
        engine.stream(tokens, Sampling(20, 0.0, None), lambda piece: said.append(piece.text) or False)
    finally:
        engine.close()
    assert len("".join(said)) > 10
