"""What inference tells people who look after models: a code with its values, and one English text for each code.

Nothing is translated here. A page looks the text up in its reader's language (`portal.modelcards.wording`); what is
written into a log, or comes to a terminal without languages, is the English one. Codes and values are kept in registers
and tables, so that a text may be put better later, and old outcomes too are told in today's words.
"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any


def _(text: str) -> str:
    """Marks a text for those who translate; nothing happens to it here."""
    return text


TEXTS = {
    # files
    "file_missing": _("There is no file %(path)s."),
    "file_gone": _("The file of %(model)s is gone: %(path)s is not there."),
    "file_unreadable": _("%(path)s cannot be read (%(reason)s)."),
    "no_file": _("%(file)s is not a file."),
    "part_miscounted": _("%(file)s is no part of a model: its name counts wrongly."),
    "part_missing": _("%(file)s is one of %(count)s parts, and %(missing)s is not beside it."),
    "part_elsewhere": _(
        "%(file)s says that it is part %(number)s of %(count)s, which its name does not say. "
        "Give the parts their own names back: NAME-00001-of-00003.gguf."
    ),
    "parts_incomplete": _("%(file)s and its parts are not complete: they hold %(tensors)s tensors."),
    # headers
    "empty": _("%(file)s is empty."),
    "not_gguf": _("%(file)s is not a GGUF file."),
    "old_format": _(
        "%(file)s is of a format older than GGUF that cannot be checked here: of those only Llama models of GGJT "
        "version 3 are. llama.cpp's convert_llama_ggml_to_gguf.py makes a GGUF file of it."
    ),
    "gguf_version": _("%(file)s is a GGUF of version %(version)s; versions 2 and 3 can be loaded."),
    "weights_unknown": _("%(file)s has weights of a type (%(type)s) that is not known."),
    "incomplete": _("%(file)s is not complete: %(there)s bytes are there, %(wanted)s should be."),
    "damaged": _("%(file)s is damaged or not complete: its header cannot be read to the end."),
    "damaged_count": _("%(file)s is damaged: its header claims more than a model can have (%(count)s)."),
    "no_architecture": _("%(file)s does not say which architecture it has."),
    "unknown_format": _(
        "%(file)s (%(architecture)s) has a chat format that is not known here. Known are harmony (gpt-oss), chatml "
        "(SmolLM2, Qwen), Llama 2, 3 and 4, Mistral, DeepSeek R1's distilled models, Falcon and MPT instruct."
    ),
    # the gate
    "not_approved": _("%(file)s is not the file that was approved: its SHA-256 is a different one."),
    "open_for_writing": _("%(file)s is open for writing in another process: it is not loaded before that has ended."),
    "changed_while_loading": _(
        "%(file)s was changed while it was loaded, and was given back. See who may write to the models folder, and "
        "whether the file is still the right one: `manage.py models verify`."
    ),
    # the register
    "unknown_model": _("There is no model called %(name)s here. Known: %(known)s."),
    "register_damaged": _("%(path)s is damaged. Remove it and import the models again."),
    "disk_full": _("The disk is full: the model was not kept."),
    "folder_unwritable": _("The models folder cannot be written (%(reason)s): %(path)s."),
    "replaced_meanwhile": _("%(name)s was replaced by another file while it was tried. Activate it again."),
    "not_activated": _("%(name)s did not pass the smoke prompt and was not activated. %(problem)s"),
    # settings
    "context_too_small": _("A context of %(context)s tokens holds no question: give at least 512."),
    "no_card_for_layers": _(
        "%(layers)s layers were to be computed on a graphics card, but the engine sees none. "
        "Install the engine's build for the card and its driver, or let the number of layers be -1."
    ),
    "cards_miscounted": _(
        "The model was to be split over %(wanted)s graphics cards, but the engine sees %(there)s. "
        "Give one share for each card, or none at all."
    ),
    "shares_wrong": _("The shares of the graphics cards must not be negative, and one must be above 0."),
    "needs_flash": _(
        "Keys and values of type %(type)s need flash attention. Let flash attention be on or auto, or keep them as f16."
    ),
    "heads_not_packed": _(
        "This model's keys and values (%(key)s and %(value)s numbers a head) cannot be kept as %(type)s, "
        "which packs %(together)s together. Keep them as f16."
    ),
    "one_slot": _("The engine ctransformers writes one answer at a time: let there be one slot."),
    "wants_ctransformers": _(
        "This file is older than GGUF: the engine ctransformers loads it. "
        "Set HAVRE_ENGINE to ctransformers, or leave it unset."
    ),
    "cpu_alone": _(
        "The engine ctransformers computes on the CPU and keeps keys and values as f16. "
        "Take these settings back, or take the engine xllamacpp."
    ),
    # engines
    "engine_refuses": _(
        "The engine could not load %(file)s: an architecture that it does not know, "
        "or not enough memory for the model and its slots."
    ),
    "listener_open": _("The engine's own listener could not be closed, so the model was not loaded."),
    "engine_unknown": _("This version of xllamacpp is not one that Havre knows: install the one in constraints.txt."),
    "vocabulary_unreadable": _("The engine could not read the vocabulary of %(file)s."),
    "ctransformers_refuses": _(
        "The engine ctransformers cannot load %(file)s: %(why)s. "
        "The engine xllamacpp can: set HAVRE_ENGINE to xllamacpp, or leave it unset."
    ),
    "did_not_load": _("it did not load"),
    "made_before": _("it was made before %(architecture)s"),
    "unknown_vocabulary": _("it does not know this vocabulary"),
    "made_before_experts": _("it was made before mixtures of experts"),
    "unknown_heads": _("it does not know heads of this size"),
    "unknown_types": _("it does not know weights of type %(types)s"),
    # memory
    "needs": _(
        "With %(slots)s slots of %(context)s tokens it takes about %(total)s (weights %(weights)s, keys and values "
        "%(kv)s, work %(work)s); %(place)s."
    ),
    "place_gpu": _("it fits the graphics cards (%(there)s)"),
    "place_gpu_later": _("it fits the graphics cards (%(there)s), though not beside what is loaded now"),
    "place_gpu_and_cpu": _(
        "it does not fit the graphics cards alone: part of it runs, slowly, on the processor (%(there)s in all)"
    ),
    "place_gpu_and_cpu_later": _(
        "it does not fit the graphics cards alone: part of it runs, slowly, on the processor (%(there)s in all), "
        "though not beside what is loaded now"
    ),
    "place_cpu": _("it fits this machine's memory (%(there)s) and runs, slowly, on the processor"),
    "place_cpu_later": _(
        "it fits this machine's memory (%(there)s) and runs, slowly, on the processor, though not beside what is "
        "loaded now"
    ),
    "place_nowhere": _("this machine has too little memory for it (%(there)s)"),
    # the trial
    "step_loading": _("Checking the hash and loading …"),
    "step_asking": _("Loaded in %(seconds)s s; asking the smoke prompt …"),
    "tried_small": _("There is no room beside what is loaded now: it is tried with one slot, on the processor."),
    "no_process": _("No process could be started for it (%(reason)s)."),
    "too_much_memory": _("It took more than %(most)s of memory."),
    "too_slow": _("It did not answer within %(seconds)s seconds."),
    "ended": _("The engine ended while it was tried (exit %(exit)s)."),
    "wrote_nothing": _("The model was loaded, and wrote nothing within %(seconds)s seconds."),
    "no_answer": _("It gave no answer."),
    "shows_markers": _("Its answer shows markers of its chat format."),
    "malformed": _("Its answer was not well formed."),
    "no_end": _("It did not come to an end."),
}


@dataclass(frozen=True, slots=True)
class Size:
    """A number of bytes, which people read as megabytes or gigabytes."""

    bytes: int

    def __str__(self) -> str:
        return f"{self.bytes / 1e9:.1f} GB" if self.bytes >= 1e8 else f"{self.bytes / 1e6:.0f} MB"


@dataclass(frozen=True, slots=True)
class Sentence:
    """A code of `TEXTS` with the values of its text, which may be sentences themselves. An unknown code is a text that
    somebody wrote out; an empty one says nothing, and counts as false."""

    code: str = ""
    values: "Mapping[str, Value]" = field(default_factory=dict)

    def __str__(self) -> str:
        return filled(TEXTS.get(self.code, ""), self.values) or self.code

    def __bool__(self) -> bool:
        return bool(self.code)

    def row(self) -> dict[str, Any]:
        """As JSON, to be kept."""
        return asdict(self)


Value = str | int | float | Size | Sentence
NOTHING = Sentence()


def say(code: str, /, **values: Value) -> Sentence:
    """A sentence of this code."""
    return Sentence(code, values)


def sentence_from(row: object) -> Sentence:
    """The sentence of such a row. What an older version kept is a text; what is neither says nothing."""
    if isinstance(row, str):
        return Sentence(row)
    if not isinstance(row, dict) or not isinstance(row.get("code"), str) or not isinstance(row.get("values"), dict):
        return Sentence()
    return Sentence(row["code"], {str(key): _value_from(value) for key, value in row["values"].items()})


def _value_from(row: object) -> Value:
    if isinstance(row, dict):
        size = row.get("bytes")
        return Size(size) if isinstance(size, int) else sentence_from(row)
    return row if isinstance(row, str | int | float) else str(row)


def filled(text: str, values: Mapping[str, object]) -> str:
    """A text with its values in it; as it is where they are not those that it wants."""
    try:
        return text % values if values else text
    except (KeyError, TypeError, ValueError):
        return text
