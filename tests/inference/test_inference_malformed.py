"""Models that do not keep to harmony: nothing of a marker and nothing of the reasoning is shown, no answer is lost, and
where there is none the model is made to give one."""

import itertools
import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import inference
from inference import Delta, Effort, FinishReason, GenerationRequest, MalformedOutput, Message
from inference._generating import reasoning_budget
from inference._harmony import HarmonyFilter, ThinkFilter
from tests.inference.replay import FINAL, TOKEN, malformed, replaying
from tests.inference.test_inference_harmony import shown

CORPUS = malformed()
QUESTION = (Message("system", "Answer from the passages."), Message("user", "What?"))
ids = [row["id"] for row in CORPUS]


def ask(**options: object) -> tuple[str, Delta]:
    """The whole text of an answer, and its last delta."""
    deltas = list(inference.generate(GenerationRequest(QUESTION, **options)))  # type: ignore[arg-type]
    assert [one.finish for one in deltas if one.finish] == [deltas[-1].finish]
    return "".join(one.text for one in deltas), deltas[-1]


# --- the corpus --------------------------------------------------------------------------------------------------


def test_the_corpus_is_what_it_says() -> None:
    assert len(CORPUS) >= 60 and len(set(ids)) == len(CORPUS)
    assert all("SECRET" not in row["shown"] and "<|" not in row["shown"] for row in CORPUS)
    assert sum("SECRET" in row["raw"] for row in CORPUS) > 50


@pytest.mark.parametrize("row", CORPUS, ids=ids)
def test_only_the_answer_is_shown_wherever_the_stream_is_cut(row: dict[str, str]) -> None:
    raw = row["raw"]
    assert shown(raw) == row["shown"]
    assert shown(raw, list(range(len(raw)))) == row["shown"]
    for cut in range(len(raw)):
        assert shown(raw, [cut]) == row["shown"], cut


@pytest.mark.parametrize("row", CORPUS, ids=ids)
def test_every_malformed_stream_ends_in_an_answer(row: dict[str, str]) -> None:
    """What was an answer stays it; without one, the model goes on behind its thoughts with the answer opened."""
    with replaying(row["raw"], "Recovered [1].<|return|>") as engine:
        text, last = ask()
    assert text == (row["shown"] or "Recovered [1].")
    assert last.finish is FinishReason.STOP and last.usage
    assert last.usage.opened == ("" if row["shown"] else "malformed")
    assert len(engine.prompts) == (1 if row["shown"] else 2)
    if not row["shown"]:
        assert engine.prompts[1].startswith(engine.prompts[0]) and engine.prompts[1].endswith(FINAL)
    assert last.usage.completion_tokens >= last.usage.reasoning_tokens


@pytest.mark.parametrize("row", [row for row in CORPUS if not row["shown"]], ids=lambda row: row["id"])
def test_a_model_that_fails_twice_is_one_typed_error_or_an_answer_without_text(row: dict[str, str]) -> None:
    with replaying(row["raw"]):
        try:
            text, last = ask(max_tokens=400)
        except MalformedOutput as error:
            assert "SECRET" not in str(error) and "<|" not in str(error)
        else:
            # behind an opened answer plain words are the answer: nothing says any more that they are not
            assert "<|" not in text and (text or last.finish is FinishReason.LENGTH)


# --- valid streams, cut and spliced ------------------------------------------------------------------------------


def stream(thoughts: list[int], answer: int, ends: tuple[str, str] = ("<|end|>", "<|return|>")) -> list[str]:
    """A well-formed stream as tokens: messages of so many words of reasoning, then the answer."""
    tokens: list[str] = []
    for number, words in enumerate(thoughts):
        tokens += ["<|start|>", "assistant"] if number else []
        channel = "analysis" if number % 2 == 0 else "commentary"
        tokens += ["<|channel|>", channel, "<|message|>", *[" HIDDEN"] * words, ends[0]]
    tokens += ["<|start|>", "assistant"] if thoughts else []
    return [*tokens, "<|channel|>", "final", "<|message|>", *[" shown"] * answer, ends[1]]


def final_words(tokens: list[str]) -> int:
    return tokens.count(" shown")


def check_splice(first: list[str], i: int, second: list[str], j: int, text: str) -> None:
    """What a person may see of first[:i] + second[j:]. Words of the answer are told apart from those of reasoning."""
    before, after = first[:i], second[j:]
    assert "<|" not in text and "|>" not in text
    # Only where the cut is inside an answer and what follows it has lost its own header, the first words of it stand in
    # that answer: nothing in the stream tells any more that they were reasoning.
    opened = "final" in before and before[-1] in {"final", "<|message|>", " shown"}
    behind = after[1:] if after[:1] == ["<|message|>"] else after
    words = list(itertools.takewhile(lambda token: token in {" HIDDEN", " shown"}, behind)) if opened else []
    assert text.count("HIDDEN") == words.count(" HIDDEN")
    # What stood in the answer before the cut is shown, and so is all that follows it there.
    assert text.count("shown") >= final_words(before) + words.count(" shown")
    # An answer with its own whole header is shown too, unless the first had come to its end.
    header = ["<|start|>", "assistant", "<|channel|>", "final", "<|message|>"]
    whole = any(after[at : at + 5] == header for at in range(len(after)))
    said = final_words(before) or words
    ended = before[-1:] == ["<|return|>"] or (opened and behind[len(words) :][:1] in (["<|end|>"], ["<|return|>"]))
    if whole and not (said and ended):
        assert text.count("shown") == final_words(before) + final_words(after)


