"""Judges the check of answers on labelled pairs of a passage and a sentence:

    python -m guardrails.training.judge_answers PAIRS.jsonl [--failures] [--words]

Prints by kind how many are judged right, with 95 % Wilson intervals, and how long a sentence is held back after its
last token when answers made of these sentences stream in at 30 tokens a second beside four passages.
"""

import argparse
import json
import re
import statistics
import time
from collections import defaultdict
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from guardrails import OutputScreen, SourcePassage, passage_reader, sentence_encoder
from guardrails._grounding import Evidence
from guardrails.training.judge import wilson

TOKENS_A_SECOND = 30.0
PASSAGES = 4
SENTENCES = 8  # of an answer
_TOKEN = re.compile(r"\s?\S{1,5}")  # about as long as a model's


def report(pairs: Sequence[dict[str, Any]], *, words: bool, failures: bool) -> None:
    """Prints a line a kind; `words`: without encoder and reader, as where they cannot be loaded."""
    readers = (None, None) if words else (sentence_encoder(), passage_reader())
    outcomes: dict[str, list[bool]] = defaultdict(list)
    for pair in pairs:
        kind = f"{pair['kind']}, {'true' if pair['supported'] else 'false'}"
        found = Evidence([SourcePassage(1, pair["passage"])], *readers).support(pair["sentence"])
        right = bool(found.markers) == pair["supported"]
        outcomes[kind].append(right)
        if not right and failures:
            print(f"{kind} -> {found.problem or 'supported'} {found.score:.2f}: {pair['sentence']}")
    for kind, results in sorted(outcomes.items()):
        low, high = wilson(sum(results), len(results))
        share = sum(results) / len(results)
        print(f"{kind:28} {sum(results):4}/{len(results):<4} {share:6.1%} [{low:.0%}, {high:.0%}]")


def delays(pairs: Sequence[dict[str, Any]]) -> list[float]:
    """Seconds from the last token of each sentence to its being shown. Tokens arrive by a clock that does not wait; the
    screen takes the time that it really takes, and falls behind where that is more."""
    found: list[float] = []
    embed, compare = sentence_encoder(), passage_reader()
    passages = list(dict.fromkeys(pair["passage"] for pair in pairs))
    for start in range(0, len(pairs) - SENTENCES + 1, SENTENCES):
        said = [pair["sentence"] for pair in pairs[start : start + SENTENCES]]
        own = [pair["passage"] for pair in pairs[start : start + SENTENCES]]
        beside = list(dict.fromkeys([*own, *passages]))[:PASSAGES]
        numbered = [SourcePassage(number, text) for number, text in enumerate(beside, start=1)]
        screen = OutputScreen(numbered, language="en", embed=embed, compare=compare)
        screen.prepare()  # while the model reads its prompt
        found += _held_back(screen, said)
    return found


def _held_back(screen: OutputScreen, said: Sequence[str]) -> Iterator[float]:
    text = " ".join(said)
    ends = [len(" ".join(said[: count + 1])) for count in range(len(said))]
    done, arrived, position = 0.0, 0.0, 0
    last_token = iter(ends)
    waiting: list[float] = []
    end = next(last_token)
    for number, token in enumerate(_TOKEN.findall(text)):
        arrived = number / TOKENS_A_SECOND
        position += len(token)
        begun = time.perf_counter()
        shown = screen.feed(token)
        done = max(done, arrived) + time.perf_counter() - begun
        if shown:
            yield from (done - then for then in waiting)
            waiting.clear()
        if position >= end:
            waiting.append(arrived)
            end = next(last_token, len(text) + 1)
    begun = time.perf_counter()
    screen.finish()
    done = max(done, arrived) + time.perf_counter() - begun
    yield from (done - then for then in waiting)


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("pairs", type=Path)
    parser.add_argument("--failures", action="store_true")
    parser.add_argument("--words", action="store_true", help="words alone, without encoder and reader")
    options = parser.parse_args()
    pairs = [json.loads(line) for line in options.pairs.read_text(encoding="utf-8").splitlines()]
    report(pairs, words=options.words, failures=options.failures)
    if not options.words:
        held = sorted(delays(pairs))
        last = held[min(len(held) - 1, int(len(held) * 0.95))]
        print(f"held back after its last token: median {statistics.median(held):.3f} s, p95 {last:.3f} s ({len(held)})")


if __name__ == "__main__":
    main()
