"""The same passages answer many questions: what was found out about them is not found out again."""

import gc
import sys
from collections import Counter
from collections.abc import Sequence

import numpy as np
import pytest

from guardrails import OutputScreen, SourcePassage, _classifier, resting_places, sentence_encoder
from guardrails._classifier import passage_says, sentence_likely
from guardrails._remembered import Remembered

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


def test_where_a_citation_shows_to_is_found_without_encoding_the_answer_again() -> None:
    read: Counter[str] = Counter()

    def embed(texts: Sequence[str]) -> np.ndarray:
        read.update(texts)
        return np.ones((len(texts), 4), np.float32) / 2

    screen = OutputScreen([SourcePassage(1, PASSAGE)], language="en", embed=embed)
    screen.feed(" ".join(SAID))
    screen.finish()
    said = [one.replace(" [1]", "") for one in SAID]
    assert screen.resting_places(said, PASSAGE) == resting_places(said, PASSAGE, embed=embed)
    assert [read[one] for one in said] == [2, 2], "once by the screen, once by who does not know it"


@pytest.mark.parametrize(
    ("marks", "shown", "read"),
    [
        (" [2]", " [2]", [2]),  # what is cited will do: the others are not read
        (" [1][2]", " [2]", [1, 2]),
        (" [2][3]", " [2][3]", [2, 3]),
        (" [1]", " [3]", [1, 2, 3]),
        ("", " [3]", [1, 2, 3]),
    ],
)
def test_a_sentence_is_read_beside_the_passages_that_it_cites_and_beside_others_where_none_will_do(
    marks: str, shown: str, read: list[int]
) -> None:
    said = {1: "Beds are made.", 2: "Keep the number of the ward.", 3: "The number of the ward is kept."}
    likely = {said[1]: 0.0, said[2]: 0.7, said[3]: 0.9}
    beside: list[str] = []

    def compare(sentence: str, piece: str) -> float:
        beside.append(piece)
        return likely[piece]

    screen = OutputScreen(
        [SourcePassage(marker, text) for marker, text in said.items()],
        language="en",
        embed=lambda texts: np.ones((len(texts), 4), np.float32) / 2,
        compare=compare,
    )
    screen.feed(f"Always keep the number of the ward at hand{marks}. ")
    assert screen.finish().text.strip() == f"Always keep the number of the ward at hand{shown}."
    assert sorted(beside) == sorted(said[marker] for marker in read)


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


def test_readers_remember_what_they_read_and_none_of_its_words() -> None:
    said, held = "Mr Marchand keeps the number of the ward.", "Keep the number of the ward at hand after discharge."
    assert passage_says(said, held) == passage_says(said, held) != passage_says(held, said)
    assert sentence_likely(said) is sentence_likely(said)
    known = Remembered[int](3)
    counted: list[str] = []
    for text in ("one", "two", "one", "three", "four", "two"):
        assert known.of(text, text, read=lambda text, _: counted.append(text) or len(text)) == len(text)
    assert counted == ["one", "two", "three", "four", "two"], "the last three are remembered, whenever they came first"
    assert known.of("onet", "wo", read=lambda *_: 1) + known.of("one", "two", read=lambda *_: 2) == 3
    for kept in (known, _classifier._sentences_read, _classifier._pairs_read):
        assert all(isinstance(key, bytes) and len(key) == 16 for key in kept._found)
        assert len(kept._found) <= kept._most


def test_what_remembers_by_text_is_never_given_a_sentence_of_an_answer() -> None:
    said = "The number of the ward is kept at hand by Mr Marchandeau after his discharge [1]."
    screen = OutputScreen([SourcePassage(1, PASSAGE)], language="en", embed=sentence_encoder(), compare=passage_says)
    screen.feed(said)
    assert screen.finish().groundedness is not None
    modules = [module for name, module in list(sys.modules.items()) if name.startswith("guardrails.")]
    caches = [one for module in modules for one in vars(module).values() if hasattr(one, "cache_info")]
    texts = [text for one in caches for text in _texts(gc.get_referents(one))]
    assert any("Write the warning signs down" in text for text in texts), "those of passages are"
    assert [text for text in texts if "Mr Marchandeau" in text or "kept at hand" in text] == []


def _texts(held: Sequence[object]) -> list[str]:
    """The texts among arguments and results that a cache holds."""
    inside = [part for one in held if isinstance(one, (dict, tuple)) for part in one]
    return [one for one in [*held, *inside] if isinstance(one, str)]


def test_the_packaged_encoder_is_one_for_all() -> None:
    assert sentence_encoder() is sentence_encoder() is not None