streams = st.builds(stream, st.lists(st.integers(0, 4), max_size=3), st.integers(0, 5))


@given(streams, streams, st.integers(0, 60), st.integers(0, 60))
def test_valid_streams_cut_and_spliced_anywhere(first: list[str], second: list[str], i: int, j: int) -> None:
    i, j = i % (len(first) + 1), j % (len(second) + 1)
    reader = HarmonyFilter()
    text = ""
    for token in [*first[:i], *second[j:]]:
        if reader.done:
            break
        text += reader.feed(token).text
    check_splice(first, i, second, j, text + reader.finish())


def test_a_valid_stream_cut_and_spliced_at_every_boundary() -> None:
    first, second = stream([3, 2], 4), stream([2], 3)
    for i, j in itertools.product(range(len(first) + 1), range(len(second) + 1)):
        check_splice(first, i, second, j, shown("".join(first[:i] + second[j:])))


def test_an_answer_cut_at_every_boundary_is_whole_or_made_anew() -> None:
    tokens = stream([3, 2], 4)
    for end in range(len(tokens) + 1):
        with replaying("".join(tokens[:end]), " made anew<|return|>"):
            text, last = ask()
        words = final_words(tokens[:end])
        assert text == (" shown" * words).strip() if words else text == "made anew"
        assert "HIDDEN" not in text and last.finish is FinishReason.STOP


@settings(max_examples=60, deadline=None)
@given(streams, streams, st.integers(0, 60), st.integers(0, 60), st.integers(20, 60))
def test_spliced_streams_through_the_whole_path(
    first: list[str], second: list[str], i: int, j: int, max_tokens: int
) -> None:
    i, j = i % (len(first) + 1), j % (len(second) + 1)
    with replaying("".join(first[:i] + second[j:]), " made anew<|return|>"):
        text, last = ask(max_tokens=max_tokens, answer_tokens=10)
    assert text.strip() and "<|" not in text and last.usage
    assert last.usage.completion_tokens <= max_tokens


# --- the budget --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({"max_tokens": 1000, "answer_tokens": 300}, 700),
        ({"max_tokens": 1000, "answer_tokens": 300, "reasoning_tokens": 100}, 100),
        ({"max_tokens": 1000, "answer_tokens": 300, "reasoning_tokens": 900}, 700),
        ({"max_tokens": 100, "answer_tokens": 300}, 50),
        ({"max_tokens": 1000, "reasoning_tokens": 0}, 0),
        ({"max_tokens": 1000, "reasoning_tokens": -5}, 0),
    ],
)
def test_the_answer_always_has_room(options: dict[str, int], expected: int) -> None:
    assert reasoning_budget(GenerationRequest(QUESTION, **options)) == expected  # type: ignore[arg-type]


def test_thinking_is_closed_at_its_budget_and_the_answer_follows_behind_it() -> None:
    thinking = "<|channel|>analysis<|message|>" + " HIDDEN" * 500
    with replaying(thinking, " The plan.<|return|>") as engine:
        text, last = ask(max_tokens=200, reasoning_tokens=50)
    assert text == "The plan." and last.usage
    assert last.usage.opened == "budget" and 50 <= last.usage.reasoning_tokens <= 53
    added = engine.prompts[1].removeprefix(engine.prompts[0])
    assert added.startswith("<|channel|>analysis<|message|> HIDDEN HIDDEN")
    assert added.endswith("<|end|><|start|>assistant" + FINAL)
    assert added.count("HIDDEN") == last.thoughts.count("HIDDEN")
    assert last.usage.completion_tokens == last.usage.reasoning_tokens + len(TOKEN.findall(" The plan.<|return|>"))


def test_a_model_that_thinks_again_after_its_answer_was_opened_ends_without_text() -> None:
    with replaying("<|channel|>analysis<|message|>" + " HIDDEN" * 500) as engine:
        text, last = ask(max_tokens=400, reasoning_tokens=50)
    assert (text, last.finish, len(engine.prompts)) == ("", FinishReason.LENGTH, 2)
    assert last.usage and last.usage.completion_tokens < 100, "it does not think until the last token"


LOOP = "The passages are read first, one after the other. "


