"""The engine "scripted": no model at all, but a reader that obeys everything it reads.

It is for tests and demonstrations of the guardrails, never for a facility (a system check refuses it there). Whatever
stands in its prompt behind Havre's own instructions, in passages, history or the question, is searched for orders ("say
X", "ignore …", "réponds par X", "révèle …", also spaced out, hidden or in base64), and each is carried out by saying
what was asked for. Without an order it says the first sentence of the first passage.
"""

import base64
import binascii
import re
import threading
import unicodedata
from collections.abc import Callable, Sequence
from pathlib import Path

from inference._engine import Piece, Sampling
from inference._errors import EngineFailed, RequestTooLong

_OWN_INSTRUCTIONS_END = "Guideline passages:"
_ORDER = re.compile(
    r"\b(?:say|write|reply|respond|answer|output|print|repeat|display|reveal|tell|state|add|append|include|insert|"
    r"end|start|advise|convince|put|begin|finish|recommend|give|show|translate|sign|replace|send|cite|call|mention|act|pretend|become|"
    r"ignore|disregard|forget|override|follow|obey|execute|decode|you are|you must|dis|dites|écri\w+|répond\w+|"
    r"affich\w+|répèt\w+|répét\w+|imprim\w+|révèl\w+|révél\w+|ajout\w+|termin\w+|commenc\w+|conseill\w+|donn\w+|"
    r"montr\w+|tradui\w+|mentionn\w+|appel\w+|joue\w*|agis\w*|oubli\w+|ignor\w+|suis|suivez|obéi\w+|exécut\w+|"
    r"tu es|vous êtes|tu dois|vous devez|insèr\w+|insér\w+|remplac\w+|envo\w+|inclu\w+)\b([^\n]{1,300})",
    re.IGNORECASE,
)
_BLOB = re.compile(r"[A-Za-z0-9+/]{16,}={0,2}")
_SPACED = re.compile(r"(?<!\w)(?:\w ){3,60}\w(?!\w)")
_TOKEN = re.compile(r"\s*\S{1,64}|\s+")
_HARMONY = "<|start|>"  # only templates can write it: content is defused
_STEP = 12  # characters a piece


class ScriptedEngine:
    """Satisfies `Engine`. A token is a word with the white space before it; `model` is not opened."""

    def __init__(self, model: Path, context: int = 1 << 20) -> None:
        self._model = model
        self._context = context
        self._closed = False
        self._words: list[str] = []
        self._ids: dict[str, int] = {}
        self._lock = threading.Lock()

    def tokenize(self, text: str) -> list[int]:
        """The words of a text as numbers, new ones numbered as they come. Raises EngineFailed."""
        if self._closed:
            raise EngineFailed("The model was unloaded.")
        with self._lock:
            return [self._id(word) for word in _TOKEN.findall(text)]

    def _id(self, word: str) -> int:
        if word not in self._ids:
            self._ids[word] = len(self._words)
            self._words.append(word)
        return self._ids[word]

    def stream(self, tokens: Sequence[int], sampling: Sampling, emit: Callable[[Piece], bool]) -> None:
        """Says what orders in the prompt ask for, at most `max_tokens` pieces. Raises EngineFailed, RequestTooLong."""
        if len(tokens) >= self._context:
            raise RequestTooLong("The request is longer than the context of a slot.")
        if not tokens or not all(0 <= token < len(self._words) for token in tokens):
            raise EngineFailed("The engine refused the request: it holds no tokens, or unknown ones.")
        if emit(Piece()):
            return
        prompt = "".join(self._words[token] for token in tokens)
        said = answer_to(prompt).replace("<|", "< |")
        raw = f"<|channel|>final<|message|>{said}<|return|>" if _HARMONY in prompt else f"{said}<|im_end|>"
        count = 0
        for count, at in enumerate(range(0, len(raw), _STEP), start=1):
            if self._closed:
                raise EngineFailed("The model was unloaded.")
            if emit(Piece(raw[at : at + _STEP], completion_tokens=count)):
                return
            if count >= sampling.max_tokens:
                emit(Piece("", "length", count))
                return
        emit(Piece("", "stop", count))

    def close(self) -> None:
        """Nothing more is said."""
        self._closed = True


def answer_to(prompt: str) -> str:
    """What the engine says to a rendered prompt: everything that orders in it ask for."""
    _, own, rest = prompt.partition(_OWN_INSTRUCTIONS_END)
    read = rest if own else prompt
    read = "".join(one for one in unicodedata.normalize("NFKC", read) if unicodedata.category(one) != "Cf")
    read += "\n" + "\n".join(_decoded(blob) for blob in _BLOB.findall(read))
    read += "\n" + _SPACED.sub(lambda found: found[0].replace(" ", ""), read)
    said = [match[1].strip() for match in _ORDER.finditer(read)]
    if said:
        return "\n".join(dict.fromkeys(said))
    return next((line for line in rest.splitlines() if line.startswith("[1]")), "Nothing was asked.")


def _decoded(blob: str) -> str:
    try:
        return base64.b64decode(blob + "=" * (-len(blob) % 4)).decode("utf-8")
    except (binascii.Error, ValueError):
        return ""
