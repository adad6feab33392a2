"""Speed of retrieval in a large library: `python -m tests.knowledge.bench_retrieval [--chunks N] [--questions N]`.

A made library in a folder of its own: words drawn as Zipf's law has it, 1,000 versions, a third of them out of force,
a third for one department. Searches with department and life-cycle filters on; vectors are random and come from an
embedder that does nothing, so that what is measured is the search. HAVRE_DATABASE_URL chooses the database: an empty
one; a new SQLite file without it.
"""

import argparse
import gc
import json
import os
import random
import resource
import tempfile
import time
from pathlib import Path
from statistics import quantiles
from typing import Any

VERSIONS, WORDS, LENGTH, NUMBERS = 1000, 60_000, 130, 384


class NoEmbedder:
    """Gives random vectors."""

    id, kind, source, max_tokens, dimension = "none:bench", "other", "none", 512, NUMBERS

    def __init__(self, seed: int) -> None:
        import numpy as np

        self._random = np.random.default_rng(seed)

    def embed_query(self, text: str) -> bytes:
        """A vector."""
        return self.vectors(1)[0]

    def vectors(self, count: int) -> list[bytes]:
        """Unit vectors, none like another."""
        import numpy as np

        rows = self._random.standard_normal((count, NUMBERS)).astype("<f4")
        rows /= np.linalg.norm(rows, axis=1, keepdims=True)
        return [row.tobytes() for row in rows]


def fill(chunks: int, embedder: NoEmbedder) -> Any:
    """Make the library; returns the department that asks."""
    import numpy as np
    from django.utils import timezone

    from knowledge.models import Chunk, Department, Embedding, Guideline, GuidelineVersion

    ours, other = (Department.objects.create(name=name) for name in ("ours", "theirs"))
    now, chance = timezone.now(), np.random.default_rng(1)
    rarity = 1.0 / np.arange(1, WORDS + 1)
    rarity /= rarity.sum()
    guidelines = Guideline.objects.bulk_create(
        Guideline(title=f"Guideline {n}", language="en") for n in range(VERSIONS)
    )
    for number, guideline in enumerate(guidelines):
        if number % 3 == 1:
            guideline.departments.add(other if number % 2 else ours)
    versions = GuidelineVersion.objects.bulk_create(
        GuidelineVersion(
            guideline=guideline, number=1, filename="x.txt", media_type="text/plain", sha256=f"{n:064x}", size=1,
            state="superseded" if n % 3 == 2 else "effective", effective_from=now, ingestion="indexed", indexed_at=now,
        )
        for n, guideline in enumerate(guidelines)
    )  # fmt: skip
    for start in range(0, chunks, 2000):
        size = min(2000, chunks - start)
        drawn = chance.choice(WORDS, size=(size, LENGTH), p=rarity)
        rows = [
            Chunk(version=versions[(start + n) * VERSIONS // chunks], ordinal=2 * (start + n), text="", start=0, end=0,
                  language="en", terms=" ".join(f"w{word}" for word in drawn[n]))
            for n in range(size)
        ]  # fmt: skip
        made = Chunk.objects.bulk_create(rows, batch_size=500)
        Embedding.objects.bulk_create(
            [Embedding(chunk=chunk, embedder=embedder.id, vector=vector)
             for chunk, vector in zip(made, embedder.vectors(size), strict=True)], batch_size=500,
        )  # fmt: skip
    return ours


def questions(count: int) -> list[str]:
    """Of three to eight words, common and rare ones, as people ask."""
    chance = random.Random(3)
    return [
        " ".join(f"w{int(WORDS ** chance.random() ** 0.8)}" for _ in range(chance.randint(3, 8))) for _ in range(count)
    ]


def measure(ours: Any, count: int, words_alone: bool) -> dict[str, float]:
    """Milliseconds a question, with filters: as the clock has it, and of the processor, which other programs do not
    slow down."""
    import knowledge

    asked = questions(count + 5)
    taken, used = [], []
    for text in asked:
        begun, spent = time.perf_counter(), time.process_time()
        found = knowledge.retrieve(text, language="en", departments=[ours.pk])
        taken.append((time.perf_counter() - begun) * 1000)
        used.append((time.process_time() - spent) * 1000)
        assert found.passages, text
    name = "words" if words_alone else "whole"
    result = {f"{name}_first_ms": round(taken[0], 1)}
    for kind, numbers in (("ms", taken[5:]), ("cpu_ms", used[5:])):
        cuts = quantiles(numbers, n=20)
        result |= {f"{name}_p50_{kind}": round(cuts[9], 1), f"{name}_p95_{kind}": round(cuts[18], 1)}
    return result


def resident() -> int:
    """Megabytes of memory that this process has now."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * resource.getpagesize() // 2**20


def main() -> None:
    """Fill, ask, print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--chunks", type=int, default=100_000)
    parser.add_argument("--questions", type=int, default=200)
    parser.add_argument("--words", action="store_true", help="without vectors, whose index takes minutes to make")
    wanted = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="havre-bench-") as folder:
        os.environ |= {"HAVRE_DATA_DIR": folder, "DJANGO_SETTINGS_MODULE": "portal.settings", "OMP_NUM_THREADS": "1"}
        import django

        django.setup()
        from django.core.management import call_command

        import knowledge
        from knowledge.indexing import _sync
        from knowledge.models import Index

        call_command("migrate", verbosity=0)
        embedder = NoEmbedder(0)
        begun = time.perf_counter()
        ours = fill(wanted.chunks, embedder)
        Index.objects.create(embedder=embedder.id, source="none", state="active")
        result: dict[str, Any] = {"chunks": wanted.chunks, "filled_s": round(time.perf_counter() - begun, 1)}
        gc.collect()
        before = resident()
        _sync.embedder_now = lambda: None
        result |= measure(ours, wanted.questions, words_alone=True)
        result["words_mb"] = resident() - before
        if not wanted.words:
            _sync.embedder_now = lambda: embedder  # type: ignore[assignment, return-value]
            begun = time.perf_counter()
            _sync.open_index()
            result["index_s"] = round(time.perf_counter() - begun, 1)
            result |= measure(ours, wanted.questions, words_alone=False)
            result["whole_mb"] = resident() - before
        knowledge.close()
        print(json.dumps(result))


if __name__ == "__main__":
    main()
