"""The trained readers: how likely a message is each of the categories, given what the person wrote before; whether a
sentence of an answer does harm or one of a document instructs the model; and whether a passage says a sentence.

Each is a small change (a low-rank adapter) to the sentence encoder and one linear layer, trained on texts written for
the purpose (`guardrails/training`). The first reads a message with up to six earlier ones; a long message in windows
that overlap. They decide nothing: `_weighing` and `_grounding` put them together with the rules.
"""

import re
import threading
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, Final

import numpy as np

from guardrails._dialogue import as_earlier
from guardrails._encoder import BEGIN, END, PREFIX, Encoder, Floats
from guardrails._errors import RuleError
from guardrails._normalise import visible
from guardrails._remembered import Remembered
from guardrails._text import word_count

MESSAGES: Final = Path(__file__).parent / "data" / "classifier"
SENTENCES: Final = Path(__file__).parent / "data" / "sentences"
PAIRS: Final = Path(__file__).parent / "data" / "pairs"
EARLIER_TEXTS: Final = 6
EARLIER_TOKENS: Final = 96
PASSAGE_TOKENS: Final = 256  # of the passage that a sentence is held against, in place of earlier messages
LEAST_WORDS: Final = 3  # of a sentence of which the reader of sentences can say something
_WHOLE: Final = 160  # a message of up to so many word pieces is read at once
_WINDOW: Final = 96  # a longer one in pieces of the length that people write
_STEP: Final = 64
_ENDING: Final = 32
_MOST_WINDOWS: Final = 128  # a message of 32 KiB of prose has about as many; of longer ones the ends are read
_PIECE_OF_TEXT: Final = re.compile(r"[^.!?;\n]+[.!?;]*")


@dataclass(frozen=True, slots=True)
class Opinion:
    """`likely` maps categories ("distress" among them) to probabilities that add up to 1; `words` is the part of the
    message that spoke most for the likeliest; `long` whether it was read in windows: the most alarming counts."""

    likely: Mapping[str, float]
    words: str
    long: bool = False


class Classifier:
    """Reads messages; safe to use from several threads. `thresholds` says from which probability a category counts."""

    def __init__(self, folder: Path) -> None:
        """Raises OSError, KeyError or ValueError where a file is missing or broken."""
        card = tomllib.loads((folder / "classifier.toml").read_text(encoding="utf-8"))
        self.labels: tuple[str, ...] = tuple(card["labels"])
        self.thresholds: Mapping[str, float] = card["thresholds"]
        self._temperature = float(card["temperature"])
        self._quiet = [self.labels.index(label) for label in card["quiet"]]
        with np.load(folder / "adapter.npz", allow_pickle=False) as weights:
            arrays: dict[str, Any] = {name: weights[name] for name in weights.files}
        self._head: Floats = arrays.pop("head.w").astype(np.float32)
        self._bias: Floats = arrays.pop("head.b").astype(np.float32)
        if self._head.shape[0] != len(self.labels):
            raise ValueError(f"{folder}: the layer and the list of categories do not fit each other.")
        self._encoder = Encoder(adapter=arrays)

    def read(self, text: str, history: Sequence[str] = ()) -> Opinion:
        """The opinion on a message, `history` being the same person's earlier ones, oldest first."""
        readable = visible(text)
        ids, places = self._encoder.pieces(PREFIX + readable)
        earlier = self._earlier(history)
        best: tuple[float, Floats, Floats, int] | None = None
        for start, window in _windows(ids):
            likely, weights = self._read(window, earlier)
            alarm = 1.0 - float(likely[self._quiet].sum())
            if best is None or alarm > best[0]:
                best = (alarm, likely, weights, start)
        assert best is not None
        _, likely, weights, start = best
        return Opinion(
            likely={label: float(share) for label, share in zip(self.labels, likely, strict=True)},
            words=_weightiest(readable, places[start : start + len(weights)], weights),
            long=len(ids) > _WHOLE,
        )

    def compare(self, sentence: str, passage: str) -> Mapping[str, float]:
        """The probabilities of what a passage says of a sentence; the beginnings of both where they are long."""
        said, _ = self._encoder.pieces(PREFIX + visible(sentence))
        given, _ = self._encoder.pieces(visible(passage))
        likely, _ = self._read(said[:_WHOLE], given[:PASSAGE_TOKENS])
        return {label: float(share) for label, share in zip(self.labels, likely, strict=True)}

    def _earlier(self, history: Sequence[str]) -> list[int]:
        if not history:
            return []
        return self._encoder.pieces(earlier_text(history))[0][-EARLIER_TOKENS:]

    def _read(self, window: Sequence[int], earlier: Sequence[int]) -> tuple[Floats, Floats]:
        """Probabilities, and how much each word piece of the window speaks for the likeliest category."""
        pieces = [BEGIN, *window, END, *([END, *earlier, END] if earlier else [])]
        hidden = self._encoder.hidden(pieces)
        own = hidden[1 : 1 + len(window)]
        features = np.concatenate([hidden[0], own.mean(axis=0), own.max(axis=0)])
        logits = (self._head @ features + self._bias) / self._temperature
        likely = np.exp(logits - logits.max())
        likely /= likely.sum()
        if not np.isfinite(likely).all():
            raise ValueError("The classifier gave no number: its weights are broken.")  # no comparison with it is true
        width = hidden.shape[1]
        direction = self._head[int(likely.argmax()), width : 2 * width] - self._head[:, width : 2 * width].mean(axis=0)
        return likely.astype(np.float32), own @ direction


