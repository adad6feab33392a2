"""One run: rounds of the bare engine, the whole path and the peer in turn, so that what disturbs one disturbs all."""

import math
import os
import sys
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from django.conf import settings
from django.core.management.base import CommandError

import inference
from portal.benchmark._answers import Answer, Round, gaps, median, percentile
from portal.benchmark._installation import Installation
from portal.benchmark._peer import Peer
from portal.benchmark._processes import Child

QUESTION = "Never stop please: what are the steps of a safety plan?"  # the tests' model then writes all it may
_LEAST_ANSWERS = 8  # of a round, so that one user is not one answer
_OUTSIDE = ("web", "valkey", "knowledge")


@dataclass(frozen=True, slots=True)
class Wanted:
    """What to measure: numbers of users, rounds of each, and the address of a llama-server's program, or None."""

    users: Sequence[int]
    rounds: int
    answers: int
    peer: Path | None


@dataclass(slots=True)
class _Rounds:
    """All rounds with one number of users, path by path; those of the same index ran one after the other."""

    bare: list[Round]
    path: list[Round]
    peer: list[Round]


def measure(wanted: Wanted) -> dict[str, Any]:
    """Everything that `manage.py bench --json` prints. Only in an installation that may be thrown away. Raises
    CommandError."""
    model = inference.ModelStore(settings.HAVRE_MODELS_DIR).active()
    assert model is not None
    installation = Installation(max(wanted.users))
    bare: Child | None = None
    peer: Peer | None = None
    try:
        plan = installation.wait()
        for name in ("slots", "context", "threads", "batch"):  # what the worker chose, whatever memory is free by now
            os.environ[f"HAVRE_{name.upper()}"] = str(plan[name])
        bare = Child("bare")
        _, turns = installation.together(QUESTION, 1, 1)
        if not turns[-1]:
            raise CommandError("The installation to measure did not take a question.")
        prompt = bare.ask({"turn": turns[-1]})
        if wanted.peer:
            peer = Peer(wanted.peer, model.path, plan, settings.HAVRE_DATA_DIR / "logs" / "peer.log")
        sampling = {"n_predict": prompt["max_tokens"], "temperature": prompt["temperature"]}
        ways = _Ways(installation, bare, peer, prompt["prompt"], sampling)
        # the first answers pay for page faults, and for the reading of the prompt in each slot
        ways.once(min(plan["slots"], max(wanted.users)), 1)
        measured = {users: _Rounds([], [], []) for users in wanted.users}
        for number in range(wanted.rounds):
            for users, rounds in measured.items():
                print(f"round {number + 1} of {wanted.rounds}, {users} users …", file=sys.stderr)  # noqa: T201
                ways.once(users, wanted.answers or math.ceil(_LEAST_ANSWERS / users), rounds)
        about = {
            "model": {name: getattr(model, name) for name in ("name", "architecture", "quantization", "size")},
            "plan": {name: plan[name] for name in ("slots", "context", "threads", "batch", "gpus")},
            "prompt_tokens": len(prompt["prompt"]),
            "max_tokens": prompt["max_tokens"],
            "rounds": wanted.rounds,
            "cores": len(os.sched_getaffinity(0)),
        }
        return {**about, "rows": [row(users, one.bare, one.path, one.peer) for users, one in measured.items()]}
    finally:
        for one in (peer, bare, installation):
            if one is not None:
                one.stop()


@dataclass(frozen=True, slots=True)
class _Ways:
    """The three ways to an answer."""

    installation: Installation
    bare: Child
    peer: Peer | None
    prompt: list[int]
    sampling: dict[str, Any]

    def once(self, users: int, answers: int, rounds: _Rounds | None = None) -> None:
        """One round of each."""
        said = self.bare.ask({"users": users, "answers": answers})
        bare = Round([Answer.from_json(one) for one in said["answers"]], said["seconds"], {"engine": said["cpu"]})
        path, _ = self.installation.together(QUESTION, users, answers)
        peer = self.peer.together(self.prompt, users, answers, self.sampling) if self.peer else None
        if rounds is not None:
            rounds.bare.append(bare)
            rounds.path.append(path)
            rounds.peer += [peer] if peer else []


