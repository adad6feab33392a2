"""A prompt is counted, then answered: it is split into tokens once, and not kept for longer."""

import pytest

import inference
from inference import Effort, LoadedModel, Message
from inference._runtime import current
from inference._vocabulary import _COUNTED, Vocabulary


def test_a_counted_prompt_is_split_once(engine: LoadedModel, monkeypatch: pytest.MonkeyPatch) -> None:
    split = []
    real = Vocabulary._split
    monkeypatch.setattr(Vocabulary, "_split", lambda self, raw: split.append(raw) or real(self, raw))
    messages = (Message("user", "What are the steps of a safety plan?"),)
    count = inference.count_tokens(messages, Effort.LOW)
    tokens = inference.prompt_tokens(inference.GenerationRequest(messages))
    assert len(tokens) == count
    assert len(split) == 1
    assert inference.prompt_tokens(inference.GenerationRequest(messages)) == tokens
    assert len(split) == 2, "the second time it was forgotten"


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
