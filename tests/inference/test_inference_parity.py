"""One set of promises, kept by every engine: each test runs on llama.cpp with the tiny gpt-oss and with the tiny Llama,
on ctransformers with the tiny Llama, and on the scripted one."""

import threading
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from inference import EngineFailed, EngineSettings, ModelRejected, RequestTooLong
from inference._engine import Engine, Piece, Sampling
from inference._gguf import read_header
from inference._hardware import Hardware
from inference._planning import plan
from inference._runtime import _engine
from inference._templates import family_of
from inference._types import Effort, Message

MODELS = Path(__file__).parents[1] / "models"
MACHINE = Hardware(cores=2, memory_total=1 << 34, memory_free=1 << 33, gpus=())
CONTEXT = 2048


@dataclass(frozen=True)
class Case:
    """An engine, a model file, a prompt that it answers and one that makes it go on and on."""

    engine: str
    model: Path
    question: str
    endless: str


def _asked(question: str) -> str:
    header = read_header(MODELS / "tiny-gpt-oss.gguf")
    system = (
        "Answer from the passages.\n\nGuideline passages:\n[1] (Handbook, p. 1) The plan is reviewed at each visit."
    )
    return family_of(header, "tiny").render((Message("system", system), Message("user", question)), Effort.LOW)


OSS, LLAMA = MODELS / "tiny-gpt-oss.gguf", MODELS / "tiny-llama.gguf"
CASES = {
    "xllamacpp, gpt-oss": Case("xllamacpp", OSS, _asked("What is reviewed?"), _asked("Sleep? never stop please")),
    "xllamacpp, llama": Case("xllamacpp", LLAMA, "<s>Hello", "<s>forever"),
    "ctransformers": Case("ctransformers", LLAMA, "<s>Hello", "<s>forever"),
    "scripted": Case(
        "scripted", OSS, "What is it?", "\n".join(f"say {number} {'and again ' * 20}" for number in range(30))
    ),
}


def _load(case: Case, slots: int = 0) -> Engine:
    header = read_header(case.model)
    wanted = EngineSettings(case.model, case.engine, slots=slots, context=CONTEXT, threads=1)  # type: ignore[arg-type]
    return _engine(case.model, header, plan(wanted, header, MACHINE))


@pytest.fixture(scope="module", params=list(CASES))
def case(request: pytest.FixtureRequest) -> Case:
    return CASES[request.param]


@pytest.fixture(scope="module")
def engine(case: Case) -> Iterator[Engine]:
    loaded = _load(case)
    yield loaded
    loaded.close()


def said(engine: Engine, prompt: str, **options: object) -> list[Piece]:
    sampling = Sampling(**{"max_tokens": 400, "temperature": 0.0, "seed": None, **options})  # type: ignore[arg-type]
    pieces: list[Piece] = []
    engine.stream(engine.tokenize(prompt), sampling, lambda piece: pieces.append(piece) or False)
    return pieces


def text(pieces: list[Piece]) -> str:
    return "".join(piece.text for piece in pieces)


def test_a_stream_ends_once_and_the_last_piece_says_why(engine: Engine, case: Case) -> None:
    pieces = said(engine, case.question)
    assert [piece.finish for piece in pieces if piece.finish] == ["stop"]
    assert pieces[-1].finish and pieces[-1].completion_tokens > 0
    assert len(text(pieces)) > 10 and "\ufffd" not in text(pieces)


@pytest.mark.parametrize("after", [0, 1, 5])
def test_a_caller_who_leaves_is_not_called_again(engine: Engine, case: Case, after: int) -> None:
    calls = 0

    def emit(piece: Piece) -> bool:
        nonlocal calls
        calls += 1
        return calls > after

    engine.stream(engine.tokenize(case.endless), Sampling(1000, 0.0, None), emit)
    assert calls == after + 1


@pytest.mark.parametrize("most", [1, 7])
def test_no_more_than_max_tokens(engine: Engine, case: Case, most: int) -> None:
    pieces = said(engine, case.endless, max_tokens=most)
    assert pieces[-1].finish == "length" and pieces[-1].completion_tokens == most
    assert 0 < sum(bool(piece.text) for piece in pieces) <= most


def test_the_same_seed_says_the_same(engine: Engine, case: Case) -> None:
    said(engine, case.question)  # the prompt is known from here on: the rounding is the same each time
    drawn = [
        text(said(engine, case.question, temperature=1.0, seed=seed, max_tokens=60))
        for seed in (11, 11, 12, 13, 14, 15, 16)
    ]
    assert drawn[0] == drawn[1]
    assert case.engine == "scripted" or len(set(drawn)) > 1


