"""The pure modules of the chat page (event ids, the turn's reducer, Markdown, the socket's patience) under node's own
test runner."""

import shutil
import subprocess
from pathlib import Path

import pytest

HERE = Path(__file__).parent
OLDEST = (20, 19)  # from here on, node sees by itself that a .js file is a module


def _node() -> str:
    node = shutil.which("node")
    if node is None:
        pytest.skip("there is no node on this machine")
    version = subprocess.run([node, "--version"], capture_output=True, text=True, check=True).stdout.strip()
    if tuple(map(int, version.lstrip("v").split(".")[:2])) < OLDEST:
        pytest.skip(f"node {version} is older than {OLDEST[0]}.{OLDEST[1]}")
    return node


@pytest.mark.parametrize("module", sorted(HERE.glob("*.test.mjs")), ids=lambda path: path.name)
def test_module(module: Path) -> None:
    run = subprocess.run([_node(), "--test", str(module)], capture_output=True, text=True, timeout=60, check=False)
    assert run.returncode == 0, run.stdout + run.stderr
