"""What becomes of turns when a real model does not keep to harmony: whole turns, from the claim to the stored answer.

    python -m tests.portal.count_turns [--turns 200] [--temperature 1.0]

The tiny test model answers with a seed of its own each time, with and without the phrases that make it misbehave.
Prints, for each phrase, how turns ended, how many were tried twice, and how answers began. Grounding works by words
alone here; nothing is taken back for it.
"""

import argparse
import collections
import dataclasses
import json
import os
import uuid
from typing import Any

import django

os.environ["DJANGO_SETTINGS_MODULE"] = "tests.settings"
os.environ["HAVRE_MAX_TOKENS"], os.environ["HAVRE_CONTEXT"] = "700", "4096"
os.environ["HAVRE_LOG_LEVEL"] = "CRITICAL"
django.setup()


def run(turns: int, temperature: float) -> None:
    """Ask, count, print."""
    import guardrails
    from portal.accounts.models import User
    from portal.chat import answering
    from portal.chat.models import Conversation, Turn
    from portal.chat.prompting import build_request
    from tests.inference.count_harmony import FRAGMENT, THOUGHT, questions
    from tests.models.tiny_lessons import MALFORMED, ONLY_THINK

    guardrails.sentence_encoder = guardrails.passage_reader = lambda: None  # type: ignore[assignment]
    seeds = iter(range(10 * turns * 3))

    def warmer(*args: Any, **options: Any) -> Any:
        return dataclasses.replace(build_request(*args, **options), temperature=temperature, seed=next(seeds))

    answering.build_request = warmer
    owner = User.objects.create_user("anna", password="x", role="clinician")
    quotes = (
        "The plan lists warning signs of a crisis. It is written with the person.",
        "It is reviewed at each visit.",
    )
    passages = [
        {"marker": n, "document": "Safety plan", "version": "v1", "page": n, "page_label": "", "heading": "",
         "quote": quote, "score": 0.8, "url": "/x/", "chunk_id": n, "version_id": str(uuid.uuid4()), "guideline_id": ""}
        for n, quote in enumerate(quotes, start=1)
    ]  # fmt: skip
    for phrase in ("", MALFORMED, ONLY_THINK):
        found: collections.Counter[str] = collections.Counter()
        for question, effort in zip(questions(turns, phrase), ["low", "medium", "high"] * turns, strict=False):
            conversation = Conversation.objects.create(owner=owner)
            turn = Turn.objects.create(
                conversation=conversation, client_ref=uuid.uuid4(), question=question, language="en", effort=effort,
                state="retrieving", passages=passages, covered=True,
            )  # fmt: skip
            answering.generate_answer(turn.id)
            turn.refresh_from_db()
            found[f"{turn.state} {turn.failure_code}".strip()] += 1
            found[f"begun: {turn.usage.get('opened') or 'by the model itself'}"] += 1
            found["tried twice"] += turn.usage.get("tries") == 2
            found["without text"] += not turn.answer.strip()
            found["with a fragment of a marker"] += bool(FRAGMENT.search(turn.answer))
            found["with a sentence of the reasoning"] += bool(THOUGHT.search(turn.answer))
        counts = {key: found[key] for key in sorted(found) if found[key]}
        print(json.dumps({"turns": turns, "phrase": phrase or "none", **counts}), flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--turns", type=int, default=200)
    parser.add_argument("--temperature", type=float, default=1.0)
    given = parser.parse_args()

    from django.core.management import call_command

    import inference
    from tests.conftest import TINY_MODEL
    from tests.services import embedded_valkey

    with embedded_valkey():
        call_command("migrate", verbosity=0)
        inference.load(inference.EngineSettings(model=TINY_MODEL, slots=2, context=4096, threads=1))
        try:
            run(given.turns, given.temperature)
        finally:
            inference.unload()


if __name__ == "__main__":
    main()