@pytest.mark.parametrize(
    ("answer", "shown_of_it", "finish"),
    [
        (LOOP * 3, "", FinishReason.LENGTH),
        ("The plan has five steps. " + LOOP * 3, "The plan has five steps. ", FinishReason.STOP),
        (LOOP.strip(), "", FinishReason.LENGTH),
        ("The plan has five steps.", "The plan has five steps.", FinishReason.STOP),
        ("Draft: call the ward today. Yes.", "Draft: call the ward today. Yes.", FinishReason.STOP),
        ("No.", "No.", FinishReason.STOP),
        ("word " * 300, ("word " * 300), FinishReason.STOP),
    ],
    ids=["only its thinking", "then its thinking", "without an end", "an answer", "a draft", "short", "no sentence"],
)
def test_an_opened_answer_that_is_its_thinking_going_on_is_none(
    answer: str, shown_of_it: str, finish: FinishReason
) -> None:
    thinking = "<|channel|>analysis<|message|>Draft: call the ward today. No. No. " + LOOP * 100
    with replaying(thinking, answer + "<|return|>"):
        text, last = ask(max_tokens=2000, reasoning_tokens=200)
    assert (text, last.finish) == (shown_of_it, finish)
    assert last.usage and last.usage.opened == "budget"


def test_an_answer_that_the_model_began_itself_may_repeat_its_thoughts() -> None:
    raw = "<|channel|>analysis<|message|>" + LOOP * 3 + "<|end|><|start|>assistant" + FINAL + LOOP
    with replaying(raw + "<|return|>"):
        assert ask()[0] == LOOP


def test_an_answer_that_turns_into_thinking_ends_where_it_was() -> None:
    with replaying(FINAL + " The plan.<|channel|>analysis<|message|>" + " HIDDEN" * 500) as engine:
        text, last = ask(max_tokens=400, reasoning_tokens=50)
    assert (text, last.finish, len(engine.prompts)) == ("The plan.", FinishReason.STOP, 1)
    assert last.usage and last.usage.completion_tokens < 100


def test_no_thinking_at_all_opens_the_answer_at_once() -> None:
    with replaying(" The plan.<|return|>") as engine:
        text, last = ask(reasoning_tokens=0)
    assert text == "The plan." and engine.prompts[0].endswith("<|start|>assistant" + FINAL)
    assert last.usage and last.usage.opened == "budget" and last.usage.reasoning_tokens == 0


def test_thoughts_come_whole_with_the_last_delta_and_only_there() -> None:
    raw = "<|channel|>analysis<|message|>One.<|end|><|start|>assistant<|channel|>commentary<|message|>Two.<|end|>"
    with replaying(raw + "<|start|>assistant" + FINAL + "Plan.<|return|>"):
        deltas = list(inference.generate(GenerationRequest(QUESTION, effort=Effort.HIGH)))
    assert deltas[-1].thoughts == "One.\nTwo."
    assert not any(one.thoughts for one in deltas[:-1])


def test_a_stop_in_the_middle_of_thinking_still_tells_the_thoughts() -> None:
    with replaying("<|channel|>analysis<|message|>" + " HIDDEN" * 90_000):
        deltas = inference.generate(GenerationRequest(QUESTION, max_tokens=30_000), cancelled=lambda: True)
        last = list(deltas)[-1]
    assert last.finish is FinishReason.CANCELLED and "HIDDEN" in last.thoughts


# --- <think> -----------------------------------------------------------------------------------------------------

THINKERS = [
    ("SECRET\n</think>\n\nThe plan.<｜end▁of▁sentence｜>", "The plan."),
    ("<think>\nSECRET</think>The plan.", "The plan."),
    ("</think>The plan.", "The plan."),
    ("SECRET</think>The plan.<think>SECRET", "The plan."),
    ("SECRET</think>A<think>SECRET</think>B", "AB"),
    ("SECRET</think>The plan.<｜User｜>SECRET", "The plan."),
    ("SECRET</think>a < b [1] <thin", "a < b [1] "),
    ("SECRET", ""),
    ("SECRET</thin", ""),
    ("SECRET<｜end▁of▁sentence｜>", ""),
]


@pytest.mark.parametrize(("raw", "expected"), THINKERS)
def test_what_stands_between_think_marks_is_never_shown(raw: str, expected: str) -> None:
    assert shown(raw, made=ThinkFilter) == expected
    for cut in range(len(raw)):
        assert shown(raw, [cut], ThinkFilter) == expected
    assert shown(raw, list(range(len(raw))), ThinkFilter) == expected


@pytest.mark.parametrize("family", ["deepseek-r1", "chatml-think"])
def test_thinking_between_marks_has_a_budget_too(family: str) -> None:
    with replaying(" HIDDEN" * 500, "The plan.<｜end▁of▁sentence｜>", family=family) as engine:
        text, last = ask(max_tokens=200, reasoning_tokens=50)
    assert text == "The plan." and engine.prompts[1].endswith("HIDDEN\n</think>\n\n")
    assert last.usage and last.usage.opened == "budget" and last.thoughts.count("HIDDEN") == last.usage.reasoning_tokens


def test_every_row_of_the_corpus_is_one_line_of_json() -> None:
    assert all(set(row) <= {"id", "raw", "shown", "note"} and json.dumps(row) for row in CORPUS)
