"""Answers as HTML."""

import pytest
from django.utils.translation import override

from portal.chat.rendering import answer_html
from portal.chat.sources import page_name

CITATION = {"marker": 1, "url": "/chat/passages/1/"}


def test_the_mark_of_an_unsupported_sentence_is_read_out_in_the_language_of_the_answer() -> None:
    with override("en"):  # as a worker, whose language is the installation's
        html = answer_html("Deux entretiens par jour [?].", [], language="fr")
    assert '<span aria-hidden="true">[?]</span><span class="visually-hidden"> (Absent de vos recommandations' in html
    assert "check this sentence" not in html
    assert "check this sentence" in answer_html("Twice a day [?].", [], language="en")


def test_nothing_of_a_models_own_survives_but_words_and_citations() -> None:
    html = answer_html(
        "<script>x</script> [a](javascript:x) ![b](https://x.example) [1] [2]", [CITATION], language="en"
    )
    assert "<script" not in html
    assert "<img" not in html
    assert html.count("<a ") == 1
    assert 'href="/chat/passages/1/"' in html


@pytest.mark.parametrize(
    ("number", "label", "name"),
    [
        (12, "", "page 12"),
        (12, "12", "page 12"),
        (15, "12", "page 12 (file page 15)"),
        (3, "iii", "page iii (file page 3)"),
    ],
)
def test_pages_are_named_as_printed_and_as_counted(number: int, label: str, name: str) -> None:
    assert page_name(number, label) == name
