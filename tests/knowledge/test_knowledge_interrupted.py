"""Workers that are killed and disks that are full: nothing twice, nothing lost, and somebody is told."""

import io
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from django.db import OperationalError

import knowledge
from knowledge.ingestion import _steps
from knowledge.models import GuidelineVersion

from .documents import TEXT

ROOT = Path(__file__).resolve().parent.parent.parent
KILLS = int(os.environ.get("HAVRE_KILLS", "3"))


def test_killed_at_random_moments() -> None:
    """`make soak` kills fifty."""
    command = [sys.executable, "-m", "tests.knowledge.killed_ingestions", str(KILLS)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    report = json.loads(done.stdout.splitlines()[-1])
    assert report["killed"] == KILLS
    assert report["versions"] == report["effective"]
    assert report["different"] == 0, report
    assert report["chunks"] == report["places"] == report["vectors"], report
    assert report["index"] == [report["chunks"], 0, 0, 0], report


@pytest.mark.parametrize(
    ("step", "error"),
    [
        ("read", OSError(28, "No space left on device")),
        ("read", OSError(122, "Disk quota exceeded")),
        ("store", OperationalError("database or disk is full")),
        ("_embed", OperationalError("database or disk is full")),
        ("_index", OSError(28, "No space left on device")),
    ],
    ids=["file", "quota", "pages", "vectors", "index"],
)
def test_a_full_disk_is_said_and_tried_again(
    db: None, data_folder: Path, monkeypatch: pytest.MonkeyPatch, step: str, error: Exception
) -> None:
    version = knowledge.add_version(io.BytesIO(TEXT.encode()), filename="round.txt", approve=True)

    def full(*_: Any) -> None:
        raise error

    with monkeypatch.context() as patch:
        patch.setattr(_steps, step, full)
        with pytest.raises(knowledge.KnowledgeError, match="disk is full"):
            knowledge.ingest(version.pk)
    version.refresh_from_db()
    assert (version.ingestion, version.error_code) == ("failed", "disk_full")
    knowledge.retry(version.pk, actor="anna")
    assert knowledge.ingest(version.pk).ingestion == GuidelineVersion.Ingestion.INDEXED


ON_A_SMALL_DISK = """
import os, sys
from pathlib import Path
import django
django.setup()
from django.core.management import call_command
import knowledge
from knowledge import selectors

call_command("migrate", verbosity=0)
folder = Path(os.environ["HAVRE_DATA_DIR"])

def state(version):
    try:
        knowledge.ingest(version.pk)
    except Exception as error:
        print(type(error).__name__, "-", error)
    version = selectors.get_version(version.pk)
    print(version.filename, version.ingestion, version.error_code)
    return version

def add(name):
    path = folder / name
    path.write_text(f"# {name}\\n\\nThe round of {name} begins at eight.")
    return knowledge.add_version(path, approve=True)

def fill(left):
    disk = os.statvfs(folder)
    (folder / "filler").write_bytes(bytes(max(0, disk.f_bavail * disk.f_frsize - left)))

state(add("one.md"))
two = add("two.md")
fill(20_000_000)
state(two)
fill(0)
print(len(selectors.pending_versions()))
(folder / "filler").unlink()
knowledge.retry(two.pk, actor="anna")
state(two)
report = knowledge.verify_index()
print(report.expected, report.missing, report.stray, report.unfindable)
"""


def test_on_a_disk_that_fills_up(tmp_path: Path) -> None:
    if subprocess.run(["unshare", "-rm", "true"], capture_output=True, check=False).returncode:
        pytest.skip("no disk can be mounted here")
    environment = os.environ | {
        "HAVRE_DATA_DIR": str(tmp_path),
        "HAVRE_DATABASE_URL": f"sqlite:///{tmp_path}/havre.sqlite3",
        "DJANGO_SETTINGS_MODULE": "tests.settings",
    }
    mounted = 'mount -t tmpfs -o size=80m none "$HAVRE_DATA_DIR" && exec "$0" -c "$1"'
    command = ["unshare", "-rm", "sh", "-c", mounted, sys.executable, ON_A_SMALL_DISK]
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    first, said, second, waiting, third, report = done.stdout.splitlines()
    assert first == "one.md indexed "
    assert said == "KnowledgeError - “two.md” could not be stored: the disk is full. Make room and try again."
    assert second == "two.md failed disk_full"
    assert waiting == "0"
    assert third == "two.md indexed "
    assert report == "2 0 0 0"
