"""What the tests of the project itself look at: its tracked files, its Python sources, compose.yaml."""

import re
import subprocess
from functools import cache
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).resolve().parents[2]
PACKAGES = ("portal", "inference", "guardrails", "knowledge")


@cache
def tracked_files() -> tuple[Path, ...]:
    """Files that belong to the project, relative to its root; without git (an unpacked archive), all that lie there."""
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT,
        capture_output=True,
        check=False,
    )
    if listed.returncode == 0:
        names = [Path(name) for name in listed.stdout.decode().split("\0") if name]
        return tuple(sorted(name for name in names if (ROOT / name).is_file()))
    hidden = {".git", ".venv", "data", "__pycache__"}
    found = (path.relative_to(ROOT) for path in ROOT.rglob("*") if path.is_file())
    return tuple(sorted(path for path in found if not hidden & set(path.parts)))


def python_files() -> list[Path]:
    """Python sources that somebody wrote: migrations are written by Django."""
    return [path for path in tracked_files() if path.suffix == ".py" and "migrations" not in path.parts]


def compose_file(**settings: str) -> dict[str, Any]:
    """compose.yaml with `${NAME:-default}` and `${NAME-default}` filled in as compose does it, anchors merged."""

    def value(match: re.Match[str]) -> str:
        given = settings.get(match["name"])
        if match["operator"] == ":-":
            return given or match["default"]
        return match["default"] if given is None else given

    text = (ROOT / "compose.yaml").read_text(encoding="utf-8")
    text = re.sub(r"(?<!\$)\$\{(?P<name>\w+)(?P<operator>:?-)(?P<default>[^}]*)\}", value, text)
    loaded = yaml.safe_load(text)
    assert isinstance(loaded, dict)
    return loaded
