"""Any command may be the first one on a workstation; what cannot work says so without a traceback."""

import json
import os
import subprocess
import sys
from pathlib import Path

from tests.installation import ROOT


def manage(folder: Path, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    clean = {name: value for name, value in os.environ.items() if not name.startswith("HAVRE_")}
    clean |= {"DJANGO_SETTINGS_MODULE": "portal.settings", "HAVRE_DATA_DIR": str(folder), **environment}
    return subprocess.run(
        [sys.executable, "manage.py", *arguments],
        cwd=ROOT,
        env=clean,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


def test_a_first_person_in_an_empty_folder(tmp_path: Path) -> None:
    done = manage(tmp_path / "new", "create_user", "anna", "--role", "clinician", "--json")
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["name"] == "anna"
    assert (tmp_path / "new" / "secret_key").stat().st_mode & 0o077 == 0


def test_what_cannot_work_says_so(tmp_path: Path) -> None:
    for environment, words in (
        ({"HAVRE_SLOTS": "many"}, "HAVRE_SLOTS must be a whole number"),
        ({"HAVRE_HTTPS": "perhaps"}, "HAVRE_HTTPS must be 1 or 0"),
        ({"HAVRE_SECRET_KEY_FILE": "/nowhere/key"}, "/nowhere/key cannot be read"),
        ({"HAVRE_DATA_DIR": "/proc/nowhere"}, "cannot be created"),
        ({"HAVRE_DATABASE_URL": "postgres://nobody@127.0.0.1:1/none"}, "cannot be reached"),
    ):
        done = manage(tmp_path, "create_user", "anna", "--role", "clinician", **environment)
        assert done.returncode != 0
        assert words in done.stderr
        assert "Traceback" not in done.stderr
