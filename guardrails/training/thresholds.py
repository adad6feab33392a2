"""Looks for thresholds on development messages that neither the classifier nor a test has seen:

    python -m guardrails.training.thresholds CLASSIFIER_FOLDER FOLDER_OF_JSONL…

Prints, for a range of thresholds, recall of the two dangers and false alarms on work, by language.
"""

import argparse
from collections import defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path

from guardrails._classifier import Classifier
from guardrails._rules import shipped_rules
from guardrails._screen import by_rules
from guardrails.training.corpus import Example, load
from guardrails.training.judge import ALARMS

STEPS = (0.02, 0.05, 0.1, 0.15, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9)


def report(examples: Sequence[Example], reader: Classifier) -> None:
    """Prints a table a language: each threshold with what it finds and what it wrongly finds."""
    rules = shipped_rules()
    seen: dict[tuple[str, str], list[tuple[Mapping[str, float], str]]] = defaultdict(list)
    for example in examples:
        opinion = reader.read(example.text, example.history).likely
        ruled = by_rules(example.text, example.history, rules).category.value
        label = example.label if example.label in ALARMS else "work"
        language = example.lang if example.lang in {"fr", "en"} else "other"
        seen[language, label].append((opinion, ruled))
    for language in sorted({language for language, _ in seen}):
        for danger in ALARMS:
            for by_rule in (False, True):
                print(f"{language} {danger}{', where a rule says so' if by_rule else ', where no rule does'}")
                for step in STEPS:
                    counts = [
                        (sum(likely >= step for likely in rows), len(rows))
                        for rows in (
                            [row[0][danger] for row in seen[language, label] if (row[1] == danger) == by_rule]
                            for label in (danger, "work")
                        )
                    ]
                    found, wrong = (f"{hits}/{rows}" for hits, rows in counts)
                    print(f"    {step:4}: found {found:>9}   wrongly {wrong:>9}")


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("classifier", type=Path)
    parser.add_argument("folders", type=Path, nargs="+")
    options = parser.parse_args()
    report([one for folder in options.folders for one in load(folder)], Classifier(options.classifier))


if __name__ == "__main__":
    main()
