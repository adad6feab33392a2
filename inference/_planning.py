"""How a model is run on this machine: what the settings leave open is chosen here, and what cannot be is refused.

The choice is made from the model's header and the memory that is free, before anything is loaded: as many slots as fit
beside the weights, up to a number that people notice.
"""

from inference._errors import SettingsRejected
from inference._gguf import Header
from inference._hardware import Hardware, threads_for
from inference._types import EngineSettings, Plan

_GIB = 1 << 30
_MARGIN = _GIB  # a card is never filled up: the engine leaves as much
_LEAST_CONTEXT = 512
_CONTEXTS = (8192, 4096)  # tokens a slot: four passages, the talk so far, reasoning and an answer; then without comfort
_MOST_SLOTS_GPU = 16  # beyond, every single answer becomes slow to read
_MOST_SLOTS_CPU = 4
_CORES_A_SLOT = 4  # a CPU has its memory's speed once, however many ask
# Tokens of prompts that are read at a time. In between others get their next token and a caller may leave; a CPU reads
# about a hundred a second of a small model, and no faster in larger pieces.
_BATCH_CPU, _BATCH_GPU = 64, 512
# Bytes a number takes, and how many numbers are packed together
_KV_TYPES = {"f16": (2.0, 1), "q8_0": (34 / 32, 32), "q4_0": (18 / 32, 32)}


def plan(settings: EngineSettings, header: Header, machine: Hardware) -> Plan:
    """What to load the model with. Raises SettingsRejected with a sentence when that is impossible."""
    _refuse_impossible(settings, header, machine)
    engine = "xllamacpp" if settings.engine == "auto" else settings.engine
    on_gpu = engine == "xllamacpp" and bool(machine.gpus) and settings.gpu_layers != 0
    batch = settings.batch or (_BATCH_GPU if on_gpu else _BATCH_CPU)
    slots, context = _room(settings, header, machine, batch if on_gpu else 0)
    if engine == "ctransformers":
        slots = 1  # it has one state; others wait in order
    flash = "on" if settings.flash_attention == "auto" and settings.kv_type != "f16" else settings.flash_attention
    return Plan(
        engine=engine,
        slots=slots,
        context=context,
        threads=threads_for(settings.threads),
        gpu_layers=settings.gpu_layers if on_gpu else 0,
        tensor_split=settings.tensor_split if on_gpu else (),
        flash_attention=flash,
        kv_type=settings.kv_type,
        batch=batch,
        swa_full=settings.swa_full,
        gpus=tuple(gpu.name for gpu in machine.gpus) if on_gpu else (),
    )


def kv_bytes(header: Header, context: int, settings: EngineSettings) -> int:
    """Bytes of keys and values for one slot of `context` tokens."""
    size, _ = _KV_TYPES[settings.kv_type]
    heads, key, value = _heads(header)
    window = header.number("attention.sliding_window")
    every_other = header.architecture == "gpt-oss" and window and not settings.swa_full
    total = 0.0
    for layer, count in enumerate(heads):
        tokens = min(context, window + (settings.batch or _BATCH_GPU)) if every_other and layer % 2 == 0 else context
        total += tokens * count * (key + value) * size
    return int(total)


def _heads(header: Header) -> tuple[tuple[int, ...], int, int]:
    """Heads of keys and values in each layer, and the numbers that a key and a value of one head have."""
    attention = max(1, max(header.per_layer("attention.head_count"), default=1))
    heads = header.per_layer("attention.head_count_kv")
    if not any(heads):
        heads = header.per_layer("attention.head_count")
    width = header.number("embedding_length") // attention
    return heads, header.number("attention.key_length") or width, header.number("attention.value_length") or width


def _room(settings: EngineSettings, header: Header, machine: Hardware, gpu_batch: int) -> tuple[int, int]:
    """Slots and the context of each. `gpu_batch` is 0 where the CPU computes."""
    if gpu_batch:
        scratch = (
            gpu_batch * max(1, header.vocabulary) * 4 + _GIB // 4
        )  # the scores of every token of a batch, and more
        free = sum(max(0, gpu.free - _MARGIN) for gpu in machine.gpus) - header.size - scratch
        most, contexts = _MOST_SLOTS_GPU, list(_CONTEXTS)
    else:
        free = int(machine.memory_free * 0.8) - header.size
        most, contexts = max(2, min(_MOST_SLOTS_CPU, machine.cores // _CORES_A_SLOT)), list(_CONTEXTS[1:])
    limit = header.context or (1 << 30)
    wanted = [settings.context] if settings.context else contexts
    for context in (min(one, limit) for one in wanted):
        fitting = max(1, min(most, free // max(1, kv_bytes(header, context, settings))))
        if settings.slots or fitting > 1 or context == min(wanted[-1], limit):
            return settings.slots or int(fitting), context
    raise AssertionError  # the last context always returns


def _refuse_impossible(settings: EngineSettings, header: Header, machine: Hardware) -> None:
    gpus, shares = machine.gpus, settings.tensor_split
    if settings.context and settings.context < _LEAST_CONTEXT:
        raise SettingsRejected(f"A context of {settings.context} tokens holds no question: give at least 512.")
    if settings.gpu_layers > 0 and not gpus:
        raise SettingsRejected(
            f"{settings.gpu_layers} layers were to be computed on a graphics card, but the engine sees none. "
            "Install the engine's build for the card and its driver, or let the number of layers be -1."
        )
    if shares and len(shares) != len(gpus):
        raise SettingsRejected(
            f"The model was to be split over {len(shares)} graphics cards, but the engine sees {len(gpus)}. "
            "Give one share for each card, or none at all."
        )
    if shares and (min(shares) < 0 or not any(shares)):
        raise SettingsRejected("The shares of the graphics cards must not be negative, and one must be above 0.")
    if settings.kv_type != "f16" and settings.flash_attention == "off":
        raise SettingsRejected(
            f"Keys and values of type {settings.kv_type} need flash attention. "
            "Let flash attention be on or auto, or keep them as f16."
        )
    _, together = _KV_TYPES[settings.kv_type]
    _, key, value = _heads(header)
    if key % together or value % together:
        raise SettingsRejected(
            f"This model's keys and values ({key} and {value} numbers a head) cannot be kept as {settings.kv_type}, "
            f"which packs {together} together. Keep them as f16."
        )
    if settings.engine == "ctransformers" and settings.slots > 1:
        raise SettingsRejected("The engine ctransformers writes one answer at a time: let there be one slot.")
    if settings.engine == "ctransformers" and (settings.kv_type != "f16" or settings.gpu_layers > 0):
        raise SettingsRejected(
            "The engine ctransformers computes on the CPU and keeps keys and values as f16. "
            "Take these settings back, or take the engine xllamacpp."
        )
