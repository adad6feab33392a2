"""Several people at one engine: beginnings are read once, long prompts leave room for short ones, nobody's words reach
anybody else."""

import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

import inference
from inference import EngineFailed, EngineSettings, GenerationRequest, LoadedModel, Message, _runtime
from inference._engine import Engine, Piece, Sampling
from inference._slots import Slots

TINY = Path(__file__).parents[1] / "models" / "tiny-gpt-oss.gguf"
SYSTEM = "You help clinical staff. Answer only from the passages and cite them. " * 12
PASSAGES = "\n\nGuideline passages:\n[1] (Safety planning, p. 3) The plan lists warning signs of a crisis."
SECRET = "Mrs Delacroix in room 14 hears voices since Tuesday"


@pytest.fixture(scope="module")
def engine() -> Iterator[LoadedModel]:
    inference.unload()
    yield inference.load(EngineSettings(model=TINY, slots=2, context=8192, threads=1))
    inference.unload()


def asked(question: str, passages: str = PASSAGES) -> GenerationRequest:
    return GenerationRequest(
        (Message("system", SYSTEM + passages), Message("user", question)), max_tokens=60, temperature=0.0
    )


def answered(request: GenerationRequest) -> tuple[str, int]:
    """The text, with what the model thought, and the tokens that did not have to be read."""
    deltas = list(inference.generate(request))
    assert deltas[-1].usage
    return "".join(one.text for one in deltas) + deltas[-1].thoughts, deltas[-1].usage.cached_tokens


def test_what_all_questions_begin_with_is_read_once(engine: LoadedModel) -> None:
    common = len(_runtime.current().engine.tokenize(SYSTEM))
    questions = (asked(f"Other words each time: {n}?", f"\n\nGuideline passages:\n[{n}] Something.") for n in range(8))
    anew = sum(answered(one)[1] < common for one in questions)
    assert anew <= engine.slots, "instructions were read again by a slot that had read them"


def test_a_talk_that_goes_on_finds_its_slot(engine: LoadedModel) -> None:
    begun = asked("What belongs into a safety plan? " * 20)
    answered(begun)
    answered(asked("Somebody else asks something else in between."))
    longer = GenerationRequest(
        (*begun.messages, Message("assistant", "Warning signs [1]."), Message("user", "And then?")), max_tokens=20
    )
    prompt = len(_runtime.current().engine.tokenize(SYSTEM + begun.messages[1].content))
    assert answered(longer)[1] > prompt * 0.9


def test_what_was_read_for_others_changes_no_answer(engine: LoadedModel) -> None:
    """Each answer is the one that an engine gives that never saw anybody else."""
    inference.unload()
    alone = []
    for question in ("What are the warning signs?", f"{SECRET}: what now?", "What did the one before me ask?"):
        inference.load(engine.settings)
        alone.append(answered(asked(question))[0])
        inference.unload()
    inference.load(engine.settings)
    for _ in range(2):
        for question, expected in zip(
            ("What are the warning signs?", f"{SECRET}: what now?", "What did the one before me ask?"),
            alone,
            strict=True,
        ):
            said, _ = answered(asked(question))
            assert said == expected
            assert "Delacroix" not in said or SECRET in question


@pytest.mark.parametrize(("before", "length"), [(1, 6000), (2, 1500)])
def test_a_short_question_does_not_wait_for_a_long_prompt(engine: LoadedModel, before: int, length: int) -> None:
    """A long prompt is being read, in whichever slot; the short answer ends before the long one has begun."""
    real, happened, reading = _runtime.current().engine, [], threading.Event()
    for number in range(before):  # so that the long one comes into another slot each time
        ask(real, [500 + number] * 40, [])
    long = [(number * 7 + before) % 5000 + 10 for number in range(length)]

    def note(piece: Piece) -> bool:
        happened.append("long text" if piece.text else "long reading")
        if len(happened) > 5:
            reading.set()
        return False

    thread = threading.Thread(target=real.stream, args=(long, Sampling(5, 0.0, None), note))
    thread.start()
    assert reading.wait(30)
    ask(real, list(range(100, 160)), happened)
    thread.join()
    assert happened.index("short end") < happened.index("long text")
    assert happened[happened.index("short end") :].count("long reading") > 5, "the long prompt was nearly read"


def ask(engine: Engine, tokens: list[int], happened: list[str]) -> None:
    engine.stream(tokens, Sampling(10, 0.0, None), lambda piece: happened.append("short") or False)
    happened.append("short end")


def test_two_long_prompts_are_read_in_turns(engine: LoadedModel) -> None:
    real, happened = _runtime.current().engine, []

    def read(name: str, first: int) -> None:
        tokens = [(number * first) % 5000 + 10 for number in range(1200)]
        real.stream(tokens, Sampling(2, 0.0, None), lambda piece: happened.append(name) or False)

    threads = [threading.Thread(target=read, args=one) for one in (("a", 3), ("b", 11))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    begun = min(happened.index("a"), happened.index("b")), max(happened.index("a"), happened.index("b"))
    assert begun[1] < len(happened) / 2, "one prompt was read to its end first"


def test_slots_are_given_in_the_order_of_asking() -> None:
    slots, got = Slots(1), []
    held = slots.take([1], lambda: False)
    assert held == (0, 0)
    threads = []
    for number in range(5):
        waits = threading.Event()

        def wait(number: int = number, waits: threading.Event = waits) -> None:
            taken = slots.take([number], lambda: waits.set() or False)  # type: ignore[func-returns-value]
            assert taken
            got.append(number)
            slots.give_back(taken[0], [number])

        threads.append(threading.Thread(target=wait))
        threads[-1].start()
        assert waits.wait(5)
    slots.give_back(0, [1])
    for thread in threads:
        thread.join(5)
    assert got == [0, 1, 2, 3, 4]


@pytest.mark.parametrize(
    ("prompt", "slot", "known"),
    [
        ([1, 2, 3, 4, 9], 1, 4),  # all that was read there
        ([1, 2, 9, 9, 9], 0, 1),  # too little in common with any: the one that nobody used for longest
        ([7, 8], 2, 2),  # all of it
        ([5], 0, 0),
    ],
)
def test_which_slot_a_prompt_gets(prompt: list[int], slot: int, known: int) -> None:
    slots = Slots(3)
    for read in ([1, 5, 5, 5], [1, 2, 3, 4], [7, 8]):
        taken = slots.take([99], lambda: False)
        assert taken
        slots.give_back(taken[0], read)
    assert [slots._held[number][0] for number in range(3)] == [1, 1, 7]
    assert slots.take(prompt, lambda: False) == (slot, known)


def test_who_waits_for_a_slot_is_told_when_the_engine_closes() -> None:
    slots = Slots(1)
    slots.take([1], lambda: False)
    threading.Timer(0.1, slots.close).start()
    with pytest.raises(EngineFailed):
        slots.take([2], lambda: False)
