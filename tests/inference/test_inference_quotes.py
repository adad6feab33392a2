"""An answer bounded to quotations: even a model of noise can then say nothing else."""

from collections.abc import Iterator
from pathlib import Path

import pytest

import inference
from inference import Effort, EngineSettings, FinishReason, GenerationRequest, LoadedModel, Message, _runtime
from inference._grammar import quotation_grammar
from tests.inference.chatml_noise import write_chatml_noise

QUOTES = (
    "The plan is written with the person [1].",
    'Ask "how are you?" and wait \\ listen [1].',
    "Le plan est revu à chaque visite – toujours [2].",
    "Two lines\nin one passage [3].",
)


@pytest.fixture(scope="module")
def noise(tmp_path_factory: pytest.TempPathFactory, tiny_file: Path) -> Iterator[LoadedModel]:
    path = write_chatml_noise(tiny_file, tmp_path_factory.mktemp("noise") / "noise.gguf")
    inference.unload()
    yield inference.load(EngineSettings(model=path, slots=2, context=4096, threads=1))
    inference.unload()


def _ask(seed: int, quotes: tuple[str, ...]) -> tuple[str, FinishReason | None]:
    request = GenerationRequest(
        (Message("system", "Quote."), Message("user", "How?")),
        max_tokens=200,
        temperature=1.5,
        seed=seed,
        quotes=quotes,
    )
    deltas = list(inference.generate(request))
    return "".join(one.text for one in deltas), deltas[-1].finish


@pytest.mark.parametrize("seed", range(6))
def test_only_whole_quotes_come_in_their_order(noise: LoadedModel, seed: int) -> None:
    text, finish = _ask(seed, QUOTES)
    assert finish is FinishReason.STOP
    assert text.startswith(QUOTES[0])
    rest, said = text, 0
    for quote in QUOTES:
        if rest.startswith(quote):
            rest, said = rest.removeprefix(quote).removeprefix(" "), said + 1
    assert rest == "" and said >= 1, text


def test_without_quotes_the_same_model_says_noise(noise: LoadedModel) -> None:
    text, _ = _ask(1, ())
    assert not any(quote in text for quote in QUOTES) and "<|" not in text


def test_the_family_and_its_context_are_the_files(noise: LoadedModel) -> None:
    assert noise.family == "chatml" and noise.architecture == "llama"
    assert noise.context == 2048, "never more than the model was made for"
    prompt = _runtime.current().family.render((Message("system", "S"), Message("user", "U")), Effort.HIGH)
    assert prompt == "<|im_start|>system\nS<|im_end|>\n<|im_start|>user\nU<|im_end|>\n<|im_start|>assistant\n"


def test_a_grammar_needs_something_to_quote() -> None:
    with pytest.raises(ValueError, match="at least one"):
        quotation_grammar([])
