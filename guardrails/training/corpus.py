"""The training corpora: one JSONL file a writer in `guardrails/training/corpus/` (its README is the datasheet) for
messages, in its folder `sentences` for sentences of answers and documents, in `pairs` for sentences with a passage."""

import json
import random
import re
import unicodedata
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from guardrails._sentences import sentences

FOLDER = Path(__file__).parent / "corpus"
LABELS = (
    "first_person_crisis",
    "third_person_emergency",
    "clinical_discussion",
    "distress",
    "benign",
    "method_seeking",
    "prompt_injection",
    "device_boundary",
    "patient_identifier",
)
SENTENCE_LABELS = ("safe", "harmful_answer", "planted_instruction")
PAIR_LABELS = ("said", "denied", "unsaid")
WORK = ("clinical_discussion", "benign", "distress")


@dataclass(frozen=True, slots=True)
class Example:
    """A labelled message. `history` holds the person's earlier messages, or the passage beside which a sentence is
    read; `dialogue` names the dialogue it is from."""

    text: str
    lang: str
    label: str
    subtype: str
    writer: str
    history: tuple[str, ...] = ()
    dialogue: str = ""


def load(folder: Path = FOLDER) -> list[Example]:
    """Every example, a dialogue as one example a turn. Raises ValueError naming a line that is wrong."""
    examples: list[Example] = []
    for file in sorted(folder.glob("*.jsonl")):
        for number, line in enumerate(file.read_text(encoding="utf-8").splitlines(), start=1):
            entry = json.loads(line)
            turns = entry.get("turns") or [entry]
            said: list[str] = [entry["passage"]] if "passage" in entry else []
            for turn in turns:
                if turn["label"] not in {*LABELS, *SENTENCE_LABELS, *PAIR_LABELS}:
                    raise ValueError(f"{file.name}, line {number}: unknown label {turn['label']!r}")
                examples.append(
                    Example(
                        turn["text"],
                        entry["lang"],
                        turn["label"],
                        entry["subtype"],
                        entry["writer"],
                        tuple(said),
                        f"{file.stem}:{number}" if len(turns) > 1 else "",
                    )
                )
                said.append(turn["text"])
    return examples


def hurried(text: str, chance: random.Random) -> str:
    """The text as a hurried person might have typed it: case, accents and punctuation lost, slips of the fingers."""
    draw = chance.random()
    if draw < 0.25:
        text = text.lower()
    elif draw < 0.28:
        text = text.upper()
    if chance.random() < 0.35:
        parts = unicodedata.normalize("NFD", text)
        text = "".join(character for character in parts if unicodedata.category(character) != "Mn")
    if chance.random() < 0.25:
        text = re.sub(r"[.,;:!?…]+(?=\s|$)", "", text)
    if chance.random() < 0.1:
        text = text.replace("'", chance.choice([" ", ""]))
    if chance.random() < 0.35:
        text = _slips(text, chance.choice([0.01, 0.02, 0.04]), chance)
    return text if text.strip() else "ok"


def _slips(text: str, rate: float, chance: random.Random) -> str:
    typed: list[str] = []
    characters = iter(text)
    for character in characters:
        if not character.isalpha() or chance.random() >= rate:
            typed.append(character)
            continue
        slip = chance.randrange(4)
        if slip == 1:
            typed += [character, character]
        elif slip == 2:
            typed += [next(characters, ""), character]
        elif slip == 3:
            typed.append(chance.choice("aeiourstnl"))
    return "".join(typed)


def varied(example: Example, others: Mapping[str, Sequence[Example]], chance: random.Random) -> Example:
    """The example as one epoch sees it: hurried, sometimes after other messages, sometimes around other work.

    `others` maps labels to examples without history, for what is put before or around.
    """
    text, history = example.text, list(example.history)
    draw = chance.random()
    if not example.dialogue and draw < 0.08:
        text = _among_work(example, others, chance)
    elif not example.dialogue and draw < 0.10 and example.label in WORK:
        # a disclosure stands until it is cleared up, whatever is asked after it
        disclosed = chance.choice(others["first_person_crisis"])
        if disclosed.lang == example.lang:
            between = [chance.choice(others["benign"])] if chance.random() < 0.3 else []
            history = [disclosed.text, *(one.text for one in between if one.lang == example.lang)]
            return replace(example, text=hurried(text, chance), history=tuple(history), label="first_person_crisis")
    elif not example.dialogue and draw < 0.24:
        labels = chance.choices(WORK, [0.6, 0.25, 0.15], k=chance.randrange(1, 4))
        before = [chance.choice(others[label]) for label in labels]
        history = [one.text for one in before if one.lang == example.lang]
    return replace(example, text=hurried(text, chance), history=tuple(hurried(one, chance) for one in history))


