"""How often a model keeps to harmony, and what is made of it when it does not.

    python -m tests.inference.count_harmony [MODEL.gguf] [--answers 200] [--temperature 1.0] [--effort high]

Asks the questions that the tiny test model knows, in both languages, with and without the phrases that make it
misbehave, each answer with a seed of its own, and prints the counts as JSON.
"""

import argparse
import collections
import json
import random
import re
import time
from pathlib import Path

import inference
from inference import Effort, EngineSettings, FinishReason, GenerationRequest, MalformedOutput, Message
from tests.models.tiny_lessons import MALFORMED, ONLY_THINK, QUESTIONS, TOPICS

TINY = Path(__file__).parents[1] / "models" / "tiny-gpt-oss.gguf"
SYSTEM = """You help clinical staff. Answer only from the guideline passages and cite them.

Guideline passages:
[1] (Safety planning, p. 3) The plan lists warning signs of a crisis. It is written with the person.

[2] (Ward handbook) The plan is reviewed at each visit."""
FRAGMENT = re.compile(r"<\||\|>|\b(analysis|assistant)(?=\W*(message|final|$))")
THOUGHT = re.compile(r"The clinician asks|The passages are read first|Each sentence needs the number")


def questions(count: int, phrase: str) -> list[str]:
    """Questions that the model may be asked, the same each time."""
    chosen = random.Random(20).choices([(kind, one) for kind in QUESTIONS for one in QUESTIONS[kind]], k=count)
    topics = random.Random(21)
    return [f"{one.format(topics.choice(TOPICS[kind]))} {phrase}".strip() for kind, one in chosen]


def count(asked: list[str], *, temperature: float, effort: Effort, max_tokens: int) -> dict[str, object]:
    """Ask each question once; what became of the answers, and what they took."""
    found: collections.Counter[str] = collections.Counter()
    begun = time.monotonic()
    for seed, question in enumerate(asked):
        request = GenerationRequest(
            (Message("system", SYSTEM), Message("user", question)),
            effort=effort, temperature=temperature, seed=seed, max_tokens=max_tokens,
        )  # fmt: skip
        try:
            deltas = list(inference.generate(request))
        except MalformedOutput:
            found["no answer: malformed twice"] += 1
            continue
        text, last = "".join(one.text for one in deltas), deltas[-1]
        assert last.usage
        found["answers"] += bool(text.strip())
        found["no answer: only reasoning"] += not text.strip()
        found["cut off at max_tokens"] += last.finish is FinishReason.LENGTH and bool(text.strip())
        found[f"opened: {last.usage.opened or 'by the model itself'}"] += 1
        found["with a fragment of a marker"] += bool(FRAGMENT.search(text))
        found["with a sentence of the reasoning"] += bool(THOUGHT.search(text))
    return {**{key: found[key] for key in sorted(found) if found[key]}, "seconds": round(time.monotonic() - begun, 1)}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("model", nargs="?", type=Path, default=TINY)
    parser.add_argument("--answers", type=int, default=200)
    parser.add_argument("--temperature", type=float, default=1.0)
    parser.add_argument("--effort", type=Effort, default=Effort.MEDIUM)
    parser.add_argument("--max-tokens", type=int, default=700)
    given = parser.parse_args()
    inference.load(EngineSettings(model=given.model, slots=2, context=4096, threads=1))
    for phrase in ("", MALFORMED, ONLY_THINK):
        counts = count(
            questions(given.answers, phrase),
            temperature=given.temperature, effort=given.effort, max_tokens=given.max_tokens,
        )  # fmt: skip
        print(json.dumps({"asked": given.answers, "phrase": phrase or "none", **counts}), flush=True)


if __name__ == "__main__":
    main()
