"""How fast the vector index is, and how much memory it takes: made-up vectors that lie as those of E5 do (a common
direction, topics, noise), 100 chunks a version, departments of several sizes.

    python -m tests.knowledge.index_speed [CHUNKS] [FOLDER]

Times are of the processor (this process alone, all its threads), so that a busy machine does not change them much.
"""

import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any
from uuid import UUID

import numpy as np

WIDTH, OF_A_VERSION, TOPICS, ASKED, LIMIT = 384, 100, 2000, 200, 100  # LIMIT: candidates of a question
NUMBER = UUID(int=1)


def main() -> None:
    """Fill an index, then look at it in a process of its own."""
    chunks = int(sys.argv[1]) if len(sys.argv) > 1 else 100_000
    folder = Path(sys.argv[2] if len(sys.argv) > 2 else tempfile.mkdtemp(prefix="havre-speed-"))
    if "--look" in sys.argv:
        print(json.dumps(_look(chunks, folder), indent=1))
        return
    seconds = _fill(chunks, folder) if not (folder / "index").exists() else 0.0
    print(json.dumps({"chunks": chunks, "filling_cpu_seconds": round(seconds, 1)}))
    subprocess.run([sys.executable, "-m", __spec__.name, str(chunks), str(folder), "--look"], check=True)


def _vectors(many: int, seed: int) -> Any:
    """Vectors and the topic of each; a version is about few topics."""
    world = np.random.default_rng(1)
    common, topics = world.normal(size=WIDTH), world.normal(size=(TOPICS, WIDTH))
    random = np.random.default_rng(seed)
    about = (np.arange(many) // OF_A_VERSION * 2 + random.integers(0, 8, many)) % TOPICS
    rows = 1.6 * common + 0.9 * topics[about] + 0.6 * random.normal(size=(many, WIDTH))
    return (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype("<f4"), about


def _version(number: int) -> UUID:
    return UUID(int=number + 1000)


def _fill(chunks: int, folder: Path) -> float:
    from knowledge.indexing._vectors import VectorStore

    rows, _ = _vectors(chunks, 2)
    store = VectorStore(folder / "index")
    index = store.index(NUMBER, "speed:1")
    before = time.process_time()
    for start in range(0, chunks, OF_A_VERSION):
        index.add(
            _version(start // OF_A_VERSION),
            [(number, rows[number].tobytes()) for number in range(start, min(chunks, start + OF_A_VERSION))],
        )
    store.close()
    return time.process_time() - before


def _look(chunks: int, folder: Path) -> dict[str, Any]:
    import chromadb  # noqa: F401 - its own size does not count

    from knowledge.indexing._vectors import VectorStore

    before = _resident()
    store = VectorStore(folder / "index")
    index = store.index(NUMBER, "speed:1")
    started = time.process_time()
    held = len(index.contents())
    opening = time.process_time() - started
    index.search(np.eye(1, WIDTH, dtype="<f4")[0].tobytes(), 40)
    memory = _resident() - before
    questions, about = _vectors(ASKED * OF_A_VERSION, 3)
    questions, about = questions[::OF_A_VERSION], about[::OF_A_VERSION]
    versions = [_version(number) for number in range(chunks // OF_A_VERSION)]
    rows, _ = _vectors(chunks, 2)
    found: dict[str, Any] = {"held": held, "opening_cpu_seconds": round(opening, 2), "memory_mb": memory}
    choices: dict[str, Callable[[int], Any]] = {
        "everything": lambda _: None,
        "80 % of the versions": lambda _: versions[: len(versions) * 4 // 5],
        "20 % of the versions": lambda _: versions[::5],
        "11 % of the versions": lambda _: versions[::9],
        "7 % of the versions": lambda _: versions[::14],
        "3 % of the versions": lambda _: versions[::33],
        "all but those about the question": lambda asked: [
            version for number, version in enumerate(versions) if (about[asked] - number * 2) % TOPICS > 8
        ],
    }
    for name, choose in choices.items():
        found[name] = _ask(index, questions, choose, rows)
    return found


def _ask(index: Any, questions: Any, choose: Callable[[int], Any], rows: Any) -> dict[str, Any]:
    taken, recall = [], []
    for asked, question in enumerate(questions):
        allowed = choose(asked)
        vector = question.tobytes()
        before = time.process_time()
        got = index.search(vector, LIMIT, allowed)
        taken.append((time.process_time() - before) * 1000)
        if asked % 10 == 0:
            near = rows @ question
            if allowed is not None:
                of = {version.int - 1000 for version in allowed}
                near = np.where(np.isin(np.arange(len(rows)) // OF_A_VERSION, list(of)), near, -1.0)
            best = set(np.argsort(-near)[:LIMIT].tolist())
            recall.append(len(best & {number for number, _ in got}) / LIMIT)
    taken.sort()
    return {
        "p50_ms": round(taken[len(taken) // 2], 1),
        "p95_ms": round(taken[len(taken) * 95 // 100], 1),
        "recall": round(sum(recall) / len(recall), 3),
    }


def _resident() -> int:
    pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") // 2**20


if __name__ == "__main__":
    main()
