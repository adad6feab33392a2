"""The same passages answer many questions: what was found out about them is not found out again."""

from collections import Counter
from collections.abc import Sequence

import numpy as np
import pytest

from guardrails import OutputScreen, SourcePassage, resting_places, sentence_encoder

PASSAGE = "Write the warning signs down with the person. Keep the number of the ward at hand after discharge."
SAID = ("The warning signs are written down with the person [1].", "Keep the number of the ward at hand [1].")


def test_sentences_of_passages_are_encoded_once_for_many_answers_and_those_of_answers_each_time() -> None:
    read: Counter[str] = Counter()

    def embed(texts: Sequence[str]) -> np.ndarray:
        read.update(texts)
        return np.ones((len(texts), 4), np.float32) / 2

    for said in SAID * 2:
        screen = OutputScreen([SourcePassage(1, PASSAGE)], language="en", embed=embed)
        screen.prepare()
        screen.feed(said)
        screen.finish()
    resting_places(["Keep the number at hand."], PASSAGE, embed=embed)
    first, second = PASSAGE.split(". ")
    assert [read[text] for text in (first + ".", second)] == [1, 1]
    assert max(count for text, count in read.items() if text.startswith("The warning signs are")) == 2


def test_an_encoder_that_fails_is_not_remembered_as_one_that_works(caplog: pytest.LogCaptureFixture) -> None:
    broken = True

    def embed(texts: Sequence[str]) -> np.ndarray:
        if broken:
            raise OSError("gone")
        return np.ones((len(texts), 4), np.float32) / 2

    def supported() -> float | None:
        screen = OutputScreen([SourcePassage(1, PASSAGE + " Once.")], language="en", embed=embed)
        screen.feed("Signs of alarm are noted together [1].")
        return screen.finish().groundedness

    assert supported() == 0.0
    assert "the encoder failed: OSError" in caplog.text
    broken = False
    assert supported() == 1.0


def test_the_packaged_encoder_is_one_for_all() -> None:
    assert sentence_encoder() is sentence_encoder() is not None