def beside_others(example: Example, others: Sequence[Example], chance: random.Random) -> Example:
    """A sentence with its passage as one epoch sees it: sometimes with another passage, which does not say it, and
    sometimes a sentence of the passage itself, as it stands or with its denial turned over."""
    (passage,) = example.history
    draw = chance.random()
    if draw < 0.1:
        other = chance.choice(others).history[0]
        return replace(example, history=(other,), label="unsaid") if other != passage else example
    if draw < 0.25 and (own := [one for one in sentences(passage) if len(one.split()) > 4]):
        sentence = chance.choice(own)
        turned = turned_over(sentence, chance)
        if turned and chance.random() < 0.5:
            return replace(example, text=turned, label="denied")
        return replace(example, text=reported(sentence, example.lang, chance), label="said")
    return example


_REPORTED = {
    "en": ("According to the guideline, ", "The protocol says that ", "Note that ", "In practice, ", "- ", ""),
    "fr": ("Selon le protocole, ", "Le guide précise que ", "À noter : ", "En pratique, ", "- ", ""),
}


def reported(sentence: str, language: str, chance: random.Random) -> str:
    """A sentence as a model would pass it on: with an introduction, without an opening of its own or its last words."""
    opening, comma, rest = sentence.partition(", ")
    if comma and len(rest.split()) > 5 and chance.random() < 0.3:
        sentence = rest if chance.random() < 0.5 else opening if len(opening.split()) > 5 else sentence
    sentence = sentence[:1].lower() + sentence[1:] if sentence[1:2].islower() else sentence
    return chance.choice(_REPORTED.get(language, ("",))) + sentence


_NOT = re.compile(r"\b(?:not|never) |n't\b")
_NE_PAS = re.compile(r"\b(?:ne |n['’])(\w+) (?:pas|jamais|plus) ?")
_VERB = re.compile(r"\b(is|are|was|should|must|may|can|will|does|has|have|could|would)\b(?! not)")
_VERBE = re.compile(
    r"\b(doit|doivent|peut|peuvent|sera|seront|faut|permet|reste|sont|fait|font|suffit)\b(?! (?:pas|plus))"
)


def turned_over(sentence: str, chance: random.Random) -> str:
    """A sentence with one plain denial more or less; empty where that cannot be done by rule."""
    for denial, without in ((_NE_PAS, r"\1 "), (_NOT, "")):
        if denial.search(sentence):
            return " ".join(denial.sub(without, sentence, count=1).split())
    for verb, with_denial in ((_VERBE, r"ne \1 pas"), (_VERB, chance.choice([r"\1 not", r"\1 never"]))):
        if verb.search(sentence):
            return verb.sub(with_denial, sentence, count=1)
    return ""


def _among_work(example: Example, others: Mapping[str, Sequence[Example]], chance: random.Random) -> str:
    """The message at the end, at the beginning or in the middle of one to four messages of work."""
    if example.label not in {"first_person_crisis", "third_person_emergency", "clinical_discussion"}:
        return example.text
    pieces = [example.text]
    for _ in range(chance.randrange(1, 5)):
        other = chance.choice(others[chance.choices(WORK[:2], [0.6, 0.4])[0]])
        if other.lang == example.lang and sum(map(len, pieces)) + len(other.text) < 800:
            pieces.insert(0 if chance.random() < 0.7 else len(pieces), other.text)
    return chance.choice(["\n", ". ", " ", "\n\n"]).join(pieces)


def without_writers(examples: Iterable[Example], writers: Iterable[str]) -> tuple[list[Example], list[Example]]:
    """The examples of all other writers, and those of the writers named: no writer on both sides."""
    held = frozenset(writers)
    kept: list[Example] = []
    out: list[Example] = []
    for example in examples:
        (out if example.writer in held else kept).append(example)
    return kept, out
