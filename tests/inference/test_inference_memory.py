"""What a model takes, before it is loaded: the sums of llama.cpp, and whether a machine has it."""

from pathlib import Path

import pytest

from inference import Gpu, Hardware
from inference._gguf import Header, read_header
from inference._memory import compute_bytes, estimate, kv_bytes
from inference._types import Plan

GIB, MIB = 1 << 30, 1 << 20
SHAPE_20B = {
    "block_count": 24, "context_length": 131072, "embedding_length": 2880, "expert_feed_forward_length": 2880,
    "attention.head_count": 64, "attention.head_count_kv": 8, "attention.key_length": 64, "attention.value_length": 64,
    "expert_count": 32, "expert_used_count": 4, "attention.sliding_window": 128,
}  # fmt: skip
GPT_OSS_20B = Header(
    {f"gpt-oss.{key}": value for key, value in SHAPE_20B.items()},
    frozenset(), 459, "MXFP4", 12_109_566_624, "gpt-oss", vocabulary=201088,
)  # fmt: skip
CARD = Gpu("card", 16 * GIB, 16 * GIB)


def plan(slots: int, context: int, *, batch: int = 64, kv: str = "f16", full: bool = False, gpus: int = 0) -> Plan:
    names = tuple("card" for _ in range(gpus))
    return Plan("xllamacpp", slots, context, 1, -1 if gpus else 0, (), "auto", kv, batch, full, names)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("header", "chosen", "kv_mib", "compute_mib"),
    [
        # what llama.cpp itself reported ("KV buffer size", "compute buffer size" and "output buffer size")
        (GPT_OSS_20B, plan(2, 4096), 204.0, 14.0),
        (None, plan(2, 4096, full=True), 8.0, 1.2),
        (None, plan(2, 4096, batch=512), 4.75, 6.2),
    ],
)
def test_the_estimate_is_what_the_engine_reported(
    header: Header | None, chosen: Plan, kv_mib: float, compute_mib: float, tiny_file: Path
) -> None:
    one = header or read_header(tiny_file)
    assert kv_bytes(one, chosen) * chosen.slots == kv_mib * MIB
    assert compute_mib * 0.9 < compute_bytes(one, chosen) / MIB < compute_mib * 1.25


def test_smaller_keys_and_values_take_less() -> None:
    sizes = [kv_bytes(GPT_OSS_20B, plan(1, 8192, kv=kv, full=True)) for kv in ("f16", "q8_0", "q4_0")]
    assert sizes == [8192 * 24 * 8 * 128 * 2, 8192 * 24 * 8 * 128 * 34 // 32, 8192 * 24 * 8 * 128 * 18 // 32]


@pytest.mark.parametrize(
    ("gpus", "memory", "place", "now", "words"),
    [
        ((CARD,), 32, "gpu", True, "fits the graphics cards"),
        ((Gpu("card", 16 * GIB, 2 * GIB),), 8, "gpu", False, "not beside what is loaded now"),
        ((Gpu("card", 8 * GIB, 8 * GIB),), 32, "gpu_and_cpu", True, "does not fit the graphics cards alone"),
        ((Gpu("card", 8 * GIB, 8 * GIB), Gpu("card", 8 * GIB, 8 * GIB)), 8, "gpu", True, "fits the graphics cards"),
        ((), 32, "cpu", True, "on the processor"),
        ((), 8, "nowhere", False, "too little memory"),
    ],
)
def test_where_a_20b_model_fits(gpus: tuple[Gpu, ...], memory: int, place: str, now: bool, words: str) -> None:
    machine = Hardware(8, memory * GIB, memory * GIB, gpus)
    found = estimate(GPT_OSS_20B, plan(4, 4096, gpus=len(gpus)), machine)
    assert (found.place, found.fits_now) == (place, now) and words in str(found.said())
    assert found.fits is (place != "nowhere")


def test_parameters_are_counted_as_their_maker_counts_them(tiny_file: Path) -> None:
    """gpt-oss-20b in its exact shapes: 20.9 billion, 3.6 of them active (checked by hand on a file of 12 GB)."""
    header = read_header(tiny_file)
    experts = 3 * 4 * 64 * 64 * 4 + 3 * 4 * 64 * 4  # gate, up and down of 4 experts in 4 layers, with their biases
    assert header.parameters - header.active_parameters == experts // 2 + 6010 * 64
