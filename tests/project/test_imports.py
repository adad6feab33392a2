"""Who may import whom, and what may not be loaded by the web process."""

import subprocess
import sys
from pathlib import Path

from .repository import ROOT

_HEAVY = ("torch", "chromadb", "sentence_transformers", "xllamacpp", "ctransformers", "onnxruntime", "transformers")


def test_import_contracts_are_kept() -> None:
    program = Path(sys.executable).with_name("lint-imports")
    checked = subprocess.run([program, "--no-cache"], cwd=ROOT, capture_output=True, text=True, check=False)
    assert checked.returncode == 0, checked.stdout + checked.stderr


def test_web_process_loads_no_heavy_library() -> None:
    """In a process of its own: here, other tests have loaded them already."""
    code = f"import sys, portal.asgi; print(*sorted({set(_HEAVY)!r} & set(sys.modules)))"
    loaded = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False)
    assert loaded.returncode == 0, loaded.stderr
    assert loaded.stdout.split() == []


def test_libraries_are_usable_without_django_being_set_up() -> None:
    """inference and guardrails are Django-free: importing them must not even load it."""
    code = "import sys, inference, guardrails; print('django' in sys.modules)"
    loaded = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False)
    assert loaded.stdout.strip() == "False", loaded.stderr