_loading = threading.Lock()
_sentences_read: Remembered[Mapping[str, float]] = Remembered(4096)
_pairs_read: Remembered[float] = Remembered(4096)


@cache
def _loaded(folder: Path) -> Classifier:
    return Classifier(folder)


def classifier(folder: Path = MESSAGES) -> Classifier:
    """The shipped reader of messages (or of `SENTENCES`, `PAIRS`), loaded once a process; a failure is not remembered.

    Raises RuleError where its files are missing or broken.
    """
    with _loading:  # whoever comes while it is being loaded waits, and does not load it a second time
        try:
            return _loaded(folder)
        except (OSError, KeyError, ValueError, TypeError) as error:
            raise RuleError(f"The classifier in {folder} cannot be loaded: {error!r}") from error


def sentence_likely(sentence: str) -> Mapping[str, float]:
    """How likely a sentence of an answer or of a document is each of the kinds that `sentence_is` asks for; read once.
    Raises RuleError where it cannot be told."""
    return _sentences_read.of(sentence, read=lambda text: classifier(SENTENCES).read(text).likely)


def sentence_is(label: str, sentence: str) -> bool:
    """Whether a sentence of an answer is a "harmful_answer" (hints at means, encourages, minimises), or one of a
    document a "planted_instruction" to the model; never of fewer words than can be judged. Raises RuleError where it
    cannot be told."""
    if word_count(sentence) < LEAST_WORDS:
        return False
    return sentence_likely(sentence)[label] >= classifier(SENTENCES).thresholds[label]


def passage_says(sentence: str, passage: str) -> float:
    """How likely it is that a passage says a sentence, and neither denies it nor says nothing of the kind; read once.
    Raises RuleError where it cannot be told."""
    return _pairs_read.of(sentence, passage, read=lambda said, held: classifier(PAIRS).compare(said, held)["said"])


def _windows(ids: Sequence[int]) -> Iterator[tuple[int, Sequence[int]]]:
    """Start and word pieces of each window of a message."""
    if len(ids) <= _WHOLE:
        yield 0, ids
        return
    starts = list(range(0, len(ids) - _WINDOW + _STEP, _STEP))
    if len(starts) > _MOST_WINDOWS:
        starts = starts[: _MOST_WINDOWS // 2] + starts[-_MOST_WINDOWS // 2 :]
    for start in starts:
        yield start, ids[start : start + _WINDOW]
    yield len(ids) - _ENDING, ids[-_ENDING:]  # where people say what they had not meant to say


def earlier_text(history: Sequence[str]) -> str:
    """The earlier messages of a person, oldest first, as the reader of messages and its training see them."""
    return " / ".join(as_earlier(text) for text in history[-EARLIER_TEXTS:])


def _weightiest(text: str, places: Sequence[tuple[int, int]], weights: Floats) -> str:
    """The sentence of a text whose word pieces weigh most on average."""
    offset = len(PREFIX)
    best, words = -np.inf, text
    for match in _PIECE_OF_TEXT.finditer(text):
        inside = [
            weight
            for (begin, end), weight in zip(places, weights, strict=True)
            if match.start() < end - offset and begin - offset < match.end()
        ]
        if len(inside) > 2 and (mean := float(np.mean(inside))) > best:
            best, words = mean, match[0].strip()
    return words[:300]
