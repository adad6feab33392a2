"""How a model is run on this machine: what the settings leave open is chosen here, and what cannot be is refused.

The choice is made from the model's header and the memory that is free, before anything is loaded: as many slots as fit
beside the weights, up to a number that people notice.
"""

from dataclasses import replace
from typing import Literal

from inference._errors import SettingsRejected
from inference._gguf import Header
from inference._hardware import Hardware, threads_for
from inference._memory import CARD_MARGIN, compute_bytes, heads_of, kv_bytes
from inference._types import EngineSettings, Plan

_LEAST_CONTEXT = 512
_CONTEXTS = (8192, 4096)  # tokens a slot: four passages, the talk so far, reasoning and an answer; then without comfort
_MOST_SLOTS_GPU = 16  # beyond, every single answer becomes slow to read
_MOST_SLOTS_CPU = 4
_CORES_A_SLOT = 4  # a CPU has its memory's speed once, however many ask
# Tokens of prompts that are read at a time. In between others get their next token and a caller may leave; a CPU reads
# about a hundred a second of a small model, and no faster in larger pieces.
_BATCH_CPU, _BATCH_GPU = 64, 512
_MEMORY_SHARE = 0.8  # of main memory that is free: others work here too
_PACKED = 32  # numbers that q8_0 and q4_0 pack together


def plan(settings: EngineSettings, header: Header, machine: Hardware) -> Plan:
    """What to load the model with. Raises SettingsRejected with a sentence when that is impossible."""
    _refuse_impossible(settings, header, machine)
    engine = _engine_for(settings, header)
    on_gpu = engine == "xllamacpp" and bool(machine.gpus) and settings.gpu_layers != 0
    flash = "on" if settings.flash_attention == "auto" and settings.kv_type != "f16" else settings.flash_attention
    chosen = Plan(
        engine=engine,
        slots=settings.slots or 1,
        context=_LEAST_CONTEXT,
        threads=threads_for(settings.threads),
        gpu_layers=settings.gpu_layers if on_gpu else 0,
        tensor_split=settings.tensor_split if on_gpu else (),
        flash_attention=flash,
        kv_type=settings.kv_type,
        batch=settings.batch or (_BATCH_GPU if on_gpu else _BATCH_CPU),
        swa_full=settings.swa_full,
        gpus=tuple(gpu.name for gpu in machine.gpus) if on_gpu else (),
        repack=settings.repack,
    )
    return _with_room(chosen, settings, header, machine)


def _engine_for(settings: EngineSettings, header: Header) -> Literal["xllamacpp", "ctransformers", "scripted"]:
    if settings.engine == "auto":
        return "xllamacpp" if header.is_gguf else "ctransformers"
    return settings.engine


def _with_room(chosen: Plan, settings: EngineSettings, header: Header, machine: Hardware) -> Plan:
    """The plan with as many slots, of as much context, as fit beside the weights."""
    if chosen.gpus:
        free = sum(max(0, gpu.free - CARD_MARGIN) for gpu in machine.gpus) - header.size
        most, contexts = _MOST_SLOTS_GPU, list(_CONTEXTS)
    else:
        free = int(machine.memory_free * _MEMORY_SHARE) - header.size
        most, contexts = max(2, min(_MOST_SLOTS_CPU, machine.cores // _CORES_A_SLOT)), list(_CONTEXTS[-1:])
    if chosen.engine == "ctransformers":
        most = 1  # it has one state; others wait in order
    for wanted in [settings.context] if settings.context else contexts:
        chosen = replace(chosen, context=min(wanted, header.context or wanted))
        room = free - compute_bytes(header, replace(chosen, slots=most))
        fitting = max(1, min(most, room // max(1, kv_bytes(header, chosen))))
        if settings.slots or fitting > 1:
            break
    return replace(chosen, slots=settings.slots or fitting)


def _refuse_impossible(settings: EngineSettings, header: Header, machine: Hardware) -> None:
    gpus, shares = machine.gpus, settings.tensor_split
    if settings.context and settings.context < _LEAST_CONTEXT:
        raise SettingsRejected("context_too_small", context=settings.context)
    if settings.gpu_layers > 0 and not gpus:
        raise SettingsRejected("no_card_for_layers", layers=settings.gpu_layers)
    if shares and len(shares) != len(gpus):
        raise SettingsRejected("cards_miscounted", wanted=len(shares), there=len(gpus))
    if shares and (min(shares) < 0 or not any(shares)):
        raise SettingsRejected("shares_wrong")
    if settings.kv_type != "f16" and settings.flash_attention == "off":
        raise SettingsRejected("needs_flash", type=settings.kv_type)
    together = 1 if settings.kv_type == "f16" else _PACKED
    _, key, value = heads_of(header)
    if key % together or value % together:
        raise SettingsRejected("heads_not_packed", key=key, value=value, type=settings.kv_type, together=together)
    engine = _engine_for(settings, header)
    if engine == "xllamacpp" and not header.is_gguf:
        raise SettingsRejected("wants_ctransformers")
    if engine == "ctransformers" and settings.slots > 1:
        raise SettingsRejected("one_slot")
    if engine == "ctransformers" and (settings.kv_type != "f16" or settings.gpu_layers > 0):
        raise SettingsRejected("cpu_alone")
