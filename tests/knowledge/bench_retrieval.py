"""Speed of retrieval in a large library, on SQLite and PostgreSQL: `python -m tests.knowledge.bench_retrieval`.

A made library in a folder of its own: words drawn as Zipf's law has it, vectors that lie as those of E5 do, 3,000
versions, a third of them superseded by a later one, half of the guidelines for departments. Questions are asked by
somebody of one department: of the words alone; of words and vectors with a question's vector given, so that what is
measured is the search; and with the real embedder. The index is made once, both databases answer from it.

--keep FOLDER keeps the library, and uses it when it is there.
"""

import argparse
import gc
import json
import os
import random
import resource
import subprocess
import sys
import tempfile
import time
from contextlib import nullcontext
from pathlib import Path
from statistics import quantiles
from typing import Any
from uuid import UUID

from tests.services import postgres

WORDS, LENGTH, NUMBERS, TOPICS = 60_000, 130, 384, 2000
INDEX = UUID(int=1)


class GivenVectors:
    """An embedder that takes no time: vectors around a common direction, each of one of many topics."""

    kind, source, max_tokens, dimension = "e5", "e5", 512, NUMBERS

    def __init__(self, name: str, seed: int) -> None:
        import numpy as np

        self.id = name
        world = np.random.default_rng(1)
        self._common, self._topics = world.normal(size=NUMBERS), world.normal(size=(TOPICS, NUMBERS))
        self._random = np.random.default_rng(seed)

    def embed_query(self, text: str) -> bytes:
        """A vector."""
        return self.vectors(1)[0]

    def vectors(self, count: int) -> list[bytes]:
        """Unit vectors of topics that are drawn."""
        import numpy as np

        about = self._topics[self._random.integers(0, TOPICS, count)]
        rows = 1.6 * self._common + 0.9 * about + 0.6 * self._random.normal(size=(count, NUMBERS))
        return [row.tobytes() for row in (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype("<f4")]


def fill(chunks: int, versions: int, embedder: GivenVectors) -> None:
    """Make the library, the same in every database. Of three versions two are of one guideline."""
    from django.utils import timezone

    from knowledge.models import Department, Guideline, GuidelineVersion, Index

    ours, other = (Department.objects.create(pk=UUID(int=n), name=name) for n, name in ((1, "ours"), (2, "theirs")))
    now = timezone.now()
    guidelines = Guideline.objects.bulk_create(
        Guideline(pk=UUID(int=n + 1), title=f"Guideline {n}", language="en") for n in range(versions * 2 // 3 + 1)
    )
    through = Guideline.departments.through
    open_to = {0: (ours,), 1: (other,), 2: (ours, other)}  # the others are everybody's
    through.objects.bulk_create(
        through(guideline=guideline, department=department)
        for n, guideline in enumerate(guidelines)
        for department in open_to.get(n % 6, ())
    )
    made = GuidelineVersion.objects.bulk_create(
        GuidelineVersion(
            pk=UUID(int=n + 1), guideline=guidelines[n * 2 // 3], number=1 + (n % 3 == 1), filename="x.txt",
            media_type="text/plain", sha256=f"{n:064x}", size=1, state="superseded" if n % 3 == 0 else "effective",
            effective_from=now, ingestion="indexed", indexed_at=now, reader=99,
        )
        for n in range(versions)
    )  # fmt: skip
    _fill_chunks(chunks, made, embedder)
    Index.objects.create(pk=INDEX, embedder=embedder.id, source="e5", state="active")


def _fill_chunks(chunks: int, versions: list[Any], embedder: GivenVectors) -> None:
    import numpy as np

    from knowledge.models import Chunk, Embedding

    chance = np.random.default_rng(1)
    rarity = 1.0 / np.arange(1, WORDS + 1)
    rarity /= rarity.sum()
    for start in range(0, chunks, 2000):
        size = min(2000, chunks - start)
        drawn = chance.choice(WORDS, size=(size, LENGTH), p=rarity)
        rows = [
            Chunk(pk=start + n + 1, version=versions[(start + n) * len(versions) // chunks], ordinal=2 * (start + n),
                  text="", start=0, end=0, language="en", terms=" ".join(f"w{word}" for word in drawn[n]))
            for n in range(size)
        ]  # fmt: skip
        Chunk.objects.bulk_create(rows, batch_size=500)
        vectors = zip(rows, embedder.vectors(size), strict=True)
        Embedding.objects.bulk_create(
            [Embedding(chunk=chunk, embedder=embedder.id, vector=vector) for chunk, vector in vectors], batch_size=500
        )


def questions(count: int) -> list[str]:
    """Of three to eight words, common and rare ones, as people ask."""
    chance = random.Random(3)
    return [
        " ".join(f"w{int(WORDS ** chance.random() ** 0.8)}" for _ in range(chance.randint(3, 8))) for _ in range(count)
    ]


def measure(count: int) -> dict[str, float]:
    """Milliseconds a question, with filters: as the clock has it, and of the processor, this process and its process in
    the database server together, which other programs do not slow down as much."""
    import knowledge

    taken, used = [], []
    for text in questions(count + 5):
        begun, spent = time.perf_counter(), processor()
        found = knowledge.retrieve(text, language="en", departments=[UUID(int=1)])
        taken.append((time.perf_counter() - begun) * 1000)
        used.append((processor() - spent) * 1000)
        assert found.passages, text
    result = {"first_ms": round(taken[0], 1)}
    for kind, numbers in (("ms", taken[5:]), ("cpu_ms", used[5:])):
        cuts = quantiles(numbers, n=20)
        result |= {f"p50_{kind}": round(cuts[9], 1), f"p95_{kind}": round(cuts[18], 1)}
    return result


def processor() -> float:
    """Seconds of the processor that this process has used, and the one that serves it in PostgreSQL."""
    from django.db import connection

    served = 0
    if connection.vendor == "postgresql":
        connection.ensure_connection()
        served = int(Path(f"/proc/{connection.connection.info.backend_pid}/schedstat").read_text().split()[0])
    return time.process_time() + served / 1e9


def resident() -> int:
    """Megabytes of memory that this process has now."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * resource.getpagesize() // 2**20


def look(wanted: argparse.Namespace) -> None:
    """In a process of its own, with its database and folder in the environment: fill what is empty, ask, print."""
    import django

    django.setup()
    from django.core.management import call_command
    from django.db import connection

    import knowledge
    from knowledge.indexing import _sync
    from knowledge.indexing._embedder import get_embedder
    from knowledge.models import Chunk

    call_command("migrate", verbosity=0)
    real = get_embedder("e5")
    given = GivenVectors(real.id, 0)
    begun = time.perf_counter()
    if not Chunk.objects.exists():
        fill(wanted.chunks, wanted.versions, given)
        if connection.vendor == "postgresql":
            with connection.cursor() as cursor:
                cursor.execute("VACUUM ANALYZE")
    facts = {"database": connection.vendor, "filled_s": round(time.perf_counter() - begun, 1)}
    gc.collect()
    before, embedder_now = resident(), _sync.embedder_now
    rows: dict[str, dict[str, float]] = {}
    _sync.embedder_now = lambda: None
    rows["words"] = measure(wanted.questions) | {"memory_mb": resident() - before}
    if not wanted.words:
        _sync.embedder_now = lambda: given  # type: ignore[assignment, return-value]
        begun = time.perf_counter()
        _sync.open_index()
        facts["index_s"] = round(time.perf_counter() - begun, 1)
        rows["words and vectors"] = measure(wanted.questions) | {"memory_mb": resident() - before}
        real.load()
        before = resident()
        _sync.embedder_now = embedder_now
        rows["with e5"] = measure(wanted.questions) | {"memory_mb": resident() - before}
    knowledge.close()
    for name, row in rows.items():
        print(json.dumps(facts | {"part": name} | row), flush=True)


def main() -> None:
    """Ask in each database."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--chunks", type=int, default=100_000)
    parser.add_argument("--versions", type=int, default=3000)
    parser.add_argument("--questions", type=int, default=200)
    parser.add_argument("--words", action="store_true", help="without vectors, whose index takes minutes to make")
    parser.add_argument("--database", choices=["sqlite", "postgresql", "both"], default="both")
    parser.add_argument("--keep", type=Path, help="a folder for the library")
    parser.add_argument("--look", action="store_true", help=argparse.SUPPRESS)
    wanted = parser.parse_args()
    if wanted.look:
        look(wanted)
        return
    with nullcontext(wanted.keep) if wanted.keep else tempfile.TemporaryDirectory(prefix="havre-bench-") as folder:
        own = {"HAVRE_DATA_DIR": str(folder), "DJANGO_SETTINGS_MODULE": "portal.settings", "OMP_NUM_THREADS": "1"}
        command = [sys.executable, "-m", __spec__.name, "--look", *sys.argv[1:]]
        for database in ("sqlite", "postgresql"):
            if wanted.database not in (database, "both"):
                continue
            with postgres() if database == "postgresql" else nullcontext(f"sqlite:///{folder}/havre.sqlite3") as url:
                subprocess.run(command, env=os.environ | own | {"HAVRE_DATABASE_URL": url}, check=True)


if __name__ == "__main__":
    main()
