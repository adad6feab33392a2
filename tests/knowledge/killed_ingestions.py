"""Ingestions killed at random moments, in a process of their own: `python -m tests.knowledge.killed_ingestions KILLS`.

Everything heavy is imported once; each worker is a fork that ends with SIGKILL, or by itself when it was faster. At the
end the last worker finishes what is left and everything is counted. Prints a JSON report.
"""

import atexit
import gc
import json
import os
import random
import shutil
import signal
import sys
import tempfile
import time
from pathlib import Path

import django

PARAGRAPHS = 16


def _document(number: int) -> str:
    parts = [f"# Protocol {number}\n"]
    for one in range(PARAGRAPHS):
        parts.append(f"\n## Rule {one} of protocol {number}\n\n")
        parts.append(f"On ward {number} the round number {one} begins at {one % 24} sharp and is written down. " * 6)
    return "".join(parts)


def _worker() -> int:
    """A worker that ingests whatever waits. Returns its process number."""
    number = os.fork()
    if number:
        return number
    try:
        import knowledge
        from knowledge import selectors

        while version := selectors.pending_versions().first():
            knowledge.ingest(version.pk)
        knowledge.close()
        os._exit(0)
    except BaseException as error:
        print(f"{type(error).__name__}: {error}", file=sys.stderr, flush=True)
        os._exit(1)


def _add(folder: Path, number: int) -> None:
    from django.db import connection

    import knowledge

    path = folder / f"protocol-{number}.md"
    path.write_text(_document(number), encoding="utf-8")
    knowledge.add_version(path, approve=True)
    connection.close()  # no connection may go through a fork


def _finish(number: int, seconds: float | None) -> bool:
    """Wait for a worker, or kill it after some seconds. True when it had to be killed."""
    until = time.monotonic() + seconds if seconds is not None else None
    while True:
        done, status = os.waitpid(number, os.WNOHANG)
        if done:
            assert os.waitstatus_to_exitcode(status) == 0, "a worker failed by itself"
            return False
        if until is not None and time.monotonic() > until:
            os.kill(number, signal.SIGKILL)
            os.waitpid(number, 0)
            return True
        time.sleep(0.005)


def _report() -> dict[str, object]:
    import knowledge
    from knowledge.ingestion._reading import cut_up, language_of, read
    from knowledge.models import Chunk, Embedding, GuidelineVersion

    different = 0
    for version in GuidelineVersion.objects.select_related("guideline"):
        document = read(version)
        expected = [chunk.text for chunk in cut_up(version, document, language_of(version, document))]
        different += expected != list(version.chunks.order_by("ordinal").values_list("text", flat=True))
    first = knowledge.verify_index()
    return {
        "versions": GuidelineVersion.objects.count(),
        "effective": GuidelineVersion.objects.filter(ingestion="indexed", state="effective").count(),
        "different": different,
        "chunks": Chunk.objects.count(),
        "places": Chunk.objects.values("version", "ordinal").distinct().count(),
        "vectors": Embedding.objects.count(),
        "index": [first.expected, first.missing, first.stray, first.unfindable],
    }


def main(kills: int) -> None:
    """Kill so many workers, then let one finish."""
    folder = Path(tempfile.mkdtemp(prefix="havre-kills-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)  # a worker that was forked ends without
    os.environ |= {"HAVRE_DATA_DIR": str(folder), "HAVRE_DATABASE_URL": f"sqlite:///{folder}/havre.sqlite3"}
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "tests.settings")
    django.setup()
    import chromadb  # noqa: F401
    from django.core.management import call_command
    from django.db import connection

    from knowledge.indexing._embedder import get_embedder

    get_embedder().load()
    call_command("migrate", verbosity=0)
    connection.close()
    gc.freeze()
    _add(folder, 0)
    before = time.monotonic()
    _finish(_worker(), None)
    whole = time.monotonic() - before
    killed, number, moments = 0, 0, []
    while killed < kills:
        if not moments or moments[-1] is None:
            number += 1
            _add(folder, number)
        moment = random.uniform(0, 1.1 * whole)
        was_killed = _finish(_worker(), moment)
        killed += was_killed
        moments.append(round(moment, 2) if was_killed else None)
    _finish(_worker(), None)
    print(json.dumps({"killed": killed, "whole_seconds": round(whole, 2), "moments": moments, **_report()}))


if __name__ == "__main__":
    main(int(sys.argv[1]))
