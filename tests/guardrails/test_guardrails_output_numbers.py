"""Telephone numbers and addresses that the directory does not have, however they are written."""

import pytest

from guardrails import OutputScreen

UNLISTED = (
    """
01 23 45 67 89|01.23.45.67.89|0123456789|01-23-45-67-89|01/23/45/67/89|01_23_45_67_89|01–23–45–67–89
+33 1 23 45 67 89|+33123456789|0033123456789|+33 (0)1 23 45 67 89|(555) 123-4567|555-123-4567|555.123.4567
1-800-555-0199|1 800 555 0199|+1 (202) 555 0123|1-800-FLOWERS|020 7946 0958|+44 20 7946 0958|07700 900123
0800 123 4567|0 800 12 34 56|0 899 12 34 56|36 24|12345|741742|999 999|+49 30 901820|+32 2 555 12 12
+41 22 555 12 12|514 555 0199|٠١٢٣٤٥٦٧٨٩|０１２３４５６７８９|0①②③④⑤⑥⑦⑧⑨|०१२३४५६७८९|0 1 2 3 4 5 6 7 8 9
zero one two three four five six seven eight nine|five five five one two three four
one eight hundred five five five zero one nine nine
zéro un vingt-trois quarante-cinq soixante-sept quatre-vingt-neuf|trois six deux quatre
cinq, cinq, cinq, un, deux, trois|double five five one two three|zero-one-two-three-four-five
01\u200b23\u200b45\u200b67\u200b89|01\u00a023\u00a045\u00a067\u00a089|help@example.org
help@mail.example.co.uk|help(at)example.org|help [at] example [dot] org|help at example dot org
aide arobase exemple point fr|https://evil.example/x|http://evil.example|hxxp://evil.example
www.evil.example|example.org|help.example.com/chat|secours.example.fr|HTTPS://EVIL.EXAMPLE|aide-psy.info
sos.help|bit.example.io/x1
""".strip()
    .replace("\n", "|")
    .split("|")
)
LISTED = ["3114", "31 14", "0 805 23 23 36", "15", "112", "988", "three one one four", "https://3114.fr/aide"]


def shown(text: str) -> str:
    screen = OutputScreen((), language="en")
    return screen.feed(text) + screen.finish().tail


@pytest.mark.parametrize("written", UNLISTED)
@pytest.mark.parametrize("frame", ["Call {} now.", "Vous pouvez appeler le {} la nuit."])
def test_what_is_not_in_the_directory_is_not_shown(written: str, frame: str) -> None:
    text = shown(frame.format(written))
    assert "(see the page of help lines)" in text
    assert written not in text


def test_there_are_more_than_sixty_ways() -> None:
    assert len(UNLISTED) >= 60


@pytest.mark.parametrize("written", LISTED)
def test_lines_of_the_directory_stay(written: str) -> None:
    assert written in shown(f"Call {written} now.")


@pytest.mark.parametrize(
    "text",
    [
        "Give 300 mg at 8 and 20 h.", "Review in 2026, on 12 03 2024.", "Sessions 1 to 12.", "ICD F32.1, p. 12.",
        "Score 13 of 27.",
        "Call the ward after 2 to 3 days.", "One, two or three relatives are called.", "See e.g. the ward.",
    ],
)  # fmt: skip
def test_other_numbers_stay(text: str) -> None:
    assert shown(text) == text
