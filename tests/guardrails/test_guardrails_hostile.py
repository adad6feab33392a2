"""Texts made to break the guardrails: random Unicode, 32 KiB of the same, every expression on what might make it slow.

HAVRE_HOSTILE_STRINGS says how many random strings (`make soak` takes 100,000).
"""

import os
import pkgutil
import random
import re
import time
from collections.abc import Iterator
from importlib import import_module

import pytest

import guardrails
from guardrails import Category, OutputScreen, SourcePassage, neutralise, screen_input
from guardrails._rules import shipped_rules

STRINGS = int(os.environ.get("HAVRE_HOSTILE_STRINGS", "120"))
MOST_BYTES = 32 * 1024
PASSAGE = SourcePassage(1, "The patient is seen again within 48 hours. Ne laissez pas la personne seule.")
ODD = "\u200b\u200d\u202e\u2066\u2069\u00ad\u0301\u0489\ufe0f\ufeff\u0000аеіорсухѕκ١٢٣𝐤𝟙①Ｋ[]?<|>*_`«»“\"'’.…! \n\t0189"
WORDS = [
    "kill",
    "myself",
    "me tuer",
    "je veux",
    "i want to",
    "mourir",
    "patient",
    "dit que",
    "not",
    "pas",
    "500 mg",
    "3114",
]


def random_text(chance: random.Random) -> str:
    """Any characters but surrogates, odd ones and words of the trade among them."""
    parts: list[str] = []
    for _ in range(chance.randrange(1, 40)):
        draw = chance.random()
        if draw < 0.35:
            parts.append(chance.choice(ODD))
        elif draw < 0.55:
            parts.append(chance.choice(WORDS))
        elif draw < 0.75:
            parts.append(chr(chance.randrange(0x20, 0x250)))
        else:
            parts.append(chr(chance.choice([chance.randrange(0xD800), chance.randrange(0xE000, 0x110000)])))
    return "".join(parts)


def test_no_random_string_breaks_what_goes_in_or_comes_out() -> None:
    chance = random.Random(20_261_122)
    for number in range(STRINGS):
        text = random_text(chance)
        verdict = screen_input(text)
        assert verdict.category is not Category.UNSCREENED, (number, text)  # what it says where it broke
        screen = OutputScreen((PASSAGE,), language="fr")
        screen.feed(text)
        assert screen.finish().text is not None, (number, text)
        neutralise(text)


HOSTILE = (
    *(
        "a",
        "1 ",
        "0 ",
        "« ",
        "ne pas ",
        "[1]",
        "A1b",
        "<!-- ",
        "é ",
        "\u200b",
        "not ",
        "un sur ",
        "s. ",
        "- ",
        "%41",
        "'",
    ),
    *(
        "je vais ",
        "i want to ",
        "il dit que ",
        "patient said that i ",
        'quote "',
        "k i l l ",
        "1 80 03 75 116 042 ",
        "()",
    ),
    *(
        "сmеrt ",
        "自杀我想",
        "\n",
        "k.i.l.l.",
        "want to not to ",
        "ne n'ai pas ",
        "@",
        "www.",
        "0612345678 ",
        "﷽",
        "e\u0301",
    ),
)


def module_patterns() -> Iterator[re.Pattern[str]]:
    for module in pkgutil.iter_modules(guardrails.__path__):
        if module.name.startswith("_"):
            for value in vars(import_module(f"guardrails.{module.name}")).values():
                if isinstance(value, re.Pattern):
                    yield value


def rule_patterns() -> Iterator[re.Pattern[str]]:
    rules = shipped_rules()
    yield from (rule.pattern for rule in rules.rules)
    yield from (context.pattern for context in rules.contexts.values())


def seconds(pattern: re.Pattern[str], text: str) -> float:
    begun = time.process_time()
    for _ in pattern.finditer(text):
        pass
    return time.process_time() - begun


@pytest.mark.parametrize("piece", HOSTILE)
def test_no_expression_explodes(piece: str) -> None:
    """Twice the text may take about four times as long, never forty times. Rules read sentences of 70 words at most,
    and get more here."""
    for pattern, length in [
        *((pattern, 2000) for pattern in module_patterns()),
        *((pattern, 400) for pattern in rule_patterns()),
    ]:
        once, twice = (seconds(pattern, (piece * size)[:size]) for size in (length, 2 * length))
        if twice >= 0.05 and twice >= 12 * max(once, 0.002):  # once more: another process may have been in the way
            once, twice = (seconds(pattern, (piece * size)[:size]) for size in (length, 2 * length))
        assert twice < 0.05 or twice < 12 * max(once, 0.002), (pattern.pattern[:80], once, twice)


@pytest.mark.parametrize("piece", HOSTILE[::4])
def test_a_message_of_32_kib_is_screened(piece: str) -> None:
    text = (piece * MOST_BYTES).encode()[:MOST_BYTES].decode(errors="ignore")
    begun = time.process_time()
    assert screen_input(text).category is not Category.UNSCREENED
    assert time.process_time() - begun < 20, "a hundred times what it takes"