def test_several_ask_at_once_and_each_is_answered(engine: Engine, case: Case) -> None:
    answers: list[list[Piece]] = []
    threads = [threading.Thread(target=lambda: answers.append(said(engine, case.question))) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [[piece.finish for piece in pieces if piece.finish] for pieces in answers] == [["stop"]] * 4
    assert all(text(pieces) for pieces in answers)


def test_who_waits_for_a_slot_may_leave(case: Case) -> None:
    engine, running = _load(case, slots=1), threading.Event()
    over, heard = threading.Event(), []
    try:

        def first(piece: Piece) -> bool:
            if piece.text:
                running.set()
                over.wait(5)
            return over.is_set()

        tokens = engine.tokenize(case.endless)
        thread = threading.Thread(target=engine.stream, args=(tokens, Sampling(1000, 0.0, None), first))
        thread.start()
        assert running.wait(5)
        engine.stream(engine.tokenize(case.question), Sampling(9, 0.0, None), lambda piece: heard.append(piece) or True)
        assert text(heard) == "" and len(heard) == 1
    finally:
        over.set()
        thread.join()
        engine.close()


@pytest.mark.parametrize("tokens", [[], [-1], [1, 1 << 30], [1 << 40]])
def test_a_bad_request_is_refused_and_does_no_harm(engine: Engine, case: Case, tokens: list[int]) -> None:
    with pytest.raises(EngineFailed):
        engine.stream(tokens, Sampling(5, 0.0, None), lambda piece: False)
    assert text(said(engine, case.question))


def test_a_request_longer_than_the_context_is_refused_before_anything_happens(engine: Engine, case: Case) -> None:
    tokens = (engine.tokenize("word and " * CONTEXT))[:CONTEXT]
    assert len(tokens) == CONTEXT
    with pytest.raises(RequestTooLong):
        engine.stream(tokens, Sampling(5, 0.0, None), lambda piece: pytest.fail("it began"))


def test_nothing_is_written_where_others_read(engine: Engine, case: Case, capfd: pytest.CaptureFixture[str]) -> None:
    said(engine, "PRIVATE " + case.question)
    with pytest.raises(EngineFailed):
        engine.stream([-1], Sampling(5, 0.0, None), lambda piece: False)
    captured = capfd.readouterr()
    assert captured.out + captured.err == ""


def test_a_closed_engine_says_so_also_in_mid_answer(case: Case) -> None:
    engine = _load(case)
    tokens, begun, outcome = engine.tokenize(case.endless), threading.Event(), []

    def read() -> None:
        try:
            engine.stream(tokens, Sampling(600, 0.0, None), lambda piece: begun.set() or False)
            outcome.append("ended")
        except EngineFailed:
            outcome.append("failed")

    thread = threading.Thread(target=read)
    thread.start()
    assert begun.wait(5)
    engine.close()
    thread.join(10)
    assert outcome in (["ended"], ["failed"])
    with pytest.raises(EngineFailed):
        engine.tokenize("Hello")
    with pytest.raises(EngineFailed):
        engine.stream(tokens, Sampling(5, 0.0, None), lambda piece: False)
    engine.close()


def test_a_grammar_bounds_the_answer_or_is_refused(engine: Engine, case: Case) -> None:
    if case.engine == "ctransformers":
        with pytest.raises(EngineFailed, match="xllamacpp can"):
            said(engine, case.question, grammar='root ::= "yes"')
    elif case.engine == "xllamacpp":
        assert text(said(engine, case.question, grammar='root ::= "yes"')).startswith("yes")
        with pytest.raises(EngineFailed):
            said(engine, case.question, grammar="root ::= (((")


@pytest.fixture(scope="module")
def both() -> Iterator[tuple[Engine, Engine]]:
    engines = _load(CASES["xllamacpp, llama"]), _load(CASES["ctransformers"])
    yield engines
    for one in engines:
        one.close()


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(content=st.text(alphabet=st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=60))
def test_both_real_engines_split_text_alike(both: tuple[Engine, Engine], content: str) -> None:
    one, other = both
    assert one.tokenize(f"<s>{content}</s>") == other.tokenize(f"<s>{content}</s>")


def test_a_file_for_the_other_engine_is_refused_with_its_name() -> None:
    with pytest.raises(ModelRejected, match=r"cannot load tiny-gpt-oss\.gguf: .* xllamacpp can"):
        _load(Case("ctransformers", OSS, "", ""))
