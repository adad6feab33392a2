"""The vector index can be lost, locked, stale or killed in the middle; SQL has the truth."""

import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

import knowledge
from knowledge.indexing import _sync
from knowledge.models import Embedding, GuidelineVersion

from .chroma_server import chroma_server
from .documents import TEXT, make_docx

TakeIn = Callable[..., GuidelineVersion]
ROOT = Path(__file__).resolve().parent.parent.parent
OPEN = """
import sys, time
from pathlib import Path
import django
django.setup()
from knowledge.indexing._vectors import VectorStore
from knowledge import IndexLocked
try:
    store = VectorStore(Path(sys.argv[1]))
except IndexLocked as error:
    print(error); sys.exit(7)
print("open", flush=True)
time.sleep(60)
"""


@pytest.fixture
def owner(tmp_path: Path) -> Iterator[subprocess.Popen[str]]:
    """Another process that has the index open."""
    process = subprocess.Popen(
        [sys.executable, "-c", OPEN, str(tmp_path / "index")], cwd=ROOT, stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "open\n"
    yield process
    process.kill()
    process.wait()


def test_a_second_process_is_told_that_the_index_is_taken(owner: subprocess.Popen[str], tmp_path: Path) -> None:
    second = subprocess.run(
        [sys.executable, "-c", OPEN, str(tmp_path / "index")], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert second.returncode == 7
    assert f"open in another process (process {owner.pid})" in second.stdout


def test_a_killed_owner_leaves_no_lock(
    owner: subprocess.Popen[str], db: None, data_folder: Path, take_in: TakeIn
) -> None:
    with pytest.raises(knowledge.IndexLocked):
        knowledge.retrieve("anything")
    owner.send_signal(signal.SIGKILL)
    owner.wait()
    take_in(TEXT, "round.txt")
    assert knowledge.retrieve("When does the medication round begin?").covered


def test_while_the_server_is_away_words_find_and_vectors_of_sql_compare(
    db: None, data_folder: Path, take_in: TakeIn, settings: Any, caplog: pytest.LogCaptureFixture
) -> None:
    question = "When does the medication round begin?"
    with chroma_server(data_folder) as settings.HAVRE_CHROMA_URL:
        take_in(TEXT, "round.txt")
        take_in("# Visits\n\nVisitors come from 14:00 to 18:00 and leave the ward by the main door.\n", "visits.md")
        found = knowledge.retrieve(question)
        assert found.covered
    for opened in (True, False):  # gone since it was opened, and not there at all
        if not opened:
            knowledge.close()
        _forget_rows()
        caplog.clear()
        still = knowledge.retrieve(question)
        assert still.covered
        assert [(one.chunk_id, one.dense) for one in still.passages[:1]] == [
            (found.passages[0].chunk_id, pytest.approx(found.passages[0].dense, abs=0.02))
        ]
        assert not knowledge.retrieve("What is the capital of Australia?").covered
        assert "found by their words alone" in caplog.text
        assert "Australia" not in caplog.text


def _forget_rows() -> None:
    """What of the server this process still knows, and could answer from for a while."""
    if _sync._opened:
        _sync._opened._rows.clear()


def test_ingesting_beside_the_owner_leaves_the_index_to_it(
    owner: subprocess.Popen[str], db: None, data_folder: Path, take_in: TakeIn
) -> None:
    assert take_in(TEXT, "round.txt").state == "effective"
    owner.kill()
    owner.wait()
    assert knowledge.retrieve("When does the medication round begin?").covered


def test_a_lost_index_is_made_again(take_in: TakeIn, data_folder: Path) -> None:
    take_in(TEXT, "round.txt")
    knowledge.close()
    shutil.rmtree(data_folder / "index")
    assert knowledge.retrieve("When does the medication round begin?").covered
    assert knowledge.verify_index().healthy


def test_a_damaged_index_is_made_again(take_in: TakeIn, data_folder: Path) -> None:
    take_in(TEXT, "round.txt")
    knowledge.close()
    (data_folder / "index" / "chroma.sqlite3").write_bytes(b"this is no database" * 1000)
    assert knowledge.retrieve("When does the medication round begin?").covered
    assert knowledge.rebuild_index().healthy


def test_missing_and_stray_vectors_are_mended(take_in: TakeIn) -> None:
    version = take_in(make_docx(fill=60), "long.docx")
    index = _sync.open_index()
    first, second = Embedding.objects.filter(chunk__version=version).order_by("chunk__ordinal")[:2]
    index.remove([first.chunk_id])
    index.add(version.pk, [(999_999, bytes(second.vector))])
    report = knowledge.verify_index()
    assert (report.missing, report.stray, report.rebuilt) == (1, 1, True)
    assert knowledge.verify_index() == knowledge.IndexReport(version.chunks.count(), 0, 0, 0, False)


def test_vectors_of_another_embedder_are_computed_anew(take_in: TakeIn) -> None:
    version = take_in(TEXT, "round.txt")
    right = Embedding.objects.get(chunk__version=version)
    Embedding.objects.update(embedder="older:model", vector=bytes(len(right.vector)))
    knowledge.rebuild_index()
    made = Embedding.objects.get(chunk__version=version, embedder=right.embedder)
    assert bytes(made.vector) == bytes(right.vector)


def test_a_missing_embedder_is_a_sentence(db: None, data_folder: Path, settings: Any) -> None:
    settings.HAVRE_EMBEDDER = str(data_folder / "nowhere")
    with pytest.raises(knowledge.EmbedderUnavailable, match="HAVRE_EMBEDDER"):
        knowledge.warm()


def test_importing_knowledge_loads_no_heavy_library() -> None:
    code = (
        "import django, sys; django.setup(); import knowledge, knowledge.services, knowledge.retrieval\n"
        "heavy = {'torch', 'chromadb', 'sentence_transformers', 'transformers', 'numpy', 'pypdfium2', 'docx', 'bs4'}\n"
        "print(sorted(heavy & set(sys.modules)))\n"
    )
    shown = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert shown.stdout.strip() == "[]"
