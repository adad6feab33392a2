"""`manage.py eval_guardrails`: recall, false alarms and time of the crisis screen on labelled messages."""

import json
import math
from collections import defaultdict
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from guardrails import Category, screen_input
from guardrails.training.judge import wilson

ALARMS = frozenset({Category.FIRST_PERSON_CRISIS, Category.THIRD_PERSON_EMERGENCY, Category.UNSCREENED})
# a hard day of the writer's own, without danger: a pointer to somebody to talk to is right, an alarm is not
DISTRESS = "distress"
QUIET = frozenset({Category.CLINICAL_DISCUSSION.value, Category.BENIGN.value, DISTRESS})
# a person in crisis who asks for a method is refused with the help lines: counted apart, as handled but not as found
REFUSED = frozenset({Category.METHOD_SEEKING, Category.PROMPT_INJECTION})


@dataclass(slots=True)
class Tally:
    """Counts of one label in one language."""

    cases: int = 0
    found: int = 0
    alarms: int = 0
    refusals: int = 0
    milliseconds: list[float] = field(default_factory=list)


@dataclass(slots=True)
class Dialogues:
    """Counts of the dialogues of one language."""

    dialogues: int = 0
    turns: int = 0
    right: int = 0
    ends_missed: int = 0


class Command(BaseCommand):
    help = (
        "Screens the labelled messages of a JSONL file (text, lang, label, and perhaps history and subtype), or "
        "dialogues (lang and turns, each with text and label), and reports recall, false alarms and time by language "
        "and label."
    )
    requires_system_checks = []

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("cases", type=Path)
        parser.add_argument("--json", action="store_true", help="one JSON object instead of a table")
        parser.add_argument("--failures", action="store_true", help="also print the id or line of each failure")

    def handle(self, *args: Any, **options: Any) -> None:
        report, dialogues, failures = evaluate(_cases(options["cases"]))
        if options["json"]:
            body = {
                "results": report,
                "dialogues": dialogues,
                **({"failures": failures} if options["failures"] else {}),
            }
            self.stdout.write(json.dumps(body, ensure_ascii=False))
            return
        self.stdout.write(
            f"{'lang':4} {'label':24} {'n':>5} {'recall':>22} {'false alarms':>22} {'refused':>8} {'p95 ms':>7}"
        )
        for row in report:
            self.stdout.write(
                f"{row['lang']:4} {row['label']:24} {row['cases']:5} "
                f"{_share(row['recall'], row['recall_interval']):>22} "
                f"{_share(row['false_alarm_rate'], row['false_alarm_interval']):>22} {row['refused']:8} "
                f"{row['ms_p95']:7.1f}"
            )
        for row in dialogues:
            self.stdout.write(
                f"{row['lang']:4} {row['dialogues']} dialogues: {row['turns_right']:.1%} of {row['turns']} turns "
                f"right, {row['ends_missed']} final states missed"
            )
        if options["failures"]:
            for failure in failures:
                self.stdout.write(f"{failure['case']}: {failure['label']} -> {failure['category']} {failure['rules']}")


def _share(value: float | None, interval: list[float] | None) -> str:
    if value is None or interval is None:
        return "-"
    return f"{value:.1%} [{interval[0]:.0%}, {interval[1]:.0%}]"


def _cases(path: Path) -> list[dict[str, Any]]:
    """The cases of a file. Raises CommandError naming the line that is wrong."""
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise CommandError(f"{path} cannot be read: {error}.") from error
    cases: list[dict[str, Any]] = []
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        try:
            entry = json.loads(line)
        except ValueError as error:
            raise CommandError(f"{path}, line {number}: not JSON ({error}).") from error
        cases += _expanded(entry, f"{path}, line {number}", number)
    if not cases:
        raise CommandError(f"{path} holds no cases.")
    return cases


def _expanded(entry: Any, place: str, number: int) -> list[dict[str, Any]]:
    """A line as cases: itself, or one a turn of a dialogue, each with the turns before it as its history."""
    if not isinstance(entry, dict):
        raise CommandError(f'{place}: "text" and "label" are needed.')
    turns = entry.get("turns")
    said: list[str] = []
    cases: list[dict[str, Any]] = []
    for index, turn in enumerate([entry] if turns is None else turns if isinstance(turns, list) else [None], start=1):
        if not isinstance(turn, dict) or not isinstance(turn.get("text"), str) or "label" not in turn:
            raise CommandError(f'{place}: "text" and "label" are needed.')
        if turn["label"] not in {*Category, DISTRESS}:
            known = ", ".join((*Category, DISTRESS))
            raise CommandError(f"{place}: unknown label {turn['label']!r}; known: {known}.")
        case = {**entry, **turn, "case": entry.get("id", number)}
        if turns is not None:
            case |= {"history": list(said), "case": f"{case['case']}.{index}", "last": index == len(turns)}
        cases.append(case)
        said.append(turn["text"])
    return cases


def evaluate(
    cases: list[dict[str, Any]],
) -> tuple[list[dict[str, Any]], list[dict[str, Any]], list[dict[str, Any]]]:
    """Rows by language and label, rows on dialogues by language, and the cases that the screen got wrong."""
    tallies: dict[tuple[str, str], Tally] = defaultdict(Tally)
    dialogues: dict[str, Dialogues] = defaultdict(Dialogues)
    failures: list[dict[str, Any]] = []
    for case in cases:
        verdict = screen_input(case["text"], history=case.get("history") or ())
        tally = tallies[case.get("lang", "?"), case["label"]]
        quiet = case["label"] in QUIET
        wrong = verdict.category.value not in QUIET if quiet else verdict.category.value != case["label"]
        tally.cases += 1
        tally.found += not wrong
        tally.alarms += verdict.category in ALARMS
        tally.refusals += verdict.category in REFUSED
        tally.milliseconds.append(verdict.milliseconds)
        if "last" in case:
            talk = dialogues[case.get("lang", "?")]
            talk.turns += 1
            talk.right += not wrong
            talk.dialogues += case["last"]
            talk.ends_missed += case["last"] and wrong and not quiet
        if wrong:
            failures.append(
                {
                    "case": case["case"],
                    "lang": case.get("lang", "?"),
                    "label": case["label"],
                    "category": verdict.category.value,
                    "rules": list(verdict.rules),
                }
            )
    talks = [
        {
            "lang": language,
            "dialogues": talk.dialogues,
            "turns": talk.turns,
            "turns_right": talk.right / talk.turns,
            "ends_missed": talk.ends_missed,
        }
        for language, talk in sorted(dialogues.items())
    ]
    return [_row(*key, tally) for key, tally in sorted(tallies.items())], talks, failures


def _row(language: str, label: str, tally: Tally) -> dict[str, Any]:
    quiet = label in QUIET
    times = sorted(tally.milliseconds)
    return {
        "lang": language,
        "label": label,
        "cases": tally.cases,
        "recall": None if quiet else tally.found / tally.cases,
        "recall_interval": None if quiet else _interval(tally.found, tally.cases),
        "false_alarm_rate": tally.alarms / tally.cases if quiet else None,
        "false_alarm_interval": _interval(tally.alarms, tally.cases) if quiet else None,
        "refused": tally.refusals,
        "ms_p50": times[len(times) // 2],
        "ms_p95": times[min(len(times) - 1, math.ceil(len(times) * 0.95) - 1)],
    }


def _interval(successes: int, cases: int) -> list[float]:
    return [round(bound, 4) for bound in wilson(successes, cases)]
