"""What the model is given, and what the demonstration model may say."""

from collections.abc import Sequence
from typing import Any

from inference import Message
from portal.chat.models import Turn
from portal.chat.prompting import build_request

LIST = (
    "A safety plan has six steps.\n1. Step 1 is to recognise the warning signs.\n2. Step 2 is to use what helps.\n"
    "The patient goes on when a step has not helped. Short."
)


def passage(marker: int, quote: str) -> dict[str, Any]:
    return {"marker": marker, "document": "Plan", "page": 2, "page_label": "ii", "quote": quote}


def words(messages: Sequence[Message]) -> int:
    return sum(len(message.content.split()) for message in messages)


def test_the_prompt_names_document_and_printed_page() -> None:
    turn = Turn(question="What?", language="fr", effort="high", passages=[passage(1, LIST)])
    request = build_request(turn, [], context=4096, count_tokens=words)
    assert "[1] (Plan, p. ii) A safety plan" in request.messages[0].content
    assert "Answer in French" in request.messages[0].content
    assert request.messages[-1] == Message("user", "What?")
    assert request.quotes == ()
    assert request.effort == "high"


def test_the_demonstration_model_may_only_quote_the_best_passage() -> None:
    turn = Turn(
        question="What?", language="en", effort="low", passages=[passage(1, LIST), passage(2, "Never this one.")]
    )
    request = build_request(turn, [Turn(question="q", answer="a")], context=4096, count_tokens=words, quote_only=True)
    assert request.quotes == (
        "A safety plan has six steps [1].\n1. Step 1 is to recognise the warning signs [1].\n"
        "2. Step 2 is to use what helps [1].\n\n",
        "The patient goes on when a step has not helped [1].",
    )
    assert "Never this one" not in request.messages[0].content


def test_quoting_begins_where_the_question_is_met() -> None:
    text = "The ward is open every day. Visits are possible in the afternoon. Children come with an adult."
    turn = Turn(question="When are visits possible?", language="en", effort="low", passages=[passage(1, text)])
    request = build_request(turn, [], context=4096, count_tokens=words, quote_only=True)
    assert request.quotes[0] == "Visits are possible in the afternoon [1]."
    assert len(request.quotes) == 2


def test_without_passages_there_is_nothing_to_quote() -> None:
    turn = Turn(question="What?", language="en", effort="low", passages=[])
    request = build_request(turn, [], context=4096, count_tokens=words, quote_only=True)
    assert request.quotes == ()
    assert "(none were found)" in request.messages[0].content
