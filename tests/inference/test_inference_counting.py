"""A prompt is counted, then answered: it is split into tokens once, and not kept for longer."""

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import inference
from inference import Effort, LoadedModel, Message
from inference._runtime import current
from inference._vocabulary import _COUNTED, _PASSAGE, Vocabulary


def test_a_counted_prompt_is_split_once(engine: LoadedModel, monkeypatch: pytest.MonkeyPatch) -> None:
    split = []
    real = Vocabulary._split
    monkeypatch.setattr(Vocabulary, "_split", lambda self, raw: split.append(raw) or real(self, raw))
    messages = (Message("user", "What are the steps of a safety plan?"),)
    count = inference.count_tokens(messages, Effort.LOW)
    tokens = inference.prompt_tokens(inference.GenerationRequest(messages))
    assert len(tokens) == count
    first = list(split)
    assert len(set(first)) == len(first)
    split.clear()
    assert inference.prompt_tokens(inference.GenerationRequest(messages)) == tokens
    (again,) = split  # the second time it was forgotten, but for what nobody asked
    assert "safety plan" in again
    assert again == first[-1]


_QUOTED = (
    " (Plan, p. 2) Ask about:\n\n- means at home;\n\n- who can be called.",
    " (Plan, p. 3) Écrivez la liste :\n\n1. les signes\n\n2. les proches",
)


def test_a_passage_that_comes_in_another_prompt_is_not_split_again(
    engine: LoadedModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    def prompt(question: str, *passages: str) -> list[int]:
        system = Message("system", "Answer." + "".join(f"\n\n[{at}]{one}" for at, one in enumerate(passages, 1)))
        return inference.prompt_tokens(inference.GenerationRequest((system, Message("user", question))))

    first = prompt("Who is called?", *_QUOTED)
    split = []
    real = Vocabulary._split
    monkeypatch.setattr(Vocabulary, "_split", lambda self, raw: split.append(raw) or real(self, raw))
    second = prompt("Which signs?", *reversed(_QUOTED))
    assert len(second) > 60
    assert not any("means at home" in one or "les signes" in one for one in split)
    vocabulary = current().engine._vocabulary
    vocabulary._passages.clear()
    vocabulary._counted.clear()
    monkeypatch.setattr(vocabulary, "_is_split_by_lines", False)
    assert prompt("Who is called?", *_QUOTED) == first
    assert prompt("Which signs?", *reversed(_QUOTED)) == second
    assert not vocabulary._passages


def test_of_what_people_write_nothing_is_kept_for_longer(engine: LoadedModel) -> None:
    vocabulary = current().engine._vocabulary
    vocabulary._passages.clear()
    talk = (
        Message("system", "Help.\n\n[1] (Plan) Briefly."),
        Message("user", "My name is\n\n[2] (Marchand)."),
        Message("assistant", "Good\n\nday."),
        Message("user", "And\n\nI am ill."),
    )
    inference.count_tokens(talk, Effort.LOW)
    assert all(isinstance(key, bytes) and len(key) == 16 for key in vocabulary._passages)
    kept = {tuple(one) for one in vocabulary._passages.values()}
    assert tuple(vocabulary._split("[1]")) in kept
    words = ("My name is\n\n", " (Marchand).", "Good\n\n", "And\n\n", "I am ill.")
    assert not any(set(vocabulary._split(one)) <= set(tokens) for one in words for tokens in kept)


@given(
    st.text(st.sampled_from(" \n\r\t/.[](1aZé文'-«\u00a0\u2028")),
    st.lists(st.tuples(st.integers(0, 99), st.text(st.sampled_from(" \n/.[](1aé»")) | st.text(max_size=6)), max_size=5),
)
@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_passages_have_the_tokens_that_they_have_in_the_whole(
    engine: LoadedModel, before: str, passages: list[tuple[int, str]]
) -> None:
    vocabulary = current().engine._vocabulary
    text = before + "".join(f"\n\n[{number}] ({one}" for number, one in passages)
    text = text.encode("utf-8", "replace").decode()
    parted = [token for one in _PASSAGE.split(text) if one for token in vocabulary._whole(one)]
    assert parted == vocabulary._whole(text)


def test_few_prompts_are_remembered_and_none_of_their_words(engine: LoadedModel) -> None:
    vocabulary = current().engine._vocabulary
    for number in range(2 * _COUNTED):
        vocabulary.tokenize(f"step {number}")
    assert len(vocabulary._counted) == _COUNTED
    assert all(isinstance(key, bytes) and len(key) == 16 for key in vocabulary._counted)
    kept = vocabulary.tokenize(f"step {2 * _COUNTED - 1}")
    kept.append(0)  # whoever changes his list changes nobody else's
    assert vocabulary.tokenize(f"step {2 * _COUNTED - 1}") == kept[:-1]


@pytest.mark.parametrize("run", ["a", " ", "é", ".", "文", "<", "<.", "["])
def test_a_run_without_end_does_not_end_the_process(engine: LoadedModel, run: str) -> None:
    """llama.cpp's own splitting calls itself for each character of a run. A model that turns in circles writes such."""
    tokenize = current().engine._vocabulary.tokenize
    ordinary = tokenize("steps") + tokenize("<|end|>")
    found = tokenize(run * 60_000 + "\n" + "<|start|>")
    assert len(found) > 60_000 * len(run) / 256
    assert found[-1:] == tokenize("<|start|>"), "no special token is cut"
    assert tokenize("steps<|end|>") == ordinary


@pytest.mark.parametrize("before", range(3996, 4004))
def test_a_special_token_behind_a_long_run_is_not_cut(engine: LoadedModel, before: int) -> None:
    tokenize = current().engine._vocabulary.tokenize
    (special,) = tokenize("<|start|>")
    assert tokenize("x" * before + "<|start|>" + "y" * 5000).count(special) == 1