def row(users: int, bare: Sequence[Round], path: Sequence[Round], peer: Sequence[Round] = ()) -> dict[str, Any]:
    """What is told of one number of users: rates, ratios as medians over the rounds that ran one after the other,
    milliseconds as percentiles over all answers, microseconds of processor time a token outside the engine."""
    found: dict[str, Any] = {
        "users": users,
        "bare": _way(bare),
        "path": _way(path),
        "peer": _way(peer) if peer else None,
    }
    found["ratio"] = _ratio(path, bare, lambda one: one.tokens_a_second)
    found["ratio_writing"] = _ratio(path, bare, lambda one: one.writing_tokens_a_second)
    found["ratio_peer"] = _ratio(peer, bare, lambda one: one.tokens_a_second) if peer else None
    steps = [one for round_ in path for one in round_.answers]
    found["steps_ms"] = {
        "accepted": _ms(median(one.accepted for one in steps)),
        "passages": _ms(median(one.passages - one.accepted for one in steps)),
        "model": _ms(median(one.first - one.passages for one in steps)),
        "words": _ms(median(one.words - one.first for one in steps)),
        "end": _ms(median(one.done - one.pieces[-1] for one in steps if one.pieces)),
    }
    found["cpu_us_a_token"] = _cpu(bare, path)
    found["states"] = dict(Counter(one.state for one in steps))
    return found


def _way(rounds: Sequence[Round]) -> dict[str, Any]:
    answers = [one for round_ in rounds for one in round_.answers]
    said: dict[str, Any] = {
        "tokens_s": _known(median(one.tokens_a_second for one in rounds), 1),
        "writing_tokens_s": _known(median(one.writing_tokens_a_second for one in rounds), 1),
        "tokens": sum(one.tokens for one in rounds),
    }
    between = [gap for one in answers for gap in gaps(one.pieces)]
    released = [gap for one in answers for gap in gaps(one.released)]
    for name, values in (
        ("first", [one.first for one in answers]),
        ("words", [one.words for one in answers]),
        ("between", between),
        ("between_released", released),
    ):
        said[f"{name}_ms_p50"] = _ms(percentile(values, 0.5))
        said[f"{name}_ms_p99"] = _ms(percentile(values, 0.99))
    return said


def _cpu(bare: Sequence[Round], path: Sequence[Round]) -> dict[str, float | None]:
    """By process; `worker` is what the inference worker took beyond what the bare engine takes for as many tokens."""
    tokens, alone = sum(one.tokens for one in path), sum(one.tokens for one in bare)
    if not tokens or not alone:
        return {}
    engine = sum(one.cpu["engine"] for one in bare) / alone
    spent = {name: sum(one.cpu.get(name, 0.0) for one in path) / tokens for name in (*_OUTSIDE, "browsers")}
    spent["worker"] = sum(one.cpu.get("inference", 0.0) for one in path) / tokens - engine
    spent["engine"] = engine
    spent["outside"] = spent["worker"] + sum(spent[name] for name in _OUTSIDE)
    return {name: _known(1e6 * value, 1) for name, value in spent.items()}


def _ratio(some: Sequence[Round], others: Sequence[Round], rate: Callable[[Round], float]) -> float | None:
    return _known(median(rate(one) / rate(other) for one, other in zip(some, others, strict=True) if rate(other)), 3)


def _ms(seconds: float) -> float | None:
    return _known(1000 * seconds, 1)


def _known(value: float, digits: int) -> float | None:
    """Rounded; None for what is not a number, which JSON cannot say."""
    return None if math.isnan(value) else round(value, digits)
