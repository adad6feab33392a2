"""How much memory a model takes, and whether this machine has it, before anything is loaded.

Three parts: the weights, which are the file; keys and values of every token in every slot; and what a batch of tokens
needs while it is computed. The sums are those of llama.cpp (src/llama-kv-cache.cpp); what a batch needs is fitted to
what it reported for models of four shapes. docs/decisions/models-and-gate.md compares estimate and truth.
"""

from dataclasses import dataclass
from typing import Literal

from inference._gguf import Header
from inference._hardware import Hardware
from inference._sentences import Sentence, Size, say
from inference._types import Plan

_BYTES = {"f16": 2.0, "q8_0": 34 / 32, "q4_0": 18 / 32}  # of one number
_WINDOW_STEP = 256  # a window's cache is rounded up to it
_WIDTHS = 5.0  # how many intermediate results of full width a layer holds at once
CARD_MARGIN = 1 << 30  # a card is never filled up: the driver and the engine keep as much
_MEMORY_SHARE = 0.9  # of main memory: the rest of an installation lives there too
_BASE = 48 << 20  # the engine itself
_LLAMA4_CHUNK = 8192

Place = Literal["gpu", "gpu_and_cpu", "cpu", "nowhere"]


@dataclass(frozen=True, slots=True)
class Estimate:
    """Bytes that a model takes with a plan, and where it fits. `place` is where it fits on this machine when nothing
    else is loaded; `fits_now` says whether it does with what is free at this moment. `available` is the memory of that
    place in bytes, or of the largest place there is."""

    weights: int
    kv: int
    compute: int
    slots: int
    context: int
    place: Place
    available: int
    fits_now: bool

    @property
    def total(self) -> int:
        """All of it."""
        return self.weights + self.kv + self.compute

    @property
    def fits(self) -> bool:
        """Whether this machine can run it at all."""
        return self.place != "nowhere"

    def said(self) -> Sentence:
        """What an administrator should know."""
        later = "" if self.fits_now or not self.fits else "_later"
        return say(
            "needs",
            slots=self.slots,
            context=self.context,
            total=Size(self.total),
            weights=Size(self.weights),
            kv=Size(self.kv),
            work=Size(self.compute),
            place=say(f"place_{self.place}{later}", there=Size(self.available)),
        )


def estimate(header: Header, chosen: Plan, machine: Hardware) -> Estimate:
    """What a model takes with this plan on this machine. Looks at no file and loads nothing."""
    kv = kv_bytes(header, chosen) * chosen.slots
    compute = _BASE + compute_bytes(header, chosen)
    needed = header.size + kv + compute
    place, available, now = _place(needed, chosen, machine)
    return Estimate(header.size, kv, compute, chosen.slots, chosen.context, place, available, now)


def kv_bytes(header: Header, chosen: Plan) -> int:
    """Bytes of keys and values for one slot."""
    heads, key, value = heads_of(header)
    window, every = _windows(header)
    cells = min(chosen.context, -(-(window + chosen.batch) // _WINDOW_STEP) * _WINDOW_STEP)
    total = 0.0
    for layer, count in enumerate(heads):
        narrow = every and (layer + 1) % every and not chosen.swa_full
        total += (cells if narrow else chosen.context) * count * (key + value) * _BYTES[chosen.kv_type]
    return int(total)


def compute_bytes(header: Header, chosen: Plan) -> int:
    """Bytes that one batch of tokens needs while it is computed, scores of the next token included."""
    experts = header.number("expert_used_count") or 1
    inner = header.number("expert_feed_forward_length") or max(header.per_layer("feed_forward_length"), default=0)
    heads = max(header.per_layer("attention.head_count"), default=1)
    _, key, _ = heads_of(header)
    widest = max(inner * experts, heads * key, header.number("embedding_length"))
    window, _ = _windows(header)
    mask = 2 * (chosen.context * (2 if window and chosen.swa_full else 1) + (window and window + chosen.batch))
    scores = 4 * header.vocabulary * chosen.slots
    return int(chosen.batch * (mask + 4 * _WIDTHS * widest)) + scores


def heads_of(header: Header) -> tuple[tuple[int, ...], int, int]:
    """Heads of keys and values in each layer, and the numbers that a key and a value of one head have."""
    attention = max(1, max(header.per_layer("attention.head_count"), default=1))
    heads = header.per_layer("attention.head_count_kv")
    if not any(heads):
        heads = header.per_layer("attention.head_count")
    width = header.number("embedding_length") // attention
    return heads, header.number("attention.key_length") or width, header.number("attention.value_length") or width


def _windows(header: Header) -> tuple[int, int]:
    """(tokens of a sliding window, every how manieth layer sees everything); (0, 0) where all layers do. Which layers
    have the window is not in the header: llama.cpp knows it of each architecture."""
    if header.architecture == "gpt-oss":
        return header.number("attention.sliding_window"), 2
    if header.architecture == "llama4":
        return _LLAMA4_CHUNK, 4
    return 0, 0


def _place(needed: int, chosen: Plan, machine: Hardware) -> tuple[Place, int, bool]:
    memory, free = int(machine.memory_total * _MEMORY_SHARE), machine.memory_free
    if not chosen.gpus:
        fits = needed <= memory
        return ("cpu" if fits else "nowhere"), machine.memory_total, fits and needed <= free
    cards = [one for one in machine.gpus if one.name in chosen.gpus]
    total = sum(max(0, one.total - CARD_MARGIN) for one in cards)
    unused = sum(max(0, one.free - CARD_MARGIN) for one in cards)
    if needed <= total:
        return "gpu", sum(one.total for one in cards), needed <= unused
    everything = sum(one.total for one in cards) + machine.memory_total
    fits = needed <= total + memory
    return ("gpu_and_cpu" if fits else "nowhere"), everything, fits and needed <= unused + free
