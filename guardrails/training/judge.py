"""Judges the whole screen, rules and classifier, on writers it has not met:

    python -m guardrails.training.judge CLASSIFIER_FOLDER --writers B,C [--failures]
    python -m guardrails.training.judge CLASSIFIER_FOLDER --folder FOLDER

Prints recall and false alarms by language and subtype, with 95 % Wilson intervals.
"""

import argparse
import math
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path

from guardrails._classifier import Classifier
from guardrails._rules import shipped_rules
from guardrails._screen import judge
from guardrails.training.corpus import FOLDER, Example, load, without_writers

ALARMS = ("first_person_crisis", "third_person_emergency")


def wilson(successes: int, cases: int) -> tuple[float, float]:
    """The 95 % confidence interval of a share (Wilson, 1927)."""
    z = 1.96
    share = successes / cases
    centre = share + z * z / (2 * cases)
    spread = z * math.sqrt(share * (1 - share) / cases + z * z / (4 * cases * cases))
    scale = 1 + z * z / cases
    return max(0.0, (centre - spread) / scale), min(1.0, (centre + spread) / scale)


def report(examples: Sequence[Example], reader: Classifier, *, failures: bool) -> None:
    """Prints a line a language and label, and one a subtype."""
    rules = shipped_rules()
    outcomes: dict[tuple[str, str, str], list[bool]] = defaultdict(list)
    for example in examples:
        said = judge(example.text, example.history, rules, reader)
        wanted = example.label if example.label != "distress" else "benign"
        quiet = wanted in {"clinical_discussion", "benign"}
        right = said.category.value not in ALARMS if quiet else said.category.value == wanted
        outcomes[example.lang, example.label, ""].append(right)
        outcomes[example.lang, example.label, example.subtype].append(right)
        if not right and failures:
            print(f"{example.label} {example.subtype} -> {said.category} {said.score} {said.rules}: {example.text!r}")
    for (language, label, subtype), results in sorted(outcomes.items()):
        found = sum(results)
        low, high = wilson(found, len(results))
        name = f"    {subtype}" if subtype else label
        print(f"{language:3} {name:34} {found:5}/{len(results):<5} {found / len(results):6.1%} [{low:.0%}, {high:.0%}]")


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("classifier", type=Path)
    parser.add_argument("--writers", default="")
    parser.add_argument("--folder", type=Path, default=FOLDER, help="folder of JSONL files, of the corpus's form")
    parser.add_argument("--failures", action="store_true")
    options = parser.parse_args()
    examples = load(options.folder)
    if options.writers:
        examples = without_writers(examples, options.writers.split(","))[1]
    report(examples, Classifier(options.classifier), failures=options.failures)


if __name__ == "__main__":
    main()
